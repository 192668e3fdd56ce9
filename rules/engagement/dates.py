"""The dates of an engagement: start, planned end, gate, pulses (T3, ENG1, ENG3, ENG5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime

from rules.agenda import Refused
from rules.calendar import Calendar, add_months
from rules.engagement.facts import STAFF, EngagementFacts, NewEnd
from rules.pauses import close_at, end_open_pauses, merge_pauses, reached_on
from rules.program import EngagementPolicy


def start_day(facts: EngagementFacts, program: Calendar) -> date:
    """The first day, in the program's zone (ENG1). `program` is the program's own calendar, here and below."""
    return program.date_of(facts.started_at)


def planned_end(
    facts: EngagementFacts, policy: EngagementPolicy, program: Calendar, at: datetime | None = None
) -> date:
    """The day on which it is planned to end, moved by paused days (ENG3, ENG5, ENG6, ENG11).

    With `at`, an open pause counts as far as that instant; without, it does not count yet.
    """
    return end_changes(counted_pauses(facts, at), policy, program)[-1].day


def gate_day(facts: EngagementFacts, gate_months: int, program: Calendar, at: datetime | None = None) -> date:
    """The day on which it has been active for so many months: paused days do not count (CPE1, ENG11).

    `at` as for `planned_end`.
    """
    return reached_on(start_day(facts, program), gate_months, facts.pauses, program, before=at)


def end_day(facts: EngagementFacts, policy: EngagementPolicy, program: Calendar) -> date:
    """The day on which it ended, or on which it will by its plan (CPE1)."""
    return program.date_of(facts.ended.at) if facts.ended else planned_end(facts, policy, program)


def pulse_at(facts: EngagementFacts, policy: EngagementPolicy, program: Calendar, at: datetime) -> int:
    """The number of the pulse that an answer at an instant counts for: the last one before it; 0 before the first.

    A pulse's answers count until the day of the next (ENG4).
    """
    facts, today, number = counted_pauses(facts, at), program.date_of(at), 0
    start, pauses = start_day(facts, program), merge_pauses(facts.pauses)
    while close_at(pulse_day(policy, start, number + 1), pauses, program)[0] <= today:
        number += 1
    return number


@dataclass(frozen=True, slots=True)
class EndChange:
    """A planned end: when it was set, the day as it was set, from when on pauses move it, and the day and the
    instant that come of it."""

    set_at: datetime
    given: date
    moves_from: datetime
    day: date
    closes: datetime
    extension: bool


def end_changes(facts: EngagementFacts, policy: EngagementPolicy, program: Calendar) -> list[EndChange]:
    """The planned end at first, and after each change (ENG3, ENG5, ENG6, T3). An open pause moves nothing yet."""
    start = start_day(facts, program)
    pauses = [pause for pause in facts.pauses if pause.until is not None]
    anchor, months, moves_from = start, facts.months or policy.default_months, facts.started_at
    ends = []
    for new in (NewEnd(facts.started_at, "request", months=months), *facts.new_ends):
        if new.end:
            anchor, months, moves_from = date.fromisoformat(new.end), 0, new.at
        elif new.by in ("request", "plan"):
            anchor, months, moves_from = start, new.months, facts.started_at
        else:
            months += new.months
        given = add_months(anchor, months)
        day, closes = close_at(given, merge_pauses(pauses, since=moves_from), program)
        ends.append(EndChange(new.at, given, moves_from, day, closes, new.by in ("parties", STAFF)))
    return ends


def pulse_day(policy: EngagementPolicy, start: date, number: int) -> date:
    return add_months(start, policy.pulse_from_month + number - 1)


def counted_pauses(facts: EngagementFacts, at: datetime | None) -> EngagementFacts:
    """The facts as if every open pause ended at an instant."""
    if at is None or not facts.paused:
        return facts
    return replace(facts, pauses=end_open_pauses(facts.pauses, at))


def after_start(facts: EngagementFacts, at: datetime) -> datetime:
    """The instant of an act, never before that of an earlier one: an act told late counts from the last one on."""
    pauses = (instant for pause in facts.pauses for instant in (pause.since, pause.until) if instant)
    return max([at, facts.started_at, *pauses, *(new.at for new in facts.new_ends)])


def day_of(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused("a date is written like 2028-03-14") from None
