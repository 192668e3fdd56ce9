"""The versions of the texts of mails."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from database.models.base import Base, Serial


class TextVersion(Base):
    """A version of a text that a worker has started with: its three templates, without the frame around all mails.

    `file` is the language and the name of the templates, as `es/mentee.match`. `fingerprint` is the SHA-256 of
    `content`. `first_seen_at` is by the machine's clock. `seen_by` is who ran that worker, where, in which release.
    """

    __tablename__ = "text_versions"
    __table_args__ = (UniqueConstraint("program", "file", "fingerprint"),)
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    program: Mapped[str] = mapped_column(String(64))
    file: Mapped[str] = mapped_column(String(120))
    fingerprint: Mapped[str] = mapped_column(String(64), index=True)
    content: Mapped[dict[str, Any]]
    first_seen_at: Mapped[datetime]
    seen_by: Mapped[str] = mapped_column(String(200))
