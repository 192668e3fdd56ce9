"""Endpoints of other systems, for staff: which there are, what they were sent, and what can be done about them.

For a command and a browser alike. Each function works in the caller's transaction, unless it takes the database. An
endpoint that was added or enabled gets events from the next turn of its workflow: `start` starts it at once, and each
worker does within ten minutes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Final
from uuid import uuid4

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from activities.webhooks import EndpointAnswer, TargetRefused, WebhookSender, envelope_of, start_webhook
from database import audit, outbox, webhook_endpoints
from database.key_ring import KeyRing
from database.models import OutboxEvent, WebhookEndpoint
from database.session import Database
from database.tasks import settle_tasks
from database.webhook_endpoints import UNDELIVERED_TASK, SecretUnreadable, about
from rules.events.outgoing_types import SUBSCRIBABLE, TEST
from rules.events.webhook_schedule import GRACE, KEPT_FOR

start = start_webhook
Sender = WebhookSender

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

LONGEST_GRACE: Final = timedelta(days=30)


class EndpointRefused(ValueError):
    """What cannot be done to an endpoint; the text says why."""


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An endpoint, as staff see it. It has no secret: that is shown once, when it is made."""

    name: str
    url: str
    types: Sequence[str]
    """The types of events that it gets; none stands for all."""
    state: str
    """`enabled`, or `disabled`."""
    disabled_because: str | None
    disabled_at: datetime | None
    failing_since: datetime | None
    """Since when no event was taken; None while all is well."""
    old_secret_until: datetime | None
    """Until when the secret before this one signs, too."""
    created_at: datetime
    waiting: int
    """How many events wait."""
    failed: int
    """How many were given up, and are kept for a replay."""


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """An event of an endpoint, and what its last attempt ended in."""

    event: str
    """Its id, which each attempt has."""
    type: str
    subject: str
    at: datetime
    """When it happened."""
    state: str
    attempts: int
    answer: str | None
    next_at: datetime | None
    decided_at: datetime | None


async def list_endpoints(session: AsyncSession) -> tuple[EndpointView, ...]:
    """Return all endpoints, by name."""
    counted = await session.execute(
        select(OutboxEvent.endpoint, OutboxEvent.state, func.count())
        .where(OutboxEvent.state.in_(("waiting", "failed")))
        .group_by(OutboxEvent.endpoint, OutboxEvent.state)
    )
    counts = {(endpoint, state): count for endpoint, state, count in counted}
    rows = await session.scalars(select(WebhookEndpoint).order_by(WebhookEndpoint.name))
    return tuple(
        EndpointView(
            name=row.name,
            url=row.url,
            types=tuple(row.types),
            state=row.state,
            disabled_because=row.disabled_because,
            disabled_at=row.disabled_at,
            failing_since=row.failing_since,
            old_secret_until=row.old_until,
            created_at=row.created_at,
            waiting=counts.get((row.name, "waiting"), 0),
            failed=counts.get((row.name, "failed"), 0),
        )
        for row in rows
    )


async def last_deliveries(session: AsyncSession, name: str, limit: int = 50) -> tuple[DeliveryView, ...]:
    """Return the newest events of an endpoint, the newest first. Raises EndpointRefused."""
    await _found(session, name)
    rows = await session.scalars(
        select(OutboxEvent).where(OutboxEvent.endpoint == name).order_by(OutboxEvent.id.desc()).limit(limit)
    )
    return tuple(
        DeliveryView(
            event=row.event_id,
            type=row.type,
            subject=row.subject,
            at=row.at,
            state=row.state,
            attempts=row.attempts,
            answer=row.answer,
            next_at=row.next_at,
            decided_at=row.decided_at,
        )
        for row in rows
    )


# long: what an endpoint is, and who adds it when
async def add(
    session: AsyncSession,
    keys: KeyRing,
    sender: WebhookSender,
    name: str,
    url: str,
    types: Sequence[str],
    actor: str,
    at: datetime,
    reason: str = "",
) -> str:
    """Add an endpoint, and return its secret, which is shown this once.

    Raises EndpointRefused for a name that is taken or odd, an address that no event may go to, or an unknown type.
    """
    if not NAME.fullmatch(name):
        raise EndpointRefused("a name has 1 to 64 characters out of a-z, 0-9 and -")
    for each in types:
        if each not in SUBSCRIBABLE:
            near = get_close_matches(each, SUBSCRIBABLE, 1)
            hint = f"; did you mean {near[0]}?" if near else f": there are {', '.join(SUBSCRIBABLE)}"
            raise EndpointRefused(f"there is no event {each}{hint}")
    try:
        await sender.check(url)
    except TargetRefused as refused:
        raise EndpointRefused(str(refused)) from None
    await audit.lock(session, about(name))
    if await session.get(WebhookEndpoint, name):
        raise EndpointRefused(f"there is an endpoint {name} already")
    secret = webhook_endpoints.new_secret()
    wanted = [each for each in SUBSCRIBABLE if each in types]
    sealed = keys.seal(webhook_endpoints.PURPOSE, secret)
    session.add(WebhookEndpoint(name=name, url=url, types=wanted, secret=sealed, created_at=at))
    webhook_endpoints.forget_known(session)
    await _record(session, name, "webhook added", actor, at, reason, types=wanted)
    return secret


