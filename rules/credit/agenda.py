"""The agenda of a claim: its mail, with the states and tasks of its timeline (CPE1, CPE3–CPE7, CPE10, MEM2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from rules.agenda import Agenda, PlannedMail, without_past
from rules.calendar import Calendar
from rules.credit.facts import DECISIONS_OF_STAFF, EARNED, ClaimFacts
from rules.credit.timeline import EvidenceRound, Timeline, timeline_of
from rules.pauses import Pause, after_pause, is_paused, merge_pauses, send_at
from rules.program import CreditPolicy


def agenda(
    facts: ClaimFacts, policy: CreditPolicy, program: Calendar, claimant: Calendar, counterpart: Calendar
) -> Agenda:
    """Return everything that a claim does (CPE1, CPE3–CPE7, CPE10, MEM2).

    The calendars are the program's own and those of the two people. The gate opens at the program's send time of its
    day.
    """
    timeline = timeline_of(facts, policy, program)
    planner = _MailPlanner(facts, policy, program, claimant, counterpart, timeline)
    held, pauses = any(pause.until is None for pause in facts.pauses), merge_pauses(facts.pauses)
    mails = []
    for mail in planner.mails():
        calendar = claimant if mail.to == facts.profile else counterpart
        late = after_pause(mail.due, pauses, calendar)
        mails.append(replace(mail, due=None) if held else replace(mail, after_pause=late))
    whole = Agenda(
        mails=tuple(mails),
        state_changes=tuple(timeline.state_changes),
        tasks=tuple(timeline.tasks),
        dropped_because=timeline.dropped_because,
    )
    return without_past(whole, facts.taken_over_at)


@dataclass(frozen=True, slots=True)
class _MailPlanner:
    """The messages that the latest round of a claim calls for.

    A key is never sent twice (MAIL1), so letters that are requested again, after staff reopened the claim or the record
    was corrected, have further occurrences. What may come back later is held rather than dropped.
    """

    facts: ClaimFacts
    policy: CreditPolicy
    program: Calendar
    claimant: Calendar
    counterpart: Calendar
    timeline: Timeline

    def mails(self) -> Iterator[PlannedMail]:
        """Yield the messages of the pre-check, the letter, the credit, or of a gate outside the cycle."""
        evidence, last = self.timeline.round, self.timeline.last_step
        yield from self._decisions_of_staff()
        if last is None:
            yield from self._precheck()
        pending = last is None or last.name == "reopened"
        if evidence.lacks_standing and evidence.outcome == "inside" and pending:
            yield self._standing_lapsed(evidence)
        if evidence.lacks_standing or not (pending or (last and last.name in EARNED)):
            return
        if evidence.outcome == "inside" and evidence.signature:
            yield from self._ready(evidence)
        elif evidence.outcome == "inside" and pending:
            yield from self._requests(evidence)
        elif evidence.outcome == "outside" and pending:
            yield self._outside_cycle(evidence)

    def _decisions_of_staff(self) -> Iterator[PlannedMail]:
        """Yield the notice of each decision of staff, at once (CPE13). Its words are in the claim's own steps."""
        times: dict[str, int] = {}
        for place, step in enumerate(self.facts.steps):
            if step.name in DECISIONS_OF_STAFF:
                times[step.name] = times.get(step.name, 0) + 1
                message = f"{self.facts.role}.credit_{step.name}"
                context = {**self._context, "step": str(place)}
                yield PlannedMail(
                    step.name, step.at, message, self.facts.profile, times[step.name], context=context
                )

    def _standing_lapsed(self, evidence: EvidenceRound) -> PlannedMail:
        """Return the notice that the claim waits for good standing (MEM2)."""
        due = self._next_send(evidence.opens_at, self.claimant) if evidence.opens_at else None
        context = self._context
        if evidence.missing_at:
            context["closes"] = self.program.date_of(evidence.missing_at).isoformat()
        return PlannedMail(
            "standing",
            due,
            "member.standing_lapsed",
            self.facts.profile,
            occurrence=evidence.number + evidence.lapses,
            context=context,
        )

    @property
    def _context(self) -> dict[str, str]:
        context = {
            "certification": self.facts.certification,
            "gate": self.timeline.days.earliest.isoformat(),
        }
        if self.policy.in_cycle == "term":
            context["term_start"] = self.facts.started_on
        if cycle := self.timeline.round.cycle:
            context |= {"cycle_start": cycle.start, "cycle_end": cycle.end}
        return context

    def _precheck(self) -> Iterator[PlannedMail]:
        """Yield the pre-check of domains, cycle and cap (CPE7).

        None is sent once the gate is reached, or after the certification was lost.
        """
        if any(record.cycle is None for record in self.facts.records):
            return
        day, opens_at, due = self.timeline.days.precheck, self.timeline.round.opens_at, None
        if day:
            pauses = merge_pauses(self.facts.pauses)
            later = [pause for pause in pauses if self.program.date_of(pause.since) >= day]
            due = send_at(day, later, self.claimant, self.program)
            if due and due < self.facts.created_at:
                due = self._next_send(self.facts.created_at, self.claimant)
        if due is None or opens_at is None or due < opens_at:
            message = f"{self.facts.role}.credit_precheck"
            yield PlannedMail("precheck", due, message, self.facts.profile, context=self._context)

    def _ready(self, evidence: EvidenceRound) -> Iterator[PlannedMail]:
        """Yield the notice that the credit is complete, with the letter (CPE10); none after a rejection."""
        if self.timeline.rejected or evidence.signature is None:
            return
        due = evidence.ready_at
        if due and (due > evidence.signature.at or is_paused(self.facts.pauses, due)):
            due = self._next_send(due, self.claimant)
        yield PlannedMail(
            "ready",
            due,
            f"{self.facts.role}.credit_ready",
            self.facts.profile,
            occurrence=evidence.earlier_requests + 1,
            context={**self._context, "letter": evidence.signature.letter},
        )

    def _outside_cycle(self, evidence: EvidenceRound) -> PlannedMail:
        """Return the notice that the credit date lies outside the cycle on record (CPE4)."""
        due = self._next_send(evidence.opens_at, self.claimant) if evidence.opens_at else None
        cycle = evidence.cycle
        is_past = cycle is not None and date.fromisoformat(cycle.end) < self.timeline.days.earliest
        # Each change of the cycle has two occurrences: a cycle that is over, and one that begins later.
        occurrence = 2 * evidence.cycle_changes - is_past
        message = f"{self.facts.role}.credit_outside_cycle"
        return PlannedMail(
            "outside", due, message, self.facts.profile, occurrence=occurrence, context=self._context
        )

    def _requests(self, evidence: EvidenceRound) -> Iterator[PlannedMail]:
        """Yield the request for the letter and its reminders, to the person who signs (CPE5–CPE7).

        A reminder that closing days push onto the mail before it, or that falls after the deadline, is left out.
        """
        message = "mentee.sign_confirmation" if self.facts.role == "mentor" else "mentor.write_letter"
        context, missing_at = self._context, evidence.missing_at
        if missing_at:
            context["closes"] = self.program.date_of(missing_at).isoformat()
        offsets = (0, *self.policy.reminder_days)
        previous: datetime | None = None
        for number, days in enumerate(offsets, start=1):
            due = self._request_due(evidence, days)
            if due and ((previous and due <= previous) or (missing_at and due >= missing_at)):
                continue
            previous = due or previous
            occurrence = evidence.earlier_requests * len(offsets) + number
            yield PlannedMail("evidence", due, message, self.facts.counterpart, occurrence, number, context)

    def _request_due(self, evidence: EvidenceRound, days: int) -> datetime | None:
        """Return when a request goes out so many days after the first; never before the letter is requested."""
        if not (evidence.asks_from and evidence.asked_on):
            return None
        pauses = self._pauses_since(evidence.asks_from)
        due = send_at(evidence.asked_on + timedelta(days=days), pauses, self.counterpart, self.program)
        if due and due < evidence.asks_from:
            return self._next_send(evidence.asks_from, self.counterpart)
        return due

    def _next_send(self, at: datetime, calendar: Calendar) -> datetime | None:
        """Return the first send time at or after an instant, moved by later pauses; None while one is open (T4)."""
        due = calendar.next_send_after(at - timedelta(microseconds=1))
        return send_at(calendar.date_of(due), self._pauses_since(at), calendar, self.program)

    def _pauses_since(self, at: datetime) -> Sequence[Pause]:
        return merge_pauses(self.facts.pauses, since=at)
