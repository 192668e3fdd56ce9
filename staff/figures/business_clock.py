"""Business hours and deadlines of many requests: the business days of a calendar are looked up once (T1, T2)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import accumulate

from rules.calendar import Calendar
from staff.figures.source import Asked

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_MARGIN = timedelta(days=31)
"""Days behind the last instant of a clock: most deadlines lie within."""


class BusinessClock:
    """The business days of a calendar in some years, and how much business time is over at any instant of them."""

    def __init__(self, calendar: Calendar, first: date, last: date) -> None:
        days = (first + n * _DAY for n in range((last - first).days + 1))
        self._calendar = calendar
        self._days = [day for day in days if calendar.is_business_day(day)]
        self._opens = [calendar.instant(day, calendar.hours.send_time) for day in self._days]
        self._closes = [calendar.instant(day, calendar.hours.close_of_business) for day in self._days]
        lengths = (closes - opens for opens, closes in zip(self._opens, self._closes, strict=True))
        self._over = list(accumulate(lengths, initial=timedelta()))

    def hours(self, since: datetime, until: datetime) -> float:
        """Return the hours between two instants that lie in business days, from send time to close (T1, T2)."""
        return max(self._before(until) - self._before(since), timedelta()) / _HOUR

    def deadline(self, since: datetime, business_days: int) -> datetime:
        """Return the close of business on the n-th business day after the local day of an instant (T2)."""
        place = bisect_right(self._days, self._calendar.date_of(since)) + business_days - 1
        if business_days > 0 and place < len(self._closes):
            return self._closes[place]
        return self._calendar.deadline(since, business_days)

    def _before(self, at: datetime) -> timedelta:
        """Return the business time from the clock's first day to an instant."""
        begun = bisect_right(self._opens, at)
        if not begun:
            return timedelta()
        return self._over[begun - 1] + min(at, self._closes[begun - 1]) - self._opens[begun - 1]


class BusinessClocks:
    """The clocks of all whom some requests ask."""

    def __init__(self, requests: Sequence[Asked]) -> None:
        self._by_calendar: dict[int, BusinessClock] = {}
        if not requests:
            return
        first = min(each.at for each in requests).date() - _DAY
        last = max(each.closed_at or each.at for each in requests).date() + _MARGIN
        # Equal calendars are mostly one object, and to hash one takes longer than all the rest.
        for calendar in {id(each.mentor): each.mentor for each in requests}.values():
            self._by_calendar[id(calendar)] = _clock(calendar, first.year, last.year)

    def of(self, asked: Asked) -> BusinessClock:
        """Return the clock of who is asked."""
        return self._by_calendar[id(asked.mentor)]


def business_hours(calendar: Calendar, since: datetime, until: datetime) -> float:
    """Return the hours between two instants that lie in a person's business days, from send time to close (T1, T2)."""
    return BusinessClock(calendar, calendar.date_of(since), calendar.date_of(until)).hours(since, until)


@lru_cache(maxsize=256)
def _clock(calendar: Calendar, first: int, last: int) -> BusinessClock:
    return BusinessClock(calendar, date(first, 1, 1), date(last, 12, 31))