async def disable(session: AsyncSession, name: str, actor: str, reason: str, at: datetime) -> None:
    """Stop deliveries to an endpoint. Its events wait meanwhile, for 30 days. Raises EndpointRefused."""
    row = await _locked(session, name)
    if row.state == "disabled":
        raise EndpointRefused(f"{name} is disabled already")
    webhook_endpoints.disable(row, reason or "disabled by staff", at)
    await _record(session, name, "webhook disabled", actor, at, reason)


async def enable(
    session: AsyncSession, keys: KeyRing, name: str, actor: str, at: datetime, reason: str = ""
) -> None:
    """Let an endpoint get events; those that waited go out first. Raises EndpointRefused."""
    row = await _locked(session, name)
    if row.state == "enabled":
        raise EndpointRefused(f"{name} is enabled already")
    _target(row, keys, at)
    await webhook_endpoints.enable(session, row, at.replace(microsecond=0))
    await _record(session, name, "webhook enabled", actor, at, reason)


# long: whose secret, by which keys, for how long, and who did it when
async def rotate(
    session: AsyncSession,
    keys: KeyRing,
    name: str,
    actor: str,
    at: datetime,
    grace: timedelta = GRACE,
    reason: str = "",
) -> str:
    """Give an endpoint a new secret, and return it, this once. Both sign for the grace time. Raises EndpointRefused."""
    if not timedelta(0) <= grace <= LONGEST_GRACE:
        raise EndpointRefused(f"the old secret signs for {LONGEST_GRACE.days} days at most")
    row = await _locked(session, name)
    secret = webhook_endpoints.rotate(row, keys, grace, at)
    await _record(session, name, "webhook secret rotated", actor, at, reason)
    return secret


async def replay(
    session: AsyncSession, name: str, since: datetime, actor: str, at: datetime, reason: str = ""
) -> int:
    """Send again what happened since an instant, with the same ids; return how many events. Raises EndpointRefused.

    Events are kept for 30 days.
    """
    await _locked(session, name)
    if since < at - KEPT_FOR:
        raise EndpointRefused(f"events are kept for {KEPT_FOR.days} days: choose a later instant")
    count = await outbox.replay(session, name, since)
    await _record(session, name, "webhook replayed", actor, at, reason, since=since.isoformat(), events=count)
    if not await outbox.has_failed(session, name):
        why = "the events are sent again"
        await settle_tasks(session, about(name), UNDELIVERED_TASK, (), why, at.replace(microsecond=0))
    return count


async def remove(session: AsyncSession, name: str, actor: str, at: datetime, reason: str = "") -> None:
    """Remove an endpoint, with the events that wait for it. Raises EndpointRefused."""
    row = await _locked(session, name)
    await outbox.forget(session, name)
    await session.delete(row)
    webhook_endpoints.forget_known(session)
    await _record(session, name, "webhook removed", actor, at, reason)
    for kind in (webhook_endpoints.DISABLED_TASK, UNDELIVERED_TASK):
        why = "the endpoint was removed"
        await settle_tasks(session, about(name), kind, (), why, at.replace(microsecond=0))


# long: what is sent, by what, to which endpoint, and who did it when
async def send_test(
    database: Database,
    keys: KeyRing,
    sender: WebhookSender,
    name: str,
    actor: str,
    at: datetime,
    reason: str = "",
) -> EndpointAnswer:
    """Send an endpoint a test event now, also while it is disabled; return its answer. Raises EndpointRefused."""
    async with database.begin() as session:
        target = _target(await _locked(session, name), keys, at)
        await _record(session, name, "webhook tested", actor, at, reason)
    row = OutboxEvent(event_id=f"evt_test_{uuid4().hex}", subject=about(name), sequence=0, type=TEST, at=at)
    row.data = {"endpoint": name}
    return await sender.send(target, envelope_of(row, sender.source))


async def _found(session: AsyncSession, name: str) -> WebhookEndpoint:
    row = await session.get(WebhookEndpoint, name)
    if row is None:
        raise EndpointRefused(f"there is no endpoint {name}")
    return row


async def _locked(session: AsyncSession, name: str) -> WebhookEndpoint:
    """Return an endpoint, its chain of records locked before its row."""
    await audit.lock(session, about(name))
    row = await webhook_endpoints.find(session, name)
    if row is None:
        raise EndpointRefused(f"there is no endpoint {name}")
    return row


def _target(row: WebhookEndpoint, keys: KeyRing, at: datetime) -> webhook_endpoints.Target:
    try:
        return webhook_endpoints.target_of(row, keys, at)
    except SecretUnreadable:
        raise EndpointRefused(
            f"the secret of {row.name} was sealed with a key that is no longer here: rotate it first"
        ) from None


# long: the columns of a record, and the details of an act
async def _record(
    session: AsyncSession,
    name: str,
    act: str,
    actor: str,
    at: datetime,
    reason: str = "",
    **details: object,
) -> None:
    veiled = {"reason": reason} if reason else None
    data = {"act": act, **details}
    await audit.append(
        session, about(name), "act", at.replace(microsecond=0), data, actor=actor, veiled=veiled
    )
