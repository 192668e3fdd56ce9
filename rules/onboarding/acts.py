"""What may be done to an onboarding, and how it changes the facts (ONB3, ONB5, ONB6, ONB8, MEM1, MEM2, STA1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

from rules.acts import Act
from rules.agenda import Ended, Refused
from rules.kinds import KINDS
from rules.onboarding.agenda import times_returned
from rules.onboarding.facts import CheckInExtension, Match, OnboardingFacts
from rules.onboarding.sign_up import WINDOW_CLOSED
from rules.pauses import begin_pause, end_pause


def closed_because(facts: OnboardingFacts, state: str, on: date | None = None) -> str:
    """Return why an onboarding takes no more acts, in words for the person who acts; empty while it is open.

    `on` is the local day on which it ended, where that is known.
    """
    ended = facts.ended.state if facts.ended else state
    if ended in KINDS["onboarding"].open_states:
        return ""
    return f"the onboarding is over: {ended}{f' on {on.isoformat()}' if on else ''}"


def apply(facts: OnboardingFacts, act: Act, now: datetime) -> OnboardingFacts:
    """Return the facts after an act (ONB3, ONB5, ONB6, ONB8, MEM1, MEM2, STA1, T9, T10).

    What the program itself reports (a match, a withdrawn profile, a change of standing) changes nothing once the
    onboarding has ended. Raises Refused for an act that staff may not order now.
    """
    after = _apply(facts, act, now)
    if act.taken_over_at:
        after = replace(after, taken_over_at=max(act.taken_over_at, facts.taken_over_at or act.taken_over_at))
    return after


def _apply(facts: OnboardingFacts, act: Act, now: datetime) -> OnboardingFacts:
    at = max(act.at or now, facts.created_at)  # what was sent before its profile counts from the profile
    match act.name:
        case "matched" | "match_ended" | "withdrawn" | "standing" if facts.ended:
            return facts
        case "matched":
            if facts.role != "mentee":
                raise Refused("only a mentee's onboarding ends by a match")
            return match_began(facts, act.details.get("request", ""), at)
        case "match_ended":
            return match_ended(facts, act.details.get("request", ""), at, no_fit="no_fit" in act.details)
        case "withdrawn" if facts.matched:
            return match_ended(facts, "", at, no_fit=False)
        case "withdrawn":
            return end(facts, "withdrawn", at, "the profile was withdrawn")
        case "standing":
            return standing_changed(facts, act.details["good"] == "yes", at, act.heard_at)
    if facts.ended or facts.matched:
        raise Refused(closed_because(facts, facts.ended.state if facts.ended else "matched"))
    paused = any(pause.until is None and pause.cause == "staff" for pause in facts.pauses)
    match act.name:
        case "cancel":
            cause = f"cancelled by staff: {act.reason}" if act.reason else "cancelled by staff"
            return end(facts, "canceled", at, cause, act.actor)
        case "extend":
            return extend(facts, int(act.details.get("check_ins", "0")), now, act.event)
        case "pause" if not paused:
            return pause(facts, "staff", at)
        case "pause":
            raise Refused("it is paused already")
        case "resume" if paused:
            return resume(facts, "staff", at)
        case "resume":
            raise Refused("it is not paused by staff")
    raise Refused(f"an onboarding has no act {act.name}")


def match_began(facts: OnboardingFacts, request: str, at: datetime) -> OnboardingFacts:
    """Record a match, once per request: nothing is mailed while it runs (ONB3, ONB8)."""
    if facts.blocked and facts.unblocked_at is None:
        return end(facts, "matched", at, f"matched by request {request}")
    if any(match.request == request for match in facts.matches):
        return facts
    returned = 0 if facts.matched else times_returned(facts.matches)
    return replace(facts, matches=[*facts.matches, Match(request, at, returned=returned)])


def match_ended(facts: OnboardingFacts, request: str, at: datetime, *, no_fit: bool) -> OnboardingFacts:
    """Record the end of a match, or of each for an empty request. After no fit the check-ins go on (ONB8)."""
    return replace(
        facts,
        matches=[
            replace(match, until=max(at, match.since), no_fit=no_fit)
            if match.until is None and request in ("", match.request)
            else match
            for match in facts.matches
        ],
    )


def end(facts: OnboardingFacts, state: str, at: datetime, cause: str, actor: str = "") -> OnboardingFacts:
    """End the onboarding (ONB3, ONB5, ONB6). A second end changes nothing."""
    return facts if facts.ended else replace(facts, ended=Ended(state, at, cause, actor))


def extend(facts: OnboardingFacts, check_ins: int, at: datetime, event: str = "") -> OnboardingFacts:
    """Add check-ins after the last planned one, once per event; none goes out before `at` (ONB5).

    Raises Refused for mentors, in a cohort program, and for a number that is not 1 to 26.
    """
    if event and any(extension.event == event for extension in facts.extensions):
        return facts
    if facts.cohort_program:
        raise Refused("a cohort program has no check-ins to extend")
    if facts.role != "mentee":
        raise Refused("only a mentee's onboarding has check-ins to extend")
    if not 1 <= check_ins <= 26:
        raise Refused("an extension is 1 to 26 check-ins")
    return replace(facts, extensions=[*facts.extensions, CheckInExtension(check_ins, at, event)])


def pause(facts: OnboardingFacts, cause: str, at: datetime) -> OnboardingFacts:
    """Stop mail from `at` on (ONB5; MEM2 with the cause `standing`)."""
    return replace(facts, pauses=begin_pause(facts.pauses, cause, at))


def resume(facts: OnboardingFacts, cause: str, at: datetime) -> OnboardingFacts:
    """End the pause of this cause; mail that is still planned moves by its length (ONB5, MEM2)."""
    return replace(facts, pauses=end_pause(facts.pauses, cause, at))


def standing_changed(
    facts: OnboardingFacts, good: bool, at: datetime, heard_at: datetime | None = None
) -> OnboardingFacts:
    """Record that the member lost or regained good standing (MEM1 before the start, MEM2 after it)."""
    if facts.blocked and facts.unblocked_at is None:
        return replace(facts, unblocked_at=at, unblocked_heard_at=heard_at) if good else facts
    return resume(facts, "standing", at) if good else pause(facts, "standing", at)


def mail_decided(facts: OnboardingFacts, step: str, at: datetime) -> OnboardingFacts:
    """Record that a mail has its decision: the first check-in starts the onboarding, the welcome or the
    notice about the window completes it."""
    if facts.first_decided_at or step.partition(".")[0] not in ("welcome", "check-in", WINDOW_CLOSED):
        return facts
    return replace(facts, first_decided_at=at)
