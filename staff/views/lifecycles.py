"""Lifecycles as staff see them: state, people, details, what lies ahead and what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import (
    DECISIONS,
    Cohort,
    CohortMember,
    Engagement,
    Event,
    Lifecycle,
    Meetup,
    MeetupInvitation,
    Message,
    Profile,
    Task,
)
from database.tasks import by_urgency
from lifecycles.facts import UnreadableFacts
from lifecycles.participants import NotOnRecord, Programs
from lifecycles.registry import LIFECYCLES, find_lifecycle
from staff.people import People
from staff.upcoming import coming, dates_of
from staff.views.curriculum import progress_of, summary
from staff.views.history import Reader, history
from staff.views.messages import message_views
from staff.views.read_model import (
    Detail,
    LifecycleSummary,
    LifecycleView,
    NotFound,
    OpenEvent,
    OpenTask,
    Party,
    Schedule,
    ScheduledChange,
    UnreadableLifecycle,
)


def _signer_of(row: Any) -> dict[str, str]:
    """Return who signs for a claim: nobody where its facts do not say."""
    signer = row.facts.get("counterpart") if isinstance(row.facts, dict) else None
    return {"signer": str(signer)} if signer else {}


PARTIES: Mapping[str, Callable[[Any], dict[str, str]]] = MappingProxyType(
    {
        "onboarding": lambda row: {"profile": row.profile_id},
        "request": lambda row: {"mentee": row.mentee_id, "mentor": row.mentor_id},
        "engagement": lambda row: {"mentee": row.mentee_id, "mentor": row.mentor_id},
        "claim": lambda row: {"claimant": row.profile_id, **_signer_of(row)},
        "survey": lambda row: {"profile": row.profile_id},
        # Its members may be thousands: they have a page and a command of their own.
        "cohort": lambda row: {},
        "meetup": lambda row: {},
    }
)
"""Who takes part in a lifecycle of each kind: profiles by role."""

MOST_OF_MANY = 100
"""How many of a meetup's messages a view has."""

OF_EACH_PERSON = ("mail", "came_back", "answer")
"""The records of a meetup that there is one of for each person."""

_OWNERS = ("profile_id", "mentee_id", "mentor_id")
"""The columns that name a person whose own lifecycle it is."""

_DETAILS = (
    *("areas", "months", "goals", "end_reason", "answer_reason"),
    *("opens_on", "closes_on", "kick_off_on", "partners"),
    *("title", "cohort", "starts_local", "time_zone", "duration", "link"),
    *("certification", "credit_date", "cycle_start", "cycle_end", "domains", "earned", "countable"),
)
"""The columns of some kinds that staff see."""


async def lifecycle_view(
    session: AsyncSession, workflow: str, programs: Programs, now: datetime, *, is_confidant: bool = True
) -> LifecycleView:
    """Return everything about a lifecycle. Raises NotFound.

    Without `is_confidant`, its history has neither misconduct nor the words that people gave (ENG8).
    """
    row = await find_lifecycle(session, workflow)
    if row is None:
        raise NotFound(f"there is no {workflow}")
    profiles = parties_of(row)
    people = await People.of(session, profiles.values(), programs)
    parties = tuple(
        Party(role, profile, people.label(profile), people.zone(profile, row.program))
        for role, profile in profiles.items()
    )
    # A meetup has thousands of messages: its own page counts them, here are some of those that are next.
    is_of_many = row.workflow.startswith("meetup/")
    of_row = Message.workflow == workflow
    mails = (
        await messages_where(session, and_(of_row, Message.state.not_in(DECISIONS)), MOST_OF_MANY)
        if is_of_many
        else await messages_where(session, of_row)
    )
    zone, ahead = program_zone(row.program, programs), await upcoming(session, [row], programs, now)
    return LifecycleView(
        summary=(await summaries_of(session, [row], programs))[0],
        parties=parties,
        details=_details(row, await _dates(session, row, programs, now)),
        schedule=Schedule(
            zones=tuple((party.role, party.zone) for party in parties),
            ahead=await message_views(session, undecided(mails), programs),
            coming=ahead.changes,
            happened=await history(
                session,
                [workflow],
                mails,
                Reader(zone, row.program, people, is_confidant),
                apart=OF_EACH_PERSON if is_of_many else (),
            ),
            tasks=await open_tasks(session, [workflow], zone),
            events=await open_events(session, [workflow], zone),
            unreadable=ahead.unreadable,
        ),
    )


