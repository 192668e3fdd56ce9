"""The versions of the texts of mails: kept when a worker starts with changed texts, read by staff."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Message, TextVersion

PARTS: Final = ("subject", "text", "mjml")
"""The templates of a text, by the suffix of their files."""


# long: whose texts, and who brought them when
async def keep(
    session: AsyncSession,
    program: str,
    texts: Mapping[str, tuple[str, Mapping[str, str]]],
    by: str,
    at: datetime,
) -> int:
    """Keep the texts of a program that were not seen before; return how many.

    `texts` has fingerprint and templates by file. Doing it again changes nothing.
    """
    rows = await session.execute(
        select(TextVersion.file, TextVersion.fingerprint).where(TextVersion.program == program)
    )
    known = {(file, fingerprint) for file, fingerprint in rows}
    new = [
        TextVersion(
            program=program,
            file=file,
            fingerprint=fingerprint,
            content=dict(content),
            first_seen_at=at,
            seen_by=by[:200],
        )
        for file, (fingerprint, content) in texts.items()
        if (file, fingerprint) not in known
    ]
    session.add_all(new)
    await session.flush()
    return len(new)


async def versions_of(session: AsyncSession, program: str, file: str) -> list[TextVersion]:
    """Return the versions of a text, the first seen first."""
    found = await session.scalars(
        select(TextVersion)
        .where(TextVersion.program == program, TextVersion.file == file)
        .order_by(TextVersion.first_seen_at, TextVersion.id)
    )
    return list(found)


async def file_of(session: AsyncSession, program: str, fingerprint: str) -> str | None:
    """Return the text that a version is of; None for one that was not kept."""
    found: str | None = await session.scalar(
        select(TextVersion.file).where(TextVersion.program == program, TextVersion.fingerprint == fingerprint)
    )
    return found


@dataclass(frozen=True, slots=True)
class TextUse:
    """The mails that were written with a version of a text."""

    mails: int
    first_at: datetime | None


async def use_of(session: AsyncSession, program: str, fingerprint: str) -> TextUse:
    """Return how many mails were written with a version, and when the first was."""
    counted = select(func.count(), func.min(Message.claimed_at)).where(
        Message.text_version == fingerprint, Message.program == program
    )
    count, first_at = (await session.execute(counted)).one()
    return TextUse(count, first_at)
