"""The dates of an engagement: start, planned end, gate, pulses (T3, ENG1, ENG3, ENG5).

`program` is the program's own calendar in every function of this package.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime

from rules.agenda import Refused
from rules.calendar import Calendar, add_months
from rules.engagement.facts import STAFF, EngagementFacts, NewEnd
from rules.pauses import FinishedPauses, Pause, end_open_pauses, finished, merge_pauses, reached_on
from rules.program import EngagementPolicy


def start_day(facts: EngagementFacts, program: Calendar) -> date:
    """Return the first day, in the program's zone (ENG1)."""
    return program.date_of(facts.started_at)


def planned_end(
    facts: EngagementFacts, policy: EngagementPolicy, program: Calendar, at: datetime | None = None
) -> date:
    """Return the last day by plan, moved by paused days (ENG3, ENG5, ENG6, ENG11).

    With `at`, an open pause counts up to that instant; without, it does not count yet.
    """
    return end_changes(as_if_resumed(facts, at), policy, program)[-1].day


def gate_day(facts: EngagementFacts, gate_months: int, program: Calendar, at: datetime | None = None) -> date:
    """Return the day on which the engagement has been active for the months of the gate (CPE1, ENG11).

    Paused days do not count. `at` as for `planned_end`.
    """
    return reached_on(start_day(facts, program), gate_months, facts.pauses, program, before=at)


def end_day(facts: EngagementFacts, policy: EngagementPolicy, program: Calendar) -> date:
    """Return the day on which the engagement ended, or the planned one while it goes on (CPE1)."""
    return program.date_of(facts.ended.at) if facts.ended else planned_end(facts, policy, program)


def pulse_at(facts: EngagementFacts, policy: EngagementPolicy, program: Calendar, at: datetime) -> int:
    """Return the number of the pulse that an answer at an instant counts for; 0 before the first pulse (ENG4).

    An answer counts for the latest pulse, until the day of the next one.
    """
    facts, today, number = as_if_resumed(facts, at), program.date_of(at), 0
    start, pauses = start_day(facts, program), finished_pauses(facts.pauses, program)
    while pauses.close_at(pulse_day(policy, start, number + 1))[0] <= today:
        number += 1
    return number


@dataclass(frozen=True, slots=True)
class EndChange:
    """A planned end, from when it is set until the next one replaces it."""

    set_at: datetime
    given: date
    """The day as it was set, before pauses move it."""
    moves_from: datetime
    """The instant from which pauses move the end."""
    day: date
    """The last day, moved by pauses."""
    closes: datetime
    """Close of business of that day."""
    extension: bool


def end_changes(facts: EngagementFacts, policy: EngagementPolicy, program: Calendar) -> list[EndChange]:
    """Return the first planned end, and the planned end after each change (ENG3, ENG5, ENG6, T3).

    An open pause moves nothing yet.
    """
    pauses = finished_pauses(facts.pauses, program)
    return [end.moved(pauses) for end in given_ends(facts, policy, program)]


@dataclass(frozen=True, slots=True)
class GivenEnd:
    """A planned end as it was set, before pauses move it."""

    set_at: datetime
    given: date
    moves_from: datetime
    extension: bool

    def moved(self, pauses: FinishedPauses) -> EndChange:
        """Return the end as pauses move it."""
        day, closes = pauses.close_at(self.given, self.moves_from)
        return EndChange(self.set_at, self.given, self.moves_from, day, closes, self.extension)


def given_ends(facts: EngagementFacts, policy: EngagementPolicy, program: Calendar) -> list[GivenEnd]:
    """Return the first planned end, and the one after each change, as they were set."""
    start = start_day(facts, program)
    anchor, months, moves_from = start, facts.months or policy.default_months, facts.started_at
    first = NewEnd(facts.started_at, "request", months=months)
    if facts.ends_on:
        first = NewEnd(facts.started_at, "cohort", end=facts.ends_on)
    given = []
    for new in (first, *facts.new_ends):
        if new.end:
            anchor, months, moves_from = date.fromisoformat(new.end), 0, new.at
        elif new.by in ("request", "plan"):
            anchor, months, moves_from = start, new.months, facts.started_at
        else:
            months += new.months
        extension = new.by in ("parties", STAFF)
        given.append(GivenEnd(new.at, add_months(anchor, months), moves_from, extension))
    return given


def finished_pauses(pauses: Iterable[Pause], program: Calendar) -> FinishedPauses:
    """Return those of an engagement's pauses that are over, as they move its days."""
    over = (pause for pause in pauses if pause.until is not None)
    return FinishedPauses(finished(merge_pauses(over)), program)


def held_since(facts: EngagementFacts, closes: datetime) -> datetime | None:
    """Return when the first open pause began that holds the planned end, which comes at `closes`."""
    return min(
        (pause.since for pause in facts.pauses if pause.until is None and pause.since < closes), default=None
    )


def pulse_day(policy: EngagementPolicy, start: date, number: int) -> date:
    """Return the day of a pulse before pauses move it; number 0 is a month before the first one (ENG4, T3)."""
    return add_months(start, policy.pulse_from_month + number - 1)


def as_if_resumed(facts: EngagementFacts, at: datetime | None) -> EngagementFacts:
    """Return the facts as if every open pause ended at an instant; unchanged for None."""
    return facts if at is None else replace(facts, pauses=end_open_pauses(facts.pauses, at))


def not_before_last_act(facts: EngagementFacts, at: datetime) -> datetime:
    """Return the instant of an act, or the instant of the last act before it if that is later.

    An act that is reported late takes effect from the last recorded act on.
    """
    pauses = (instant for pause in facts.pauses for instant in (pause.since, pause.until) if instant)
    return max([at, facts.started_at, *pauses, *(new.at for new in facts.new_ends)])


def parse_day(text: str) -> date:
    """Parse a date of an act. Raises Refused."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused("a date is written like 2028-03-14") from None
