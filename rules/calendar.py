"""Business days, months, local send times and deadlines (T1-T5).

An instant is a timezone-aware datetime; every instant that comes out is in UTC. A day is a local `date` and
means nothing without a zone. Zones are IANA names. Zone and holiday data change with their packages, so
what is computed here is computed in activities and recorded (T7).
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

from rules.holiday_data import HolidayChange, country_code, public_holidays, subdivision_code, weekend

_DAY = timedelta(days=1)
_LONGEST_SEARCH = 3 * 366
_NO_PLACE = frozenset({"Factory", "localtime", "posixrules"})


@dataclass(frozen=True, slots=True)
class Hours:
    """The business hours of a program, from its file."""

    working_week: frozenset[int] | None
    """Weekdays of work for all, 0 for Monday; None for those that the weekend of each person's country leaves."""
    closing_days: frozenset[date]
    """Days on which nobody of the program has to act."""
    send_time: time
    """When scheduled mail goes out, on the recipient's clock (T4)."""
    close_of_business: time
    """When a due day ends, on the clock of the person who has to act (T2)."""
    country: str
    """The program's own country, subdivision and zone count for people whose own are unknown (T1)."""
    subdivision: str | None
    zone: str
    send_window: int = 0
    """Minutes after the send time over which scheduled mail is spread; 0 for none."""
    holidays: tuple[HolidayChange, ...] = ()
    """Holidays that the program strikes or adds, by country and subdivision."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """One person's days: the program's hours in the person's zone, with the holidays of their country.

    `calendar_for` makes one from what is known of a person. Every method raises ValueError for a zone,
    country or subdivision that does not exist.
    """

    hours: Hours
    zone: str
    country: str
    subdivision: str | None

    def local(self, at: datetime) -> datetime:
        """Return the instant on the person's clock. Raises ValueError for a datetime without a zone (T8)."""
        return local_in(self.zone, at)

    def date_of(self, at: datetime) -> date:
        """Return the person's local date at an instant."""
        return self.local(at).date()

    def instant(self, day: date, at: time) -> datetime:
        """Return the instant of a local time on a local day, by the offset of that day (T5)."""
        return instant_in(self.zone, day, at)

    def is_business_day(self, day: date) -> bool:
        """Return whether a day is a business day of the person (T1).

        A day that the zone skipped is none: Apia had no 30 December 2011.
        """
        hours = self.hours
        return (
            self._is_weekday_of_work(day)
            and day not in hours.closing_days
            and day not in public_holidays(self.country, self.subdivision, day.year, hours.holidays)
            and _has_day(self.zone, day)
        )

    def day_off(self, day: date) -> str:
        """Return why a day is no business day: `closing`, `holiday` or `weekend`; empty for a business day (T1)."""
        if self.is_business_day(day):
            return ""
        if day in self.hours.closing_days:
            return "closing"
        if day in public_holidays(self.country, self.subdivision, day.year, self.hours.holidays):
            return "holiday"
        return "weekend"

    def business_day_on_or_after(self, day: date) -> date:
        """Return the day itself or the next business day. Raises ValueError if three years have none."""
        return self._first_business_day(day, _DAY)

    def business_day_before(self, day: date) -> date:
        """Return the last business day before the day. Raises ValueError if three years have none."""
        return self._first_business_day(day - _DAY, -_DAY)

    def plus_business_days(self, day: date, n: int) -> date:
        """Return the n-th business day after the day, which itself does not count (T2); for 0 the day itself.

        Raises ValueError for a negative n, or if three years have no business day.
        """
        if n < 0:
            raise ValueError(f"business days are counted forward, not {n}")
        for _ in range(n):
            day = self.business_day_on_or_after(day + _DAY)
        return day

    def send_at(self, day: date) -> datetime:
        """Return the instant of scheduled mail for a day: the send time on it or on the next business day (T4)."""
        return self.instant(self.business_day_on_or_after(day), self.hours.send_time)

    def next_send_after(self, at: datetime) -> datetime:
        """Return the first send time strictly after an instant (T4)."""
        day = self.date_of(at)
        while (slot := self.send_at(day)) <= at:
            day += _DAY
        return slot

    def send_from(self, at: datetime) -> datetime:
        """Return the first send time at or after an instant (T4)."""
        return self.next_send_after(at - timedelta(microseconds=1))

    def deadline(self, since: datetime, business_days: int) -> datetime:
        """Return the close of business on the n-th business day after the local day of an instant (T2).

        Raises ValueError for less than one day.
        """
        if business_days < 1:
            raise ValueError(f"a deadline is at least one business day ahead, not {business_days}")
        day = self.plus_business_days(self.date_of(since), business_days)
        return self.instant(day, self.hours.close_of_business)

    def plus_days(self, at: datetime, days: int) -> datetime:
        """Return the same local time a number of calendar days later, or earlier if negative (T5)."""
        local = self.local(at)
        if not days:
            return at.astimezone(UTC)
        return self.instant(local.date() + timedelta(days=days), local.time())

    def _is_weekday_of_work(self, day: date) -> bool:
        if self.hours.working_week is not None:
            return day.weekday() in self.hours.working_week
        return day.weekday() not in weekend(self.country)

    def _first_business_day(self, day: date, step: timedelta) -> date:
        for steps in range(_LONGEST_SEARCH):
            candidate = day + steps * step
            if self.is_business_day(candidate):
                return candidate
        raise ValueError(
            f"no business day within three years of {day}: the program's working week and closing days leave none"
        )


