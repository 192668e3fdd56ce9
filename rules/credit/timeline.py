"""The states and tasks of a claim over time: rounds of evidence, cut short by what people do (CPE4, CPE7, MEM2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from rules.agenda import Agenda, PlannedTask, StateChange
from rules.calendar import Calendar
from rules.credit.facts import EARNED, OVER, ClaimFacts, Cycle, Record, Signature, Step
from rules.credit.gate import GateDays, days_in_cycle, gate_days_of
from rules.credit.records import cycles_on_record, records_known_at, times_lapsed
from rules.pauses import close_at, merge_pauses
from rules.program import CreditPolicy


def deciding_cycle(facts: ClaimFacts, policy: CreditPolicy, program: Calendar) -> Cycle | None:
    """Return the cycle that decides a claim and that its letter states (CPE4); None if there is no certification.

    It is the cycle on record at the gate, whatever is reported later, until staff reopen the claim.
    """
    return timeline_of(facts, policy, program).round.cycle


@dataclass(frozen=True, slots=True)
class EvidenceRound:
    """One stretch of waiting for a letter. The first begins at the gate, each other one when staff reopen the claim."""

    number: int
    opens_at: datetime | None
    """None while an open pause holds the gate."""
    outcome: str
    """Where the credit date lies: `inside` or `outside` the cycle on record; `not_held` without a certification."""
    cycle: Cycle | None
    cycle_changes: int = 0
    """How often the cycle on record changed until the round opened."""
    earlier_requests: int = 0
    """How often a letter may have been requested before this round; it numbers the messages of the round."""
    lapses: int = 0
    """How often good standing was lost until then."""
    lacked_standing: bool = False
    """Whether good standing was missing when the round opened."""
    lacks_standing: bool = False
    """Whether good standing has not returned since, or not in time."""
    asks_from: datetime | None = None
    """When the letter is requested; None while standing is missing or an open pause holds the gate."""
    asked_on: date | None = None
    """The day from which reminders and deadlines count."""
    task_at: datetime | None = None
    missing_at: datetime | None = None
    """The deadline of the evidence; None while an open pause holds it."""
    signature: Signature | None = None
    """The letter that counts for this round."""
    ready_at: datetime | None = None


@dataclass(slots=True)
class Timeline:
    """The state changes and tasks of a claim, past and future."""

    days: GateDays
    round: EvidenceRound
    """The latest round."""
    state_changes: list[StateChange] = field(default_factory=list)
    tasks: list[PlannedTask] = field(default_factory=list)
    last_step: Step | None = None
    rejected: bool = False
    """Whether the claim was ever rejected in the latest round."""

    def state_at(self, at: datetime) -> str:
        """Return the state in force at an instant."""
        return Agenda((), tuple(self.state_changes)).state_at(at)

    @property
    def dropped_because(self) -> str:
        """Why messages of an earlier agenda are not in this one, in words for staff."""
        if self.last_step:
            return self.last_step.cause
        if self.round.lacks_standing:
            return "the member is not in good standing"
        if self.round.signature:
            return "the letter is signed"
        if self.round.outcome == "outside":
            return "the credit date lies outside the cycle on record"
        return "no longer due"


def timeline_of(facts: ClaimFacts, policy: CreditPolicy, program: Calendar) -> Timeline:
    """Return the timeline of a claim, ended where its engagement ended before the gate (CPE1).

    An earned claim is not ended by an early end that was reported too late; staff decide about it.
    """
    steps = sorted(facts.steps, key=lambda step: step.at)
    timeline = _build_timeline(facts, policy, program, steps)
    gate = timeline.days.earliest
    if facts.ended_at is None or program.date_of(facts.ended_at) >= gate:
        return timeline
    known_at = facts.ended_known_at or facts.ended_at
    state = timeline.state_at(known_at)
    if state in OVER:
        return timeline
    ended_on = program.date_of(facts.ended_at).isoformat()
    if state in EARNED:
        timeline.tasks.append(
            PlannedTask(
                known_at,
                "event_unapplied",
                "the engagement ended before the gate of a claim that is complete",
                f"The engagement ended on {ended_on}, before its gate on {gate.isoformat()}, but this was reported "
                "too late. Decide whether to revoke the claim.",
            )
        )
        return timeline
    reason = f"the engagement ended on {ended_on}, before its gate on {gate.isoformat()}"
    ending = Step("not_eligible", known_at, reason=reason)
    return _build_timeline(facts, policy, program, [*(step for step in steps if step.at <= known_at), ending])


def _build_timeline(
    facts: ClaimFacts, policy: CreditPolicy, program: Calendar, steps: Sequence[Step]
) -> Timeline:
    """Play the rounds: each does what it would do alone until the next step cuts it short."""
    days = gate_days_of(facts, policy, program)
    gate_at = None
    if days.gate:
        gate_at = max(program.instant(days.gate, program.hours.send_time), facts.created_at)
    timeline = Timeline(days, _evidence_round(facts, 1, gate_at, days, policy, program))
    timeline.state_changes.append(StateChange(facts.created_at, "precheck", "the claim was opened"))
    changes, tasks = _course_of(timeline.round, facts, "the gate is reached")
    for step in steps:
        timeline.state_changes += [change for change in changes if change.due <= step.at]
        timeline.tasks += [task for task in tasks if task.due <= step.at]
        changes, tasks = [], []
        timeline.last_step = step
        timeline.rejected = step.name == "rejected" or (timeline.rejected and step.name != "reopened")
        if step.name == "reopened":
            number = timeline.round.number + 1
            timeline.round = _evidence_round(facts, number, step.at, days, policy, program)
            changes, tasks = _course_of(timeline.round, facts, step.cause)
        else:
            timeline.state_changes.append(
                StateChange(step.at, step.name, step.cause, closes=step.name in OVER)
            )
    timeline.state_changes += changes
    timeline.tasks += tasks
    return timeline


def _evidence_round(
    facts: ClaimFacts,
    number: int,
    opens_at: datetime | None,
    days: GateDays,
    policy: CreditPolicy,
    program: Calendar,
) -> EvidenceRound:
    """Return a round that opens at the gate, or when staff reopen the claim (CPE4, CPE7, MEM2)."""
    known = records_known_at(facts, opens_at, inclusive=number > 1)
    cycles = cycles_on_record(known)
    if cycles.latest is None:
        return EvidenceRound(number, opens_at, "not_held", None, cycles.changes)
    found = cycles.covering(*days_in_cycle(facts, days.earliest, policy))
    if found is None:
        at_gate = cycles.covering(days.earliest)
        cycle = at_gate[1] if at_gate else cycles.latest
        return EvidenceRound(number, opens_at, "outside", cycle, cycles.changes)
    place, cycle = found
    since_opening = facts.records[len(known) - 1 :]
    waited_for = next((index for index, record in enumerate(since_opening) if record.good_standing), None)
    lapses = times_lapsed(facts.records[: len(known) + (waited_for or 0)])
    evidence = EvidenceRound(
        number,
        opens_at,
        "inside",
        cycle,
        cycle_changes=cycles.changes,
        earlier_requests=place + number - 1 + lapses,
        lapses=lapses,
        lacked_standing=waited_for != 0,
        lacks_standing=waited_for is None,
    )
    standing = None if waited_for is None else since_opening[waited_for]
    return _with_deadlines(evidence, facts, standing, days, policy, program)


def _with_deadlines(
    evidence: EvidenceRound,
    facts: ClaimFacts,
    standing: Record | None,
    days: GateDays,
    policy: CreditPolicy,
    program: Calendar,
) -> EvidenceRound:
    """Return the round with its deadlines and its letter.

    `standing` is the record that gives or returned good standing. Deadlines count from the opening or, where standing
    returns before the evidence counts as missing, from its return (MEM2).
    """
    opens_at = evidence.opens_at
    if opens_at is None:
        return replace(evidence, signature=_signature(facts, evidence.number, None))
    asks_from: datetime | None = opens_at
    at_gate = evidence.number == 1 and opens_at > facts.created_at
    asked_on = days.earliest if at_gate else program.date_of(opens_at)
    task_at, missing_at = _deadlines(asked_on, opens_at, facts, policy, program)
    if evidence.lacked_standing:
        returned_at = max(opens_at, standing.at) if standing else None
        if returned_at is None or (missing_at and returned_at >= missing_at):
            asks_from = None
        else:
            asks_from, asked_on = returned_at, program.date_of(returned_at)
            task_at, missing_at = _deadlines(asked_on, returned_at, facts, policy, program)
    signature = _signature(facts, evidence.number, missing_at)
    return replace(
        evidence,
        lacks_standing=asks_from is None,
        asks_from=asks_from,
        asked_on=asked_on,
        task_at=task_at,
        missing_at=missing_at,
        signature=signature,
        ready_at=max(signature.at, asks_from) if signature and asks_from else None,
    )


def _deadlines(
    asked_on: date, since: datetime, facts: ClaimFacts, policy: CreditPolicy, program: Calendar
) -> tuple[datetime | None, datetime | None]:
    """Return when staff get a task and when the evidence counts as missing; None for what an open pause holds.

    Both count from the day `asked_on`; pauses from `since` on move them.
    """
    pauses = merge_pauses(facts.pauses, since=since)

    def moved(days: int) -> tuple[date, datetime | None]:
        finished = [pause for pause in pauses if pause.until is not None]
        day, closes = close_at(asked_on + timedelta(days=days), finished, program)
        held = any(pause.until is None and pause.since < closes for pause in pauses)
        return day, None if held else closes

    task_on, closes = moved(policy.task_after_days)
    task_at = program.instant(task_on, program.hours.send_time) if closes else None
    return task_at, moved(policy.missing_after_days)[1]


def _signature(facts: ClaimFacts, round_number: int, missing_at: datetime | None) -> Signature | None:
    """Return the letter that counts for a round: signed in time and not void by then."""
    for signature in facts.signatures:
        in_time = missing_at is None or signature.at < missing_at
        if in_time and (signature.void_from is None or round_number < signature.void_from):
            return signature
    return None


def _course_of(
    evidence: EvidenceRound, facts: ClaimFacts, cause: str
) -> tuple[list[StateChange], list[PlannedTask]]:
    """Return what a round does if nobody intervenes; nothing while an open pause holds the gate."""
    opens_at = evidence.opens_at
    if opens_at is None:
        return [], []
    if evidence.outcome == "not_held":
        reason = "the certification was not held at the gate"
        return [StateChange(opens_at, "not_eligible", reason, closes=True)], []
    if evidence.outcome == "outside":
        task = PlannedTask(
            opens_at,
            "outside_cycle",
            f"outside the cycle{_round_suffix(evidence)}",
            "Check the cycle on record. Once the membership record is right, the claim can be reopened.",
        )
        return [StateChange(opens_at, "outside_cycle", "the credit date lies outside the cycle on record")], [
            task
        ]
    changes = _states_inside(evidence, facts, opens_at, cause)
    tasks = _tasks_inside(evidence, facts, opens_at)
    if evidence.ready_at:
        tasks = [task for task in tasks if task.due < evidence.ready_at]
    return changes, tasks


def _states_inside(
    evidence: EvidenceRound, facts: ClaimFacts, opens_at: datetime, cause: str
) -> list[StateChange]:
    waiting = StateChange(opens_at, "awaiting_evidence", cause)
    if evidence.signature and evidence.ready_at:
        ready = StateChange(evidence.ready_at, "ready", "the evidence is complete")
        signed_early = evidence.signature.at < opens_at and not evidence.lacked_standing
        return [ready] if signed_early else [waiting, ready]
    if not evidence.missing_at:
        return [waiting]
    reason = (
        f"the {facts.signer} signed no letter in time"
        if evidence.asks_from
        else "good standing did not return in time"
    )
    return [waiting, StateChange(evidence.missing_at, "evidence_missing", reason)]


def _tasks_inside(evidence: EvidenceRound, facts: ClaimFacts, opens_at: datetime) -> list[PlannedTask]:
    suffix = _round_suffix(evidence)
    letter = "letter of confirmation" if facts.role == "mentor" else "letter"
    tasks = []
    if evidence.lacks_standing:
        tasks.append(
            PlannedTask(
                opens_at,
                "member_lapsed",
                f"no good standing at the gate{suffix}",
                "Help the member to renew: the claim waits, and goes on by itself once good standing is reported.",
            )
        )
    if evidence.task_at and evidence.asks_from:
        tasks.append(
            PlannedTask(
                evidence.task_at,
                "evidence_missing",
                f"no letter{suffix}",
                f"Ask the {facts.signer} for the {letter}, or help them with the page.",
            )
        )
    elif evidence.task_at:
        tasks.append(
            PlannedTask(
                evidence.task_at,
                "evidence_missing",
                f"no good standing, so no letter was asked for{suffix}",
                "Help the member to renew: the letter is requested once good standing is reported.",
            )
        )
    return tasks


def _round_suffix(evidence: EvidenceRound) -> str:
    """Return what makes the cause of a task unique to its round."""
    return f", round {evidence.number}" if evidence.number > 1 else ""
