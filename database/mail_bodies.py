"""The bodies of mail as they were sent, encrypted under the recipient's own key and kept for a time (MAIL1)."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from database import person_keys
from database.models import MailBody, Message

BATCH = 500
"""The most bodies that one transaction removes."""


@dataclass(frozen=True, slots=True)
class KeptBody:
    """What the database has of the body of a mail."""

    state: str
    """`kept`, `removed` after its time, `erased` with the person's key, or `none` where it was never kept.

    `unreadable` where the key ring no longer has the key that wraps the person's.
    """
    removed_at: datetime | None = None
    content: bytes | None = None
    """The message as it went out, headers and parts, while it is kept."""


async def keep(session: AsyncSession, row: Message, at: datetime) -> bool:
    """Keep the rendered bytes of a message; return whether that was possible.

    It is not without a key ring, and for a message to staff, who are no person of the program.
    """
    key = await person_keys.key_of(session, row.member_id) if row.member_id else None
    if key is None or row.content is None:
        return False
    session.add(
        MailBody(
            delivery=row.delivery,
            member_id=row.member_id,
            program=row.program,
            content=person_keys.encrypt(key, zlib.compress(row.content), row.delivery),
            kept_at=at,
        )
    )
    return True


async def read(session: AsyncSession, delivery: str) -> KeptBody:
    """Return the body of a mail as it was sent, and what became of it where it is gone."""
    row = await session.get(MailBody, delivery)
    if row is None:
        return KeptBody("none")
    if row.content is None:
        return KeptBody("removed", row.removed_at)
    key = await person_keys.key_of(session, row.member_id)
    plain = person_keys.decrypt(key, row.content, delivery) if key else None
    if plain is not None:
        return KeptBody("kept", content=zlib.decompress(plain))
    return KeptBody("erased" if await person_keys.is_destroyed(session, row.member_id) else "unreadable")


async def removals(session: AsyncSession, deliveries: Collection[str]) -> dict[str, datetime | None]:
    """Return for each delivery whose body was kept when it was removed; None while it is there."""
    rows = await session.execute(
        select(MailBody.delivery, MailBody.removed_at).where(MailBody.delivery.in_(deliveries))
    )
    return {row.delivery: row.removed_at for row in rows}


async def remove_expired(session: AsyncSession, days: Mapping[str, int], otherwise: int, at: datetime) -> int:
    """Remove bodies that were kept for their days, by program, at most BATCH of each; return how many.

    `otherwise` is the number of days for programs that are not loaded here.
    """
    known = [(MailBody.program == program, count) for program, count in days.items()]
    found = 0
    for condition, count in (*known, (MailBody.program.not_in(list(days)), otherwise)):
        expired = (
            select(MailBody.delivery)
            .where(condition, MailBody.removed_at.is_(None), MailBody.kept_at <= at - timedelta(days=count))
            .limit(BATCH)
        )
        removed = await session.scalars(
            update(MailBody)
            .where(MailBody.delivery.in_(expired.scalar_subquery()))
            .values(content=None, removed_at=at)
            .returning(MailBody.delivery)
            .execution_options(synchronize_session=False)
        )
        found += len(removed.all())
    return found