def calendar_for(hours: Hours, zone: str | None, country: str | None, subdivision: str | None) -> Calendar:
    """Return the calendar of a person, with the program's values where their own are unknown (T1).

    An absent or unknown country means the program's country and subdivision; a subdivision that the country
    does not have is left out; an absent or unknown zone means the program's. Codes may be in lower case, and
    a subdivision may carry its country ("CO-ANT"). Raises ValueError if the program's own country or zone,
    where needed, does not exist.
    """
    person_country = country_code(country)
    if person_country is None:
        person_country, subdivision = country_code(hours.country), hours.subdivision
    if person_country is None:
        raise ValueError(f"the program's country {hours.country!r} has no holiday calendar")
    person_zone = zone if zone and known_zone(zone) else hours.zone
    if not known_zone(person_zone):
        raise ValueError(f"the program's zone {hours.zone!r} is no time zone")
    return Calendar(hours, person_zone, person_country, subdivision_code(person_country, subdivision))


def local_in(zone: str, at: datetime) -> datetime:
    """Return an instant on the clock of a zone.

    Raises ValueError for a datetime without a zone (T8), or an unknown zone.
    """
    if at.utcoffset() is None:
        raise ValueError(f"{at.isoformat()} has no time zone, so it is no instant")
    return at.astimezone(_zone(zone))


@lru_cache(maxsize=65536)
def _has_day(zone: str, day: date) -> bool:
    """Return whether the clocks of a zone show a day at all."""
    return local_in(zone, instant_in(zone, day, time.min)).date() == day


@lru_cache(maxsize=65536)
def instant_in(zone: str, day: date, at: time) -> datetime:
    """Return the UTC instant at which the clocks of a zone show a time on a day (T5).

    A time that a clock change skips becomes the first valid one after the gap; of one that occurs twice it is
    the first. Raises ValueError for an unknown zone.
    """
    place = _zone(zone)
    wall = datetime.combine(day, at.replace(tzinfo=None, fold=0))

    def shown(instant: datetime) -> datetime:
        return instant.astimezone(place).replace(tzinfo=None)

    first = wall.replace(tzinfo=place).astimezone(UTC)
    if shown(first) == wall:
        return first
    # In a gap fold 0 counts with the offset before the change and lands behind it; fold 1 lands ahead of it.
    second = wall.replace(microsecond=0, tzinfo=place)
    ahead, behind = second.replace(fold=1).astimezone(UTC), second.astimezone(UTC)
    seconds = range((behind - ahead) // timedelta(seconds=1))
    change = bisect_left(seconds, True, key=lambda n: shown(ahead + timedelta(seconds=n)) > wall)
    return ahead + timedelta(seconds=change)


def add_months(start: date, months: int) -> date:
    """Return the same day of the month a number of months later, clamped to the month's last day (T3).

    Always count from the anchor: 31 Jan + 2 is 31 Mar, while adding one month to 28 Feb gives 28 Mar.
    """
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return date(year, month + 1, min(start.day, monthrange(year, month + 1)[1]))


def months_between(start: date, day: date) -> int:
    """Return how many whole months a day is after the start: the greatest n with `add_months(start, n) <= day` (T3).

    Negative for a day before the start.
    """
    months = (day.year - start.year) * 12 + day.month - start.month
    return months if add_months(start, months) <= day else months - 1


def known_zone(name: str) -> bool:
    """Return whether the name is a time zone of the IANA database. Names are case-sensitive."""
    return name in _zone_names()


@cache
def _zone(name: str) -> ZoneInfo:
    if not known_zone(name):
        raise ValueError(f"{name!r} is no time zone")
    return ZoneInfo(name)


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones() - _NO_PLACE)
