"""Delays after wrong passwords, for one account from one address: others are never locked out by them."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import SignInAttempt

FREE: Final = 5
"""Wrong passwords without a delay."""
FIRST_DELAY: Final = timedelta(seconds=30)
LONGEST_DELAY: Final = timedelta(hours=1)
FORGOTTEN_AFTER: Final = timedelta(days=1)


async def take(session: AsyncSession, email: str, address: str, at: datetime) -> timedelta:
    """Count an attempt before the password is looked at; return the delay to wait, zero if it may be tried now.

    An attempt that has to wait is not counted. So attempts that come at once cannot pass the limit together.
    """
    await session.execute(delete(SignInAttempt).where(SignInAttempt.last_at <= at - FORGOTTEN_AFTER))
    key = _key(email, address)
    row = await session.get(SignInAttempt, key, with_for_update=True)
    if row is None:
        session.add(SignInAttempt(key=key, failures=1, last_at=at))
        await session.flush()
        return timedelta(0)
    wait: timedelta = row.last_at + _delay(row.failures) - at
    if wait > timedelta(0):
        return wait
    row.failures, row.last_at = row.failures + 1, at
    return timedelta(0)


async def forget(session: AsyncSession, email: str, address: str) -> None:
    """Forget the attempts of an account from an address: the password was right."""
    await session.execute(delete(SignInAttempt).where(SignInAttempt.key == _key(email, address)))


def _delay(failures: int) -> timedelta:
    if failures < FREE:
        return timedelta(0)
    doubled = FIRST_DELAY * float(2 ** min(failures - FREE, 20))
    return min(doubled, LONGEST_DELAY)


def _key(email: str, address: str) -> str:
    return hashlib.sha256(f"{email.strip().lower()}\n{address}".encode()).hexdigest()
