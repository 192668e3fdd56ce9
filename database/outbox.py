"""The outbox: events for endpoints of other systems, written in the transaction of the change that they report.

Each comes from an audit record. Its id and its number follow from the record's place in its chain, so that a repeat has
the same. The subject of an event is the chain: all of one engagement stands in one order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Final

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import AuditRecord, OutboxEvent, WebhookEndpoint
from rules.events.outgoing import MAKING_EVENTS, outgoing_of
from rules.events.webhook_schedule import KEPT_FOR, next_attempt

KNOWN_FOR: Final = 5.0
"""Seconds for which a process goes on with the endpoints that it has read: a change of them is heard of that late."""

LONGEST_ANSWER: Final = 200
"""Characters that are kept of what an attempt ended in."""


class KnownEndpoints:
    """The endpoints that collect events, as one process has read them: a transaction need not ask each time."""

    def __init__(self) -> None:
        self._wanted: Sequence[tuple[str, frozenset[str]]] = ()
        self._until = 0.0

    async def wanting(self, session: AsyncSession) -> Sequence[tuple[str, frozenset[str]]]:
        """Return the names of the endpoints that collect events, each with its types; none stands for all."""
        if monotonic() >= self._until:
            found = await session.execute(
                select(WebhookEndpoint.name, WebhookEndpoint.types)
                .where(WebhookEndpoint.collects)
                .order_by(WebhookEndpoint.name)
            )
            self._wanted = tuple((name, frozenset(types)) for name, types in found)
            self._until = monotonic() + KNOWN_FOR
        return self._wanted

    def forget(self) -> None:
        """Read them again at the next event."""
        self._until = 0.0


def event_id(chain: str, sequence: int) -> str:
    """Return the id of the event that the record of a number in a chain makes. It can stand in a header."""
    return f"evt_{hashlib.sha256(f'{chain}|{sequence}'.encode()).hexdigest()[:32]}"


async def put(session: AsyncSession, record: AuditRecord, also: Mapping[str, Any]) -> None:
    """Write the event that a new audit record makes for each endpoint that wants it.

    `also` has ids that the record does not hold. While no endpoint wants events nothing is computed or written.
    """
    if record.kind not in MAKING_EVENTS:
        return
    known = session.info.get("endpoints") or KnownEndpoints()
    endpoints = await known.wanting(session)
    made = outgoing_of(record.subject, record.kind, record.data, also) if endpoints else None
    if made is None:
        return
    for name, types in endpoints:
        if not types or made.type in types:
            session.add(
                OutboxEvent(
                    endpoint=name,
                    event_id=event_id(record.chain, record.sequence),
                    subject=record.chain,
                    sequence=record.sequence,
                    type=made.type,
                    at=record.at,
                    data=made.data,
                )
            )


async def due(session: AsyncSession, endpoint: str, at: datetime, limit: int) -> list[OutboxEvent]:
    """Return the events that an endpoint gets now: of each subject the first that waits, if its time has come.

    Those that were never tried come first: what fails holds nothing up.
    """
    first = (
        select(func.min(OutboxEvent.id))
        .where(OutboxEvent.endpoint == endpoint, OutboxEvent.state == "waiting")
        .group_by(OutboxEvent.subject)
    )
    found = await session.scalars(
        select(OutboxEvent)
        .where(OutboxEvent.id.in_(first), or_(OutboxEvent.next_at.is_(None), OutboxEvent.next_at <= at))
        .order_by(OutboxEvent.attempts, OutboxEvent.id)
        .limit(limit)
    )
    return list(found)


async def delivered(session: AsyncSession, row: OutboxEvent, answer: str, at: datetime) -> None:
    """Record that an endpoint took an event, and that it does not fail any more."""
    await session.execute(
        _of(row).values(
            state="delivered",
            attempts=row.attempts + 1,
            first_tried_at=row.first_tried_at or at,
            next_at=None,
            decided_at=at,
            answer=answer[:LONGEST_ANSWER],
        )
    )
    await session.execute(
        update(WebhookEndpoint)
        .where(WebhookEndpoint.name == row.endpoint, WebhookEndpoint.failing_since.is_not(None))
        .values(failing_since=None)
    )


async def failed(
    session: AsyncSession, row: OutboxEvent, answer: str, rest: timedelta | None, at: datetime
) -> bool:
    """Record that an endpoint did not take an event; return whether the event is given up.

    `rest` is what the endpoint asked for by `Retry-After`.
    """
    first, attempts = row.first_tried_at or at, row.attempts + 1
    again = next_attempt(row.event_id, attempts, first, at, rest)
    await session.execute(
        _of(row).values(
            state="waiting" if again else "failed",
            attempts=attempts,
            first_tried_at=first,
            next_at=again,
            decided_at=None if again else at,
            answer=answer[:LONGEST_ANSWER],
        )
    )
    await session.execute(
        update(WebhookEndpoint)
        .where(WebhookEndpoint.name == row.endpoint, WebhookEndpoint.failing_since.is_(None))
        .values(failing_since=at)
    )
    return again is None


def _of(row: OutboxEvent) -> Any:
    # An attempt that ends after the worker was thought dead finds the event decided by another, and changes nothing.
    return update(OutboxEvent).where(
        OutboxEvent.id == row.id, OutboxEvent.state == "waiting", OutboxEvent.attempts == row.attempts
    )


async def replay(session: AsyncSession, endpoint: str, since: datetime) -> int:
    """Have an endpoint get again what happened since an instant; return how many events wait for it again.

    They keep their ids, and their order within each subject.
    """
    again = (
        update(OutboxEvent)
        .where(
            OutboxEvent.endpoint == endpoint,
            OutboxEvent.at >= since,
            OutboxEvent.state.in_(("delivered", "failed")),
        )
        .values(state="waiting", attempts=0, first_tried_at=None, next_at=None, decided_at=None)
        .returning(OutboxEvent.id)
    )
    return len((await session.scalars(again)).all())


async def try_again(session: AsyncSession, endpoint: str) -> None:
    """Have what waits for an endpoint tried at once, as if it had not been tried: it was enabled again."""
    await session.execute(
        update(OutboxEvent)
        .where(OutboxEvent.endpoint == endpoint, OutboxEvent.state == "waiting")
        .values(attempts=0, first_tried_at=None, next_at=None)
    )


async def forget(session: AsyncSession, endpoint: str) -> None:
    """Remove all events of an endpoint that is removed."""
    await session.execute(delete(OutboxEvent).where(OutboxEvent.endpoint == endpoint))


async def has_failed(session: AsyncSession, endpoint: str) -> bool:
    """Return whether an endpoint has an event that was given up."""
    given_up = select(OutboxEvent.id).where(OutboxEvent.endpoint == endpoint, OutboxEvent.state == "failed")
    return await session.scalar(given_up.limit(1)) is not None


async def remove_old(session: AsyncSession, at: datetime) -> None:
    """Remove decided events after KEPT_FOR. An endpoint that is disabled for so long collects nothing more."""
    long_ago = at - KEPT_FOR
    await session.execute(
        update(WebhookEndpoint)
        .where(
            WebhookEndpoint.state == "disabled",
            WebhookEndpoint.disabled_at <= long_ago,
            WebhookEndpoint.collects,
        )
        .values(collects=False)
    )
    collecting = select(WebhookEndpoint.name).where(WebhookEndpoint.collects)
    await session.execute(
        delete(OutboxEvent).where(
            or_(
                and_(OutboxEvent.state != "waiting", OutboxEvent.decided_at <= long_ago),
                and_(OutboxEvent.state == "waiting", OutboxEvent.endpoint.not_in(collecting)),
            )
        )
    )
