"""One table per kind of lifecycle, and what belongs to one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from database.models.base import Base, Serial


class Lifecycle:
    """The columns of every lifecycle: its state, the facts behind its agenda, and what is next.

    `program_version` is the fingerprint of the program file that it began with, and goes on by; None in a row of an
    earlier version until the next start. `facts` is the same record that the workflow carries, so that a preview can
    compute the agenda of other facts. `next_at` is the next instant at which a state changes or a task opens; mails
    have theirs in the ledger.
    """

    @declared_attr.directive
    def __table_args__(cls) -> tuple[Index, ...]:
        """The order of lists: the last change first."""
        return (Index(None, "state_since", "workflow"),)

    workflow: Mapped[str] = mapped_column(String(200), primary_key=True)
    program: Mapped[str] = mapped_column(String(64))
    policy_version: Mapped[str] = mapped_column(String(80))
    program_version: Mapped[str | None] = mapped_column(String(64))
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
    """A mentee's request to a mentor."""

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
    """Two people who work together, from the day of acceptance. Its id is its request's.

    One that `cohort` began has none: that is the id of a cohort of its program (COH3).
    """

    __tablename__ = "engagements"
    id: Mapped[str] = mapped_column(String(64), unique=True)
    mentee_id: Mapped[str] = mapped_column(ForeignKey("profiles.id"), index=True)
    mentor_id: Mapped[str] = mapped_column(ForeignKey("profiles.id"), index=True)
    goals: Mapped[str | None] = mapped_column(Text)
    end_reason: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime]
    cohort: Mapped[str | None] = mapped_column(String(64), index=True)


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


class CurriculumProgress(Base):
    """A step of the curriculum that somebody did in an engagement (COH4). `by` is who reported it."""

    __tablename__ = "curriculum_progress"
    engagement_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    profile_id: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    step: Mapped[str] = mapped_column(String(40), primary_key=True)
    done_at: Mapped[datetime]
    by: Mapped[str] = mapped_column(String(200))


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
    """The survey of one side after an engagement (SUR1)."""

    __tablename__ = "surveys"
    engagement_id: Mapped[str] = mapped_column(String(64), index=True)
    role: Mapped[str] = mapped_column(String(10))
    profile_id: Mapped[str] = mapped_column(ForeignKey("profiles.id"), index=True)
    answers: Mapped[dict[str, Any]] = mapped_column(default=dict)
    answered_at: Mapped[datetime | None]


class Feedback(Base):
    """Feedback that somebody gave outside a survey (SUR4)."""

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
