"""Meetups as staff see them: when and where, who is invited, who comes, and how far the mail is (MEE1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import DECISIONS, Meetup, MeetupInvitation, Member, Message
from lifecycles.facts import facts_from_row
from lifecycles.participants import Programs
from rules.meetup import ANSWERS, MeetupFacts
from staff.views.lifecycles import program_zone
from staff.views.read_model import NotFound

NO_ANSWER = "none"
"""How the counts and the filter name those who have not answered."""

MOST_PEOPLE = 200
"""How many invited people a page or a command lists at once."""


@dataclass(frozen=True, slots=True)
class MeetupSummary:
    """A meetup in a list, with the counts of its answers."""

    meetup: str
    program: str
    cohort: str
    title: str
    state: str
    is_paused: bool
    starts_at: datetime
    ends_at: datetime
    link: str
    zone: str
    """The meetup's own zone."""
    program_zone: str
    invited: int
    answers: dict[str, int]
    """How many people gave each answer; `none` for those who gave none."""


@dataclass(frozen=True, slots=True)
class InvitedView:
    """One invited person."""

    member: str
    profile: str
    name: str
    answer: str
    answered_at: datetime | None
    answered_by: str


@dataclass(frozen=True, slots=True)
class MeetupView:
    """A meetup with its people and its mail."""

    summary: MeetupSummary
    people: tuple[InvitedView, ...]
    mail: dict[str, dict[str, int]]
    """For each message, how many have each decision; `waiting` for those without one."""
    resources: tuple[tuple[str, str], ...]
    """Titles and links."""


async def meetup_list(session: AsyncSession, programs: Programs) -> tuple[MeetupSummary, ...]:
    """Return all meetups, the latest first."""
    rows = (await session.scalars(select(Meetup).order_by(Meetup.starts_at.desc(), Meetup.workflow))).all()
    counts = await _answers(session, [row.workflow for row in rows])
    return tuple(_summary(row, counts.get(row.workflow, {}), programs) for row in rows)


async def meetup_view(
    session: AsyncSession, meetup: str, programs: Programs, answer: str = "", most: int = MOST_PEOPLE
) -> MeetupView:
    """Return a meetup, with the people who gave an answer, or `none`, or all. Raises NotFound."""
    row = await session.get(Meetup, f"meetup/{meetup}")
    if row is None:
        raise NotFound(f"there is no meetup/{meetup}")
    counts = await _answers(session, [row.workflow])
    return MeetupView(
        _summary(row, counts.get(row.workflow, {}), programs),
        await _people(session, row.workflow, answer, most),
        await _mail(session, row.workflow),
        tuple((str(each["title"]), str(each["link"])) for each in row.resources),
    )


def _summary(row: Meetup, answers: dict[str, int], programs: Programs) -> MeetupSummary:
    return MeetupSummary(
        meetup=row.id,
        program=row.program,
        cohort=row.cohort or "",
        title=row.title,
        state=row.state,
        is_paused=facts_from_row(MeetupFacts, row.facts).is_paused,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        link=row.link or "",
        zone=row.time_zone,
        program_zone=program_zone(row.program, programs),
        invited=sum(answers.values()),
        answers={name: answers.get(name, 0) for name in (*ANSWERS, NO_ANSWER)},
    )


async def _answers(session: AsyncSession, workflows: list[str]) -> dict[str, dict[str, int]]:
    rows = await session.execute(
        select(MeetupInvitation.workflow, MeetupInvitation.answer, func.count())
        .where(MeetupInvitation.workflow.in_(workflows))
        .group_by(MeetupInvitation.workflow, MeetupInvitation.answer)
    )
    found: dict[str, dict[str, int]] = {}
    for workflow, answer, count in rows:
        found.setdefault(workflow, {})[answer or NO_ANSWER] = count
    return found


async def _people(session: AsyncSession, workflow: str, answer: str, most: int) -> tuple[InvitedView, ...]:
    query = (
        select(MeetupInvitation, Member.name)
        .join(Member, Member.id == MeetupInvitation.member_id)
        .where(MeetupInvitation.workflow == workflow)
    )
    if answer:
        wanted = None if answer == NO_ANSWER else answer
        query = query.where(
            MeetupInvitation.answer.is_(None) if wanted is None else MeetupInvitation.answer == wanted
        )
    rows = await session.execute(query.order_by(Member.folded, Member.id).limit(most))
    return tuple(
        InvitedView(
            each.member_id, each.profile_id, name, each.answer or "", each.answered_at, each.answered_by or ""
        )
        for each, name in rows
    )


async def _mail(session: AsyncSession, workflow: str) -> dict[str, dict[str, int]]:
    rows = await session.execute(
        select(Message.message, Message.state, func.count())
        .where(Message.workflow == workflow)
        .group_by(Message.message, Message.state)
        .order_by(Message.message)
    )
    found: dict[str, dict[str, int]] = {}
    for message, state, count in rows:
        of_message = found.setdefault(message, {})
        name = state if state in DECISIONS else "waiting"
        of_message[name] = of_message.get(name, 0) + count
    return found
