"""Endpoints of other systems, and the events that go out to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, Text, UniqueConstraint, true
from sqlalchemy.orm import Mapped, mapped_column

from database.models.base import Base, Serial


class WebhookEndpoint(Base):
    """An address of another system that gets events.

    `types` are the types of events that it wants; none stands for all. `state` is `enabled` or `disabled`, with the
    reason. While it `collects`, changes leave events for it, also while it is disabled. `secret` is sealed by the key
    ring; `old_secret` signs beside it until `old_until`. `failing_since` is the instant of the first of the failures
    since its last answer of success. Instants are program time.
    """

    __tablename__ = "webhook_endpoints"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    types: Mapped[list[Any]]
    state: Mapped[str] = mapped_column(String(10), default="enabled")
    collects: Mapped[bool] = mapped_column(default=True, server_default=true())
    disabled_because: Mapped[str | None] = mapped_column(Text)
    disabled_at: Mapped[datetime | None]
    failing_since: Mapped[datetime | None]
    secret: Mapped[str] = mapped_column(Text)
    old_secret: Mapped[str | None] = mapped_column(Text)
    old_until: Mapped[datetime | None]
    created_at: Mapped[datetime]


class OutboxEvent(Base):
    """An event for one endpoint, written in the transaction of the change that it reports.

    It has no foreign key: a process that has not yet heard of the removal of an endpoint may still write for it.
    `event_id` and `sequence` follow from the place of the change in its chain of audit records: a repeat has the same.
    `state` is `waiting`, `delivered`, or `failed` after three days. `answer` is what the last attempt ended in.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("endpoint", "event_id"),
        Index(None, "endpoint", "state", "subject", "id"),
        Index("ix_outbox_decided", "endpoint", "decided_at"),
    )
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    endpoint: Mapped[str] = mapped_column(String(64))
    event_id: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(200))
    sequence: Mapped[int]
    type: Mapped[str] = mapped_column(String(60))
    at: Mapped[datetime]
    data: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(10), default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    first_tried_at: Mapped[datetime | None]
    next_at: Mapped[datetime | None]
    decided_at: Mapped[datetime | None]
    answer: Mapped[str | None] = mapped_column(String(200))
