"""The states of a claim over time: rounds of evidence, records of membership, decisions (CPE4, CPE7, MEM2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from rules.agenda import Agenda, PlannedTask, StateChange
from rules.calendar import Calendar
from rules.credit.facts import EARNED, OVER, ClaimFacts, Cycle, Record, Signature, Step
from rules.credit.gate import GateDays, gate_days
from rules.pauses import close_at, merge_pauses
from rules.program import CreditPolicy


def deciding_cycle(facts: ClaimFacts, policy: CreditPolicy, program: Calendar) -> Cycle | None:
    """The cycle that decides a claim, and that its letter states (CPE4); None if the certification was not held.

    It is the one on record at the gate, whatever is told of the certification later, until staff reopen the claim.
    """
    return timeline_of(facts, policy, program).round.cycle


@dataclass(frozen=True, slots=True)
class EvidenceRound:
    """One stretch of waiting for a letter: the gate's own (`number` 1), or one that staff reopened.

    `opens` is None while a pause holds the gate. `outcome` is `inside`, `outside` or `not_held`; `changes` counts how
    often the cycle on record changed, `asking` how often a letter may have been asked for before. `waited` tells that
    good standing was not there, `waits` that it still is not. `asks` is from when on the letter is asked for: None
    while it waits, or a pause holds the gate.
    """

    number: int
    opens: datetime | None
    outcome: str
    cycle: Cycle | None
    asking: int
    changes: int
    waits: bool = False
    waited: bool = False
    asks: datetime | None = None
    asked_on: date | None = None
    task_at: datetime | None = None
    missing_at: datetime | None = None
    signature: Signature | None = None
    ready_at: datetime | None = None


@dataclass(slots=True)
class Timeline:
    """The changes and tasks of a claim, the round that it is in, its last step, and whether it was ever rejected in
    this round."""

    days: GateDays
    round: EvidenceRound
    state_changes: list[StateChange] = field(default_factory=list)
    tasks: list[PlannedTask] = field(default_factory=list)
    last: Step | None = None
    rejected: bool = False

    @property
    def dropped_because(self) -> str:
        """Why messages of an earlier agenda are not in this one."""
        if self.last:
            return cause_of(self.last)
        if self.round.waits:
            return "the member is not in good standing"
        if self.round.signature:
            return "the letter is signed"
        if self.round.outcome == "outside":
            return "the credit date lies outside the cycle on record"
        return "no longer due"


class _Cycles(NamedTuple):
    """The cycles on record at an instant, in the order in which they came, each with its place in the history.

    `changes` is the length of the history, `latest` its last entry.
    """

    changes: int
    latest: Cycle | None
    valid: list[tuple[int, Cycle]]

    def covering(self, day: date) -> tuple[int, Cycle] | None:
        """The one that a day lies in, with its place; two that are valid have no day in common."""
        return next(((place, cycle) for place, cycle in self.valid if cycle.covers(day)), None)


def _records_at(facts: ClaimFacts, opens: datetime | None, number: int) -> list[Record]:
    """What was on record when a round opened, oldest first, at least the first; all of it while that is not known.

    What comes at the very instant of the gate comes after it.
    """
    known = [
        record
        for record in facts.records
        if opens is None or record.at < opens or (record.at == opens and number > 1)
    ]
    return known or facts.records[:1]


def _cycles(records: Sequence[Record]) -> _Cycles:
    """A cycle that begins after another has ended renews it, and both are on record; any other one replaces it."""
    history: list[Cycle | None] = []
    valid: list[tuple[int, Cycle]] = []
    for record in records:
        if history and record.cycle == history[-1]:
            continue
        if record.cycle is None:
            valid = []
        else:
            begins = date.fromisoformat(record.cycle.start)
            valid = [(place, cycle) for place, cycle in valid if date.fromisoformat(cycle.end) < begins]
            valid.append((len(history), record.cycle))
        history.append(record.cycle)
    return _Cycles(len(history), history[-1], valid)


def _lapses(records: Sequence[Record]) -> int:
    """How often good standing was lost after it was there (MEM2)."""
    return sum(before.good_standing and not after.good_standing for before, after in pairwise(records))


def _evidence_round(
    facts: ClaimFacts,
    number: int,
    opens: datetime | None,
    days: GateDays,
    policy: CreditPolicy,
    program: Calendar,
) -> EvidenceRound:
    """What comes of the gate, or of reopening the claim at `opens` (CPE4, CPE7, MEM2)."""
    known = _records_at(facts, opens, number)
    cycles = _cycles(known)
    found = cycles.covering(days.earliest)
    if cycles.latest is None:
        return EvidenceRound(number, opens, "not_held", None, 0, cycles.changes)
    if found is None:
        return EvidenceRound(number, opens, "outside", cycles.latest, 0, cycles.changes)
    later = range(len(known) - 1, len(facts.records))
    good = next((place for place in later if facts.records[place].good_standing), None)
    place, cycle = found
    asking = place + number - 1 + _lapses(facts.records[: later[0] + 1 if good is None else good + 1])
    round = EvidenceRound(number, opens, "inside", cycle, asking, cycles.changes, waits=good is None)
    if opens is None:
        return replace(round, signature=_signature(facts, number, None))
    asks, asked_on = opens, program.date_of(opens)
    if number == 1 and opens > facts.created_at:
        asked_on = days.earliest
    task_at, missing_at = _deadlines(asked_on, opens, facts, policy, program)
    waited = good != later[0]
    if waited and good is not None:
        asks = max(opens, facts.records[good].at)
        if missing_at and asks >= missing_at:
            good = None
        else:
            asked_on = program.date_of(asks)
            task_at, missing_at = _deadlines(asked_on, asks, facts, policy, program)
    signature = _signature(facts, number, missing_at)
    return replace(
        round,
        waits=good is None,
        waited=waited,
        asks=None if good is None else asks,
        asked_on=asked_on,
        task_at=task_at,
        missing_at=missing_at,
        signature=signature,
        ready_at=max(signature.at, asks) if signature and good is not None else None,
    )


def _deadlines(
    asked_on: date, asks: datetime, facts: ClaimFacts, policy: CreditPolicy, program: Calendar
) -> tuple[datetime | None, datetime | None]:
    """When staff get a task and when the evidence counts as missing, counted from a day; None while paused."""
    pauses = merge_pauses(facts.pauses, since=asks)

    def moved(days: int) -> tuple[date, datetime | None]:
        over = [pause for pause in pauses if pause.until is not None]
        day, closes = close_at(asked_on + timedelta(days=days), over, program)
        held = any(pause.until is None and pause.since < closes for pause in pauses)
        return day, None if held else closes

    task_on, known = moved(policy.task_after_days)
    task_at = program.instant(task_on, program.hours.send_time) if known else None
    return task_at, moved(policy.missing_after_days)[1]


def _signature(facts: ClaimFacts, number: int, missing_at: datetime | None) -> Signature | None:
    """The letter that counts for a round: signed before it was missing, and not let go since."""
    for signature in facts.signatures:
        in_time = missing_at is None or signature.at < missing_at
        if in_time and (signature.void_from is None or number < signature.void_from):
            return signature
    return None


def timeline_of(facts: ClaimFacts, policy: CreditPolicy, program: Calendar) -> Timeline:
    """The changes and tasks of a claim, past and future: what rounds would do, each cut short by the next step."""
    steps = sorted(facts.steps, key=lambda step: step.at)
    course = build_timeline(facts, policy, program, steps)
    if facts.ended_at is None or program.date_of(facts.ended_at) >= course.days.earliest:
        return course
    known_at = facts.ended_known_at or facts.ended_at
    state = state_at(course.state_changes, known_at)
    if state in OVER:
        return course
    ended_on, gate = program.date_of(facts.ended_at).isoformat(), course.days.earliest.isoformat()
    if state in EARNED:
        course.tasks.append(
            PlannedTask(
                known_at,
                "event_unapplied",
                "the engagement ended before the gate of a claim that is complete",
                f"The engagement ended on {ended_on}, before its gate on {gate}, which was told too late. "
                "Decide whether to revoke the claim.",
            )
        )
        return course
    reason = f"the engagement ended on {ended_on}, before its gate on {gate}"
    ending = Step("not_eligible", known_at, reason=reason)
    return build_timeline(facts, policy, program, [*(step for step in steps if step.at <= known_at), ending])


def build_timeline(
    facts: ClaimFacts, policy: CreditPolicy, program: Calendar, steps: Sequence[Step]
) -> Timeline:
    days = gate_days(date.fromisoformat(facts.started_on), facts.pauses, policy, program)
    gate_at = None
    if days.gate:
        gate_at = max(program.instant(days.gate, program.hours.send_time), facts.created_at)
    course = Timeline(days, _evidence_round(facts, 1, gate_at, days, policy, program))
    course.state_changes.append(StateChange(facts.created_at, "precheck", "the claim was opened"))
    changes, tasks = _of_round(facts, course.round, "the gate is reached")
    for step in steps:
        course.state_changes += [change for change in changes if change.due <= step.at]
        course.tasks += [task for task in tasks if task.due <= step.at]
        changes, tasks = [], []
        course.last = step
        course.rejected = step.name == "rejected" or (course.rejected and step.name != "reopened")
        if step.name == "reopened":
            course.round = _evidence_round(facts, course.round.number + 1, step.at, days, policy, program)
            changes, tasks = _of_round(facts, course.round, cause_of(step))
        else:
            course.state_changes.append(
                StateChange(step.at, step.name, cause_of(step), closes=step.name in OVER)
            )
    course.state_changes += changes
    course.tasks += tasks
    return course


def _of_round(
    facts: ClaimFacts, round: EvidenceRound, cause: str
) -> tuple[list[StateChange], list[PlannedTask]]:
    """What a round does if nobody steps in."""
    opens = round.opens
    if opens is None:
        return [], []
    again = f", round {round.number}" if round.number > 1 else ""
    if round.outcome == "not_held":
        return [
            StateChange(opens, "not_eligible", "the certification was not held at the gate", closes=True)
        ], []
    if round.outcome == "outside":
        task = PlannedTask(
            opens,
            "outside_cycle",
            f"outside the cycle{again}",
            "Check the cycle on record. Once the membership record is right, the claim can be reopened.",
        )
        return [StateChange(opens, "outside_cycle", "the credit date lies outside the cycle on record")], [
            task
        ]
    tasks = []
    if round.waits:
        tasks.append(
            PlannedTask(
                opens,
                "member_lapsed",
                f"no good standing at the gate{again}",
                "Help the member to renew: the claim waits, and goes on by itself once good standing is reported.",
            )
        )
    signer = "mentee" if facts.role == "mentor" else "mentor"
    letter = "letter of confirmation" if facts.role == "mentor" else "letter"
    if round.task_at and round.asks:
        tasks.append(
            PlannedTask(
                round.task_at,
                "evidence_missing",
                f"no letter{again}",
                f"Ask the {signer} for the {letter}, or help them with the page.",
            )
        )
    elif round.task_at:
        tasks.append(
            PlannedTask(
                round.task_at,
                "evidence_missing",
                f"no good standing, so no letter was asked for{again}",
                "Help the member to renew: the letter is asked for once good standing is reported.",
            )
        )
    if round.signature and round.ready_at:
        changes = [StateChange(round.ready_at, "ready", "the evidence is complete")]
        if round.waited or round.signature.at >= opens:
            changes.insert(0, StateChange(opens, "awaiting_evidence", cause))
        return changes, [task for task in tasks if task.due < round.ready_at]
    changes = [StateChange(opens, "awaiting_evidence", cause)]
    if round.missing_at:
        why = (
            f"the {signer} signed no letter in time" if round.asks else "good standing did not return in time"
        )
        changes.append(StateChange(round.missing_at, "evidence_missing", why))
    return changes, tasks


def state_at(changes: Iterable[StateChange], at: datetime) -> str:
    return Agenda((), tuple(changes)).state_at(at)


def cause_of(step: Step) -> str:
    if step.name == "not_eligible":
        return step.reason
    if step.name == "submitted":
        return "submitted by the claimant"
    done = "cancelled" if step.name == "canceled" else step.name
    return f"{done} by staff: {step.reason}" if step.reason else f"{done} by staff"
