"""How mail fares: decisions by day, punctuality, what came back and from where, the channel (MAIL1, MAIL10).

Rates count what the mail server was given: what was sent, and what it refused.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from database import staff_orders, suppressions
from database.models import DECISIONS, ChannelStop, Message, Suppression, Task
from database.tasks import OPEN
from mail.decisions import CHANNEL
from rules.program import Program
from staff.figures.computation import Period, Share

PUNCTUAL: Final = timedelta(seconds=10)
"""How long after its due instant a message counts as handed over in time."""

FEWEST: Final = 3
"""Messages that must have a fault before its rate has a level: one of five says little."""

MOST_ADDRESSES: Final = 200
"""Addresses that are listed at most, those with the most faults first."""

# Amazon SES reviews an account at 5 % of bounces or 0.1 % of complaints, and warns before; Gmail wants complaints
# below 0.1 % and never at 0.3 %. Refusals for other causes hurt less, and are watched alike.
LEVELS: Final = {"bounces": (2.0, 5.0), "refusals": (2.0, 5.0), "complaints": (0.1, 0.3)}
"""The percentages from which a rate is a warning, and an alarm."""

_ADDRESS_REFUSED: Final = "the address was refused"


@dataclass(frozen=True, slots=True)
class Rate:
    """A kind of fault among the messages that the mail server was given."""

    share: Share
    level: str
    """`ok`, `warning` or `alarm`."""


@dataclass(frozen=True, slots=True)
class ProblemAddress:
    """An address whose mail came back or was refused."""

    address: str
    member: str | None
    faults: dict[str, int]
    """How often, by class: `hard`, `refused`, `complaint` or `soft`."""
    last_at: datetime
    cause: str
    """The words of the last one."""
    suppressed: bool


@dataclass(frozen=True, slots=True)
class ChannelState:
    """The way to the mail server now."""

    stopped_at: datetime | None
    """Since when it is stopped because mail came back for our own account; None while it is open."""
    reason: str | None
    tasks: tuple[str, ...]
    """The causes of the open tasks about it, such as a refused login."""
    waiting: int
    """Messages that are due and have no decision."""
    oldest: datetime | None
    """Since when the oldest of them is due."""
    trouble: str | None
    """What the mail server said of it last."""

    @property
    def is_open(self) -> bool:
        """Whether nothing speaks against sending."""
        return self.stopped_at is None and not self.tasks


@dataclass(frozen=True, slots=True)
class MailHealth:
    """How mail fared over a period, and how it stands."""

    period: Period
    zone: str
    days: dict[date, dict[str, int]]
    """For each local day the number of each decision."""
    punctual: Share
    """Of what was sent, how much was handed over within PUNCTUAL of its due instant."""
    rates: dict[str, Rate]
    """By the keys of LEVELS."""
    came_back: dict[tuple[str, str], int]
    """By class and domain, the most frequent first."""
    addresses: tuple[ProblemAddress, ...]
    suppressed: tuple[Suppression, ...]
    """All suppressed addresses, the newest first."""
    channel: ChannelState


_COLUMNS = (
    *(Message.state, Message.decided_at, Message.due_at, Message.planned_at, Message.attempted_at),
    *(Message.came_back, Message.came_back_at, Message.came_back_reason, Message.reason, Message.response),
    *(Message.recipient, Message.member_id),
)


async def mail_health(session: AsyncSession, program: Program, period: Period, now: datetime) -> MailHealth:
    """Return how the mail of a program fared over local days, and how the channel stands at an instant."""
    zone = program.hours.zone
    since, until = period.instants(zone)
    rows = (
        await session.execute(
            select(*_COLUMNS).where(
                Message.program == program.id, Message.decided_at >= since, Message.decided_at < until
            )
        )
    ).all()
    suppressed = tuple(await suppressions.listed(session))
    faults = [(row, kind) for row in rows if (kind := _fault(row))]
    return MailHealth(
        period,
        zone,
        _by_day(rows, zone),
        _punctual(rows),
        _rates(rows, faults),
        dict(Counter((kind, _domain(row)) for row, kind in faults).most_common()),
        _addresses(faults, {each.address for each in suppressed}),
        suppressed,
        await channel_state(session, now),
    )


async def channel_state(session: AsyncSession, now: datetime) -> ChannelState:
    """Return the state of the channel, which all programs share, at an instant."""
    stop = await session.get(ChannelStop, 1)
    causes = await session.scalars(
        select(Task.cause).where(Task.subject == CHANNEL, Task.state.in_(OPEN)).order_by(Task.id)
    )
    late = (
        Message.state.not_in(DECISIONS),
        Message.due_at <= now - PUNCTUAL,
        staff_orders.not_on_hold(),
    )
    waiting = await session.scalar(select(func.count()).select_from(Message).where(*late)) or 0
    oldest = await session.scalar(select(Message).where(*late).order_by(Message.due_at, Message.id).limit(1))
    return ChannelState(
        stop.stopped_at if stop else None,
        stop.reason if stop and stop.stopped_at else None,
        tuple(causes),
        waiting,
        oldest.due_at if oldest else None,
        oldest.trouble if oldest else None,
    )


def _by_day(rows: Iterable[Any], zone: str) -> dict[date, dict[str, int]]:
    found: dict[date, Counter[str]] = defaultdict(Counter)
    clock = ZoneInfo(zone)
    for row in rows:
        found[row.decided_at.astimezone(clock).date()][row.state] += 1
    return {day: dict(sorted(found[day].items())) for day in sorted(found)}


def _punctual(rows: Iterable[Any]) -> Share:
    # The instant of the decision is that of the due date where the two are close: the attempt has the real one.
    sent = [row for row in rows if row.state == "sent" and row.attempted_at and row.due_at]
    in_time = sum(row.attempted_at - max(row.due_at, row.planned_at) <= PUNCTUAL for row in sent)
    return Share(in_time, len(sent))


def _fault(row: Any) -> str:
    """Return the class of what went wrong with a message; empty where nothing did, or no server was asked."""
    if row.came_back:
        return str(row.came_back)
    if row.state != "failed" or row.response is None:
        return ""
    return "hard" if str(row.reason).startswith(_ADDRESS_REFUSED) else "refused"


def _rates(rows: Sequence[Any], faults: Sequence[tuple[Any, str]]) -> dict[str, Rate]:
    given = sum(row.state in ("sent", "ambiguous") or row.response is not None for row in rows)
    counts = Counter(kind for _, kind in faults)
    kinds = {"bounces": "hard", "refusals": "refused", "complaints": "complaint"}
    return {name: _rate(name, Share(counts[kind], given)) for name, kind in kinds.items()}


def _rate(name: str, share: Share) -> Rate:
    warning, alarm = LEVELS[name]
    percent = share.percent or 0.0
    if share.part < FEWEST or percent < warning:
        return Rate(share, "ok")
    return Rate(share, "alarm" if percent >= alarm else "warning")


def _domain(row: Any) -> str:
    return (row.recipient or "").rpartition("@")[2].lower()


def _addresses(faults: Sequence[tuple[Any, str]], suppressed: set[str]) -> tuple[ProblemAddress, ...]:
    by_address: dict[str, list[tuple[Any, str]]] = defaultdict(list)
    for row, kind in faults:
        by_address[(row.recipient or "").lower()].append((row, kind))
    found = []
    for address, theirs in by_address.items():
        last = max((row for row, _ in theirs), key=_when)
        counts = dict(Counter(kind for _, kind in theirs))
        cause = last.came_back_reason or last.reason or ""
        found.append(
            ProblemAddress(address, last.member_id, counts, _when(last), cause, address in suppressed)
        )
    found.sort(key=lambda each: (-sum(each.faults.values()), each.address))
    return tuple(found[:MOST_ADDRESSES])


def _when(row: Any) -> datetime:
    at: datetime = row.came_back_at or row.decided_at
    return at
