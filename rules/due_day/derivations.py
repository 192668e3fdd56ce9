"""The table: for each message, its rule and how its day follows from the facts of its lifecycle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final

from rules.calendar import add_months
from rules.credit.timeline import timeline_of
from rules.due_day.counting import AtOnce, Case, Counted
from rules.engagement.curriculum import Curriculum
from rules.engagement.dates import end_changes, pulse_day, start_day
from rules.messages import CATALOGUE

Derivation = Counted | AtOnce
Rule = Callable[[Case], Derivation]


def derive(case: Case) -> Derivation:
    """Return how the day of a message is computed, by the table."""
    return DERIVATIONS[case.message](case)


def _at_once(rule: str, event: str) -> Rule:
    return lambda _: AtOnce(rule, event)


def _after_days(rule: str, since: date, days: int) -> Counted:
    return Counted(rule, days, "day", since, since + timedelta(days=days))


def _started(case: Case) -> date:
    """Return the local day from which an onboarding counts: that of the profile, or of standing regained (MEM1)."""
    facts = case.facts
    return case.recipient.calendar.date_of(facts.unblocked_at if facts.unblocked_at else facts.created_at)


def _anchor(case: Case, after_days: int, first: int = 0) -> date:
    """Return the day from which a sequence counts: that of hearing, where its first mail's day had passed (T9).

    `first` is the number of days from the anchor to the first mail.
    """
    calendar, heard = case.recipient.calendar, case.facts.heard_of_start
    anchor = _started(case) + timedelta(days=after_days)
    if heard is None:
        return anchor
    first_mail = calendar.send_at(anchor + timedelta(days=first))
    heard_on = calendar.date_of(heard)
    return heard_on - timedelta(days=first) if heard_on > calendar.date_of(first_mail) else anchor


def _welcome(case: Case) -> Derivation:
    days = case.program.onboarding.welcome_after_days
    counted = _after_days("ONB1", _started(case), days)
    heard_on = _anchor(case, days)
    if heard_on == counted.day:
        return counted
    return Counted("T9", 0, "day", heard_on, heard_on, what="the day on which the profile was heard of")


def _check_in(case: Case) -> Derivation:
    policy, number = case.program.onboarding, case.number or 1
    anchor = _anchor(case, policy.starts_after_days, policy.check_ins[0])
    planned = len(policy.check_ins)
    if number <= planned:
        return _after_days("ONB2", anchor, policy.check_ins[number - 1])
    added = (number - planned) * policy.extension_spacing_days
    return _after_days("ONB5", anchor, policy.check_ins[-1] + added)


def _deadline(rule: str, of: Callable[[Case], int], *, morning: bool = False) -> Rule:
    """Return the rule of a mail at a deadline of a request, or on the morning of its day."""

    def derived(case: Case) -> Derivation:
        calendar = case.acting.calendar
        asked = calendar.date_of(case.facts.mailed_at)
        days = of(case) + sum(each.business_days for each in case.facts.extensions)
        at = calendar.deadline(case.facts.mailed_at, days)
        return Counted(rule, days, "business day", asked, calendar.date_of(at), at=None if morning else at)

    return derived


def _request_canceled(case: Case) -> Derivation:
    if case.facts.ended_by == "mentee":
        return AtOnce("REQ7", "the mentee took the request back")
    return AtOnce("REQ9", "staff cancelled the request")


def _start(case: Case) -> date:
    return start_day(case.facts, case.counting)


def _discovery(case: Case) -> Derivation:
    spacing, start = case.program.engagement.discovery_days, _start(case)
    calendar = case.recipient.calendar
    heard_on = calendar.date_of(case.facts.mailed_at)
    if heard_on > calendar.date_of(calendar.send_at(start + timedelta(days=spacing))):
        start = heard_on - timedelta(days=spacing)  # asked at once, where its day had passed (T9)
    return _after_days("ENG2", start, (case.number or 1) * spacing)


def _pulse(case: Case) -> Derivation:
    policy, number, start = case.program.engagement, case.number or 1, _start(case)
    return Counted(
        "ENG4", policy.pulse_from_month + number - 1, "month", start, pulse_day(policy, start, number)
    )


def _step(case: Case) -> Derivation:
    """Return the day of a step of the curriculum: weeks from the start, with the breaks on the way (COH4)."""
    policy, role = case.program.curriculum, case.message.partition(".")[0]
    if policy is None or case.facts.curriculum is None:
        return AtOnce("COH4", "the step opened")
    curriculum = Curriculum(case.facts, policy, case.counting, {role: case.recipient.calendar})
    planned = next((each for each in curriculum.sequence(role) if each.place == case.number), None)
    if planned is None:
        return AtOnce("COH4", "the step opened")
    since, breaks = curriculum.starts_on, curriculum.break_days(planned)
    return replace(_after_days("COH4", since, (planned.day - since).days), breaks=breaks)


def _wrap_up(case: Case) -> Derivation:
    policy = case.program.engagement
    ends = end_changes(case.facts, policy, case.counting)[-1].given
    return _after_days("ENG5", ends, -policy.wrap_up_days)


def _graduation(case: Case) -> Derivation:
    ends = end_changes(case.facts, case.program.engagement, case.counting)[-1].given
    return _after_days("COH3", ends, -(case.program.cohort.graduation_days if case.program.cohort else 0))


def _match(case: Case) -> Derivation:
    if case.facts.cohort:
        start = _start(case)
        if case.due is not None and case.due > case.facts.mailed_at:
            return Counted("COH3", 0, "day", start, start, what="the day on which the cohort started")
        return AtOnce("COH3", "the cohort started")
    return AtOnce("ENG1", "the mentor accepted the request")


def _completed(case: Case) -> Derivation:
    ended = case.facts.ended
    if ended and ended.state == "completed":
        return AtOnce("ENG7", "the goals were reported as met")
    end = end_changes(case.facts, case.program.engagement, case.counting)[-1]
    given = case.counting.instant(end.given, case.counting.hours.close_of_business)
    return Counted("ENG9", 0, "day", end.given, end.given, what="the planned end", at=given)


def _ended(case: Case) -> Derivation:
    ended = case.facts.ended
    if ended and ended.state == "no_fit":
        return AtOnce("ENG2", "one of the two said that it is not a fit")
    return AtOnce("ENG7", "one of the two ended it")


def _precheck(case: Case) -> Derivation:
    start, months = date.fromisoformat(case.facts.started_on), case.program.credit.precheck_months
    return Counted("CPE7", months, "month", start, add_months(start, months))


def _evidence(case: Case) -> Derivation:
    """Return the day of a request for a letter: the gate, then the reminders (CPE7)."""
    policy, number = case.program.credit, case.number or 1
    evidence = timeline_of(case.facts, policy, case.counting).round
    if number > 1 and evidence.asked_on and number - 2 < len(policy.reminder_days):
        return _after_days("CPE7", evidence.asked_on, policy.reminder_days[number - 2])
    if evidence.number > 1:
        return AtOnce("CPE7", "staff reopened the claim")
    return _gate(case, "CPE7")


def _gate(case: Case, rule: str) -> Derivation:
    start, months = date.fromisoformat(case.facts.started_on), case.program.credit.gate_months
    return Counted(rule, months, "month", start, add_months(start, months))


def _survey(case: Case) -> Derivation:
    policy, number, calendar = case.program.survey, case.number or 1, case.recipient.calendar
    if 2 <= number < len(policy.reminder_days) + 2:
        return _after_days("SUR2", calendar.date_of(case.facts.opened_at), policy.reminder_days[number - 2])
    if case.due is None or case.due == case.facts.opened_at:
        return AtOnce("SUR2", "the engagement ended")
    day = calendar.date_of(case.due)
    return Counted("SUR2", 1, "business day", calendar.business_day_before(day), day)


def _reminder(case: Case) -> Derivation:
    calendar = case.recipient.calendar
    on = calendar.date_of(case.facts.starts_at)
    return Counted("MEE1", -1, "business day", on, calendar.business_day_before(on))


def _resources(case: Case) -> Derivation:
    known, ends = case.facts.resources_at, case.facts.ends_at
    if known and known > ends:
        return AtOnce("MEE1", "the resources of the meetup came")
    day = case.recipient.calendar.date_of(ends)
    return Counted("MEE1", 0, "day", day, day, what="the end of the meetup")


_BY_NAME: Final[Mapping[str, Rule]] = {
    "member.standing_lapsed": _at_once("MEM1", "somebody signed up without good standing"),
    "mentor.welcome": _welcome,
    "mentee.checkin": _check_in,
    "mentor.request_received": _at_once("REQ1", "the mentee asked"),
    "mentee.request_sent": _at_once("REQ1", "the mentee asked"),
    "mentor.request_reminder": _deadline(
        "REQ2", lambda case: case.program.request.answer_business_days, morning=True
    ),
    "mentor.request_past_due": _deadline("REQ3", lambda case: case.program.request.answer_business_days),
    "mentee.request_unanswered": _deadline(
        "REQ4", lambda case: case.program.request.unanswered_business_days
    ),
    "mentee.request_declined": _at_once("REQ6", "the mentor declined"),
    "mentor.declined_checkin": _at_once("REQ6", "the mentor declined"),
    "mentor.request_canceled": _request_canceled,
    "mentee.request_canceled": _request_canceled,
    "mentor.request_expired": _deadline("REQ8", lambda case: case.program.request.expires_business_days),
    "mentee.request_expired": _deadline("REQ8", lambda case: case.program.request.expires_business_days),
    "mentee.mentor_unavailable": _at_once("MEM4", "the mentor could take nobody"),
    "*.match": _match,
    "*.discovery": _discovery,
    "*.pulse": _pulse,
    "*.curriculum": _step,
    "*.wrap_up": _wrap_up,
    "*.extended": _at_once("ENG5", "a new end was set"),
    "*.completed": _completed,
    "*.ended": _ended,
    "member.window_closed": _at_once("COH1", "somebody signed up outside the window"),
    "*.paired": _at_once("COH2", "staff confirmed the pairs"),
    "member.unpaired": _at_once("COH2", "there was no pair for the person"),
    "member.graduation": _graduation,
    "*.canceled": _at_once("ENG6", "staff cancelled the engagement"),
    "*.credit_precheck": _precheck,
    "mentee.sign_confirmation": _evidence,
    "mentor.write_letter": _evidence,
    "*.credit_ready": _at_once("CPE10", "the evidence was complete"),
    "*.credit_outside_cycle": lambda case: _gate(case, "CPE4"),
    "*.credit_accepted": _at_once("CPE13", "the credit was accepted"),
    "*.credit_rejected": _at_once("CPE13", "the credit was rejected"),
    "*.credit_reopened": _at_once("CPE13", "staff reopened the claim"),
    "*.credit_revoked": _at_once("CPE13", "the credit was revoked"),
    "*.certificate": _at_once("CPE3", "the certificate was made"),
    "*.survey": _survey,
    "member.meetup_invitation": _at_once("MEE1", "the person was invited to the meetup"),
    "member.meetup_changed": _at_once("MEE1", "the meetup was changed"),
    "member.meetup_canceled": _at_once("MEE1", "the meetup was cancelled"),
    "member.meetup_reminder": _reminder,
    "member.meetup_resources": _resources,
    "staff.misconduct": _at_once("ENG8", "misconduct was reported"),
    "staff.alarm": _at_once("MAIL3", "the mail server or a message needed staff"),
    "staff.checkpoint": _at_once("CPE11", "the checkpoint was taken"),
    "staff.digest": _at_once("STA4", "the week began"),
    "staff.coordinator_digest": _at_once("STA4", "the week began"),
}
"""By the name of a message; `*` stands for a mentor's and a mentee's."""

DERIVATIONS: Mapping[str, Rule] = MappingProxyType(
    {
        name: derived
        for pattern, derived in _BY_NAME.items()
        for name in (pattern.replace("*", "mentor"), pattern.replace("*", "mentee"))
        if name in CATALOGUE
    }
)
"""How the day of each message is computed, by its name (MAIL1)."""
