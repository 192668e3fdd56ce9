"""What staff and the program do to a cohort (COH1–COH3, STA1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

from rules.acts import Act
from rules.agenda import Ended, Refused
from rules.calendar import Calendar
from rules.cohort.agenda import closes_at, proposal_due, state_at
from rules.cohort.facts import CohortFacts
from rules.cohort.window import CohortDays

PAIRED_STATES = ("review", "confirmed", "running")
"""The states in which there are pairs to look at, to propose further ones, and to confirm."""


def apply(facts: CohortFacts, act: Act, now: datetime, calendar: Calendar) -> CohortFacts:
    """Return a cohort's facts after an act; `calendar` is the program's. Raises Refused."""
    at = max(act.at or now, facts.announced_at)
    _refuse_over(facts, calendar, at)
    match act.name:
        case "cancel":
            return cancel(facts, at, act.reason, act.actor)
        case "reschedule":
            return reschedule(facts, act, at, calendar)
        case "pair":
            return ask_for_pairs(facts, at, calendar)
        case "proposed":
            return proposed(facts, int(act.details["number"]), at)
        case "confirm":
            return confirm(facts, at, calendar)
    raise Refused(f"a cohort has no act {act.name}")


def cancel(facts: CohortFacts, at: datetime, reason: str = "", actor: str = "") -> CohortFacts:
    """Cancel a cohort. What its pairs have begun goes on: staff end or cancel that pair by pair."""
    cause = f"cancelled by staff: {reason}" if reason else "cancelled by staff"
    times = [facts.announced_at, facts.proposed_at, facts.confirmed_at]
    return replace(facts, ended=Ended("canceled", max(at, *filter(None, times)), cause, actor))


def reschedule(facts: CohortFacts, act: Act, at: datetime, calendar: Calendar) -> CohortFacts:
    """Give a cohort that has not opened other days (COH1). Raises Refused."""
    if at >= max(facts.days.opens_at(calendar), facts.announced_at):
        raise Refused(f"the window is open since {facts.opens}: its days stay")
    new = replace(
        facts,
        opens=act.details["opens"],
        closes=act.details["closes"],
        kick_off=act.details["kick_off"],
        months=int(act.details["months"]),
        partners=[name for name in act.details.get("partners", "").split("\n") if name],
        by_event=act.event,
    )
    refuse_past(new.days, calendar, at)
    return new


def refuse_past(days: CohortDays, calendar: Calendar, at: datetime) -> None:
    """Raise Refused for days of which the window is over."""
    if days.closes_at(calendar) <= at:
        raise Refused(f"its window was over on {days.closes.isoformat()}, before anybody could sign up")


def follow_program(
    facts: CohortFacts, days: CohortDays | None, at: datetime, calendar: Calendar
) -> CohortFacts:
    """Return the facts of a yearly cohort with the days that the program file has now, until it opens (COH5)."""
    if facts.by_event or days is None or facts.ended or at >= facts.days.opens_at(calendar):
        return facts
    return replace(
        facts,
        opens=days.opens.isoformat(),
        closes=days.closes.isoformat(),
        kick_off=days.kick_off.isoformat(),
        months=days.months,
    )


def ask_for_pairs(facts: CohortFacts, at: datetime, calendar: Calendar) -> CohortFacts:
    """Ask for another proposal: of all pairs before the confirmation, of new pairs after it (COH2). Raises Refused."""
    state = state_at(facts, calendar, at)
    if state not in (*PAIRED_STATES, "pairing"):
        raise Refused(
            f"the cohort is {state}: its pairs are proposed after the window, which ends on {facts.closes}"
        )
    if facts.proposals < proposal_due(facts, calendar, at):
        return facts  # one is being made
    return replace(facts, asked=facts.asked + 1)


def proposed(facts: CohortFacts, number: int, at: datetime) -> CohortFacts:
    """Record that a proposal was made. A number that is known changes nothing."""
    if number <= facts.proposals:
        return facts
    return replace(facts, proposals=number, proposed_at=facts.proposed_at or at)


def confirm(facts: CohortFacts, at: datetime, calendar: Calendar) -> CohortFacts:
    """Confirm the proposed pairs (COH2). Raises Refused while there is nothing to confirm."""
    state = state_at(facts, calendar, at)
    if state not in PAIRED_STATES or facts.proposed_at is None:
        raise Refused(f"the cohort is {state}: there is no proposal to confirm")
    if facts.proposals < proposal_due(facts, calendar, at):
        raise Refused("another proposal is being made; look at it, and confirm then")
    confirmed_at = facts.confirmed_at or max(at, facts.proposed_at)
    return replace(facts, confirmations=facts.confirmations + 1, confirmed_at=confirmed_at)


def closed_because(facts: CohortFacts, state: str, on: date | None = None) -> str:
    """Return how a cohort is over, for an act that comes too late."""
    ended = facts.ended.state if facts.ended else state
    return f"the cohort is over: {ended}{f' on {on.isoformat()}' if on else ''}"


def _refuse_over(facts: CohortFacts, calendar: Calendar, at: datetime) -> None:
    if facts.ended:
        raise Refused(closed_because(facts, "canceled", calendar.date_of(facts.ended.at)))
    if at >= (closes := closes_at(facts, calendar)):
        raise Refused(closed_because(facts, "closed", calendar.date_of(closes)))
