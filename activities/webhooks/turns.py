"""What an endpoint's workflow calls: a turn of deliveries, and the end of an endpoint that takes nothing (STA2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from temporalio import activity
from temporalio.client import Client

from activities.heartbeat import heartbeats
from activities.webhooks.alarms import UNREADABLE, AlarmMail
from activities.webhooks.deliveries import EndpointDelivery, Finding
from activities.webhooks.request import WebhookSender
from database import audit, webhook_endpoints
from database.key_ring import KeyRing
from database.session import Database
from database.tasks import has_open_task, open_task
from database.webhook_endpoints import DISABLED_TASK, UNDELIVERED_TASK, SecretUnreadable, about
from lifecycles.participants import Programs
from rules.acts import PROGRAM

log = structlog.get_logger()

TURN: Final = 240.0
"""Seconds of one turn. It looks for new events itself: a signal for each would fill the workflow's history."""

_ACTIONS = {
    DISABLED_TASK: "Ask those who run the endpoint, then use `throughline webhook test` and `webhook enable`: what "
    "waits goes out then. Events are kept for 30 days.",
    UNDELIVERED_TASK: "Ask those who run the endpoint why it refuses some events; `throughline webhook list` with its "
    "name has its answers. `throughline webhook replay` sends them again, for 30 days.",
}


@dataclass(frozen=True, slots=True)
class DeliverEvents:
    """The endpoint whose events are delivered."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class WebhookTurn:
    """How a turn ended."""

    enabled: bool
    """Whether the endpoint still gets events."""


class WebhookActivities:
    """Delivers events to endpoints. `client` starts the mail about one that was disabled."""

    def __init__(
        self,
        database: Database,
        programs: Programs,
        client: Client,
        sender: WebhookSender,
        keys: KeyRing,
        *,
        turn: float = TURN,
    ) -> None:
        self._database = database
        self._sender = sender
        self._keys = keys
        self._turn = turn
        self._alarms = AlarmMail(database, programs, client)

    @activity.defn
    async def deliver_events(self, order: DeliverEvents) -> WebhookTurn:
        """Deliver the events of an endpoint for some minutes, as they come due."""
        now = _clock_from(activity.info().started_time)
        async with heartbeats():
            return await self.deliver(order.endpoint, now, activity.is_worker_shutdown)

    async def deliver(
        self, endpoint: str, now: Callable[[], datetime], stopping: Callable[[], bool]
    ) -> WebhookTurn:
        """Do the same, by a clock of program time."""
        delivery = EndpointDelivery(self._database, self._sender, self._keys, endpoint, now)
        try:
            enabled = await delivery.run(self._turn, stopping, partial(self._report, endpoint, now))
        except SecretUnreadable:
            await self._disable(endpoint, UNREADABLE, now())
            enabled = False
        if not enabled:
            # An attempt before this one may have died between the decision and the mail.
            await self._alarms.start(endpoint)
        return WebhookTurn(enabled)

    async def _report(self, endpoint: str, now: Callable[[], datetime], finding: Finding) -> None:
        at = now()
        if finding.given_up:
            await self._open_undelivered(endpoint, at)
        if finding.disabled_because:
            await self._disable(endpoint, finding.disabled_because, at)

    async def _disable(self, endpoint: str, because: str, at: datetime) -> None:
        """Disable an endpoint, with a task and a mail to staff: never silently."""
        at = at.replace(microsecond=0)
        async with self._database.begin() as session:
            await audit.lock(session, about(endpoint))
            row = await webhook_endpoints.find(session, endpoint)
            if row is None or row.state != "enabled":
                return
            webhook_endpoints.disable(row, because, at)
            act = {"act": "webhook disabled", "because": because}
            await audit.append(session, about(endpoint), "act", at, act, actor=PROGRAM)
            cause = f"{because}, on {at.date().isoformat()}"
            await open_task(session, DISABLED_TASK, about(endpoint), cause, _ACTIONS[DISABLED_TASK], at)
            await self._alarms.plan(session, endpoint, because, at)
        log.warning("webhook_disabled", endpoint=endpoint, because=because)

    async def _open_undelivered(self, endpoint: str, at: datetime) -> None:
        """Open a task about events that were given up, one for all of an endpoint."""
        at = at.replace(microsecond=0)
        async with self._database.begin() as session:
            await audit.lock(session, about(endpoint))
            if await has_open_task(session, about(endpoint), UNDELIVERED_TASK):
                return
            cause = f"events were given up after three days, on {at.date().isoformat()}"
            await open_task(session, UNDELIVERED_TASK, about(endpoint), cause, _ACTIONS[UNDELIVERED_TASK], at)


def _clock_from(start: datetime) -> Callable[[], datetime]:
    """Return program time: that of the server at the start of an attempt, going on from there."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    return lambda: start + timedelta(seconds=loop.time() - began)
