"""What waits and what was decided, read from the database for a scrape: bounded queries, no personal data (MEM6).

Every process of a deployment reads the same values. Reports of misconduct are counted nowhere (ENG8).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from database import staff_orders
from database.models import (
    ChannelStop,
    Event,
    MailCanary,
    Message,
    OutboxEvent,
    Request,
    Task,
    WebhookEndpoint,
)
from database.tasks import OPEN
from staff.figures import ServiceLevel, by_program, mail_lateness
from worker.monitoring.exposition import Metric, MetricValue, gauge

MOST: Final = 10_000
"""The most rows that one query counts: a scrape of a large backlog costs no more than one of a small one."""

UNDECIDED: Final = ("planned", "claimed", "handed_over")
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)


async def read_backlog(session: AsyncSession, at: datetime) -> list[Metric]:
    """Return the metrics of the deployment at an instant."""
    return [
        metric
        for read in (_due, _decided, _requests, _events, _outbox, _tasks, _channel, _canary)
        async for metric in read(session, at)
    ]


async def read_service_level(session: AsyncSession, at: datetime) -> list[Metric]:
    """Return the service level of the day that ends at an instant, by program."""
    levels = by_program(await mail_lateness(session, at - DAY, at, at, 2 * MOST))
    return [
        Metric(
            name, text, [MetricValue(value_of(level), {"program": each}) for each, level in levels.items()]
        )
        for name, text, value_of in _LEVELS
    ]


_LEVELS: Final[Sequence[tuple[str, str, Callable[[ServiceLevel], float]]]] = (
    (
        "throughline_service_level_ratio",
        "Share of the messages due within a day that were handed over within ten seconds.",
        lambda level: (level.share.percent or 0.0) / 100,
    ),
    (
        "throughline_service_level_messages",
        f"Messages that were due within a day, at most {2 * MOST}.",
        lambda level: level.share.whole,
    ),
    (
        "throughline_service_level_slowest_seconds",
        "How late the slowest of them was, or is by now.",
        lambda level: level.slowest.total_seconds(),
    ),
)


def _age(oldest: datetime | None, at: datetime) -> float:
    return max(0.0, (at - oldest).total_seconds()) if oldest else 0.0


def _first(query: Select[*tuple[Any, ...]], most: int = MOST) -> Any:
    return query.limit(most).subquery()


async def _due(session: AsyncSession, at: datetime) -> AsyncIterator[Metric]:
    rows = _first(
        select(Message.due_at)
        .where(Message.state.in_(UNDECIDED), Message.due_at <= at, staff_orders.not_on_hold())
        .order_by(Message.due_at)
    )
    count, oldest = (
        await session.execute(select(func.count(), func.min(rows.c.due_at)).select_from(rows))
    ).one()
    yield gauge("throughline_messages_due", f"Messages that are due and undecided, at most {MOST}.", count)
    yield gauge(
        "throughline_messages_due_oldest_age_seconds",
        "How long ago the first undecided message was due.",
        _age(oldest, at),
    )


async def _decided(session: AsyncSession, at: datetime) -> AsyncIterator[Metric]:
    rows = _first(
        select(Message.state, Message.message_class).where(Message.decided_at > at - HOUR),
        10 * MOST,
    )
    found = await session.execute(
        select(rows.c.state, rows.c.message_class, func.count()).group_by(rows.c.state, rows.c.message_class)
    )
    yield Metric(
        "throughline_messages_decided_last_hour",
        "Decisions about messages of the last hour, by decision and class.",
        [MetricValue(count, {"decision": state, "message_class": kind}) for state, kind, count in found],
    )
    last = await session.scalar(
        select(Message.decided_at)
        .where(Message.decided_at.is_not(None), Message.state == "sent")
        .order_by(Message.decided_at.desc())
        .limit(1)
    )
    yield gauge(
        "throughline_message_last_sent_timestamp_seconds",
        "When the mail server took the last message, in seconds since 1970; 0 for never.",
        last.timestamp() if last else 0,
    )
    back = _first(select(Message.came_back).where(Message.came_back_at > at - DAY))
    counts = await session.execute(select(back.c.came_back, func.count()).group_by(back.c.came_back))
    yield Metric(
        "throughline_messages_came_back_last_day",
        "Messages that came back within a day, by kind: hard, soft, refused, complaint.",
        [MetricValue(count, {"kind": kind or "unknown"}) for kind, count in counts],
    )


async def _requests(session: AsyncSession, at: datetime) -> AsyncIterator[Metric]:
    rows = _first(select(Request.id).where(Request.state == "past_due", Request.closed_at.is_(None)))
    yield gauge(
        "throughline_requests_past_due",
        "Requests that no mentor answered in time and that are still open.",
        await session.scalar(select(func.count()).select_from(rows)) or 0,
    )


async def _events(session: AsyncSession, at: datetime) -> AsyncIterator[Metric]:
    counts, oldest = [], None
    for state in ("stored", "applying", "held"):
        rows = _first(select(Event.heard_at).where(Event.state == state).order_by(Event.id))
        count, first = (
            await session.execute(select(func.count(), func.min(rows.c.heard_at)).select_from(rows))
        ).one()
        counts.append(MetricValue(count, {"state": state}))
        if state != "held" and first:
            oldest = min(oldest or first, first)
    yield Metric(
        "throughline_events_waiting", f"Events that are not applied, at most {MOST} a state.", counts
    )
    yield gauge(
        "throughline_events_oldest_age_seconds",
        "How long the first event waits to be applied; one that is held for another does not count.",
        _age(oldest, at),
    )


async def _outbox(session: AsyncSession, at: datetime) -> AsyncIterator[Metric]:
    rows = _first(
        select(OutboxEvent.endpoint, OutboxEvent.at)
        .where(OutboxEvent.state == "waiting")
        .order_by(OutboxEvent.id)
    )
    found = (
        await session.execute(
            select(rows.c.endpoint, func.count(), func.min(rows.c.at)).group_by(rows.c.endpoint)
        )
    ).all()
    yield Metric(
        "throughline_outbox_waiting",
        f"Events that an endpoint has not taken, at most {MOST} in all.",
        [MetricValue(count, {"endpoint": name}) for name, count, _ in found],
    )
    yield Metric(
        "throughline_outbox_oldest_age_seconds",
        "How long the first event waits for an endpoint.",
        [MetricValue(_age(oldest, at), {"endpoint": name}) for name, _, oldest in found],
    )
    disabled = await session.scalar(
        select(func.count()).select_from(WebhookEndpoint).where(WebhookEndpoint.state == "disabled")
    )
    yield gauge(
        "throughline_endpoints_disabled", "Endpoints of other systems that get no events.", disabled or 0
    )


async def _tasks(session: AsyncSession, at: datetime) -> AsyncIterator[Metric]:
    rows = _first(select(Task.kind).where(Task.state.in_(OPEN), Task.kind != "misconduct"))
    found = await session.execute(select(rows.c.kind, func.count()).group_by(rows.c.kind))
    yield Metric(
        "throughline_tasks_open",
        "Open tasks of staff by kind, without those about misconduct.",
        [MetricValue(count, {"kind": kind}) for kind, count in found],
    )


async def _channel(session: AsyncSession, at: datetime) -> AsyncIterator[Metric]:
    stopped = await session.scalar(select(func.count()).where(ChannelStop.stopped_at.is_not(None)))
    yield gauge(
        "throughline_mail_channel_stopped",
        "1 while reports of the mail server have stopped all mail.",
        1 if stopped else 0,
    )


async def _canary(session: AsyncSession, at: datetime) -> AsyncIterator[Metric]:
    row = await session.get(MailCanary, 1)
    rows = [row] if row else []
    yield Metric(
        "throughline_canary_age_seconds",
        "How long ago the last canary mail came back, or the first was due; without a value if none is sent.",
        [MetricValue(_age(each.seen_at or each.began_at, at), {}) for each in rows],
    )
    yield Metric(
        "throughline_canary_last_success_timestamp_seconds",
        "When the last canary mail came back, in seconds since 1970; 0 for never.",
        [MetricValue(each.seen_at.timestamp() if each.seen_at else 0, {}) for each in rows],
    )
    yield Metric(
        "throughline_canary_round_trip_seconds",
        "How long the last canary mail took that came back.",
        [
            MetricValue(max(0.0, (each.seen_at - each.seen_sent_at).total_seconds()), {})
            for each in rows
            if each.seen_at and each.seen_sent_at
        ],
    )
