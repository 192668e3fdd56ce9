"""What limits mail across all workers: the rate of a deployment, and the nudges of a person's day (MAIL3, MAIL11).

The rate is one row that says when the next message may leave. A place of a day is a row with the key (person, day,
number), so that no two messages have the same one, on any worker.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Final

from sqlalchemy import case, delete, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import MailRate, NudgePlace

_NAME: Final = "mail"

_INSERTS: Final[dict[str, Callable[..., postgresql.Insert | sqlite.Insert]]] = {
    "postgresql": postgresql.insert,
    "sqlite": sqlite.insert,
}

_WRONG_CLOCK: Final = 3_600.0
"""Seconds ahead that no queue of deliveries reaches: a machine's clock was wrong, and what it reserved is dropped."""

_DAYS_KEPT: Final = 2
"""Days for which places are kept after theirs: the last zone enters a day 26 hours after the first one."""

_BATCH: Final = 500
"""The most places that one transaction removes."""


async def reserve_departure(session: AsyncSession, now: float, step: float, within: float) -> float | None:
    """Reserve the next departure; return the seconds until then, or None if it is not `within` so many.

    `now` is the machine's clock, in seconds since the epoch; `step` the seconds between two departures. Clocks of
    machines that differ delay mail by the difference at most once, and never let more mail out.
    """
    insert = _INSERTS[session.get_bind().dialect.name]
    await session.execute(insert(MailRate).values(name=_NAME, next_at=0.0).on_conflict_do_nothing())
    departure = case(
        (MailRate.next_at > now + _WRONG_CLOCK, now), (MailRate.next_at > now, MailRate.next_at), else_=now
    )
    reserved = await session.scalar(
        update(MailRate)
        .where(
            MailRate.name == _NAME,
            or_(MailRate.next_at < now + within, MailRate.next_at > now + _WRONG_CLOCK),
        )
        .values(next_at=departure + step)
        .returning(MailRate.next_at)
    )
    return None if reserved is None else max(0.0, reserved - step - now)


async def places_taken(session: AsyncSession, member: str, day: date) -> dict[int, str]:
    """Return the deliveries that have a place on a person's day, by its number."""
    found = await session.execute(
        select(NudgePlace.place, NudgePlace.delivery).where(
            NudgePlace.member_id == member, NudgePlace.day == day.isoformat()
        )
    )
    return {row.place: row.delivery for row in found}


async def take_place(session: AsyncSession, member: str, day: date, delivery: str, cap: int) -> bool:
    """Take a place for a delivery; return False if another one took the last at the same moment.

    A repeat keeps its place. A delivery that had one on an earlier day, and did not leave then, gives it up.
    """
    known = await places_taken(session, member, day)
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


async def remove_past_places(session: AsyncSession, at: datetime) -> int:
    """Remove places of days that are over everywhere, at most _BATCH; return how many."""
    key = tuple_(NudgePlace.member_id, NudgePlace.day, NudgePlace.place)
    past = (at - timedelta(days=_DAYS_KEPT)).date().isoformat()
    expired = (
        select(NudgePlace.member_id, NudgePlace.day, NudgePlace.place)
        .where(NudgePlace.day < past)
        .limit(_BATCH)
    )
    removed = await session.scalars(
        delete(NudgePlace)
        .where(key.in_(expired))
        .returning(NudgePlace.delivery)
        .execution_options(synchronize_session=False)
    )
    return len(removed.all())
