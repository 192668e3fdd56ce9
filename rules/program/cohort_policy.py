"""The `[cohort]` of a program file: people register in a window, are paired at once, and start on one day (COH1, COH3).

A program with this table is a cohort program. Its cohorts come each year, where the file names their days, or by the
event `cohort.scheduled`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

from rules.program.toml_schema import field, table
from rules.program.values import NAME
from rules.validation import Issue, ValidationError, integer, matching, quote, text_of

LONGEST_WAIT = 183
"""The most days from the end of a window to its kick-off: more is a mistake in one of the days."""

DAYS_OF_A_MONTH = 28
"""The fewest days that a calendar month has."""

_MONTH_DAY = re.compile(r"[0-9]{2}-[0-9]{2}")
_COMMON_YEAR = 2001
_DAYS = ("opens", "closes", "kick_off")


def day_of_each_year(value: object) -> str:
    """Read a month and a day that every year has, like `04-21`: 29 February is none."""
    text = text_of(value)
    if _MONTH_DAY.fullmatch(text):
        if text == "02-29":
            raise ValidationError("must be a day that every year has, unlike 02-29")
        try:
            date.fromisoformat(f"{_COMMON_YEAR}-{text}")
        except ValueError:
            raise ValidationError(f"must be a day that the calendar has, not {quote(text)}") from None
        return text
    raise ValidationError(f"must be a month and a day like 04-21, not {quote(text)}")


def in_year(day: str, year: int) -> date:
    """Return a day of each year in one year."""
    return date.fromisoformat(f"{year:04}-{day}")


def first_after(day: str, earlier: date) -> date:
    """Return the first day of that name after a date."""
    found = in_year(day, earlier.year)
    return found if found > earlier else in_year(day, earlier.year + 1)


@table
class CohortPolicy:
    """How the cohorts of a program run (COH1, COH3). Days are whole days of the program's zone."""

    opens: str | None = field(
        day_of_each_year, "COH1", about="the first day of each year's window to register", default=None
    )
    closes: str | None = field(
        day_of_each_year,
        "COH1",
        about="the last day of the window; it may lie in the next year",
        default=None,
    )
    kick_off: str | None = field(
        day_of_each_year, "COH3", about="the day on which the pairs of the window start", default=None
    )
    months: int = field(
        integer(1, 60), "COH3", about="months that all pairs of a cohort have, from the kick-off"
    )
    graduation_days: int = field(
        integer(1, 365), "COH3", about="days before the end for the invitation to graduation", default=14
    )
    graduation: str = field(
        matching(NAME, "the name of a resource, like graduation"),
        "COH3",
        "MEE2",
        about="the resource that the invitation to graduation links to",
        default="graduation",
    )

    @property
    def is_yearly(self) -> bool:
        """Whether its cohorts come each year; else each is scheduled by an event."""
        return self.opens is not None

    def conflicts(self) -> Iterator[Issue]:
        """Yield an issue for days that are not all there, or in no order, and for a graduation before the start."""
        if self.graduation_days >= self.months * DAYS_OF_A_MONTH:
            reason = f"must be less than the days of {self.months} months, which is {self.months * DAYS_OF_A_MONTH}"
            yield Issue(("graduation_days",), reason)
        if self.opens is None or self.closes is None or self.kick_off is None:
            if any(getattr(self, name) is not None for name in _DAYS):
                for name in _DAYS:
                    if getattr(self, name) is None:
                        yield Issue((name,), "is missing: a yearly window needs opens, closes and kick_off")
            return
        opens = in_year(self.opens, _COMMON_YEAR)
        closes = opens if self.closes == self.opens else first_after(self.closes, opens)
        if closes - opens > timedelta(days=LONGEST_WAIT):
            yield Issue(("closes",), f"must come at most {LONGEST_WAIT} days after opens")
        elif first_after(self.kick_off, closes) - closes > timedelta(days=LONGEST_WAIT):
            yield Issue(("kick_off",), f"must come after closes, and at most {LONGEST_WAIT} days after it")
