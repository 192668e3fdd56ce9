"""The facts of a cohort: ids, days and instants, never personal data (MEM6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from rules.acts import Received
from rules.agenda import Ended
from rules.cohort.window import CohortDays


@dataclass(frozen=True, slots=True)
class CohortFacts:
    """Everything that decides a cohort, except for its people and pairs, which are rows (COH1–COH3)."""

    cohort: str
    program: str
    announced_at: datetime
    opens: str
    """The first day of the window, YYYY-MM-DD, in the program's zone; the other days likewise."""
    closes: str
    kick_off: str
    months: int
    partners: list[str] = field(default_factory=list)
    """The partners whose people take part; empty for everybody."""
    by_event: str = ""
    """The stored event that scheduled it last; empty for a cohort of a yearly window."""
    asked: int = 0
    """How many proposals staff asked for, beside the first one."""
    proposals: int = 0
    """The number of the last proposal that was made."""
    proposed_at: datetime | None = None
    """When the first proposal was made."""
    confirmations: int = 0
    """How often staff confirmed pairs."""
    confirmed_at: datetime | None = None
    """When they did so first."""
    ended: Ended | None = None
    """A cancellation by staff."""
    received: Received = field(default_factory=Received)
    taken_over_at: datetime | None = None
    """No cohort is taken over: None."""

    @property
    def days(self) -> CohortDays:
        """Its days."""
        opens, closes, kick_off = map(date.fromisoformat, (self.opens, self.closes, self.kick_off))
        return CohortDays(opens, closes, kick_off, self.months)
