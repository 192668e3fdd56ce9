"""Cohorts of a program, who takes part in each, and the pairs that were made of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from database.models.base import Base, Json, Serial
from database.models.lifecycles import Lifecycle


class Cohort(Lifecycle, Base):
    """A cohort of a program, from its window to its graduation (COH1–COH3).

    Its days are local to the program's zone, as YYYY-MM-DD. `proposal` is the number of the last proposal of pairs,
    `proposed_at` its instant, and `figures` what it came to.
    """

    __tablename__ = "cohorts"
    id: Mapped[str] = mapped_column(String(64), unique=True)
    opens_on: Mapped[str] = mapped_column(String(10))
    closes_on: Mapped[str] = mapped_column(String(10))
    kick_off_on: Mapped[str] = mapped_column(String(10))
    months: Mapped[int]
    partners: Mapped[list[Any]] = mapped_column(default=list)
    proposal: Mapped[int] = mapped_column(default=0)
    proposed_at: Mapped[datetime | None]
    figures: Mapped[dict[str, Any] | None] = mapped_column(Json)


class CohortMember(Base):
    """A profile that takes part in a cohort, until `left_at`.

    `unpaired_because` says why the last proposal has no pair for it: a cause of `rules.pairing`, or words for staff.
    `unpaired_told_at` is when the mail about that was planned: a person gets it once.
    """

    __tablename__ = "cohort_members"
    cohort_id: Mapped[str] = mapped_column(ForeignKey("cohorts.id"), primary_key=True)
    profile_id: Mapped[str] = mapped_column(ForeignKey("profiles.id"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(10))
    partner: Mapped[str | None] = mapped_column(String(64), index=True)
    joined_at: Mapped[datetime]
    left_at: Mapped[datetime | None]
    unpaired_because: Mapped[str | None] = mapped_column(Text)
    unpaired_told_at: Mapped[datetime | None]


class CohortPair(Base):
    """Two people of a cohort whom a proposal pairs, or whom staff lock together or keep apart (COH2).

    `state` is `none` (staff have only marked the two), `proposed`, `confirmed`, `starting` (its engagement has a row
    and no workflow yet), `running`, or `broken`, with `broken_because`. `mark` is `locked` or `forbidden`. `run` is the
    number of the proposal that the pair comes from, and `why` has the reasons as `rules.pairing` stores them. `told_at`
    is when the mails to the two were planned.
    """

    __tablename__ = "cohort_pairs"
    __table_args__ = (
        UniqueConstraint("cohort_id", "mentee_id", "mentor_id"),
        Index(None, "cohort_id", "state", "id"),
    )
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    cohort_id: Mapped[str] = mapped_column(ForeignKey("cohorts.id"))
    mentee_id: Mapped[str] = mapped_column(ForeignKey("profiles.id"), index=True)
    mentor_id: Mapped[str] = mapped_column(ForeignKey("profiles.id"), index=True)
    state: Mapped[str] = mapped_column(String(10))
    mark: Mapped[str | None] = mapped_column(String(10))
    run: Mapped[int] = mapped_column(default=0)
    fit: Mapped[int | None]
    why: Mapped[list[Any] | None] = mapped_column(Json)
    told_at: Mapped[datetime | None]
    confirmed_at: Mapped[datetime | None]
    engagement: Mapped[str | None] = mapped_column(String(200), unique=True)
    broken_because: Mapped[str | None] = mapped_column(Text)
