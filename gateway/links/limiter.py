"""Bounds how often one link may store something, so that its holder cannot flood the program."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from database.links import Link
from database.models import LinkUse
from database.session import Database

MOST_IN_AN_HOUR = 12
"""Forms that one person may have stored for one question within an hour: many changes of mind, and no flood."""

_HOUR = timedelta(hours=1)
_TRIES = 3


class LinkLimiter:
    """Counts forms per purpose, person and subject, whichever mail the link came in, for all gateways together.

    A form takes its place before it is read, and gives it back where nothing was stored. So forms that come at once
    cannot pass the limit together. Only signed links are counted, and a question is forgotten after an hour.
    """

    def __init__(self, database: Database, most: int = MOST_IN_AN_HOUR) -> None:
        self._database = database
        self._most = most

    async def take(self, link: Link, at: datetime) -> bool:
        """Take a place for a form; return False where the hour has none. `at` is program time.

        Raises SQLAlchemyError, OSError.
        """
        for tries_left in reversed(range(_TRIES)):
            try:
                async with self._database.begin() as session:
                    return await self._take(session, link, at)
            except IntegrityError:
                # Another gateway made the row of this question at the same moment: the next try finds it.
                if not tries_left:
                    raise
        return False

    async def give_back(self, link: Link, at: datetime) -> None:
        """Give back the place of a form that stored nothing. Raises SQLAlchemyError, OSError."""
        async with self._database.begin() as session:
            row = await session.get(LinkUse, _question(link), with_for_update=True)
            if row is not None and (taken := at.isoformat()) in row.times:
                times = list(row.times)
                times.remove(taken)
                row.times = times

    async def _take(self, session: AsyncSession, link: Link, at: datetime) -> bool:
        await session.execute(delete(LinkUse).where(LinkUse.last_at <= at - _HOUR))
        row = await session.get(LinkUse, _question(link), with_for_update=True)
        if row is None:
            purpose, profile, subject = _question(link)
            session.add(
                LinkUse(purpose=purpose, profile=profile, subject=subject, times=[at.isoformat()], last_at=at)
            )
            await session.flush()
            return True
        times = [time for time in row.times if datetime.fromisoformat(time) > at - _HOUR]
        if len(times) >= self._most:
            return False
        row.times, row.last_at = [*times, at.isoformat()], at
        return True


def _question(link: Link) -> tuple[str, str, str]:
    return link.purpose, link.profile, link.subject
