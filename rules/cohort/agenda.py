"""The agenda of a cohort: announced, open, paired, reviewed, confirmed, running, closed (COH1–COH3).

It has states and staff tasks. Its mails are planned in batches, beside the agenda: there may be thousands.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from rules.agenda import Agenda, PlannedTask, StateChange
from rules.calendar import Calendar
from rules.cohort.facts import CohortFacts

REVIEW = "pairing_review"
"""The kind of the task that asks staff to look at proposed pairs."""

_DAY = timedelta(days=1)


def starts_at(facts: CohortFacts, calendar: Calendar) -> datetime | None:
    """Return when the confirmed pairs start: at the kick-off, or at a later confirmation; None before one (COH3)."""
    if facts.confirmed_at is None:
        return None
    return max(facts.days.kick_off_at(calendar), facts.confirmed_at)


def closes_at(facts: CohortFacts, calendar: Calendar) -> datetime:
    """Return when a cohort closes: on the business day after the last day of its pairs, at the send time."""
    return calendar.send_at(facts.days.ends + _DAY)


def proposal_due(facts: CohortFacts, calendar: Calendar, at: datetime) -> int:
    """Return the number of the proposal that should be there by an instant; 0 before the first one is due (COH2)."""
    review_at = max(facts.days.review_at(calendar), facts.announced_at)
    return facts.asked + 1 if at >= review_at and facts.ended is None else 0


def agenda(facts: CohortFacts, calendar: Calendar) -> Agenda:
    """Return everything that a cohort does, without its mails; `calendar` is the program's (COH1–COH3)."""
    changes = _state_changes(facts, calendar)
    tasks = _tasks(facts, calendar)
    window_over = facts.days.closes_at(calendar)
    if ended := facts.ended:
        changes = [
            *(change for change in changes if change.due < ended.at and not change.closes),
            StateChange(ended.at, ended.state, ended.cause, closes=True),
        ]
        tasks = [task for task in tasks if task.due < ended.at]
        return Agenda((), tuple(changes), tuple(tasks), dropped_because=ended.cause, has_batches=True)
    return Agenda((), tuple(changes), tuple(tasks), recheck_at=(window_over,), has_batches=True)


def state_at(facts: CohortFacts, calendar: Calendar, at: datetime) -> str:
    """Return the state in force at an instant."""
    return agenda(facts, calendar).state_at(at)


def _state_changes(facts: CohortFacts, calendar: Calendar) -> list[StateChange]:
    days, announced = facts.days, facts.announced_at
    changes = [
        StateChange(announced, "announced", "the cohort is planned"),
        StateChange(max(days.opens_at(calendar), announced), "open", "its window is open"),
    ]
    review_at = max(days.review_at(calendar), announced)
    changes.append(StateChange(review_at, "pairing", "its window is over"))
    if facts.proposed_at:
        changes.append(StateChange(max(facts.proposed_at, review_at), "review", "the pairs are proposed"))
    starts = starts_at(facts, calendar)
    if facts.confirmed_at and starts:
        changes.append(StateChange(facts.confirmed_at, "confirmed", "staff confirmed the pairs"))
        changes.append(StateChange(starts, "running", "the pairs start"))
    cause = "its last day is over" if starts else "its last day is over, and nobody confirmed its pairs"
    closes = closes_at(facts, calendar)
    return [
        *(change for change in changes if change.due < closes),
        StateChange(closes, "closed", cause, closes=True),
    ]


def _tasks(facts: CohortFacts, calendar: Calendar) -> list[PlannedTask]:
    if facts.proposed_at is None or facts.confirmed_at is not None:
        return []
    command = f"throughline cohort show {facts.cohort}"
    kick_off = facts.days.kick_off_at(calendar)
    tasks = [
        PlannedTask(
            facts.proposed_at,
            REVIEW,
            "the pairs are proposed",
            f"Look at the pairs ({command}). Lock, forbid or exchange some if you like, and run the pairing again. "
            "Then confirm: everybody is mailed.",
        )
    ]
    if kick_off > facts.proposed_at:
        late = "The kick-off has come. Confirm the pairs: they start at the confirmation, and everybody is mailed."
        tasks.append(PlannedTask(kick_off, REVIEW, "the kick-off has come without pairs", late))
    return tasks
