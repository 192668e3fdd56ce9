"""Events, staff tasks, the audit chain, checkpoints."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from database.models.base import Base, Json, Serial


class Environment(Base):
    """Which deployment this database belongs to. A copy that runs elsewhere does not mail (MAIL8).

    `production` is whether it mails everybody, `keys` are fingerprints of its key ring. `versions` names the version of
    each program file at the last start; `ProgramVersion` has all of them. A row of an earlier version has none of
    these: the next start writes them.
    """

    __tablename__ = "environment"
    id: Mapped[int] = mapped_column(primary_key=True, default=1)
    name: Mapped[str] = mapped_column(String(100))
    production: Mapped[bool | None]
    keys: Mapped[list[Any] | None] = mapped_column(Json)
    versions: Mapped[dict[str, Any] | None] = mapped_column(Json)


class ProgramVersion(Base):
    """A version of a program file that this deployment has worked by (CPE12). Lifecycles go on by theirs.

    `fingerprint` is the SHA-256 of its content, whatever its layout, and `content` the text of the file.
    `first_seen_at` is by the machine's clock, not the program's.
    """

    __tablename__ = "program_versions"
    fingerprint: Mapped[str] = mapped_column(String(64), primary_key=True)
    program: Mapped[str] = mapped_column(String(64), index=True)
    policy_version: Mapped[str] = mapped_column(String(80))
    content: Mapped[str] = mapped_column(Text)
    first_seen_at: Mapped[datetime]


class Task(Base):
    """A staff task, one per cause (STA2)."""

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
    the event's own time where it names one, else the instant at which it was first processed. `ignored` has JSON
    pointers to data of the event that nobody knows, which were not stored. `heard_at` is the instant from which
    people are held to it: that of its storage, or of its first processing where a clock was missing (T9). `history`
    events are of before a take-over (T10). `shard` is the part of the inbox that applies it; None until it is routed.
    `trace` continues the trace in which it was received (`database/traces.py`).
    """

    __tablename__ = "events"
    __table_args__ = (UniqueConstraint("source", "event_id"), Index(None, "shard", "state", "id"))
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    source: Mapped[str] = mapped_column(String(200))
    event_id: Mapped[str] = mapped_column(String(200))
    type: Mapped[str] = mapped_column(String(60))
    subject: Mapped[str] = mapped_column(String(200), index=True)
    data: Mapped[dict[str, Any]]
    ignored: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    occurred_at: Mapped[datetime | None]
    heard_at: Mapped[datetime | None]
    history: Mapped[bool] = mapped_column(default=False, server_default=false())
    state: Mapped[str] = mapped_column(String(10), default="stored", index=True)
    waits_for: Mapped[str | None] = mapped_column(String(200), index=True)
    held_until: Mapped[datetime | None]
    reason: Mapped[str | None] = mapped_column(Text)
    effects: Mapped[list[Any]] = mapped_column(default=list)
    applied_at: Mapped[datetime | None]
    shard: Mapped[int | None]
    trace: Mapped[str | None] = mapped_column(String(55))


class EventSubject(Base):
    """Whom or what an event concerns, until it is applied or refused: `member/ana`, `engagement/r-1`.

    Events with a subject in common are applied in the order of their numbers (T8).
    """

    __tablename__ = "event_subjects"
    subject: Mapped[str] = mapped_column(String(200), primary_key=True)
    event_id: Mapped[int] = mapped_column(
        Serial, ForeignKey("events.id"), primary_key=True, autoincrement=False, index=True
    )


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
    """The state of all audit chains at an instant, in a chain of its own (CPE11).

    `root` is the root of a tree of hashes over the head of each chain; `hash` covers all columns but itself. A copy
    kept outside of this database proves later that no chain was rewritten.
    """

    __tablename__ = "checkpoints"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    chains: Mapped[int]
    root: Mapped[str] = mapped_column(String(64))
    previous: Mapped[str] = mapped_column(String(64), unique=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)


class CheckpointHead(Base):
    """The last record of a chain at a checkpoint; a chain without new records since the one before has no row."""

    __tablename__ = "checkpoint_heads"
    number: Mapped[int] = mapped_column(ForeignKey("checkpoints.number"), primary_key=True)
    chain: Mapped[str] = mapped_column(String(200), primary_key=True, index=True)
    sequence: Mapped[int]
    head: Mapped[str] = mapped_column(String(64))
