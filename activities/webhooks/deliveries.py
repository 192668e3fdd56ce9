"""The deliveries to one endpoint: side by side for different subjects, one after the other within each.

An event leaves its place only when its attempt is recorded. A worker that dies in between leaves it there, and the
next attempt sends it again, with the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from activities.webhooks.request import EndpointAnswer, WebhookSender, envelope_of
from database import outbox
from database.key_ring import KeyRing
from database.models import OutboxEvent, WebhookEndpoint
from database.session import Database
from database.webhook_endpoints import Target, target_of
from rules.events.webhook_schedule import GIVEN_UP_AFTER, is_given_up

SIDE_BY_SIDE: Final = 8
"""Requests to one endpoint at the same time, each about another subject."""

LOOK_EVERY: Final = 1.0
"""Seconds between two looks for new events, while there are none."""

OVERTIME: Final = 60.0
"""Seconds for which a turn may go on beyond its end while events wait."""

WANTS_NO_MORE: Final = "it answered 410: it wants no more events"
TAKES_NOTHING: Final = f"it has taken no event for {GIVEN_UP_AFTER // timedelta(days=1)} days"
"""Why an endpoint is disabled."""

MOST_OF_THE_TIME: Final = 10
"""How many times as long as a look the wait for the next one is, at least: a long queue is not read all the time."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a turn found that needs staff."""

    disabled_because: str = ""
    """Why the endpoint must be disabled; empty where it need not."""
    given_up: bool = False
    """Whether an event was given up."""


class EndpointDelivery:
    """Delivers the events of one endpoint. `now` is program time, by which attempts are planned."""

    def __init__(
        self,
        database: Database,
        sender: WebhookSender,
        keys: KeyRing,
        endpoint: str,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._sender = sender
        self._keys = keys
        self._endpoint = endpoint
        self._now = now
        self._flying: dict[asyncio.Task[EndpointAnswer], OutboxEvent] = {}
        self._pause = LOOK_EVERY

    async def run(
        self, seconds: float, stopping: Callable[[], bool], report: Callable[[Finding], Awaitable[None]]
    ) -> bool:
        """Deliver what comes due for so many seconds; return whether the endpoint is still enabled.

        With 0 seconds, deliver what is due now. `report` is called with what needs staff. When the worker stops, the
        requests in flight end first. Raises SecretUnreadable.
        """
        ends = _monotonic() + seconds
        try:
            while True:
                late = stopping() or _monotonic() >= ends + OVERTIME
                if not late and not await self._start_due():
                    return False
                if not self._flying and (late or _monotonic() >= ends):
                    return True
                await self._record(await self._wait(), report)
        finally:
            for task in self._flying:
                task.cancel()
            await asyncio.gather(*self._flying, return_exceptions=True)

    async def _start_due(self) -> bool:
        """Start the requests that are due and have a place; return whether the endpoint is enabled."""
        began = _monotonic()
        async with self._database.reading() as session:
            row = await session.get(WebhookEndpoint, self._endpoint)
            if row is None or row.state != "enabled":
                return False
            found = await outbox.due(session, self._endpoint, self._now(), 2 * SIDE_BY_SIDE)
            target = target_of(row, self._keys, self._now())
        self._pause = max(LOOK_EVERY, MOST_OF_THE_TIME * (_monotonic() - began))
        busy = {event.subject for event in self._flying.values()}
        for event in found:
            if len(self._flying) < SIDE_BY_SIDE and event.subject not in busy:
                self._flying[asyncio.create_task(self._send(target, event))] = event
        return True

    async def _send(self, target: Target, event: OutboxEvent) -> EndpointAnswer:
        return await self._sender.send(target, envelope_of(event, self._sender.source))

    async def _wait(self) -> set[asyncio.Task[EndpointAnswer]]:
        """Return the requests that ended, as soon as there is one; none where it is time for the next look."""
        if not self._flying:
            await asyncio.sleep(self._pause)
            return set()
        done, _ = await asyncio.wait(self._flying, timeout=self._pause, return_when=asyncio.FIRST_COMPLETED)
        return done

    async def _record(
        self, done: set[asyncio.Task[EndpointAnswer]], report: Callable[[Finding], Awaitable[None]]
    ) -> None:
        """Record how requests ended, in one transaction."""
        if not done:
            return
        at, given_up, because = self._now(), False, ""
        async with self._database.begin() as session:
            # In one order, as every transaction that changes several of these rows.
            for task in sorted(done, key=lambda each: self._flying[each].id):
                event, answer = self._flying[task], task.result()
                if answer.is_success:
                    await outbox.delivered(session, event, answer.words, at)
                    continue
                given_up |= await outbox.failed(session, event, answer.words, answer.rest, at)
                because = because or (WANTS_NO_MORE if answer.is_gone else "")
            row = await session.get(WebhookEndpoint, self._endpoint, populate_existing=True)
            if row is not None and is_given_up(row.failing_since, at):
                because = because or TAKES_NOTHING
        for task in done:
            del self._flying[task]
        if because or given_up:
            await report(Finding(because, given_up))


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
