"""The days of a cohort, and its instants: the window to register, the review, the kick-off, the end (COH1, COH3).

A window is whole days of the program's zone, both ends included. It lasts from the first instant of its first day to
the first instant of the day after its last one. So a clock change in its last hour moves no sign-up across its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from rules.calendar import Calendar, add_months
from rules.program import CohortPolicy
from rules.program.cohort_policy import first_after, in_year

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CohortDays:
    """The days of one cohort, local to the program's zone. Its instants take the program's calendar."""

    opens: date
    """The first day of the window."""
    closes: date
    """The last day of the window."""
    kick_off: date
    months: int

    @property
    def ends(self) -> date:
        """The last day of its pairs: the kick-off and its months (T3), whichever day a pair started."""
        return add_months(self.kick_off, self.months)

    def opens_at(self, calendar: Calendar) -> datetime:
        """Return the first instant of the window."""
        return calendar.instant(self.opens, time.min)

    def closes_at(self, calendar: Calendar) -> datetime:
        """Return the first instant after the window: the midnight that ends its last day."""
        return calendar.instant(self.closes + _DAY, time.min)

    def is_open_at(self, calendar: Calendar, at: datetime) -> bool:
        """Return whether an instant lies in the window."""
        return self.opens_at(calendar) <= at < self.closes_at(calendar)

    def review_at(self, calendar: Calendar) -> datetime:
        """Return when the pairs are proposed: the send time on the business day after the window (COH2)."""
        return calendar.send_at(self.closes + _DAY)

    def kick_off_at(self, calendar: Calendar) -> datetime:
        """Return when its engagements start: the send time of the kick-off, be it a holiday or not.

        The mail of the start leaves by the rules of mail (T4); the date from which months count stays.
        """
        return calendar.instant(self.kick_off, calendar.hours.send_time)

    def graduation_day(self, days_before: int) -> date:
        """Return the day of the invitation to graduation; mail leaves on it by T4."""
        return self.ends - timedelta(days=days_before)


def cohort_of_year(program: str, year: int) -> str:
    """Return the id of the cohort of a yearly window, by the year in which it opens."""
    return f"{program}-{year}"


def days_of_year(policy: CohortPolicy, year: int) -> CohortDays | None:
    """Return the days of the cohort whose window opens in a year; None where cohorts are scheduled by event.

    A window over New Year closes in the next year, and the kick-off is the first one after it closes.
    """
    if policy.opens is None or policy.closes is None or policy.kick_off is None:
        return None
    opens = in_year(policy.opens, year)
    closes = opens if policy.closes == policy.opens else first_after(policy.closes, opens)
    return CohortDays(opens, closes, first_after(policy.kick_off, closes), policy.months)


def window_at(policy: CohortPolicy, calendar: Calendar, at: datetime) -> int | None:
    """Return the year of the yearly window that is open at an instant; None outside of all."""
    this = calendar.date_of(at).year
    for year in (this - 1, this):
        days = days_of_year(policy, year)
        if days is not None and days.is_open_at(calendar, at):
            return year
    return None


def next_opening(
    policy: CohortPolicy, calendar: Calendar, at: datetime, scheduled: Iterable[CohortDays] = ()
) -> CohortDays | None:
    """Return the cohort whose window opens first after an instant; None while none is known.

    `scheduled` are the cohorts that events announced. A program with a yearly window always has a next one.
    """
    this = calendar.date_of(at).year
    yearly = (days_of_year(policy, year) for year in (this, this + 1))
    ahead = [days for days in (*yearly, *scheduled) if days is not None and days.opens_at(calendar) > at]
    return min(ahead, key=lambda days: (days.opens, days.closes, days.kick_off), default=None)


def in_window(
    policy: CohortPolicy, calendar: Calendar, at: datetime, scheduled: Iterable[CohortDays] = ()
) -> bool:
    """Return whether an instant lies in a window: the yearly one, or that of a cohort that an event announced."""
    if window_at(policy, calendar, at) is not None:
        return True
    return any(days.is_open_at(calendar, at) for days in scheduled)
