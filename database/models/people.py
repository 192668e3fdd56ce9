"""Members and their profiles: the only tables with names and addresses (MEM6)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text, event, text
from sqlalchemy.orm import Mapped, mapped_column

from database.models.base import Base
from rules.text import folded_member


class Member(Base):
    """A member of the association, by the latest report of its member database (`member.updated`).

    `email` has its domain in ASCII, as mail servers take it; `email_given` is the address as the member writes it.
    `folded` is name, address and id as a search finds them: in lower case, without accents.
    """

    __tablename__ = "members"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    email: Mapped[str] = mapped_column(String(320))
    email_given: Mapped[str | None] = mapped_column(String(320))
    standing: Mapped[str] = mapped_column(String(10))
    standing_since: Mapped[datetime]
    time_zone: Mapped[str | None] = mapped_column(String(64))
    country: Mapped[str | None] = mapped_column(String(2))
    subdivision: Mapped[str | None] = mapped_column(String(10))
    languages: Mapped[list[Any]] = mapped_column(default=list)
    nationality: Mapped[str | None] = mapped_column(String(2))
    birth_year: Mapped[int | None]
    years_management: Mapped[int | None]
    employer: Mapped[str | None] = mapped_column(Text)
    certifications: Mapped[list[Any]] = mapped_column(default=list)
    preferences: Mapped[dict[str, Any]] = mapped_column(default=dict)
    updated_at: Mapped[datetime]
    folded: Mapped[str] = mapped_column(Text, default="", server_default=text("''"))


@event.listens_for(Member, "before_insert")
@event.listens_for(Member, "before_update")
def _fold(_mapper: object, _connection: object, member: Member) -> None:
    """Keep what a search finds: neither SQLite nor PostgreSQL can compare without accents by itself."""
    member.folded = folded_member(member.name, member.email_given or member.email, member.id)


class PersonKey(Base):
    """The key of a person, wrapped by the key of the ring that `wrapped_by` names (`database/person_keys.py`).

    `wrapped` is None once the key is destroyed. The row outlives the member's.
    """

    __tablename__ = "person_keys"
    member_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    wrapped: Mapped[str | None] = mapped_column(Text)
    wrapped_by: Mapped[str] = mapped_column(String(16), index=True)
    created_at: Mapped[datetime]


class Profile(Base):
    """A member's part in a program, as mentor or as mentee. One member may have several (MEM5).

    `partner` is the organisation through which the member takes part, of those that the program names (COH4).
    """

    __tablename__ = "profiles"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    member_id: Mapped[str] = mapped_column(ForeignKey("members.id"), index=True)
    role: Mapped[str] = mapped_column(String(10))
    program: Mapped[str] = mapped_column(String(64))
    partner: Mapped[str | None] = mapped_column(String(64), index=True)
    mentees_at_a_time: Mapped[int | None]
    areas: Mapped[list[Any]] = mapped_column(default=list)
    interests: Mapped[list[Any]] = mapped_column(default=list)
    goals: Mapped[str | None] = mapped_column(Text)
    languages: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]


class LinkUse(Base):
    """When forms of one question of a personal link were stored within the last hour, over all gateways.

    `times` are in ISO 8601. The row goes an hour after the last of them.
    """

    __tablename__ = "link_uses"
    purpose: Mapped[str] = mapped_column(String(40), primary_key=True)
    profile: Mapped[str] = mapped_column(String(64), primary_key=True)
    subject: Mapped[str] = mapped_column(String(200), primary_key=True)
    times: Mapped[list[Any]]
    last_at: Mapped[datetime] = mapped_column(index=True)
