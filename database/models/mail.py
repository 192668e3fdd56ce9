"""The ledger of messages, suppressed addresses, bounces."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Double, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from database.models.base import Base, Serial


class Message(Base):
    """The delivery ledger: one row per message intent, one decision per row (MAIL1).

    `state` runs `planned → claimed → handed_over → sent | ambiguous | failed`, or to `skipped`, `suppressed`,
    `cancelled`; the last six are decisions, with their instant and reason. `due_at` is None while the message
    is held. `content` keeps the rendered bytes from the claim until the decision; then they are a `MailBody`.
    `came_back` is what a report said later: `hard`, `soft`, `refused` or `complaint` (MAIL10). `delivered_at` is when
    the recipient's server took the mail, where a report says so; what came back counts more. `postponed_from` is the
    planned instant of a nudge
    that waits, or waited, for a later morning (MAIL11). `staff_order` is `skip`, `hold` or `send`, with who gave it,
    when and why; `ordered_at` stays after a release (`database/staff_orders.py`).
    `text_version` is the fingerprint of the text that it was written with (`database/text_versions.py`).
    """

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("workflow", "step", "occurrence"),
        Index("ix_messages_open", "state", "due_at"),
        Index("ix_messages_waiting", "member_id", "state", "due_at"),
        Index("ix_messages_workflow_state_due_at", "workflow", "state", "due_at"),
    )
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    delivery: Mapped[str] = mapped_column(String(40), unique=True)
    workflow: Mapped[str] = mapped_column(String(200))
    step: Mapped[str] = mapped_column(String(60))
    occurrence: Mapped[int]
    message: Mapped[str] = mapped_column(String(60))
    number: Mapped[int | None]
    message_class: Mapped[str] = mapped_column(String(12))
    program: Mapped[str] = mapped_column(String(64))
    to_profile: Mapped[str] = mapped_column(String(64), index=True)
    member_id: Mapped[str | None] = mapped_column(String(64), index=True)
    context: Mapped[dict[str, Any]] = mapped_column(default=dict)
    planned_at: Mapped[datetime]
    due_at: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(String(12))
    reason: Mapped[str | None] = mapped_column(Text)
    decided_at: Mapped[datetime | None] = mapped_column(index=True)
    claimed_at: Mapped[datetime | None]
    claimed_by: Mapped[str | None] = mapped_column(String(200))
    attempts: Mapped[int] = mapped_column(default=0)
    attempted_at: Mapped[datetime | None]
    trouble: Mapped[str | None] = mapped_column(Text)
    message_id: Mapped[str | None] = mapped_column(String(255), index=True)
    recipient: Mapped[str | None] = mapped_column(String(320))
    subject: Mapped[str | None] = mapped_column(Text)
    content: Mapped[bytes | None] = mapped_column(LargeBinary)
    response: Mapped[str | None] = mapped_column(Text)
    came_back: Mapped[str | None] = mapped_column(String(12))
    came_back_at: Mapped[datetime | None] = mapped_column(index=True)
    came_back_reason: Mapped[str | None] = mapped_column(Text)
    delivered_at: Mapped[datetime | None]
    postponed_from: Mapped[datetime | None]
    staff_order: Mapped[str | None] = mapped_column(String(8))
    ordered_by: Mapped[str | None] = mapped_column(String(200))
    ordered_at: Mapped[datetime | None]
    order_reason: Mapped[str | None] = mapped_column(Text)
    text_version: Mapped[str | None] = mapped_column(String(64), index=True)

    @property
    def key(self) -> str:
        """What names it within its workflow: step and occurrence."""
        return f"{self.step}/{self.occurrence}"


class MailBody(Base):
    """The body of a mail as it was sent, encrypted under the recipient's key (`database/mail_bodies.py`).

    `content` is None from `removed_at` on. A mail that was not kept has no row.
    """

    __tablename__ = "mail_bodies"
    __table_args__ = (Index("ix_mail_bodies_kept", "program", "removed_at", "kept_at"),)
    delivery: Mapped[str] = mapped_column(String(40), primary_key=True)
    member_id: Mapped[str] = mapped_column(String(64), index=True)
    program: Mapped[str] = mapped_column(String(64))
    content: Mapped[bytes | None] = mapped_column(LargeBinary)
    kept_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


DECISIONS: Final = frozenset({"sent", "ambiguous", "failed", "skipped", "suppressed", "cancelled"})
"""The states of a message that are its decision (MAIL1)."""


class NudgePlace(Base):
    """One of the nudges that a person got on a local day, where the program limits them (MAIL11)."""

    __tablename__ = "nudge_places"
    member_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    delivery: Mapped[str] = mapped_column(String(40), unique=True)


class MailRate(Base):
    """When the next message of the deployment may leave, in seconds since the epoch: one row (MAIL3)."""

    __tablename__ = "mail_rate"
    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    next_at: Mapped[float] = mapped_column(Double)


class Suppression(Base):
    """An address that is not mailed: a hard bounce or a complaint, until staff lift it (MAIL3, MAIL7).

    `since` is None once staff have lifted it. `score` is of older versions, which counted soft bounces.
    """

    __tablename__ = "suppressions"
    address: Mapped[str] = mapped_column(String(320), primary_key=True)
    kind: Mapped[str] = mapped_column(String(12))
    score: Mapped[float] = mapped_column(default=0.0)
    last_at: Mapped[datetime]
    since: Mapped[datetime | None]
    reason: Mapped[str | None] = mapped_column(Text)


class Bounce(Base):
    """A bounce or complaint about a delivery: one per kind, however often it is reported (MAIL7)."""

    __tablename__ = "bounces"
    delivery: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(12), primary_key=True)
    at: Mapped[datetime]


class ChannelStop(Base):
    """The one row about the channel to the mail server, as reports have it (MAIL10).

    `stopped_at` is None while it is open. `probe` is the delivery that tries the way, `probed_at` when it was let out.
    `proved_at` is when the last probe went out that did not come back.
    """

    __tablename__ = "channel_stop"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    stopped_at: Mapped[datetime | None]
    reason: Mapped[str | None] = mapped_column(Text)
    probe: Mapped[str | None] = mapped_column(String(40))
    probed_at: Mapped[datetime | None]
    proved_at: Mapped[datetime | None]


class MailCanary(Base):
    """The one row about the canary mail (`mail/reports/canary.py`): the last one sent, and the last one that came back.

    `taken_at` is when the mail server took the last one; `seen_sent_at` is when the one was sent that came back at
    `seen_at`. `began_at` is when the first was due.
    """

    __tablename__ = "mail_canary"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    token: Mapped[str | None] = mapped_column(String(32))
    began_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    taken_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]
    seen_sent_at: Mapped[datetime | None]
