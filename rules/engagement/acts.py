"""What may be done to an engagement, and how it changes the facts (ENG2–ENG8, ENG11, STA1).

In every function `state` is the state in force when the act happens, as it was recorded. The facts alone cannot say
it: an engagement that reached its planned end is over although no act ended it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

from rules.acts import Act, Lapse, record_standing
from rules.agenda import Ended, Refused
from rules.calendar import Calendar, add_months
from rules.engagement.confidentiality import NEUTRAL
from rules.engagement.curriculum import do_step
from rules.engagement.dates import (
    as_if_resumed,
    end_changes,
    not_before_last_act,
    parse_day,
    planned_end,
    pulse_at,
)
from rules.engagement.facts import (
    END_REASONS,
    MISCONDUCT,
    MOST_MONTHS_AHEAD,
    ROLES,
    STAFF,
    WITHDRAWN,
    YESES_KEPT,
    Answered,
    Discovery,
    EngagementFacts,
    MisconductReport,
    NewEnd,
    Vote,
)
from rules.kinds import KINDS
from rules.pauses import begin_pause, end_open_pauses
from rules.program import EngagementPolicy, Program, program_calendar

# Acts are stored in the facts, which travel in workflow histories: their number is bounded.
_MOST_NEW_ENDS = 200
_MOST_PAUSES = 200
_MOST_REPORTS = 20

_TOO_FAR = f"an end lies at most {MOST_MONTHS_AHEAD // 12} years ahead; it can be extended again later"


def agree_plan(
    facts: EngagementFacts, new: NewEnd, state: str, policy: EngagementPolicy, program: Calendar
) -> EngagementFacts:
    """Set the length or end that the parties agreed on with their plan (ENG3).

    A plan without either changes nothing, and neither does an event that was applied before. In a cohort the end is the
    same for all: a plan leaves it (COH3). Raises Refused if the
    engagement is over, suspended or was already extended, and for an end that has passed.
    """
    if _is_repeated(facts, new.event):
        return facts
    _refuse_unless_open(facts, state)
    if facts.cohort or not (new.months or new.end):
        return facts
    if any(earlier.by != "plan" for earlier in facts.new_ends):
        raise Refused("the engagement was extended since; agree on another extension instead")
    return _with_end(facts, new, policy, program)


def agree_extension(
    facts: EngagementFacts,
    by: str,
    new: NewEnd,
    state: str,
    policy: EngagementPolicy,
    program: Calendar,
) -> EngagementFacts:
    """Record the consent of a party, by profile, to a new end; it holds once both agree on the same one (ENG5).

    A vote for another end replaces that side's earlier vote. Raises Refused if the engagement is over or suspended,
    in a cohort (COH3), and for an end that is not later than the planned one.
    """
    role = facts.role(by)
    _refuse_unless_open(facts, state)
    if facts.cohort:
        raise Refused("all pairs of a cohort end on one day; only staff extend it")
    extended = _with_end(facts, new, policy, program)
    end = extended.new_ends[-1].end
    votes = {vote.by: vote for vote in facts.votes}
    if role in votes and votes[role].end == end:
        return facts
    votes[role] = Vote(role, end, new.at)
    if [vote.end for vote in votes.values()] == [end] * len(ROLES):
        return replace(extended, votes=[])
    return replace(facts, votes=list(votes.values()))


def extend(
    facts: EngagementFacts, new: NewEnd, state: str, policy: EngagementPolicy, program: Calendar
) -> EngagementFacts:
    """Extend the engagement by order of staff, once per event (ENG6).

    Months are added to the planned end and still count from the day from which that end was counted (T3). Raises
    Refused if the engagement is over, and for an end that is not later than the planned one.
    """
    if _is_repeated(facts, new.event):
        return facts
    _refuse_if_over(facts, state)
    return _with_end(facts, new, policy, program)


def answer_discovery(
    facts: EngagementFacts, by: str, answer: str, at: datetime, state: str
) -> EngagementFacts:
    """Record how a party, by profile, found the discovery call; `not_a_fit` ends the engagement (ENG2).

    The answers are `good_fit`, `not_a_fit` and `not_met`. Raises Refused if the engagement is over or suspended, and
    for `not_met` after `good_fit`.
    """
    role = facts.role(by)
    _refuse_unless_open(facts, state)
    if answer not in ("good_fit", "not_a_fit", "not_met"):
        raise Refused("the answer is one of good_fit, not_a_fit, not_met")
    earlier = next((each for each in facts.discovery if each.by == role), None)
    if earlier and earlier.answer == "good_fit" and answer == "not_met":
        raise Refused("you have already answered that you met and that it is a good fit")
    if earlier and earlier.answer == answer == "good_fit":
        return facts
    others = [each for each in facts.discovery if each.by != role]
    answered = replace(facts, discovery=[*others, Discovery(role, answer, at)])
    if answer != "not_a_fit":
        return answered
    ended = Ended("no_fit", at, f"not a fit, said the {role}")
    return _end(answered, ended, by=role, end_reason="no_fit")


def answer_pulse(facts: EngagementFacts, by: str, met: bool, number: int, state: str) -> EngagementFacts:
    """Record a party's answer, by profile, to the question whether the two have met (ENG4).

    `number` is the pulse that the answer counts for (`pulse_at`); 0 counts for none. Raises Refused if the engagement
    is over or suspended.
    """
    role = facts.role(by)
    _refuse_unless_open(facts, state)
    if not number:
        return facts
    others = [answer for answer in facts.answered if answer.by != role]
    latest = max([number, *(answer.number for answer in facts.answered if answer.by == role)])
    yeses = sorted({*facts.met, number})[-YESES_KEPT:] if met else facts.met
    return replace(facts, met=yeses, answered=[*others, Answered(role, latest)])


def end(
    facts: EngagementFacts, by: str, reason: str, at: datetime, state: str, actor: str = ""
) -> EngagementFacts:
    """End the engagement for a party, by profile, or for `staff`; the reason `goals_met` completes it (ENG7, ENG8).

    Raises Refused for a reason that is not one of END_REASONS, if the engagement is over, and if a party ends a
    suspended one.
    """
    role = facts.role(by) if by != STAFF else STAFF
    _refuse_if_over(facts, state)
    if role != STAFF:
        _refuse_if_suspended(facts)
    if reason not in END_REASONS:
        raise Refused(f"the reason is one of {', '.join(END_REASONS)}")
    ended_by = STAFF if role == STAFF else f"the {role}"
    ended = Ended(
        state="completed" if reason == "goals_met" else "ended",
        at=at,
        cause=f"ended by {ended_by}: {END_REASONS[reason]}",
        actor=actor,
    )
    return _end(facts, ended, by=role, end_reason=reason)


def cancel(
    facts: EngagementFacts, at: datetime, state: str, reason: str = "", actor: str = ""
) -> EngagementFacts:
    """Cancel the engagement by order of staff (ENG6). Raises Refused if it is over."""
    _refuse_if_over(facts, state)
    cause = f"cancelled by staff: {reason}" if reason else "cancelled by staff"
    return _end(facts, Ended("canceled", at, cause, actor), by=STAFF)


def pause(facts: EngagementFacts, at: datetime, state: str) -> EngagementFacts:
    """Pause the engagement by order of staff: nothing is mailed until they resume it (ENG11).

    Raises Refused if it is over, paused or suspended.
    """
    _refuse_if_over(facts, state)
    if facts.paused:
        raise Refused(f"it is {'suspended' if facts.suspended else 'paused'} already")
    if len(facts.pauses) >= _MOST_PAUSES:
        raise Refused("it was paused too often; end it and start another")
    return _pause(facts, STAFF, not_before_last_act(facts, at))


def resume(facts: EngagementFacts, at: datetime, state: str) -> EngagementFacts:
    """Resume a paused or suspended engagement by order of staff (ENG8, ENG11).

    Messages that are still planned move by the pause. Raises Refused if it is over, and if no pause is open.
    """
    _refuse_if_over(facts, state)
    if not facts.paused:
        raise Refused("it is not paused")
    pauses = end_open_pauses(facts.pauses, not_before_last_act(facts, at))
    return replace(facts, pauses=pauses, acts=[*facts.acts, "resume"])


def party_withdrawn(facts: EngagementFacts, profile: str, at: datetime, state: str) -> EngagementFacts:
    """Pause the engagement because the profile of a party was withdrawn; staff decide what follows (MEM7).

    Raises Refused if it is over. One that is paused or suspended stays so.
    """
    _refuse_if_over(facts, state)
    facts.role(profile)
    if any(withdrawal.profile == profile for withdrawal in facts.withdrawals):
        return facts
    at = not_before_last_act(facts, at)
    left = replace(facts, withdrawals=[*facts.withdrawals, Lapse(profile, at)])
    return left if left.paused else _pause(left, WITHDRAWN, at)


def report_misconduct(
    facts: EngagementFacts, by: str, at: datetime, state: str, event: str = ""
) -> EngagementFacts:
    """Suspend the engagement after a report by a party, by profile, or by `staff`, once per event (ENG8).

    All mail stops except the notice to staff, and votes for an extension are void. Raises Refused if the engagement is
    over; the caller must still bring such a report to a person.
    """
    if event and any(report.event == event for report in facts.reports):
        return facts
    role = by if by == STAFF else facts.role(by)
    _refuse_if_over(facts, state)
    if len(facts.reports) >= _MOST_REPORTS:
        if facts.suspended:
            # Its words are kept, and staff have the task: one more changes nothing.
            return facts
        raise Refused(NEUTRAL)
    at = not_before_last_act(facts, at)
    reported = replace(facts, reports=[*facts.reports, MisconductReport(role, at, event)], votes=[])
    return reported if reported.suspended else _pause(reported, MISCONDUCT, at)


def standing_changed(facts: EngagementFacts, profile: str, good: bool, at: datetime) -> EngagementFacts:
    """Record that a party lost or regained good standing; the engagement goes on (MEM2)."""
    return replace(facts, lapses=record_standing(facts.lapses, profile, good, at))


def _is_repeated(facts: EngagementFacts, event: str) -> bool:
    return bool(event) and any(earlier.event == event for earlier in facts.new_ends)


def _pause(facts: EngagementFacts, cause: str, at: datetime) -> EngagementFacts:
    return replace(facts, pauses=begin_pause(facts.pauses, cause, at), acts=[*facts.acts, "pause"])


def _with_end(
    facts: EngagementFacts, new: NewEnd, policy: EngagementPolicy, program: Calendar
) -> EngagementFacts:
    """Return the facts with another planned end.

    Raises Refused for an end that is no date, has passed or is too far ahead, for neither or both of day and months,
    and for an extension that is not later than the planned end.
    """
    at = not_before_last_act(facts, new.at)
    furthest = add_months(program.date_of(at), MOST_MONTHS_AHEAD)
    new = _checked_end(replace(new, at=at), program.date_of(at), furthest)
    if len(facts.new_ends) >= _MOST_NEW_ENDS:
        raise Refused("the planned end was changed too often")
    changed = replace(facts, new_ends=[*facts.new_ends, new], acts=[*facts.acts, "end"])
    end = end_changes(as_if_resumed(changed, at), policy, program)[-1]
    if end.closes <= at:
        raise Refused("the new end lies in the past")
    if end.day > furthest:
        raise Refused(_TOO_FAR)
    before = planned_end(facts, policy, program, at)
    if end.extension and end.day <= before:
        raise Refused(f"the new end must be later than the planned one, {before.isoformat()}")
    return changed


def _checked_end(new: NewEnd, today: date, furthest: date) -> NewEnd:
    """Return a new end with its day written as YYYY-MM-DD. Raises Refused."""
    if bool(new.months) == bool(new.end):
        raise Refused("a new end is either a day or a number of months")
    if not new.end:
        if not 1 <= new.months <= MOST_MONTHS_AHEAD:
            raise Refused(f"a length is 1 to {MOST_MONTHS_AHEAD} months")
        return new
    day = parse_day(new.end)
    if day < today:
        raise Refused("the new end lies in the past")
    if day > furthest:
        raise Refused(_TOO_FAR)
    return replace(new, end=day.isoformat())


def _end(facts: EngagementFacts, ended: Ended, by: str, end_reason: str = "") -> EngagementFacts:
    ended = replace(ended, at=not_before_last_act(facts, ended.at))
    return replace(facts, ended=ended, ended_by=by, end_reason=end_reason, votes=[])


def _refuse_unless_open(facts: EngagementFacts, state: str) -> None:
    _refuse_if_over(facts, state)
    _refuse_if_suspended(facts)


def _refuse_if_over(facts: EngagementFacts, state: str) -> None:
    if reason := closed_because(facts, state):
        raise Refused(reason)


def _refuse_if_suspended(facts: EngagementFacts) -> None:
    if facts.suspended:
        raise Refused(NEUTRAL)


def closed_because(facts: EngagementFacts, state: str, on: date | None = None) -> str:
    """Return why an engagement takes no more acts, in words for the person who acts; empty while it is open.

    `on` is the day on which it ended, where it is known.
    """
    ended = facts.ended.state if facts.ended else state
    if ended in KINDS["engagement"].open_states:
        return ""
    when = f" on {on.isoformat()}" if on else ""
    endings = {"completed": "it was completed", "canceled": "staff have cancelled it"}
    return f"the engagement is over: {endings.get(ended, 'it has ended')}{when}"


def apply(facts: EngagementFacts, act: Act, state: str, now: datetime, program: Program) -> EngagementFacts:
    """Return an engagement's facts after an act in a state (ENG2–ENG8, ENG11, MEM2, MEM7, COH4, T9, T10).

    Raises Refused.
    """
    after = _apply(facts, act, state, now, program)
    if after.ended and after.ended is not facts.ended:
        after = replace(after, ended=replace(after.ended, heard_at=act.heard_at, history=act.history))
    if act.taken_over_at:
        after = replace(after, taken_over_at=max(act.taken_over_at, facts.taken_over_at or act.taken_over_at))
    return after


def _apply(facts: EngagementFacts, act: Act, state: str, now: datetime, program: Program) -> EngagementFacts:
    at, policy, calendar, details = act.at or now, program.engagement, program_calendar(program), act.details

    def new_end(by: str) -> NewEnd:
        return NewEnd(at, by, details.get("end", ""), int(details.get("months", "0")), act.event)

    match act.name:
        case "plan_agreed":
            return agree_plan(facts, new_end("plan"), state, policy, calendar)
        case "agree_extension":
            return agree_extension(facts, act.by, new_end("parties"), state, policy, calendar)
        case "extend":
            return extend(facts, new_end(STAFF), state, policy, calendar)
        case "discovery":
            return answer_discovery(facts, act.by, details.get("answer", ""), at, state)
        case "met":
            if details.get("answer") not in ("yes", "no"):
                raise Refused("the answer is yes or no")
            number = pulse_at(facts, policy, calendar, at)
            return answer_pulse(facts, act.by, details["answer"] == "yes", number, state)
        case "curriculum_done":
            role = facts.role(act.by)
            _refuse_unless_open(facts, state)
            return do_step(facts, role, details.get("step", ""), at, program.curriculum)
        case "end":
            return end(facts, act.by or STAFF, act.reason, at, state, act.actor)
        case "cancel":
            return cancel(facts, at, state, act.reason, act.actor)
        case "pause":
            return pause(facts, at, state)
        case "resume":
            return resume(facts, at, state)
        case "party_withdrawn":
            return party_withdrawn(facts, act.by, at, state)
        case "misconduct":
            return report_misconduct(facts, act.by or STAFF, at, state, act.event)
        case "standing":
            return standing_changed(facts, act.by, details["good"] == "yes", at)
    raise Refused(f"an engagement has no act {act.name}")
