"""Who is invited to a meetup, and their mail: a bounded number of people at a time (MEE1, MAIL1).

A meetup of thousands has no list of them in its workflow. Each plan invites and plans so many people; the rest follows
at the next one. Whose mail has to be planned again is a comparison of two numbers (`planned_for`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from database import ledger, staff_orders
from database.ledger import FIRST_RESEND_OCCURRENCE, AgendaChanges
from database.models import CohortMember, Meetup, MeetupInvitation, Member, Message, Profile
from lifecycles.participants import Participant
from lifecycles.recording import DueMail, due_mail, resolve_reason
from rules import meetup
from rules.agenda import PlannedMail, recorded_at
from rules.meetup import STEPS, InvitedPerson, MeetupFacts, PastMail, parts_of_step, step_of
from rules.program import Program

UNDECIDED = ("planned", "claimed", "handed_over")
"""The states of a message without a decision."""


@dataclass(frozen=True, slots=True)
class Invited:
    """An invitation with the person behind it."""

    invitation: MeetupInvitation
    participant: Participant

    @property
    def person(self) -> InvitedPerson:
        """What of it decides mail."""
        row = self.invitation
        return InvitedPerson(row.number, row.profile_id, row.invited_at, row.answer or "")


def taking_part(program: str, cohort: str) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of profiles that are invited: not withdrawn, and of the cohort, if there is one (MEE1)."""
    of_program = (Profile.program == program, Profile.withdrawn_at.is_(None))
    if not cohort:
        return of_program
    members = select(CohortMember.profile_id).where(
        CohortMember.cohort_id == cohort, CohortMember.left_at.is_(None)
    )
    return (*of_program, Profile.id.in_(members))


def active_members(program: str, cohort: str) -> ColumnElement[bool]:
    """Return the condition of members who take part: in good standing, with a profile that does (MEE1)."""
    profiles = select(Profile.id).where(Profile.member_id == Member.id, *taking_part(program, cohort))
    return (Member.standing == "good") & exists(profiles)


async def invite(session: AsyncSession, row: Meetup, facts: MeetupFacts, at: datetime, most: int) -> int:
    """Invite active members who are not invited yet, up to a number; return how many."""
    invited = select(MeetupInvitation.member_id).where(
        MeetupInvitation.workflow == row.workflow, MeetupInvitation.member_id == Member.id
    )
    profile = (
        select(func.min(Profile.id))
        .where(Profile.member_id == Member.id, *taking_part(row.program, facts.cohort))
        .scalar_subquery()
    )
    found = (
        await session.execute(
            select(Member.id, profile)
            .where(active_members(row.program, facts.cohort), ~exists(invited))
            .order_by(Member.id)
            .limit(most)
        )
    ).all()
    if not found:
        return 0
    joined = await _joined_at(session, [profile for _, profile in found])
    last = await session.scalar(
        select(func.max(MeetupInvitation.number)).where(MeetupInvitation.workflow == row.workflow)
    )
    for number, (member, profile_id) in enumerate(found, start=(last or 0) + 1):
        session.add(
            MeetupInvitation(
                workflow=row.workflow,
                member_id=member,
                number=number,
                profile_id=profile_id,
                uid=ledger.delivery_id(session.info.get("keys"), row.workflow, member, number),
                invited_at=_invited_at(facts, joined[profile_id], at),
                planned_for=0,
            )
        )
    await session.flush()
    return len(found)


async def _joined_at(session: AsyncSession, profiles: Sequence[str]) -> dict[str, datetime]:
    rows = await session.execute(select(Profile.id, Profile.created_at).where(Profile.id.in_(profiles)))
    return {row.id: row.created_at for row in rows}


def _invited_at(facts: MeetupFacts, joined_at: datetime, at: datetime) -> datetime:
    """Return when somebody is invited: at once. What was announced before a take-over counts as done (T10)."""
    if facts.taken_over_at and joined_at <= facts.taken_over_at:
        return facts.scheduled_at
    return recorded_at(facts.announced_at, at)


async def plan_people(
    session: AsyncSession, row: Meetup, facts: MeetupFacts, program: Program, at: datetime, most: int
) -> int:
    """Plan the mail of people whose plan is of an earlier revision, up to a number; return how many (MAIL1)."""
    people = await invited_where(
        session,
        [MeetupInvitation.workflow == row.workflow, MeetupInvitation.planned_for < facts.revision],
        most,
    )
    past = await messages_of(session, row.workflow, [each.invitation.number for each in people])
    for each in people:
        rows = past[each.invitation.number]
        because = await resolve_reason(session, meetup.dropped_because(facts, each.person))
        ledger_rows = [message for message in rows if message.occurrence < FIRST_RESEND_OCCURRENCE]
        await ledger.plan_among(
            session,
            (row.workflow, program.id),
            ledger_rows,
            agenda_of(facts, each, rows, program),
            recorded_at(_cause_at(facts), at),
            because,
            {each.invitation.profile_id: each.invitation.member_id},
        )
        each.invitation.planned_for = facts.revision
    await session.flush()
    return len(people)


