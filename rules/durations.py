"""ISO 8601 durations, as in program files and scenarios: `P7D`, `PT6H`, `P9M`, `P1Y2M3DT4H5M6S`, `P2W`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rules.calendar import add_months, instant_in, local_in

_FORM = re.compile(
    r"P(?=.)(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=.)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?",
    re.ASCII,
)
_LONGEST_MONTHS = 12 * 1000
_LONGEST = timedelta(days=366 * 1000)


@dataclass(frozen=True, slots=True)
class Duration:
    """Calendar months, calendar days and exact seconds, none of them negative."""

    months: int = 0
    days: int = 0
    seconds: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for a negative part."""
        if min(self.months, self.days, self.seconds) < 0:
            raise ValueError("a duration is never negative")

    def after(self, start: datetime, zone: str) -> datetime:
        """Return the UTC instant after this duration, by the clocks of a zone.

        Months and days go by the zone's calendar and keep the local time: months first, clamped to the month's
        last day (T3); a time that a clock change skips or repeats as in T5. The seconds are exact time after
        that. Raises ValueError for a start without a zone, or an unknown zone.
        """
        local = local_in(zone, start)
        if not (self.months or self.days):
            return start.astimezone(UTC) + timedelta(seconds=self.seconds)
        day = add_months(local.date(), self.months) + timedelta(days=self.days)
        return instant_in(zone, day, local.time()) + timedelta(seconds=self.seconds)

    def timedelta(self) -> timedelta:
        """Return the exact length, a day as 24 hours. Raises ValueError if it has months, whose length varies."""
        if self.months:
            raise ValueError("a duration with months or years has no exact length")
        return timedelta(days=self.days, seconds=self.seconds)


def parse_duration(text: str) -> Duration:
    """Parse an ISO 8601 duration in whole numbers: years, months, weeks, days; after T hours, minutes, seconds.

    Raises ValueError for anything else, and for more than a thousand years.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is no ISO 8601 duration: write P7D, PT6H, P9M or P1Y2M3DT4H5M6S, in whole numbers"
        )
    if any(len(digits or "") > 12 for digits in match.groups()):
        raise ValueError(f"{text!r} is longer than a thousand years")
    part = {name: int(digits or 0) for name, digits in match.groupdict().items()}
    duration = Duration(
        months=12 * part["years"] + part["months"],
        days=7 * part["weeks"] + part["days"],
        seconds=3600 * part["hours"] + 60 * part["minutes"] + part["seconds"],
    )
    exact = duration.days * 86_400 + duration.seconds
    if duration.months > _LONGEST_MONTHS or exact > _LONGEST.total_seconds():
        raise ValueError(f"{text!r} is longer than a thousand years")
    return duration