def parties_of(row: Lifecycle) -> dict[str, str]:
    """Return the profiles that take part in a lifecycle, by role."""
    return PARTIES[row.workflow.partition("/")[0]](row)


def owners_of(row: Lifecycle) -> list[str]:
    """Return the profiles whose own lifecycle it is. The signer of a claim is not among them."""
    return [getattr(row, name) for name in _OWNERS if hasattr(row, name)]


def _summary_of(row: Lifecycle, programs: Programs, next_mail: datetime | None) -> LifecycleSummary:
    return LifecycleSummary(
        workflow=row.workflow,
        state=row.state,
        since=row.state_since,
        closed_at=row.closed_at,
        next_at=min(filter(None, (row.next_at, next_mail)), default=None),
        program=row.program,
        policy_version=row.policy_version,
        program_version=row.program_version,
        zone=program_zone(row.program, programs),
    )


async def summaries_of(
    session: AsyncSession, rows: Sequence[Lifecycle], programs: Programs
) -> tuple[LifecycleSummary, ...]:
    """Return where each of these lifecycles is."""
    mails = await session.execute(
        select(Message.workflow, func.min(Message.due_at).label("at"))
        .where(Message.workflow.in_([row.workflow for row in rows]), Message.state.not_in(DECISIONS))
        .group_by(Message.workflow)
    )
    due = {mail.workflow: mail.at for mail in mails}
    return tuple(_summary_of(row, programs, due.get(row.workflow)) for row in rows)


def program_zone(program: str, programs: Programs) -> str:
    """Return the time zone of a program; UTC for one that is not loaded here."""
    return programs[program].hours.zone if program in programs else "UTC"


async def _curriculum(
    session: AsyncSession, row: Lifecycle, programs: Programs, now: datetime
) -> dict[str, list[str]]:
    """Return how far the two of an engagement are in its curriculum; nothing for what has none."""
    if not isinstance(row, Engagement):
        return {}
    pairs = await progress_of(session, [row], programs, now)
    return {"curriculum": [words for pair in pairs for words in summary(pair)]}


def _details(row: Lifecycle, dates: Mapping[str, Any]) -> tuple[Detail, ...]:
    values = {**dates, **{name: getattr(row, name, None) for name in _DETAILS}}
    return tuple(
        Detail(name, tuple(map(str, value)) if isinstance(value, list) else value)
        for name, value in values.items()
        if value not in (None, [], "", 0)
    )


async def rows_of(session: AsyncSession, profiles: Iterable[Profile]) -> list[Lifecycle]:
    """Return the lifecycles that these profiles have, by kind, and the meetups that they are invited to."""
    ids = [profile.id for profile in profiles]
    rows: list[Lifecycle] = []
    for kind in LIFECYCLES.values():
        owners = [getattr(kind.table, name) for name in _OWNERS if hasattr(kind.table, name)]
        if owners:
            rows += await session.scalars(
                select(kind.table).where(or_(*(owner.in_(ids) for owner in owners)))
            )
    takes_part = select(CohortMember.cohort_id).where(CohortMember.profile_id.in_(ids))
    rows += await session.scalars(select(Cohort).where(Cohort.id.in_(takes_part)))
    invited = select(MeetupInvitation.workflow).where(MeetupInvitation.profile_id.in_(ids))
    rows += await session.scalars(select(Meetup).where(Meetup.workflow.in_(invited)))
    return rows


