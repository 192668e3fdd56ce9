"""Where the gateway puts events: into the database first, then the inbox workflow is told that some arrived."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from database import events
from database.models import Event
from database.session import Database
from rules.events import Envelope, subject

log = structlog.get_logger()

UNAPPLIED = ("stored", "held", "applying")
"""The states of events that the inbox workflow has still to deal with."""

_TRIES = 3


class Unavailable(Exception):
    """The database or the program's clock cannot be reached now: nothing was stored."""


class Inbox:
    """Stores events and has them applied.

    `poke` tells the inbox workflow. When it fails the event is stored all the same: `run`, which the app keeps going,
    repeats it until it succeeds, at intervals that grow from `first_delay` to `longest_delay` seconds.
    """

    def __init__(
        self,
        database: Database,
        poke: Callable[[], Awaitable[None]],
        *,
        seconds_to_store: float = 30.0,
        seconds_to_poke: float = 3.0,
        first_delay: float = 0.5,
        longest_delay: float = 30.0,
    ) -> None:
        self._database = database
        self._poke = poke
        self._seconds_to_store = seconds_to_store
        self._seconds_to_poke = seconds_to_poke
        self._first_delay = first_delay
        self._longest_delay = longest_delay
        self._owed = asyncio.Event()

    async def put(self, envelopes: Sequence[Envelope]) -> int:
        """Store checked events, all or none, and tell the workflow; the number of those that were new.

        Raises Unavailable if they could not be stored.
        """

        async def store(session: AsyncSession) -> int:
            return await events.store(session, envelopes)

        new = await self._stored(store)
        if envelopes:
            await self._tell()
        return new

    async def put_answer(self, question: str, answer: Envelope) -> bool:
        """Store what somebody answered to a question, as the event `question-1`, a change of mind as `question-2`, …;
        whether it says something new.

        The same answer as the last one is the same event. Raises Unavailable if it could not be stored.
        """

        async def store(session: AsyncSession) -> int:
            earlier = await answers(session, answer, question)
            if earlier and _says(earlier[-1], answer):
                return 0
            number = len(earlier) + 1
            told = Envelope(f"{question}-{number}", answer.source, answer.type, answer.time, answer.data)
            return await events.store(session, [told])

        new = await self._stored(store)
        await self._tell()
        return bool(new)

    async def run(self) -> None:
        """Tell the workflow of what was stored before this process began, and repeat what failed; runs for ever."""
        delay = self._first_delay
        looked_back = False
        while True:
            try:
                if not looked_back:
                    if await self._unapplied():
                        self._owed.set()
                    looked_back = True
                await self._owed.wait()
                self._owed.clear()
                async with asyncio.timeout(self._seconds_to_poke):
                    await self._poke()
                delay = self._first_delay
            except Exception as error:
                if looked_back:
                    self._owed.set()
                log.warning("inbox_not_told", error=type(error).__name__, again_in_seconds=delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, self._longest_delay)

    async def _stored(self, store: Callable[[AsyncSession], Awaitable[int]]) -> int:
        try:
            for _ in range(_TRIES):
                try:
                    async with asyncio.timeout(self._seconds_to_store), self._database.begin() as session:
                        return await store(session)
                except IntegrityError:
                    # The same event came by another connection at the same moment; now it is known.
                    continue
        except (SQLAlchemyError, OSError) as error:
            log.warning("events_not_stored", error=type(error).__name__)
        raise Unavailable

    async def _tell(self) -> None:
        """Poke once; if that fails or is interrupted, or did before, leave it to `run`."""
        if self._owed.is_set():
            return
        told = False
        try:
            async with asyncio.timeout(self._seconds_to_poke):
                await self._poke()
            told = True
        except Exception as error:
            log.warning("inbox_not_told", error=type(error).__name__)
        finally:
            if not told:
                self._owed.set()

    async def _unapplied(self) -> bool:
        async with self._database.reading() as session:
            return (
                await session.scalar(select(Event.id).where(Event.state.in_(UNAPPLIED)).limit(1)) is not None
            )


async def answers(session: AsyncSession, answer: Envelope, question: str) -> list[Event]:
    """All that was answered to a question so far, the first first."""
    about = subject(answer.type, answer.data)
    found = await session.scalars(
        select(Event).where(Event.subject == about, Event.source == answer.source).order_by(Event.id)
    )
    return [event for event in found if event.event_id.startswith(f"{question}-")]


def _says(event: Event, answer: Envelope) -> bool:
    """Whether an event says what an answer says. One that was refused may be tried again."""
    return (event.type, event.data) == (answer.type, answer.data) and event.state != "refused"
