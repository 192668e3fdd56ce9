"""The people who run the program: their accounts, sign-ins, and the members assigned to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from database.models.base import Base, Serial


class StaffAccount(Base):
    """A person who may sign in to the console.

    `email` is in lower case. `may_send` and `may_set` are rights of managers: to act on mail and members, and to change
    settings. `password` is an argon2id hash; None where the account has no password. `oidc_subject` is who the account
    is at the OpenID provider, from its first sign-in there on.
    """

    __tablename__ = "staff_accounts"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    email: Mapped[str] = mapped_column(String(320), unique=True)
    role: Mapped[str] = mapped_column(String(12))
    may_send: Mapped[bool] = mapped_column(default=False)
    may_set: Mapped[bool] = mapped_column(default=False)
    language: Mapped[str] = mapped_column(String(10))
    zone: Mapped[str] = mapped_column(String(64))
    password: Mapped[str | None] = mapped_column(Text)
    oidc_subject: Mapped[str | None] = mapped_column(String(700), unique=True)
    created_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class StaffSession(Base):
    """A browser in which somebody signed in, by the SHA-256 of its token. Instants are those of the machine's clock."""

    __tablename__ = "staff_sessions"
    token: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("staff_accounts.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    seen_at: Mapped[datetime]


class StaffLink(Base):
    """A link that signs in once, by the SHA-256 of its token. The row goes when the link is used."""

    __tablename__ = "staff_links"
    token: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("staff_accounts.id"), index=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class StaffAssignment(Base):
    """Whom a coordinator may see: `member/ana`, all of a program, `program/asis-laac`, or of a partner.

    A partner's people are those of one cohort, `partner/bogota-2028/altavista`, or of a program in all its cohorts,
    `partner/mentors4u-colombia/altavista` (COH4).
    """

    __tablename__ = "staff_assignments"
    account_id: Mapped[str] = mapped_column(ForeignKey("staff_accounts.id"), primary_key=True)
    subject: Mapped[str] = mapped_column(String(200), primary_key=True)
    since: Mapped[datetime]


class SignInAttempt(Base):
    """How often a password was wrong, by the SHA-256 of account and address together."""

    __tablename__ = "sign_in_attempts"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(index=True)


class ActBatch(Base):
    """One act of one person on many lifecycles of a kind. Instants are those of the machine's clock.

    `state` is `draft` while fields of the act are asked for, then `previewing`, `previewed`, `running`, and `done` or
    `stopped`. `given` are the fields of its form. `reason` goes with the end: each act's record has it.
    `held_until` is until when a gateway works on it.
    """

    __tablename__ = "act_batches"
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("staff_accounts.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    act: Mapped[str] = mapped_column(String(20))
    given: Mapped[dict[str, Any]]
    reason: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(12), index=True)
    made_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    held_until: Mapped[datetime | None]


class ActBatchItem(Base):
    """A lifecycle of a batch.

    `state` is `waiting`; after its preview `ready` or `refused`; in the end `done`, `changed` since its preview,
    `failed`, or `left` where the batch was stopped. `digest` is of the preview, `outcome` what it showed, `said` why
    it was refused.
    """

    __tablename__ = "act_batch_items"
    batch_id: Mapped[int] = mapped_column(Serial, ForeignKey("act_batches.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    target: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(12))
    tries: Mapped[int] = mapped_column(default=0)
    digest: Mapped[str | None] = mapped_column(String(64))
    outcome: Mapped[dict[str, Any] | None]
    said: Mapped[str | None] = mapped_column(Text)
