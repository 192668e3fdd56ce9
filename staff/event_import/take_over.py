"""What stands after a take-over, and what goes out next (T10): the same summary of a dry run and of the real one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import AuditRecord, Event, Message, Task
from lifecycles.participants import Programs
from lifecycles.registry import LIFECYCLES
from rules.events import Envelope
from staff.people import People

NAMES_SHOWN = 3
"""Recipients named for each message and day."""

_AT_ONCE = 400
"""Keys in one query."""

_UNAPPLIED = ("stored", "applying")


@dataclass(frozen=True, slots=True)
class EventTrouble:
    """An event that was refused, or that waits."""

    event: str
    """Its type."""
    id: str
    subject: str
    why: str


@dataclass(frozen=True, slots=True)
class DayOfMail:
    """The mails of one kind that go out on one day if nobody acts."""

    day: date
    """On the clock of the program."""
    message: str
    mails: int
    to: tuple[str, ...]
    """The first recipients by name."""


@dataclass(frozen=True, slots=True)
class TakeOver:
    """A program after its history was applied."""

    events: int
    new: int
    """How many of them were not known before."""
    applied: int
    refused: tuple[EventTrouble, ...]
    held: tuple[EventTrouble, ...]
    states: Mapping[str, Mapping[str, int]]
    """How many lifecycles of each kind are in each state."""
    tasks: Mapping[str, int]
    """How many tasks for staff are open, by kind."""
    mails: tuple[DayOfMail, ...]
    """What goes out in the days ahead."""
    later: int
    """How many mails are planned for after these days."""


async def stored_as(session: AsyncSession, events: Sequence[Envelope]) -> list[int]:
    """Return the numbers under which events are stored."""
    ids: dict[str, list[str]] = defaultdict(list)
    for event in events:
        ids[event.source].append(event.id)
    numbers: list[int] = []
    for source, names in ids.items():
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            query = select(Event.id).where(Event.source == source, Event.event_id.in_(some))
            numbers += await session.scalars(query)
    return sorted(numbers)


async def unapplied(session: AsyncSession, numbers: Sequence[int]) -> int:
    """Return how many of these events, given in order, still wait for the inbox."""
    if not numbers:
        return 0
    waiting = select(func.count()).select_from(Event).where(Event.state.in_(_UNAPPLIED))
    return await session.scalar(waiting.where(Event.id.between(numbers[0], numbers[-1]))) or 0


async def written(session: AsyncSession) -> int:
    """Return the number of the last audit record: it stands still once all plans are written down."""
    return await session.scalar(select(func.max(AuditRecord.id))) or 0


async def overdue_plans(session: AsyncSession, at: datetime) -> list[str]:
    """Return the lifecycles that have to be planned by now, such as those that wait for the rest of the history."""
    return [
        workflow
        for entry in LIFECYCLES.values()
        for workflow in await session.scalars(
            select(entry.table.workflow).where(entry.table.closed_at.is_(None), entry.table.next_at <= at)
        )
    ]


# long: what was imported, when, and how far to look ahead
async def take_over_of(
    session: AsyncSession, programs: Programs, numbers: Sequence[int], new: int, at: datetime, days: int
) -> TakeOver:
    """Return what stands after the events of these numbers, stored at `at`, and what goes out in the days ahead."""
    found = [
        row
        for start in range(0, len(numbers), _AT_ONCE)
        for row in await session.scalars(
            select(Event).where(Event.id.in_(numbers[start : start + _AT_ONCE])).order_by(Event.id)
        )
    ]
    mails, later = await _mails(session, programs, at, days)
    return TakeOver(
        events=len(found),
        new=new,
        applied=sum(row.state == "applied" for row in found),
        refused=tuple(_trouble(row) for row in found if row.state == "refused"),
        held=tuple(_trouble(row) for row in found if row.state == "held"),
        states=await _states(session),
        tasks=await _tasks(session),
        mails=mails,
        later=later,
    )


def _trouble(row: Event) -> EventTrouble:
    return EventTrouble(row.type, row.event_id, row.subject, row.reason or f"waits for {row.waits_for}")


async def _states(session: AsyncSession) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for kind, entry in LIFECYCLES.items():
        table: type[Any] = entry.table
        rows = await session.execute(select(table.state, func.count()).group_by(table.state))
        counts: dict[str, int] = dict(sorted(rows.all()))
        if counts:
            found[kind] = counts
    return found


async def _tasks(session: AsyncSession) -> dict[str, int]:
    rows = await session.execute(
        select(Task.kind, func.count()).where(Task.state.in_(("open", "snoozed"))).group_by(Task.kind)
    )
    return dict(sorted(rows.all()))


async def _mails(
    session: AsyncSession, programs: Programs, at: datetime, days: int
) -> tuple[tuple[DayOfMail, ...], int]:
    """Return the mails due after an instant, by day and message, and how many are due after the last day."""
    zone = ZoneInfo(next(iter(programs.values())).hours.zone)
    rows = await session.execute(
        select(Message.due_at, Message.message, Message.to_profile)
        .where(Message.due_at >= at, Message.state.not_in(("cancelled", "skipped", "suppressed")))
        .order_by(Message.due_at, Message.id)
    )
    last = (at.astimezone(zone) + timedelta(days=days)).date()
    later, to = 0, defaultdict[tuple[date, str], list[str]](list)
    for due, message, profile in rows:
        day = due.astimezone(zone).date() if due else last
        if day > last:
            later += 1
        else:
            to[day, message].append(profile)
    counts = Counter({key: len(profiles) for key, profiles in to.items()})
    shown = {key: profiles[:NAMES_SHOWN] for key, profiles in to.items()}
    people = await People.of(session, {each for named in shown.values() for each in named}, programs)
    mails = [
        DayOfMail(day, message, counts[day, message], tuple(map(people.label, named)))
        for (day, message), named in sorted(shown.items())
    ]
    return tuple(mails), later
