"""TODO: say what this module is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from rules.agenda import Agenda, PlannedMail
from rules.calendar import Calendar
from rules.credit.facts import EARNED, ClaimFacts
from rules.credit.timeline import EvidenceRound, Timeline, timeline_of
from rules.pauses import Pause, after_pause, is_paused, merge_pauses, send_at
from rules.program import CreditPolicy


def agenda(
    facts: ClaimFacts, policy: CreditPolicy, program: Calendar, claimant: Calendar, counterpart: Calendar
) -> Agenda:
    """All that a claim does (CPE1, CPE3–CPE7, CPE10, MEM2). The calendars are the program's own and the two persons'.

    The gate changes at the program's send time of its day. Letters that are asked for again, after staff reopened the
    claim or the record was corrected, come under further occurrences, since a message that was decided never goes
    out again (MAIL1); what may yet come back is held rather than dropped.
    """
    course = timeline_of(facts, policy, program)
    paused, pauses = any(pause.until is None for pause in facts.pauses), merge_pauses(facts.pauses)
    mails = []
    for mail in _mails(facts, policy, program, claimant, counterpart, course):
        calendar = claimant if mail.to == facts.profile else counterpart
        late = after_pause(mail.due, pauses, calendar)
        mails.append(replace(mail, due=None) if paused else replace(mail, after_pause=late))
    return Agenda(
        tuple(mails),
        tuple(course.state_changes),
        tuple(course.tasks),
        course.dropped_because,
    )


def _mails(
    facts: ClaimFacts,
    policy: CreditPolicy,
    program: Calendar,
    claimant: Calendar,
    counterpart: Calendar,
    course: Timeline,
) -> Iterator[PlannedMail]:
    round, last = course.round, course.last
    context = {"certification": facts.certification, "gate": course.days.earliest.isoformat()}
    if round.cycle:
        context |= {"cycle_start": round.cycle.start, "cycle_end": round.cycle.end}
    if last is None:
        yield from _precheck(facts, program, claimant, course, context)
    untouched = last is None or last.name == "reopened"
    if round.waits or (last and not untouched and last.name not in EARNED):
        return
    if round.outcome == "inside" and round.signature:
        if course.rejected:
            return
        due = round.ready_at
        if due and (due > round.signature.at or is_paused(facts.pauses, due)):
            due = _from(due, merge_pauses(facts.pauses, since=due), claimant, program)
        letter = {**context, "letter": round.signature.letter}
        yield PlannedMail(
            "ready", due, f"{facts.role}.credit_ready", facts.profile, round.asking + 1, context=letter
        )
    elif round.outcome == "inside" and untouched:
        yield from _requests(facts, policy, program, counterpart, round, context)
    elif round.outcome == "outside" and untouched:
        due = round.opens and _from(
            round.opens, merge_pauses(facts.pauses, since=round.opens), claimant, program
        )
        over = round.cycle is not None and date.fromisoformat(round.cycle.end) < course.days.earliest
        occurrence = 2 * round.changes - over
        yield PlannedMail(
            "outside", due, f"{facts.role}.credit_outside_cycle", facts.profile, occurrence, context=context
        )


def _precheck(
    facts: ClaimFacts, program: Calendar, claimant: Calendar, course: Timeline, context: dict[str, str]
) -> Iterator[PlannedMail]:
    """The pre-check of domains, cycle and cap (CPE7), unless the certification was lost or the gate is there."""
    if any(record.cycle is None for record in facts.records):
        return
    day, opens = course.days.precheck, course.round.opens
    due = None
    if day:
        later = [pause for pause in merge_pauses(facts.pauses) if program.date_of(pause.since) >= day]
        due = send_at(day, later, claimant, program)
        if due and due < facts.created_at:
            due = _from(
                facts.created_at, merge_pauses(facts.pauses, since=facts.created_at), claimant, program
            )
    if due is None or opens is None or due < opens:
        yield PlannedMail("precheck", due, f"{facts.role}.credit_precheck", facts.profile, context=context)


def _requests(
    facts: ClaimFacts,
    policy: CreditPolicy,
    program: Calendar,
    counterpart: Calendar,
    round: EvidenceRound,
    context: dict[str, str],
) -> Iterator[PlannedMail]:
    """The request for the letter and its reminders, to whoever signs (CPE5–CPE7).

    A reminder that closing days push onto the mail before it is left out, and so is one beyond the deadline.
    """
    message = "mentee.sign_confirmation" if facts.role == "mentor" else "mentor.write_letter"
    if round.missing_at:
        context = {**context, "closes": program.date_of(round.missing_at).isoformat()}
    offsets = (0, *policy.reminder_days)
    before: datetime | None = None
    for number, days in enumerate(offsets, start=1):
        due = None
        if round.asks and round.asked_on:
            pauses = merge_pauses(facts.pauses, since=round.asks)
            due = send_at(round.asked_on + timedelta(days=days), pauses, counterpart, program)
            if due and due < round.asks:
                due = _from(round.asks, pauses, counterpart, program)
            if due and ((before and due <= before) or (round.missing_at and due >= round.missing_at)):
                continue
            before = due or before
        occurrence = round.asking * len(offsets) + number
        yield PlannedMail("evidence", due, message, facts.counterpart, occurrence, number, context)


def _from(at: datetime, pauses: Sequence[Pause], calendar: Calendar, program: Calendar) -> datetime | None:
    """The first instant of scheduled mail at or after an instant, moved by the pauses; None while it is held (T4)."""
    due = calendar.next_send_after(at - timedelta(microseconds=1))
    return send_at(calendar.date_of(due), pauses, calendar, program)
