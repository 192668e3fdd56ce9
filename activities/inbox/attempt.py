"""One attempt of a shard: rounds in which events are begun together, sent side by side, and ended together (T8)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.exceptions import TemporalError

from activities.inbox.application import Begun, EventApplication
from activities.inbox.decisions import Hold, Refusal
from database import event_queue
from database.event_queue import Waiting
from database.models import Event
from database.session import Database, is_conflict
from rules.agenda import GRACE_PERIOD

BATCH = 25
"""The most events that one transaction writes: on SQLite, all other writers wait for it."""

AT_ONCE = 50
"""The most events of a shard whose commands are on their way."""

ROUND = 60.0
"""Seconds after which an attempt takes no further event, so that one with many waits ends before its timeout."""

LOOK_AGAIN = 0.1
"""Seconds after which the answers of commands that are on their way are recorded together."""

NEW_ARRIVALS = 0.3
"""Seconds after which an attempt looks for new events while commands are on their way. Each look is a transaction."""

CONFLICTS = 5
"""How often a transaction is repeated that the database ended in favour of another one."""

OUTAGE_ERRORS = (OperationalError, InterfaceError, PoolTimeout, OSError, TemporalError)
"""Errors of an unreachable database or Temporal server: the whole attempt is made again, no event is at fault."""

OVER = ("applied", "refused")

Wake = Callable[[Collection[int]], Awaitable[None]]

log = structlog.get_logger()


class FaultyEvent(Exception):
    """An event on which the program fails. Its cause is the fault."""

    def __init__(self, event: Waiting) -> None:
        super().__init__(event.id)
        self.event = event


@dataclass(slots=True)
class Effect:
    """What a transaction has let go on."""

    begun: list[tuple[Waiting, Begun]] = field(default_factory=list)
    """Events whose commands are to be sent."""
    settled: list[Waiting] = field(default_factory=list)
    """Events that are applied, refused or held: what they preceded may go on."""
    shards: set[int] = field(default_factory=set)
    """Shards of this and of others that have something to do now."""
    is_all: bool = True
    """Whether it took everything of the shard that waits."""


class Attempt:
    """An attempt to apply what waits in a shard (None: in all of them) at an instant. `wake` signals other shards."""

    def __init__(
        self,
        database: Database,
        application: EventApplication,
        shard: int | None,
        at: datetime,
        wake: Wake,
    ) -> None:
        self._database = database
        self._application = application
        self._shard = shard
        self._at = at
        self._wake = wake
        self._sending: dict[asyncio.Task[Hold | Refusal | None], Waiting] = {}
        self._is_routed = self._left_some = False
        self._looks_at = 0.0
        """When to look for events, by the event loop's clock: at once, and again when something has changed."""

    async def run(self) -> bool:
        """Apply events until none waits, or for ROUND seconds; return whether none waits."""
        ends = asyncio.get_running_loop().time() + ROUND
        try:
            while True:
                ended = await self._end([task for task in self._sending if task.done()])
                goes_on = (now := asyncio.get_running_loop().time()) < ends
                looks = goes_on and len(self._sending) < AT_ONCE and now >= self._looks_at
                began = looks and await self._begin()
                if ended or began:
                    continue
                if not self._sending:
                    return goes_on
                await asyncio.wait(self._sending, timeout=LOOK_AGAIN)
        finally:
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)

    async def _begin(self) -> bool:
        """Write the next events in one transaction, and send their commands; return whether there were any."""
        try:
            effect = await self._repeated(self._write)
        except FaultyEvent as faulty:
            await self._set_aside(faulty.event, faulty.__cause__)
            return True
        self._is_routed, self._left_some = True, not effect.is_all
        took_some = bool(effect.begun or effect.settled)
        if not (took_some and (self._goes_on_with(effect) or not effect.is_all)):
            self._looks_at = asyncio.get_running_loop().time() + NEW_ARRIVALS
        for waiting, begun in effect.begun:
            self._sending[asyncio.create_task(self._application.send(begun, self._at))] = waiting
        return took_some

    def _goes_on_with(self, effect: Effect) -> bool:
        """Return whether what was settled lets events of this shard go on."""
        return self._shard in effect.shards or (self._shard is None and bool(effect.settled))

    async def _end(self, tasks: list[asyncio.Task[Hold | Refusal | None]]) -> bool:
        """Record in one transaction how these events ended; return whether there were any."""
        outcomes: dict[int, tuple[Waiting, Hold | Refusal | None]] = {}
        for task in tasks:
            waiting = self._sending.pop(task)
            try:
                outcomes[waiting.id] = (waiting, task.result())
            except Exception as error:
                if is_outage(error):
                    raise
                await self._set_aside(waiting, error)
        while outcomes:
            try:
                effect = await self._repeated(lambda session: self._record(session, outcomes))
                if self._goes_on_with(effect) or self._left_some:
                    self._looks_at = 0.0
            except FaultyEvent as faulty:
                del outcomes[faulty.event.id]
                await self._set_aside(faulty.event, faulty.__cause__)
            else:
                break
        return bool(tasks)

    async def _write(self, session: AsyncSession) -> Effect:
        effect, busy = Effect(), {each.id: each.subjects for each in self._sending.values()}
        if not self._is_routed:
            await event_queue.route_unrouted(session)
        held_until = self._at - GRACE_PERIOD
        found, effect.is_all = await event_queue.next_events(session, self._shard, held_until, busy, BATCH)
        rows = await event_queue.locked(session, found) if found else {}
        precede = set[str]()
        for waiting in found:
            # Other tasks of the process go on between two events.
            await asyncio.sleep(0)
            row = rows[waiting.id]
            if waiting.subjects & precede:
                precede |= waiting.subjects
                effect.is_all = False
                continue
            if row.state in OVER:
                effect.settled.append(waiting)
                continue
            try:
                begun = await self._application.begin(session, row, self._at)
                if begun and begun.commands:
                    effect.begun.append((waiting, begun))
                    precede |= waiting.subjects
                    continue
                released = await self._application.end(session, row, None, self._at) if begun else []
            except Exception as error:
                if is_outage(error):
                    raise
                raise FaultyEvent(waiting) from error
            effect.settled.append(waiting)
            if released:
                # One of them may be earlier than the events that come next.
                effect.shards |= {each.shard for each in released if each.shard is not None}
                effect.is_all = False
                break
        await self._settle(session, rows, effect)
        return effect

    async def _record(
        self, session: AsyncSession, outcomes: dict[int, tuple[Waiting, Hold | Refusal | None]]
    ) -> Effect:
        effect = Effect(settled=[waiting for waiting, _ in outcomes.values()])
        rows = await event_queue.locked(session, effect.settled)
        for waiting, outcome in sorted(outcomes.values(), key=lambda each: each[0].id):
            try:
                released = await self._application.end(session, rows[waiting.id], outcome, self._at)
            except Exception as error:
                if is_outage(error):
                    raise
                raise FaultyEvent(waiting) from error
            effect.shards |= {each.shard for each in released if each.shard is not None}
        await self._settle(session, rows, effect)
        return effect

    async def _settle(self, session: AsyncSession, rows: dict[int, Event], effect: Effect) -> None:
        """Forget what is over, and find out which other shards may go on."""
        if not effect.settled:
            return
        over = [each.id for each in effect.settled if rows[each.id].state in OVER]
        await session.flush()
        await event_queue.forget(session, over)
        if self._shard is not None:
            subjects = set[str]().union(*(each.subjects for each in effect.settled))
            effect.shards |= await event_queue.shards_behind(session, subjects)

    async def _set_aside(self, waiting: Waiting, error: BaseException | None) -> None:
        """Set an event aside on which the program fails: it must not block the events behind it."""
        log.error("event_application_failed", event_id=waiting.id, exc_info=error)
        self._looks_at = 0.0

        async def write(session: AsyncSession) -> Effect:
            effect, rows = Effect(settled=[waiting]), await event_queue.locked(session, [waiting])
            row = rows[waiting.id]
            await self._application.set_aside(session, row, type(error).__name__, self._at)
            await self._settle(session, rows, effect)
            return effect

        await self._repeated(write)

    async def _repeated(self, write: Callable[[AsyncSession], Awaitable[Effect]]) -> Effect:
        """Run a transaction, and wake the shards that it lets go on. A conflict with another one is repeated."""
        for tried in range(CONFLICTS):
            try:
                async with self._database.begin() as session:
                    effect = await write(session)
                break
            except DBAPIError as error:
                if not is_conflict(error) or tried == CONFLICTS - 1:
                    raise
        if self._shard is not None and (others := effect.shards - {self._shard}):
            await self._wake(others)
        return effect


def is_outage(error: Exception) -> bool:
    """Return whether the database or Temporal is away. A lost connection says so in an error of any kind."""
    return isinstance(error, OUTAGE_ERRORS) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )
