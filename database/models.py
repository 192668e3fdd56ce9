"""The tables. Personal data stands here and nowhere else (MEM6).

All instants are stored as UTC and come back timezone-aware. Program time is always handed in by the caller:
nothing in this room reads a clock (T6).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Serial = BigInteger().with_variant(Integer(), "sqlite")


class Instant(TypeDecorator[datetime]):
    """A moment, stored as UTC. Refuses datetimes without a zone; SQLite, which drops zones, gets them back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """UTC on the way in; raises ValueError for a datetime without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"an instant needs a zone: {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware, in UTC, on the way out."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Common ground of all tables: names of constraints are fixed, so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: Instant, dict[str, Any]: Json, list[Any]: Json}


class Environment(Base):
    """Which deployment this database belongs to. A copy that runs elsewhere does not mail (MAIL8)."""

    __tablename__ = "environment"
    id: Mapped[int] = mapped_column(primary_key=True, default=1)
    name: Mapped[str] = mapped_column(String(100))


class Member(Base):
    """A person of the association, as its member database last told (`member.updated`)."""

    __tablename__ = "members"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    email: Mapped[str] = mapped_column(String(320))
    standing: Mapped[str] = mapped_column(String(10))
    standing_since: Mapped[datetime]
    time_zone: Mapped[str | None] = mapped_column(String(64))
    country: Mapped[str | None] = mapped_column(String(2))
    subdivision: Mapped[str | None] = mapped_column(String(10))
    languages: Mapped[list[Any]] = mapped_column(default=list)
    nationality: Mapped[str | None] = mapped_column(String(2))
    birth_year: Mapped[int | None]
    years_management: Mapped[int | None]
    certifications: Mapped[list[Any]] = mapped_column(default=list)
    preferences: Mapped[dict[str, Any]] = mapped_column(default=dict)
    updated_at: Mapped[datetime]


class Profile(Base):
    """A member's part in a program, as mentor or as mentee. One member may have several (MEM5)."""

    __tablename__ = "profiles"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    member_id: Mapped[str] = mapped_column(ForeignKey("members.id"), index=True)
    role: Mapped[str] = mapped_column(String(10))
    program: Mapped[str] = mapped_column(String(64))
    mentees_at_a_time: Mapped[int | None]
    areas: Mapped[list[Any]] = mapped_column(default=list)
    interests: Mapped[list[Any]] = mapped_column(default=list)
    goals: Mapped[str | None] = mapped_column(Text)
    languages: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]


class Lifecycle:
    """What every lifecycle's row tells: its state, the facts its agenda was computed from, what is next.

    `facts` is the same record that the workflow carries, so that a preview can compute the agenda of other
    facts. `next_at` is the next instant at which a state changes or a task opens; mails
    have theirs in the ledger.
    """

    workflow: Mapped[str] = mapped_column(String(200), primary_key=True)
    program: Mapped[str] = mapped_column(String(64))
    policy_version: Mapped[str] = mapped_column(String(80))
    state: Mapped[str] = mapped_column(String(20), index=True)
    state_since: Mapped[datetime]
    facts: Mapped[dict[str, Any]]
    next_at: Mapped[datetime | None] = mapped_column(index=True)
    closed_at: Mapped[datetime | None]


class Onboarding(Lifecycle, Base):
    """The first weeks of a mentor or mentee."""

    __tablename__ = "onboardings"
    profile_id: Mapped[str] = mapped_column(ForeignKey("profiles.id"), unique=True)


class Request(Lifecycle, Base):
    """A mentee's question to a mentor."""

    __tablename__ = "requests"
    id: Mapped[str] = mapped_column(String(64), unique=True)
    mentee_id: Mapped[str] = mapped_column(ForeignKey("profiles.id"), index=True)
    mentor_id: Mapped[str] = mapped_column(ForeignKey("profiles.id"), index=True)
    message: Mapped[str | None] = mapped_column(Text)
    areas: Mapped[list[Any]] = mapped_column(default=list)
    months: Mapped[int | None]
    answer_reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]


class Engagement(Lifecycle, Base):
    """Two people who work together, from the day of acceptance. Its id is its request's."""

    __tablename__ = "engagements"
    id: Mapped[str] = mapped_column(String(64), unique=True)
    mentee_id: Mapped[str] = mapped_column(ForeignKey("profiles.id"), index=True)
    mentor_id: Mapped[str] = mapped_column(ForeignKey("profiles.id"), index=True)
    goals: Mapped[str | None] = mapped_column(Text)
    end_reason: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime]


class Meeting(Base):
    """A side's answer to "did you meet?" (ENG4): the attested meetings of an engagement."""

    __tablename__ = "meetings"
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    engagement_id: Mapped[str] = mapped_column(String(64), index=True)
    by_profile: Mapped[str] = mapped_column(String(64))
    event_id: Mapped[str] = mapped_column(String(200), unique=True)
    answer: Mapped[str] = mapped_column(String(5))
    met_on: Mapped[str | None] = mapped_column(String(10))
    answered_at: Mapped[datetime]


class Claim(Lifecycle, Base):
    """One person's claim of credit, for one engagement and one certification (CPE3)."""

    __tablename__ = "claims"
    engagement_id: Mapped[str] = mapped_column(String(64), index=True)
    role: Mapped[str] = mapped_column(String(10))
    profile_id: Mapped[str] = mapped_column(ForeignKey("profiles.id"), index=True)
    member_id: Mapped[str] = mapped_column(ForeignKey("members.id"), index=True)
    certification: Mapped[str] = mapped_column(String(10))
    credit_date: Mapped[str | None] = mapped_column(String(10))
    cycle_start: Mapped[str | None] = mapped_column(String(10))
    cycle_end: Mapped[str | None] = mapped_column(String(10))
    earned: Mapped[int] = mapped_column(default=0)
    countable: Mapped[int] = mapped_column(default=0)
    domains: Mapped[list[Any]] = mapped_column(default=list)
    decision: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Letter(Base):
    """A signed letter or certificate, as bytes that never change (CPE8).

    `id` is its public verification id; `sha256` its fingerprint; `statement` the exact text that was signed.
    """

    __tablename__ = "letters"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    engagement_id: Mapped[str] = mapped_column(String(64), index=True)
    claim: Mapped[str | None] = mapped_column(String(200), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    role: Mapped[str] = mapped_column(String(10))
    certification: Mapped[str | None] = mapped_column(String(10))
    signer_profile: Mapped[str | None] = mapped_column(String(64))
    signer_name: Mapped[str | None] = mapped_column(Text)
    locale: Mapped[str] = mapped_column(String(10))
    statement: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    document: Mapped[bytes | None] = mapped_column(LargeBinary)
    sha256: Mapped[str | None] = mapped_column(String(64))
    signed_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    revoked_class: Mapped[str | None] = mapped_column(String(12))
    revoked_because: Mapped[str | None] = mapped_column(Text)


class Survey(Lifecycle, Base):
    """One side's look back at an engagement."""

    __tablename__ = "surveys"
    engagement_id: Mapped[str] = mapped_column(String(64), index=True)
    role: Mapped[str] = mapped_column(String(10))
    profile_id: Mapped[str] = mapped_column(ForeignKey("profiles.id"), index=True)
    answers: Mapped[dict[str, Any]] = mapped_column(default=dict)
    answered_at: Mapped[datetime | None]


class Feedback(Base):
    """What somebody told the program outside a survey (SUR4)."""

    __tablename__ = "feedback"
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    profile_id: Mapped[str] = mapped_column(ForeignKey("profiles.id"), index=True)
    event_id: Mapped[str] = mapped_column(String(200), unique=True)
    text: Mapped[str] = mapped_column(Text)
    given_at: Mapped[datetime]


class Report(Base):
    """A confidential report of misconduct (ENG8): for staff only, in no mail and on no page."""

    __tablename__ = "reports"
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    engagement_id: Mapped[str] = mapped_column(String(64), index=True)
    by_profile: Mapped[str] = mapped_column(String(64))
    event_id: Mapped[str] = mapped_column(String(200), unique=True)
    text: Mapped[str] = mapped_column(Text)
    reported_at: Mapped[datetime]


class Message(Base):
    """The delivery ledger: one row per message intent, one decision per row (MAIL1).

    `state` runs `planned → claimed → handed_over → sent | ambiguous | failed`, or to `skipped`, `suppressed`,
    `cancelled`; the last six are decisions, with their instant and reason. `due_at` is None while the message
    is held. `content` keeps the rendered bytes from the claim until the decision.
    """

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("workflow", "step", "occurrence"),
        Index("ix_messages_open", "state", "due_at"),
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


DECISIONS: Final = frozenset({"sent", "ambiguous", "failed", "skipped", "suppressed", "cancelled"})
"""The states of a message that are its decision (MAIL1)."""


class Suppression(Base):
    """An address that is not mailed: a hard bounce or a complaint, until staff lift it (MAIL3, MAIL7).

    `score` counts soft bounces, which decay; `since` is set once the address is suppressed.
    """

    __tablename__ = "suppressions"
    address: Mapped[str] = mapped_column(String(320), primary_key=True)
    kind: Mapped[str] = mapped_column(String(12))
    score: Mapped[float] = mapped_column(default=0.0)
    last_at: Mapped[datetime]
    since: Mapped[datetime | None]
    reason: Mapped[str | None] = mapped_column(Text)


class Bounce(Base):
    """What came back about a delivery: once per kind, however often and on whatever ways it was told (MAIL7)."""

    __tablename__ = "bounces"
    delivery: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(12), primary_key=True)
    at: Mapped[datetime]


class Task(Base):
    """Something for staff to look at, one per cause (STA2)."""

    __tablename__ = "tasks"
    __table_args__ = (UniqueConstraint("subject", "cause"),)
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    kind: Mapped[str] = mapped_column(String(30))
    subject: Mapped[str] = mapped_column(String(200), index=True)
    cause: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(10), default="open", index=True)
    opened_at: Mapped[datetime]
    due_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None] = mapped_column(String(200))
    note: Mapped[str | None] = mapped_column(Text)


class Event(Base):
    """An inbound event, stored before it is answered with 202, applied by the inbox workflow.

    `state`: `stored`, `held` (it waits for `waits_for`, until `held_until`), `applying` (its data is written,
    its `effects` on workflows are not yet all done), `applied`, or `refused` with `reason`. `occurred_at` is
    the event's own time where it names one, else the moment at which it was first looked at.
    """

    __tablename__ = "events"
    __table_args__ = (UniqueConstraint("source", "event_id"),)
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    source: Mapped[str] = mapped_column(String(200))
    event_id: Mapped[str] = mapped_column(String(200))
    type: Mapped[str] = mapped_column(String(60))
    subject: Mapped[str] = mapped_column(String(200), index=True)
    data: Mapped[dict[str, Any]]
    occurred_at: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(String(10), default="stored", index=True)
    waits_for: Mapped[str | None] = mapped_column(String(200), index=True)
    held_until: Mapped[datetime | None]
    reason: Mapped[str | None] = mapped_column(Text)
    effects: Mapped[list[Any]] = mapped_column(default=list)
    applied_at: Mapped[datetime | None]


class AuditRecord(Base):
    """One thing that happened, in a chain of hashes per subject (STA3, CPE11).

    `chain` is the engagement for all that hangs on a request, else the workflow itself; `subject` is what the
    record is about. `previous` is the hash of the record before it in the chain, so that none can be changed,
    removed or swapped unseen. Words that may be personal (reasons, names) stand in `veiled`; the hash covers
    only their salted digest `veil`, so that erasing them leaves the chain verifiable.
    """

    __tablename__ = "audit_records"
    __table_args__ = (UniqueConstraint("chain", "sequence"), UniqueConstraint("chain", "previous"))
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    chain: Mapped[str] = mapped_column(String(200))
    sequence: Mapped[int]
    subject: Mapped[str] = mapped_column(String(200), index=True)
    at: Mapped[datetime] = mapped_column(index=True)
    kind: Mapped[str] = mapped_column(String(20), index=True)
    data: Mapped[dict[str, Any]]
    actor: Mapped[str | None] = mapped_column(String(200))
    veiled: Mapped[dict[str, Any] | None] = mapped_column(Json)
    salt: Mapped[str | None] = mapped_column(String(64))
    veil: Mapped[str | None] = mapped_column(String(64))
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class Checkpoint(Base):
    """What all chains of the audit record came to at an instant, in a chain of its own (CPE11).

    `root` is the root of a tree of hashes over the head of each chain; `hash` covers all but itself. Whoever keeps
    it, outside of this database, can show later that a chain was not made anew.
    """

    __tablename__ = "checkpoints"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    chains: Mapped[int]
    root: Mapped[str] = mapped_column(String(64))
    previous: Mapped[str] = mapped_column(String(64), unique=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)


class CheckpointHead(Base):
    """The last record of a chain at a checkpoint; one that is the same as at the checkpoint before has no row."""

    __tablename__ = "checkpoint_heads"
    number: Mapped[int] = mapped_column(ForeignKey("checkpoints.number"), primary_key=True)
    chain: Mapped[str] = mapped_column(String(200), primary_key=True, index=True)
    sequence: Mapped[int]
    head: Mapped[str] = mapped_column(String(64))


LIFECYCLES: Final[dict[str, type[Onboarding | Request | Engagement | Claim | Survey]]] = {
    "onboarding": Onboarding,
    "request": Request,
    "engagement": Engagement,
    "claim": Claim,
    "survey": Survey,
}
"""The table of each kind of workflow id (`kind/…`)."""
