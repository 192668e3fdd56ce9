"""The places that a person's day has for nudges, where a program limits them (MAIL11).

A place is a row with the key (person, day, number), so that no two messages have the same one, on any worker.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import NudgePlace

_INSERTS: dict[str, Callable[..., postgresql.Insert | sqlite.Insert]] = {
    "postgresql": postgresql.insert,
    "sqlite": sqlite.insert,
}


async def taken(session: AsyncSession, member: str, day: date) -> dict[int, str]:
    """Return the deliveries that have a place on a person's day, by its number."""
    found = await session.execute(
        select(NudgePlace.place, NudgePlace.delivery).where(
            NudgePlace.member_id == member, NudgePlace.day == day.isoformat()
        )
    )
    return {row.place: row.delivery for row in found}


async def take(session: AsyncSession, member: str, day: date, delivery: str, cap: int) -> bool:
    """Take a place for a delivery; return False if another one took the last at the same moment.

    A repeat keeps its place. A delivery that had one on an earlier day, and did not leave then, gives it up.
    """
    known = await taken(session, member, day)
    if delivery in known.values():
        return True
    await session.execute(delete(NudgePlace).where(NudgePlace.delivery == delivery))
    insert = _INSERTS[session.get_bind().dialect.name]
    for place in range(1, cap + 1):
        if place in known:
            continue
        row = {"member_id": member, "day": day.isoformat(), "place": place, "delivery": delivery}
        done = await session.execute(
            insert(NudgePlace).values(row).on_conflict_do_nothing().returning(NudgePlace.place)
        )
        if done.first() is not None:
            return True
    return False
