"""Stored inbound events: each once, however often the sender repeats it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Event, Task
from database.tasks import OPEN, PROGRAM, close_task
from rules.events import Envelope, subject

PERSONAL_PAGES = "/links"
"""The source of events that a personal page creates."""

_MOST_DIGITS = 18


async def store(
    session: AsyncSession, envelopes: Iterable[Envelope], heard_at: datetime | None = None
) -> int:
    """Store the events whose source and id are new, without applying them, and return their number.

    `heard_at` is the present instant of the program's clock, where the caller has one (T9).
    """
    new = 0
    for envelope in envelopes:
        known = await session.scalar(
            select(Event.id).where(Event.source == envelope.source, Event.event_id == envelope.id)
        )
        if known is not None:
            continue
        session.add(
            Event(
                source=envelope.source,
                event_id=envelope.id,
                type=envelope.type,
                subject=subject(envelope.type, envelope.data),
                data=envelope.data,
                ignored=list(envelope.ignored),
                occurred_at=envelope.time,
                heard_at=heard_at,
                history=envelope.history,
            )
        )
        await session.flush()
        new += 1
    return new


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


async def has_waiting(session: AsyncSession, held_until: datetime) -> bool:
    """Return whether events wait to be applied: those that nobody holds, and those held until an instant."""
    is_over = and_(Event.state == "held", Event.held_until <= held_until)
    waiting = select(Event.id).where(or_(Event.state.in_(("stored", "applying")), is_over)).limit(1)
    return await session.scalar(waiting) is not None


async def release_held(session: AsyncSession, *arrived: str) -> bool:
    """Release the events that are held for one of these references, and return whether there were any."""
    released = await session.scalars(
        update(Event)
        .where(Event.state == "held", Event.waits_for.in_(arrived))
        .values(state="stored", waits_for=None, held_until=None)
        .returning(Event.id)
    )
    return bool(released.all())
