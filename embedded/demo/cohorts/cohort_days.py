"""The cohort that a demo plays: the next yearly window of its program, or one that is scheduled at the start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from embedded.demo.cast import Cast
from embedded.stack import EmbeddedStack
from rules.cohort import CohortDays, cohort_of_year, days_of_year
from rules.program import Program, program_calendar
from workflows.starting import announce_cohorts

_BEGINS: Final = time(10)
_LEAD: Final = timedelta(days=1)
"""A clock that skips cannot go back: the demo begins at least so far ahead."""

_WINDOW, _TO_KICK_OFF = timedelta(days=11), timedelta(days=28)
"""From the first day of a scheduled window, a Monday, to its last one, and to the kick-off."""


@dataclass(frozen=True, slots=True)
class DemoCohort:
    """The cohort of a demo."""

    cohort: str
    days: CohortDays
    is_yearly: bool
    starts_at: datetime
    """When the demo begins: on the first morning of the window."""

    @property
    def workflow(self) -> str:
        """Its workflow id."""
        return f"cohort/{self.cohort}"


def cohort_ahead(program: Program, now: datetime) -> DemoCohort | None:
    """Return the cohort that a demo from now on plays; None for a program that pairs nobody by itself."""
    if program.cohort is None:
        return None
    calendar = program_calendar(program)
    year = calendar.date_of(now).year
    while True:
        yearly = days_of_year(program.cohort, year)
        days = yearly or _scheduled(program.cohort.months, year)
        starts_at = calendar.instant(days.opens, _BEGINS)
        if starts_at >= now + _LEAD:
            name = cohort_of_year(program.id, year)
            return DemoCohort(name, days, yearly is not None, starts_at)
        year += 1


async def announce(stack: EmbeddedStack, demo: DemoCohort, cast: Cast, program: Program) -> None:
    """Announce a cohort at its demo's start: by the yearly window, or by the event that schedules it (COH1)."""
    if demo.is_yearly:
        await announce_cohorts(stack.clock.client, stack.database, {program.id: program}, demo.starts_at)
        return
    days = demo.days
    event = {
        "cohort": demo.cohort,
        "program": program.id,
        "opens": days.opens.isoformat(),
        "closes": days.closes.isoformat(),
        "kick_off": days.kick_off.isoformat(),
        "partners": list(cast.partners),
    }
    await stack.send_events(demo.starts_at, [("cohort.scheduled", event)])


def _scheduled(months: int, year: int) -> CohortDays:
    """Return the days of a cohort whose window opens on the first Monday of February."""
    first = date(year, 2, 1)
    opens = first + timedelta(days=(7 - first.weekday()) % 7)
    return CohortDays(opens, opens + _WINDOW, opens + _TO_KICK_OFF, months)
