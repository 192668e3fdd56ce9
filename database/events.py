"""Stored inbound events: each once, however often the sender repeats it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database import event_queue
from database.models import Event, Task
from database.tasks import OPEN, PROGRAM, close_task
from database.traces import current_trace
from rules.events import Envelope, subject

PERSONAL_PAGES = "/links"
"""The source of events that a personal page creates."""

_MOST_DIGITS = 18

_MOST_AT_ONCE = 500
"""Events that one statement stores: databases limit the parameters of a statement."""


async def store(
    session: AsyncSession, envelopes: Iterable[Envelope], heard_at: datetime | None = None
) -> int:
    """Store the events whose source and id are new, without applying them, and return their number.

    `heard_at` is the present instant of the program's clock, where the caller has one (T9).
    """
    first_of: dict[tuple[str, str], Envelope] = {}
    for envelope in envelopes:
        first_of.setdefault((envelope.source, envelope.id), envelope)
    offered = list(first_of)
    new = 0
    for first in range(0, len(offered), _MOST_AT_ONCE):
        ids = offered[first : first + _MOST_AT_ONCE]
        known = await _known(session, ids)
        rows = [_row(first_of[id], heard_at) for id in ids if id not in known]
        session.add_all(rows)
        await session.flush()
        await event_queue.route(session, rows, new=True)
        new += len(rows)
    return new


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """What became of an event that was stored before."""

    state: str
    """`stored`, `held`, `applying`, `applied` or `refused`."""
    reason: str | None
    """Why it was refused, or what it waits for."""


async def known_events(
    session: AsyncSession, envelopes: Sequence[Envelope]
) -> dict[tuple[str, str], KnownEvent]:
    """Return those of the events that are stored, by source and id."""
    found: dict[tuple[str, str], KnownEvent] = {}
    ids = [(envelope.source, envelope.id) for envelope in envelopes]
    for first in range(0, len(ids), _MOST_AT_ONCE):
        some = ids[first : first + _MOST_AT_ONCE]
        for source in {source for source, _ in some}:
            names = [name for of, name in some if of == source]
            query = select(Event.event_id, Event.state, Event.reason, Event.waits_for)
            rows = await session.execute(query.where(Event.source == source, Event.event_id.in_(names)))
            for name, state, reason, waits_for in rows:
                found[source, name] = KnownEvent(
                    state, reason or (f"waits for {waits_for}" if waits_for else None)
                )
    return found


async def number_of(session: AsyncSession, envelope: Envelope) -> int:
    """Return the number of a stored event. Raises NoResultFound."""
    query = select(Event.id).where(Event.source == envelope.source, Event.event_id == envelope.id)
    return (await session.scalars(query)).one()


async def _known(session: AsyncSession, ids: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those sources and ids of which an event is stored."""
    found = set()
    for source in {source for source, _ in ids}:
        names = [name for of, name in ids if of == source]
        query = select(Event.event_id).where(Event.source == source, Event.event_id.in_(names))
        found |= {(source, name) for name in await session.scalars(query)}
    return found


def _row(envelope: Envelope, heard_at: datetime | None) -> Event:
    return Event(
        source=envelope.source,
        event_id=envelope.id,
        type=envelope.type,
        subject=subject(envelope.type, envelope.data),
        data=envelope.data,
        ignored=list(envelope.ignored),
        occurred_at=envelope.time,
        heard_at=heard_at,
        history=envelope.history,
        trace=current_trace(),
    )


async def get_event(session: AsyncSession, number: str) -> Event | None:
    """Return the stored event of a number in decimal digits; None for an unknown or malformed number."""
    known = number.isascii() and number.isdigit() and len(number) <= _MOST_DIGITS
    return await session.get(Event, int(number)) if known else None


async def settle_unapplied(session: AsyncSession, event: Event, at: datetime) -> None:
    """Close the tasks about events of the same type and subject as one that was applied (STA2)."""
    tasks = await session.scalars(
        select(Task).where(
            Task.subject == event.subject, Task.kind == "event_unapplied", Task.state.in_(OPEN)
        )
    )
    for task in tasks:
        word, _, number = task.cause.partition(" ")
        told = await get_event(session, number) if word == "event" else None
        if task.cause.startswith(f"{event.type}: ") or (told and told.type == event.type):
            await close_task(session, task, "done", PROGRAM, "such an event was applied", at)


async def release_held(session: AsyncSession, *arrived: str) -> list[Event]:
    """Release the events that are held for one of these references, and return them: what arrived is now known."""
    held = select(Event).where(Event.state == "held", Event.waits_for.in_(arrived)).order_by(Event.id)
    rows = list(await session.scalars(held.with_for_update()))
    for row in rows:
        row.state, row.waits_for, row.held_until = "stored", None, None
    if rows:
        await session.flush()
        await event_queue.route(session, rows)
    return rows