async def messages_where(session: AsyncSession, condition: Any, most: int | None = None) -> list[Message]:
    """Return the rows of the ledger that match, in the order of their instants; with `most` up to a number."""
    ordered = select(Message).where(condition).order_by(Message.due_at, Message.id)
    found = await session.scalars(ordered.limit(most))
    return list(found)


def undecided(mails: Iterable[Message]) -> list[Message]:
    """Return the messages without a decision."""
    return [mail for mail in mails if mail.state not in DECISIONS]


@dataclass(frozen=True, slots=True)
class Upcoming:
    """What comes in lifecycles if nobody acts, apart from mail."""

    changes: tuple[ScheduledChange, ...]
    """In order."""
    unreadable: tuple[UnreadableLifecycle, ...]


async def upcoming(
    session: AsyncSession, rows: Iterable[Lifecycle], programs: Programs, now: datetime
) -> Upcoming:
    """Return what comes in these lifecycles. One of which nothing can be computed stops none of the others."""
    changes: list[ScheduledChange] = []
    unreadable: list[UnreadableLifecycle] = []
    for row in rows:
        zone = program_zone(row.program, programs)
        try:
            ahead = await coming(session, row, programs, max(now, row.state_since))
        except (UnreadableFacts, NotOnRecord) as error:
            unreadable.append(UnreadableLifecycle(row.workflow, str(error)))
            continue
        changes += [
            ScheduledChange(each.at, each.kind, each.what, each.why, row.workflow, zone) for each in ahead
        ]
    return Upcoming(tuple(sorted(changes, key=lambda each: each.at)), tuple(unreadable))


async def _dates(
    session: AsyncSession, row: Lifecycle, programs: Programs, now: datetime
) -> Mapping[str, Any]:
    """Return the days that decide a lifecycle, if they can be computed, and how far its curriculum is."""
    try:
        dates = await dates_of(session, row, programs, now)
    except (UnreadableFacts, NotOnRecord):
        dates = {}
    return {**dates, **await _curriculum(session, row, programs, now)}


async def open_tasks(session: AsyncSession, subjects: Sequence[str], zone: str) -> tuple[OpenTask, ...]:
    """Return the open and snoozed tasks about these subjects."""
    rows = await session.scalars(
        select(Task)
        .where(Task.subject.in_(subjects), Task.state.in_(("open", "snoozed")))
        .order_by(*by_urgency())
    )
    return tuple(
        OpenTask(row.id, row.kind, row.subject, row.state, row.due_at, row.action, zone) for row in rows
    )


async def open_events(session: AsyncSession, subjects: Sequence[str], zone: str) -> tuple[OpenEvent, ...]:
    """Return the events about these subjects that are not applied."""
    rows = await session.scalars(
        select(Event).where(Event.subject.in_(subjects), Event.state != "applied").order_by(Event.id)
    )
    return tuple(_open_event(row, zone) for row in rows)


async def unapplied_events(session: AsyncSession, state: str, limit: int, zone: str) -> tuple[OpenEvent, ...]:
    """Return the newest events that are not applied, in order; with `state`, those in it. `applying` is `stored`."""
    states = {"": ("stored", "applying", "held", "refused"), "stored": ("stored", "applying")}.get(
        state, (state,)
    )
    rows = await session.scalars(
        select(Event).where(Event.state.in_(states)).order_by(Event.id.desc()).limit(limit)
    )
    return tuple(_open_event(row, zone) for row in reversed(rows.all()))


def _open_event(row: Event, zone: str) -> OpenEvent:
    state = "stored" if row.state == "applying" else row.state
    waits = f"waits for {row.waits_for}" if row.waits_for else "is tried again"
    return OpenEvent(
        number=row.id,
        type=row.type,
        id=row.event_id,
        source=row.source,
        subject=row.subject,
        state=state,
        at=row.occurred_at,
        why=row.reason or (waits if state == "held" else "is not applied yet"),
        held_until=row.held_until if state == "held" else None,
        ignored=tuple(row.ignored),
        zone=zone,
    )
