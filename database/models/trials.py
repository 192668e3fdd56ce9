"""The trial of a program before it mails everybody."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from database.models.base import Base


class ProgramTrial(Base):
    """Whether a program of a deployment in production mails everybody; one without a row does.

    `live_at` is None while it is in trial: then it mails staff and guests only. `live_by` is None where a worker found
    that the program ran already.
    """

    __tablename__ = "program_trials"
    program: Mapped[str] = mapped_column(String(64), primary_key=True)
    since: Mapped[datetime]
    live_at: Mapped[datetime | None]
    live_by: Mapped[str | None] = mapped_column(String(200))
    live_because: Mapped[str | None] = mapped_column(Text)


class TrialGuest(Base):
    """An address that a program in trial mails; in lower case, its domain in ASCII."""

    __tablename__ = "trial_guests"
    program: Mapped[str] = mapped_column(String(64), primary_key=True)
    address: Mapped[str] = mapped_column(String(320), primary_key=True)
    added_by: Mapped[str] = mapped_column(String(200))
    added_at: Mapped[datetime]
