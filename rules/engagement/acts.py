"""What may be done to an engagement, and what it changes in the facts (ENG2–ENG8, ENG11, STA1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

from rules.acts import Act, record_standing
from rules.agenda import Ended, Refused
from rules.calendar import Calendar, add_months
from rules.engagement.dates import after_start, counted_pauses, day_of, end_changes, planned_end, pulse_at
from rules.engagement.facts import (
    END_REASONS,
    MISCONDUCT,
    MOST_MONTHS_AHEAD,
    ROLES,
    STAFF,
    YESES_KEPT,
    Answered,
    Discovery,
    EngagementFacts,
    NewEnd,
    Report,
    Vote,
)
from rules.pauses import begin_pause, end_open_pauses
from rules.program import EngagementPolicy, Program, program_calendar

_MOST_NEW_ENDS = 200
_MOST_PAUSES = 200
_MOST_REPORTS = 20
_TOO_FAR = f"an end lies at most {MOST_MONTHS_AHEAD // 12} years ahead; it can be extended again later"
_NEUTRAL = "this engagement cannot be changed here; please write to the program's mailbox"


def agree_plan(
    facts: EngagementFacts,
    at: datetime,
    state: str,
    policy: EngagementPolicy,
    program: Calendar,
    *,
    months: int = 0,
    end: str = "",
    event: str = "",
) -> EngagementFacts:
    """The two agreed on a length in months from the first day, or on an end (YYYY-MM-DD); neither changes nothing
    (ENG3).

    Here and below, `state` is the state in force at `at`, as it was recorded. Raises Refused if the engagement is
    over, suspended or extended already, and for an end that has passed.
    """
    if event and any(new.event == event for new in facts.new_ends):
        return facts
    _refuse_unless_open(facts, state)
    if not months and not end:
        return facts
    if any(new.by != "plan" for new in facts.new_ends):
        raise Refused("the engagement was extended since; agree on another extension instead")
    return _with_end(facts, _new_end(at, "plan", end, months, event), policy, program)


def agree_extension(
    facts: EngagementFacts,
    by: str,
    end: str,
    at: datetime,
    state: str,
    policy: EngagementPolicy,
    program: Calendar,
    event: str = "",
) -> EngagementFacts:
    """A party, by profile, is for a new end (YYYY-MM-DD); once both are for the same, it holds (ENG5).

    A vote for another end replaces that side's own. Raises Refused if the engagement is over or suspended, and for
    an end that is no later than the planned one.
    """
    role = facts.role(by)
    _refuse_unless_open(facts, state)
    new = _new_end(at, "parties", end, event=event)
    extended = _with_end(facts, new, policy, program)
    votes = {vote.by: vote for vote in facts.votes}
    if role in votes and votes[role].end == new.end:
        return facts
    votes[role] = Vote(role, new.end, at)
    if [vote.end for vote in votes.values()] == [new.end] * len(ROLES):
        return replace(extended, votes=[])
    return replace(facts, votes=list(votes.values()))


def extend(
    facts: EngagementFacts,
    at: datetime,
    state: str,
    policy: EngagementPolicy,
    program: Calendar,
    *,
    months: int = 0,
    end: str = "",
    event: str = "",
) -> EngagementFacts:
    """Staff extend to an end (YYYY-MM-DD), or by months after the planned one, once per event (ENG6). Months go on
    counting from the day from which the planned end was counted (T3).

    Raises Refused if the engagement is over, for neither or both, and for an end no later than the planned one.
    """
    if event and any(new.event == event for new in facts.new_ends):
        return facts
    _refuse_if_over(facts, state)
    return _with_end(facts, _new_end(at, STAFF, end, months, event), policy, program)


def answer_discovery(
    facts: EngagementFacts, by: str, answer: str, at: datetime, state: str
) -> EngagementFacts:
    """A party, by profile, tells how the discovery call went: `good_fit`, `not_a_fit` (ends it) or `not_met` (ENG2).

    Raises Refused if the engagement is over or suspended, and for taking back a good fit.
    """
    role = facts.role(by)
    _refuse_unless_open(facts, state)
    if answer not in ("good_fit", "not_a_fit", "not_met"):
        raise Refused("the answer is one of good_fit, not_a_fit, not_met")
    before = next((each for each in facts.discovery if each.by == role), None)
    if before and before.answer == "good_fit" and answer == "not_met":
        raise Refused("you have told us already that you met and that it is a good fit")
    if before and before.answer == answer == "good_fit":
        return facts
    others = [each for each in facts.discovery if each.by != role]
    told = replace(facts, discovery=[*others, Discovery(role, answer, at)])
    if answer != "not_a_fit":
        return told
    return _end(told, "no_fit", at, role, f"not a fit, said the {role}", end_reason="no_fit")


def answer_pulse(
    facts: EngagementFacts,
    by: str,
    met: bool,
    at: datetime,
    state: str,
    policy: EngagementPolicy,
    program: Calendar,
) -> EngagementFacts:
    """A party, by profile, tells whether the two have met; it counts for the last pulse before `at` (ENG4).

    Before the first it counts for none. Raises Refused if the engagement is over or suspended.
    """
    role = facts.role(by)
    _refuse_unless_open(facts, state)
    number = pulse_at(facts, policy, program, at)
    if not number:
        return facts
    others = [answer for answer in facts.answered if answer.by != role]
    latest = max([number, *(answer.number for answer in facts.answered if answer.by == role)])
    yes = sorted({*facts.met, number})[-YESES_KEPT:] if met else facts.met
    return replace(facts, met=yes, answered=[*others, Answered(role, latest)])


def end(
    facts: EngagementFacts, by: str, reason: str, at: datetime, state: str, actor: str = ""
) -> EngagementFacts:
    """A party, by profile, or `staff` end it for one of `END_REASONS`; `goals_met` completes it (ENG7, ENG8).

    Raises Refused if it is over, or suspended and a party ends it.
    """
    role = facts.role(by) if by != STAFF else STAFF
    _refuse_if_over(facts, state)
    if role != STAFF:
        _refuse_if_suspended(facts)
    if reason not in END_REASONS:
        raise Refused(f"the reason is one of {', '.join(END_REASONS)}")
    who = STAFF if role == STAFF else f"the {role}"
    cause = f"ended by {who}: {END_REASONS[reason]}"
    return _end(facts, "completed" if reason == "goals_met" else "ended", at, role, cause, actor, reason)


def cancel(
    facts: EngagementFacts, at: datetime, state: str, reason: str = "", actor: str = ""
) -> EngagementFacts:
    """Staff cancel it (ENG6). Raises Refused if it is over."""
    _refuse_if_over(facts, state)
    cause = f"cancelled by staff: {reason}" if reason else "cancelled by staff"
    return _end(facts, "canceled", at, STAFF, cause, actor)


def pause(facts: EngagementFacts, at: datetime, state: str) -> EngagementFacts:
    """Staff pause it: nothing is mailed until they resume it (ENG11). Raises Refused if over, paused or suspended."""
    _refuse_if_over(facts, state)
    if facts.paused:
        raise Refused(f"it is {'suspended' if facts.suspended else 'paused'} already")
    if len(facts.pauses) >= _MOST_PAUSES:
        raise Refused("it was paused too often; end it and start another")
    return _pause(facts, STAFF, after_start(facts, at))


def resume(facts: EngagementFacts, at: datetime, state: str) -> EngagementFacts:
    """Staff let it go on, whether it was paused or suspended; what is left moves by the pause (ENG8, ENG11).

    Raises Refused if it is over or neither.
    """
    _refuse_if_over(facts, state)
    if not facts.paused:
        raise Refused("it is not paused")
    at = after_start(facts, at)
    pauses = end_open_pauses(facts.pauses, at)
    return replace(facts, pauses=pauses, acts=[*facts.acts, "resume"])


def report_misconduct(
    facts: EngagementFacts, by: str, at: datetime, state: str, event: str = ""
) -> EngagementFacts:
    """A party, by profile, or `staff` report misconduct: all is stopped, only staff are told, and what the two have
    half agreed is void (ENG8); once per event.

    Raises Refused if it is over: such a report needs a person to read it all the same.
    """
    if event and any(report.event == event for report in facts.reports):
        return facts
    role = by if by == STAFF else facts.role(by)
    _refuse_if_over(facts, state)
    if len(facts.reports) >= _MOST_REPORTS:
        raise Refused(_NEUTRAL)
    at = after_start(facts, at)
    reported = replace(facts, reports=[*facts.reports, Report(role, at, event)], votes=[])
    return reported if reported.suspended else _pause(reported, MISCONDUCT, at)


def standing_changed(facts: EngagementFacts, profile: str, good: bool, at: datetime) -> EngagementFacts:
    """Good standing of one of the two was lost or came back; the engagement goes on (MEM2)."""
    return replace(facts, lapses=record_standing(facts.lapses, profile, good, at))


def _pause(facts: EngagementFacts, cause: str, at: datetime) -> EngagementFacts:
    return replace(facts, pauses=begin_pause(facts.pauses, cause, at), acts=[*facts.acts, "pause"])


def _new_end(at: datetime, by: str, end: str, months: int = 0, event: str = "") -> NewEnd:
    """Raises Refused for an end that is no date, and for neither or both of the two."""
    if bool(months) == bool(end):
        raise Refused("a new end is either a day or a number of months")
    return NewEnd(at, by, day_of(end).isoformat() if end else "", months, event)


def _with_end(
    facts: EngagementFacts, new: NewEnd, policy: EngagementPolicy, program: Calendar
) -> EngagementFacts:
    """The facts with another planned end. Raises Refused for one that has passed, is too far ahead, or as an
    extension is no later than the end before it."""
    at = after_start(facts, new.at)
    today = program.date_of(at)
    furthest = add_months(today, MOST_MONTHS_AHEAD)
    if new.end:
        given = date.fromisoformat(new.end)
        if given < today:
            raise Refused("the new end lies in the past")
        if given > furthest:
            raise Refused(_TOO_FAR)
    elif not 1 <= new.months <= MOST_MONTHS_AHEAD:
        raise Refused(f"a length is 1 to {MOST_MONTHS_AHEAD} months")
    if len(facts.new_ends) >= _MOST_NEW_ENDS:
        raise Refused("the planned end was changed too often")
    changed = replace(facts, new_ends=[*facts.new_ends, replace(new, at=at)], acts=[*facts.acts, "end"])
    end = end_changes(counted_pauses(changed, at), policy, program)[-1]
    if end.closes <= at:
        raise Refused("the new end lies in the past")
    if end.day > furthest:
        raise Refused(_TOO_FAR)
    before = planned_end(facts, policy, program, at)
    if end.extension and end.day <= before:
        raise Refused(f"the new end must be later than the planned one, {before.isoformat()}")
    return changed


def _end(
    facts: EngagementFacts,
    state: str,
    at: datetime,
    by: str,
    cause: str,
    actor: str = "",
    end_reason: str = "",
) -> EngagementFacts:
    ended = Ended(state, after_start(facts, at), cause, actor)
    return replace(facts, ended=ended, ended_by=by, end_reason=end_reason, votes=[])


def _refuse_unless_open(facts: EngagementFacts, state: str) -> None:
    _refuse_if_over(facts, state)
    _refuse_if_suspended(facts)


def _refuse_if_suspended(facts: EngagementFacts) -> None:
    if facts.suspended:
        raise Refused(_NEUTRAL)


def closed_because(facts: EngagementFacts, state: str, on: date | None = None) -> str:
    """How an engagement is over, in words for whoever comes too late; empty while it goes on.

    `on` is the day on which it ended, where it is known.
    """
    ended = facts.ended.state if facts.ended else state
    if ended in ("active", "paused", "suspended"):
        return ""
    when = f" on {on.isoformat()}" if on else ""
    words = {"completed": "it was completed", "canceled": "staff have cancelled it"}
    return f"the engagement is over: {words.get(ended, 'it has ended')}{when}"


def _refuse_if_over(facts: EngagementFacts, state: str) -> None:
    if words := closed_because(facts, state):
        raise Refused(words)


def apply(facts: EngagementFacts, act: Act, state: str, now: datetime, program: Program) -> EngagementFacts:
    """Return an engagement's facts after an act in a state (ENG2–ENG8, ENG11, MEM2). Raises Refused."""
    at, policy, calendar, details = act.at or now, program.engagement, program_calendar(program), act.details
    months, new_end = int(details.get("months", "0")), details.get("end", "")
    match act.name:
        case "plan_agreed":
            return agree_plan(facts, at, state, policy, calendar, months=months, end=new_end, event=act.event)
        case "agree_extension":
            return agree_extension(facts, act.by, new_end, at, state, policy, calendar, event=act.event)
        case "extend":
            return extend(facts, at, state, policy, calendar, months=months, end=new_end, event=act.event)
        case "discovery":
            return answer_discovery(facts, act.by, details.get("answer", ""), at, state)
        case "met":
            if details.get("answer") not in ("yes", "no"):
                raise Refused("the answer is yes or no")
            met = details["answer"] == "yes"
            return answer_pulse(facts, act.by, met, at, state, policy, calendar)
        case "end":
            return end(facts, act.by or STAFF, act.reason, at, state, act.actor)
        case "cancel":
            return cancel(facts, at, state, act.reason, act.actor)
        case "pause":
            return pause(facts, at, state)
        case "resume":
            return resume(facts, at, state)
        case "misconduct":
            return report_misconduct(facts, act.by or STAFF, at, state, act.event)
        case "standing":
            return standing_changed(facts, act.by, details["good"] == "yes", at)
    raise Refused(f"an engagement has no act {act.name}")
