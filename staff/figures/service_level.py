"""The service level: the share of mail that is handed over within ten seconds of its due instant (MAIL1).

It is computed from the ledger, by the day on which a message was due. A pause, the quiet of a nudge's day and a
resumption move the due instant, and so count for nothing. What staff ordered does not count either.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Message
from staff.figures.computation import Share
from staff.figures.mail_health import PUNCTUAL

OBJECTIVE: Final = 99.0
"""The percentage of a day's mail that is handed over in time; below it `ThroughlineServiceLevel` fires."""

MOST_DUE: Final = 100_000
"""The most messages of a period that are looked at, the last ones due."""

_GIVEN: Final = ("sent", "ambiguous", "failed")
_WAITING: Final = ("planned", "claimed", "handed_over")


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """How much of what was due was handed over in time."""

    share: Share
    slowest: timedelta
    """How late the slowest was, or is by now."""
    slowest_delivery: str
    """Its delivery id."""


@dataclass(frozen=True, slots=True)
class MailLateness:
    """How late one message was handed over, or is by now."""

    program: str
    due: datetime
    late: timedelta
    delivery: str


async def mail_lateness(
    session: AsyncSession, since: datetime, until: datetime, now: datetime, most: int = MOST_DUE
) -> list[MailLateness]:
    """Return how late each message was that was due in a period, up to `now`; the `most` last ones.

    What still waits counts once it has missed its ten seconds.
    """
    rows = await session.execute(
        select(
            *(Message.program, Message.delivery, Message.state),
            *(Message.due_at, Message.planned_at, Message.attempted_at),
        )
        .where(
            Message.state.in_((*_GIVEN, *_WAITING)),
            Message.due_at >= since,
            Message.due_at < min(until, now - PUNCTUAL),
            Message.ordered_at.is_(None),
        )
        .order_by(Message.due_at.desc())
        .limit(most)
    )
    return [found for row in rows if (found := _lateness(row, now))]


def _lateness(row: Any, now: datetime) -> MailLateness | None:
    """Return how late a message is; None for one that no mail server was asked about.

    Mail about what the engine heard of late is due from then on (T9).
    """
    given = now if row.state in _WAITING else row.attempted_at
    if given is None:
        return None
    late = given - max(row.due_at, row.planned_at)
    return MailLateness(row.program, row.due_at, max(late, timedelta(0)), row.delivery)


def by_day(found: Iterable[MailLateness], zones: Mapping[str, str]) -> dict[tuple[date, str], ServiceLevel]:
    """Return the service level by local day and program, the last day first. `zones` are those of the programs."""
    grouped = defaultdict(list)
    for each in found:
        if zone := zones.get(each.program):
            grouped[each.due.astimezone(ZoneInfo(zone)).date(), each.program].append(each)
    days = sorted(grouped, key=lambda key: (-key[0].toordinal(), key[1]))
    return {key: _level(grouped[key]) for key in days}


def by_program(found: Iterable[MailLateness]) -> dict[str, ServiceLevel]:
    """Return the service level of each program over all that was found."""
    grouped = defaultdict(list)
    for each in found:
        grouped[each.program].append(each)
    return {program: _level(theirs) for program, theirs in sorted(grouped.items())}


def _level(found: list[MailLateness]) -> ServiceLevel:
    slowest = max(found, key=lambda each: each.late)
    in_time = sum(each.late <= PUNCTUAL for each in found)
    return ServiceLevel(Share(in_time, len(found)), slowest.late, slowest.delivery)
