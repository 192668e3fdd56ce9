"""Badges: what was issued for letters and certificates, the keys that sign, and the lists of what no longer holds."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from database.models.base import Base, Serial


class BadgeKey(Base):
    """A key that signs badges (CPE14). The one with the highest number signs.

    `public` is its JWK. `private` is sealed by the key of the ring that `sealed_by` names, and gone once another key
    took over. What a withdrawn key signed is no longer believed.
    """

    __tablename__ = "badge_keys"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kid: Mapped[str] = mapped_column(String(43), unique=True)
    public: Mapped[dict[str, Any]]
    private: Mapped[str | None] = mapped_column(Text)
    sealed_by: Mapped[str] = mapped_column(String(16), index=True)
    made_at: Mapped[datetime]
    retired_at: Mapped[datetime | None]
    withdrawn_at: Mapped[datetime | None]


class BadgeStatus(Base):
    """A status list of a program. Its bits follow from letters and people's keys, and are stored nowhere."""

    __tablename__ = "badge_status"
    number: Mapped[int] = mapped_column(Serial, primary_key=True)
    program: Mapped[str] = mapped_column(String(64), index=True)
    opened_at: Mapped[datetime]


class BadgeAchievement(Base):
    """What badges attest, as it was published. `id` is a digest of the content, which thus never changes."""

    __tablename__ = "badge_achievements"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    content: Mapped[dict[str, Any]]


class Badge(Base):
    """A letter or certificate as an Open Badges 3.0 credential (CPE14).

    `id` is part of its public address, and cannot be guessed. `content` is the signed credential, encrypted under the
    key of the person whose badge it is. The row outlives the member's, and the place in the status list with it.
    """

    __tablename__ = "badges"
    __table_args__ = (UniqueConstraint("status_list", "status_index"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    letter_id: Mapped[str] = mapped_column(String(64), unique=True)
    member_id: Mapped[str] = mapped_column(String(64), index=True)
    program: Mapped[str] = mapped_column(String(64))
    achievement: Mapped[str] = mapped_column(ForeignKey("badge_achievements.id"))
    status_list: Mapped[int] = mapped_column(Serial, ForeignKey("badge_status.number"))
    status_index: Mapped[int]
    kid: Mapped[str] = mapped_column(String(43), index=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)
    made_at: Mapped[datetime]
