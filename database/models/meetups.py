"""Meetups of a program, and who is invited to each (MEE1)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from database.models.base import Base
from database.models.lifecycles import Lifecycle


class Meetup(Lifecycle, Base):
    """A meetup: when and where, in words. What decides its mail is in `facts`.

    `starts_local` is local time in `time_zone`, or an instant with its offset, as staff gave it. `resources` holds
    titles with links.
    """

    __tablename__ = "meetups"
    id: Mapped[str] = mapped_column(String(64), unique=True)
    cohort: Mapped[str | None] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(Text)
    starts_local: Mapped[str] = mapped_column(String(40))
    time_zone: Mapped[str] = mapped_column(String(64))
    duration: Mapped[str] = mapped_column(String(40))
    link: Mapped[str | None] = mapped_column(Text)
    resources: Mapped[list[Any]] = mapped_column(default=list)
    starts_at: Mapped[datetime] = mapped_column(index=True)
    ends_at: Mapped[datetime]


class MeetupInvitation(Base):
    """One person who is invited to a meetup, once whatever the number of profiles.

    `number` names the person's messages, `uid` the calendar entry: it is an HMAC, so that only who has seen the file
    can answer by mail. `planned_for` is the revision of the meetup that the person's mail was planned for; 0 until
    then, and where something of the person has changed. `answered_by` is how it came: `link`, `event` or `mail`.
    """

    __tablename__ = "meetup_invitations"
    __table_args__ = (
        UniqueConstraint("workflow", "number"),
        Index("ix_meetup_invitations_planned", "workflow", "planned_for", "number"),
    )
    workflow: Mapped[str] = mapped_column(ForeignKey("meetups.workflow"), primary_key=True)
    member_id: Mapped[str] = mapped_column(ForeignKey("members.id"), primary_key=True, index=True)
    number: Mapped[int]
    profile_id: Mapped[str] = mapped_column(ForeignKey("profiles.id"))
    uid: Mapped[str] = mapped_column(String(40), unique=True)
    invited_at: Mapped[datetime]
    planned_for: Mapped[int] = mapped_column(default=0)
    answer: Mapped[str | None] = mapped_column(String(8))
    answered_at: Mapped[datetime | None]
    answered_by: Mapped[str | None] = mapped_column(String(8))
