"""The rate of mail of a deployment: one row that says when the next message may leave, for all workers (MAIL3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import case, or_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import MailRate

NAME: Final = "mail"

_INSERTS: Final[dict[str, Callable[..., postgresql.Insert | sqlite.Insert]]] = {
    "postgresql": postgresql.insert,
    "sqlite": sqlite.insert,
}

_WRONG_CLOCK: Final = 3_600.0
"""Seconds ahead that no queue of deliveries reaches: a machine's clock was wrong, and what it reserved is dropped."""


async def reserve(session: AsyncSession, now: float, step: float, within: float) -> float | None:
    """Reserve the next departure; return the seconds until then, or None if it is not `within` so many.

    `now` is the machine's clock, in seconds since the epoch; `step` the seconds between two departures. Clocks of
    machines that differ delay mail by the difference at most once, and never let more mail out.
    """
    insert = _INSERTS[session.get_bind().dialect.name]
    await session.execute(insert(MailRate).values(name=NAME, next_at=0.0).on_conflict_do_nothing())
    departure = case(
        (MailRate.next_at > now + _WRONG_CLOCK, now), (MailRate.next_at > now, MailRate.next_at), else_=now
    )
    reserved = await session.scalar(
        update(MailRate)
        .where(
            MailRate.name == NAME,
            or_(MailRate.next_at < now + within, MailRate.next_at > now + _WRONG_CLOCK),
        )
        .values(next_at=departure + step)
        .returning(MailRate.next_at)
    )
    return None if reserved is None else max(0.0, reserved - step - now)