def agenda_of(
    facts: MeetupFacts, invited: Invited, rows: Iterable[Message], program: Program
) -> tuple[PlannedMail, ...]:
    """Return the agenda of one invited person; `rows` are the person's messages."""
    past = [_past(each) for each in rows]
    return meetup.mails(facts, invited.person, past, invited.participant.calendar(program))


def _cause_at(facts: MeetupFacts) -> datetime:
    """Return the instant of the last thing that changed mail."""
    ended = [facts.ended.at] if facts.ended else []
    causes = [facts.scheduled_at, facts.changed_at, facts.paused_at, facts.resumed_at, facts.resources_at]
    return max(cause for cause in (*causes, *ended) if cause is not None)


def _past(row: Message) -> PastMail:
    what, _ = parts_of_step(row.step)
    context = row.context
    return PastMail(
        what, row.occurrence, row.state, int(context.get("edition", 1)), int(context.get("moves", 0))
    )


async def invited_where(
    session: AsyncSession, conditions: Sequence[ColumnElement[bool]], most: int
) -> list[Invited]:
    """Return the invited people of some conditions, in the order of their numbers, up to a number."""
    found = await session.execute(
        select(MeetupInvitation, Profile, Member)
        .join(Profile, Profile.id == MeetupInvitation.profile_id)
        .join(Member, Member.id == MeetupInvitation.member_id)
        .where(*conditions)
        .order_by(MeetupInvitation.number)
        .limit(most)
    )
    return [Invited(invitation, Participant(profile, member)) for invitation, profile, member in found]


async def messages_of(
    session: AsyncSession, workflow: str, numbers: Sequence[int]
) -> dict[int, list[Message]]:
    """Return the messages of invited people, by their numbers, without rendered bytes."""
    found: dict[int, list[Message]] = defaultdict(list)
    if not numbers:
        return found
    steps = [step_of(what, number) for number in numbers for what in STEPS]
    rows = await session.scalars(
        select(Message)
        .where(Message.workflow == workflow, Message.step.in_(steps))
        .options(defer(Message.content))
        .order_by(Message.id)
    )
    for row in rows:
        found[parts_of_step(row.step)[1]].append(row)
    return found


async def due_mails(session: AsyncSession, workflow: str, at: datetime, most: int) -> list[DueMail]:
    """Return messages that are due, up to a number of those that nobody has tried, and of those that were tried.

    What waits for a mail server that is busy or down keeps no others from going out.
    """
    found: list[DueMail] = []
    for condition in (Message.attempts == 0, Message.attempts > 0):
        rows = await session.execute(_due(workflow, at, condition, most))
        found += [due_mail(step, number, due, why) for step, number, due, why in rows if due]
    return found


def _due(
    workflow: str, at: datetime, condition: ColumnElement[bool], most: int
) -> Select[str, int, datetime | None, str]:
    return (
        select(Message.step, Message.occurrence, Message.due_at, Message.message_class)
        .where(
            Message.workflow == workflow,
            Message.state == "planned",
            Message.due_at <= at,
            Message.occurrence < FIRST_RESEND_OCCURRENCE,
            staff_orders.not_on_hold(),
            condition,
        )
        .order_by(Message.due_at, Message.id)
        .limit(most)
    )


async def next_due(session: AsyncSession, workflow: str, at: datetime) -> datetime | None:
    """Return the next instant after `at` at which a message is due."""
    return await session.scalar(
        select(func.min(Message.due_at)).where(
            Message.workflow == workflow, Message.state == "planned", Message.due_at > at
        )
    )


async def has_undecided(session: AsyncSession, workflow: str) -> bool:
    """Return whether a message of a meetup, other than a copy, has no decision yet."""
    found = await session.scalar(
        select(Message.id)
        .where(
            Message.workflow == workflow,
            Message.state.in_(UNDECIDED),
            Message.occurrence < FIRST_RESEND_OCCURRENCE,
        )
        .limit(1)
    )
    return found is not None


async def plan_again(session: AsyncSession, *conditions: ColumnElement[bool]) -> None:
    """Have the mail of some invited people planned again: something of them has changed."""
    for invitation in await session.scalars(select(MeetupInvitation).where(*conditions)):
        invitation.planned_for = 0
    await session.flush()


async def preview_people(
    session: AsyncSession, row: Meetup, facts: MeetupFacts, program: Program, most: int
) -> AgendaChanges:
    """Return what other facts would change in the mail of the first invited people, without changing it (STA1)."""
    changes = AgendaChanges()
    people = await invited_where(session, [MeetupInvitation.workflow == row.workflow], most)
    past = await messages_of(session, row.workflow, [each.invitation.number for each in people])
    for each in people:
        rows = past[each.invitation.number]
        own = [message for message in rows if message.occurrence < FIRST_RESEND_OCCURRENCE]
        found = ledger.compare(own, agenda_of(facts, each, rows, program))
        changes.added += found.added
        changes.moved += found.moved
        changes.dropped += found.dropped
    return changes
