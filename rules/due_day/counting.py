"""The values behind the day of a message: what it is counted from, and on whose calendar."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from rules.calendar import Calendar
from rules.program import Program


@dataclass(frozen=True, slots=True)
class CalendarOwner:
    """A person on whose calendar a day is counted or moved."""

    name: str
    calendar: Calendar

    @property
    def label(self) -> str:
        """The name with the country whose holidays count, as in `Jo (US)`."""
        where = "-".join(filter(None, (self.calendar.country, self.calendar.subdivision)))
        return f"{self.name} ({where})"


@dataclass(frozen=True, slots=True)
class Case:
    """A message of a lifecycle, with what decides its day."""

    message: str
    facts: Any
    """The facts of its lifecycle."""
    program: Program
    counting: Calendar
    """The program's own calendar."""
    recipient: CalendarOwner
    acting: CalendarOwner
    """Who has to act: the mentor of a request, else the recipient."""
    due: datetime | None
    """The instant in the ledger; None while it is held."""
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """A day that is counted from another one."""

    rule: str
    amount: int
    """Negative for days before `since`; 0 where `since` itself is the day."""
    unit: str
    """`day`, `month` or `business day`."""
    since: date
    day: date
    """The day before weekends, holidays and pauses move it."""
    what: str = ""
    """What `since` is, for an amount of 0."""
    at: datetime | None = None
    """The instant itself, where it is no send time: a close of business (T2)."""
    breaks: int = 0
    """By how many days of breaks in the curriculum the day moves (COH4)."""


@dataclass(frozen=True, slots=True)
class AtOnce:
    """A message that answers something that happened (T4)."""

    rule: str
    event: str
    """What happened, in words that follow `when`."""
