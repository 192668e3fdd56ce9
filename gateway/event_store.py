"""Stores incoming events in the database, then notifies the inbox workflow that applies them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import structlog
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from database import events, traces
from database.models import Event
from database.session import Database
from rules.events import Envelope, subject

log = structlog.get_logger()

UNAPPLIED = ("stored", "held", "applying")
"""States of events that the inbox workflow still has to apply or refuse."""

UNHELD = ("stored", "applying")
"""The states of events that nothing holds: the inbox should be at work on them."""

_TRIES = 3


class Unavailable(Exception):
    """The database or the program's clock cannot be reached now. Nothing was stored."""


class EventStore:
    """Stores events and has the inbox workflow apply them.

    An event counts as accepted once it is stored, whether or not the workflow could be notified. `run` repeats a
    failed notification until it succeeds, at intervals that grow from `first_delay` to `longest_delay` seconds. Every
    `look_every` seconds it looks for events that another process stored and could not notify the inbox of.
    """

    # long: the parts it works with, and delays that tests shorten
    def __init__(
        self,
        database: Database,
        notify_inbox: Callable[[], Awaitable[None]],
        *,
        clock: Callable[[], Awaitable[datetime]] | None = None,
        store_timeout: float = 30.0,
        notify_timeout: float = 3.0,
        first_delay: float = 0.5,
        longest_delay: float = 30.0,
        look_every: float = 60.0,
    ) -> None:
        self._database = database
        self._notify_inbox = notify_inbox
        self._clock = clock
        self._store_timeout = store_timeout
        self._notify_timeout = notify_timeout
        self._first_delay = first_delay
        self._longest_delay = longest_delay
        self._look_every = look_every
        self._notification_due = asyncio.Event()

    async def put(self, envelopes: Sequence[Envelope]) -> int:
        """Store checked events, all or none, and notify the inbox; return how many of them were new.

        Raises Unavailable if they could not be stored.
        """

        heard_at = await self._now()

        async def store(session: AsyncSession) -> int:
            return await events.store(session, envelopes, heard_at)

        with traces.span("events received", **_named(envelopes)):
            new = await self._store(store)
            if envelopes:
                await self._notify()
        return new

    async def put_each(self, envelopes: Sequence[Envelope]) -> list[events.KnownEvent | None]:
        """Store checked events as `put` does; return for each what became of it earlier, or None if it is new.

        An event that the list has twice is new once. Raises Unavailable.
        """
        heard_at = await self._now()
        known: dict[tuple[str, str], events.KnownEvent] = {}

        async def store(session: AsyncSession) -> int:
            known.clear()
            known.update(await events.known_events(session, envelopes))
            return await events.store(session, envelopes, heard_at)

        await self._store(store)
        if envelopes:
            await self._notify()
        found = []
        for envelope in envelopes:
            found.append(known.get((envelope.source, envelope.id)))
            known.setdefault((envelope.source, envelope.id), events.KnownEvent("stored", None))
        return found

    async def put_answer(self, question: str, answer: Envelope) -> bool:
        """Store the answer to a question and notify the inbox; return whether the answer was new.

        The first answer becomes the event `question-1`, a later and different one `question-2`, and so on. The same
        answer as the last one is the same event. Raises Unavailable if it could not be stored.
        """

        async def store(session: AsyncSession) -> int:
            earlier = await _answers(session, answer, question)
            if earlier and _repeats(answer, earlier[-1]):
                return 0
            id = f"{question}-{len(earlier) + 1}"
            return await events.store(
                session, [Envelope(id, answer.source, answer.type, answer.time, answer.data)]
            )

        with traces.span("answer received", **{"event.type": answer.type}):
            new = await self._store(store)
            await self._notify()
        return bool(new)

    async def run(self) -> None:
        """Notify the inbox of events that wait in the database, and repeat failed notifications, for ever."""
        delay = self._first_delay
        caught_up = False
        states: Sequence[str] = UNAPPLIED
        while True:
            try:
                if not caught_up:
                    if await self._has_any(states):
                        self._notification_due.set()
                    caught_up, states = True, UNHELD
                if not await self._is_due_within(self._look_every):
                    caught_up = False
                    continue
                self._notification_due.clear()
                async with asyncio.timeout(self._notify_timeout):
                    await self._notify_inbox()
                delay = self._first_delay
            except Exception as error:
                if caught_up:
                    self._notification_due.set()
                log.warning("inbox_notification_failed", error=type(error).__name__, retry_in_seconds=delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, self._longest_delay)

    async def _now(self) -> datetime | None:
        """Return program time; None where the clock cannot be read, which must not lose an event."""
        if self._clock is None:
            return None
        try:
            async with asyncio.timeout(self._notify_timeout):
                return await self._clock()
        except Exception as error:
            log.warning("clock_read_failed", error=type(error).__name__)
            return None

    async def _store(self, store: Callable[[AsyncSession], Awaitable[int]]) -> int:
        try:
            for _ in range(_TRIES):
                try:
                    async with asyncio.timeout(self._store_timeout), self._database.begin() as session:
                        return await store(session)
                except IntegrityError:
                    # Another connection stored the same event at the same moment: the next try finds it.
                    continue
        except (SQLAlchemyError, OSError) as error:
            log.warning("event_storage_failed", error=type(error).__name__)
        raise Unavailable

    async def _notify(self) -> None:
        """Notify once; leave it to `run` if that fails, is interrupted, or `run` is at it already."""
        if self._notification_due.is_set():
            return
        notified = False
        try:
            async with asyncio.timeout(self._notify_timeout):
                await self._notify_inbox()
            notified = True
        except Exception as error:
            log.warning("inbox_notification_failed", error=type(error).__name__)
        finally:
            if not notified:
                self._notification_due.set()

    async def _is_due_within(self, seconds: float) -> bool:
        """Wait for a due notification, but only so long; return whether one is due."""
        try:
            async with asyncio.timeout(seconds):
                await self._notification_due.wait()
        except TimeoutError:
            return False
        return True

    async def _has_any(self, states: Sequence[str]) -> bool:
        """Return whether events in one of these states are stored."""
        async with self._database.reading() as session:
            return await session.scalar(select(Event.id).where(Event.state.in_(states)).limit(1)) is not None


def _named(envelopes: Sequence[Envelope]) -> dict[str, str]:
    """Return what a span says of a request's events. Their ids are the sender's: they may hold anything."""
    types = sorted({envelope.type for envelope in envelopes})
    return {"events": str(len(envelopes)), "event.type": ", ".join(types)}


async def _answers(session: AsyncSession, answer: Envelope, question: str) -> list[Event]:
    """Return all earlier answers to a question, oldest first."""
    about = subject(answer.type, answer.data)
    found = await session.scalars(
        select(Event).where(Event.subject == about, Event.source == answer.source).order_by(Event.id)
    )
    return [event for event in found if event.event_id.startswith(f"{question}-")]


def _repeats(answer: Envelope, event: Event) -> bool:
    """Return whether an answer says the same as an event. A refused event may be tried again."""
    return (event.type, event.data) == (answer.type, answer.data) and event.state != "refused"
