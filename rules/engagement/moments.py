"""The moments at which acts moved the messages of an engagement (ENG3, ENG5, ENG6, ENG8, ENG11)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from rules.calendar import Calendar
from rules.engagement.dates import EndChange, finished_pauses, given_ends
from rules.engagement.facts import MISCONDUCT, EngagementFacts
from rules.pauses import FinishedPauses, Pause, merge_pauses
from rules.pauses import finished as over
from rules.program import EngagementPolicy


@dataclass(frozen=True, slots=True)
class Moment:
    """The start, or an act that moved messages, and what was in force from then on."""

    at: datetime
    pauses: FinishedPauses
    """The pauses that were over."""
    end: EndChange
    """The planned end."""
    ends: int
    """How many planned ends there were until then."""
    suspended: bool
    held: bool
    """Whether a pause was open that had begun before the planned end."""


def moments_of(facts: EngagementFacts, policy: EngagementPolicy, program: Calendar) -> list[Moment]:
    """Return the start and each act that moves messages, in order."""
    ends = given_ends(facts, policy, program)
    moments = []
    finished, counted = finished_pauses([], program), 0
    for at, begun, resumed, new_ends in _acts(facts):
        if resumed > counted:
            finished, counted = _and_resumed(finished, facts.pauses[:resumed], counted, program), resumed
        end = ends[new_ends].moved(finished)
        open_pauses = _open(facts.pauses[:begun], resumed)
        moments.append(
            Moment(
                at=at,
                pauses=finished,
                end=end,
                ends=new_ends + 1,
                suspended=any(pause.cause == MISCONDUCT for pause in open_pauses),
                held=any(pause.since < end.closes for pause in open_pauses),
            )
        )
    return moments


def _and_resumed(
    finished: FinishedPauses, resumed: list[Pause], counted: int, program: Calendar
) -> FinishedPauses:
    """Return the finished pauses of an earlier moment with those that were resumed since."""
    new = merge_pauses(pause for pause in resumed[counted:] if pause.until is not None)
    if new and finished.until and new[0].since <= finished.until[-1]:
        return finished_pauses(resumed, program)
    return finished.and_later(over(new))


def _open(begun: list[Pause], resumed: int) -> list[Pause]:
    """Return the pauses that were open after the first `resumed` of them had been resumed."""
    return [pause for number, pause in enumerate(begun) if number >= resumed or pause.until is None]


def _acts(facts: EngagementFacts) -> Iterator[tuple[datetime, int, int, int]]:
    """Yield the instant of the start and of each act, with the pauses begun and resumed and the new ends until then."""
    begun = resumed = new_ends = 0
    at = facts.mailed_at
    for act in ("start", *facts.acts):
        if act == "end":
            at = facts.new_ends[new_ends].at
            new_ends += 1
        elif act == "pause":
            at = facts.pauses[begun].since
            begun += 1
        elif act == "resume":
            at = max(pause.until for pause in facts.pauses[:begun] if pause.until)
            resumed = begun
        yield at, begun, resumed, new_ends
