"""One person's credit from one engagement for one certification: when, on what evidence, how much (CPE1–CPE12).

Dates of a claim are those of its engagement: local to the program's zone, with paused days left out (ENG11). A
suspension is a pause like any other here: it holds everything and takes nothing away until staff decide (ENG8).
Mail goes out on each reader's own days and clock (T4).

Three states close the lifecycle: `revoked`, `not_eligible` and `canceled`. The others that no timer leaves
(`ready`, `submitted`, `accepted`, `rejected`, `outside_cycle`, `evidence_missing`) stay open and silent, for years if
need be, so that staff can still reopen or revoke the claim. Sources: handbook, "Continuing Professional Education"
and "Recertification"; FAQ; the rest is decided in the rulebook.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from rules.acts import Act
from rules.agenda import (
    Agenda,
    Pause,
    PlannedMail,
    PlannedTask,
    Refused,
    StateChange,
    merge_pauses,
    recorded_at,
)
from rules.calendar import Calendar, days_paused, reached_on
from rules.catalogue import Catalogue, Certification
from rules.pauses import after_pause, close_at, send_at
from rules.program import CreditPolicy, Program

EARNED = frozenset({"ready", "submitted", "accepted"})
"""The states in which the credit is earned."""

OVER = frozenset({"revoked", "not_eligible", "canceled"})
"""The states that close the lifecycle."""

OTHER = "other"

REVOCATIONS = ("mistake", "untrue", "withdrawn", OTHER)
"""Why a letter was revoked, as its public check says it (CPE11): it was made by mistake, what it says was found not
to be so, or who signed it took it back."""

_STATES = {
    "precheck": "is not due yet",
    "awaiting_evidence": "still waits for its letter",
    "ready": "is complete",
    "submitted": "has been submitted",
    "accepted": "has been accepted",
    "rejected": "has been rejected",
    "revoked": "has been revoked",
    "outside_cycle": "lies outside the certification's cycle",
    "evidence_missing": "got no letter in time; the program's staff can reopen it",
    "not_eligible": "gives no right to credit",
    "canceled": "has been cancelled",
}


@dataclass(frozen=True, slots=True)
class Cycle:
    """A cycle of a certification as it is on record: first and last day, YYYY-MM-DD, both of them in it (CPE4)."""

    start: str
    end: str

    def covers(self, day: date) -> bool:
        """Whether a day lies in it. Raises ValueError for a date that is none (T8)."""
        return date.fromisoformat(self.start) <= day <= date.fromisoformat(self.end)


@dataclass(frozen=True, slots=True)
class Record:
    """What the membership record told of the claimant from an instant on; no cycle: the certification is not held."""

    at: datetime
    good_standing: bool
    cycle: Cycle | None


@dataclass(frozen=True, slots=True)
class Signature:
    """A signed letter, by id, with the ids of the domains that it names (CPE5, CPE6).

    `void_from` is the round from which it no longer counts: 1 is the gate's, and each reopening begins another. The
    letter itself is kept as it is.
    """

    letter: str
    at: datetime
    by: str
    domains: list[str] = field(default_factory=list)
    void_from: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What somebody did to a claim: `submitted`, `accepted`, `rejected`, `reopened`, `revoked` or `canceled`.

    `because` is one of `REVOCATIONS`, for a revocation: what anybody may know of it, while `reason` is for staff.
    """

    name: str
    at: datetime
    actor: str = ""
    reason: str = ""
    because: str = ""


@dataclass(frozen=True, slots=True)
class ClaimFacts:
    """All that decides a claim: ids, instants and dates only (MEM6).

    `role` is whose credit it is, `profile` the claimant, `counterpart` the other side, who signs. `started_on` is the
    engagement's first day (YYYY-MM-DD), `created_at` when the claim was opened, `ended_at` when the engagement
    ended and `ended_known_at` when the claim was told. `records` begins with what was on record at the opening.
    `domains` are the ids that the claimant chose.
    """

    engagement: str
    role: str
    profile: str
    counterpart: str
    certification: str
    started_on: str
    created_at: datetime
    records: list[Record]
    pauses: list[Pause] = field(default_factory=list)
    ended_at: datetime | None = None
    ended_known_at: datetime | None = None
    domains: list[str] = field(default_factory=list)
    signatures: list[Signature] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @property
    def claim(self) -> str:
        """The claim's workflow id."""
        return claim_id(self.engagement, self.role, self.certification)


class GateDays(NamedTuple):
    """The days of the pre-check and of the gate; None while a pause before them has no end yet.

    `earliest` is the gate as if every open pause ended on the day on which it began.
    """

    precheck: date | None
    gate: date | None
    earliest: date


def claim_id(engagement: str, role: str, certification: str) -> str:
    """The workflow id of a claim: one for each person, engagement and certification (CPE3)."""
    return f"claim/{engagement}/{role}/{certification}"


def gate_days(started_on: date, pauses: Sequence[Pause], policy: CreditPolicy, program: Calendar) -> GateDays:
    """When an engagement has been active for the months of pre-check and gate (CPE1, CPE7, ENG11, T3).

    `program` is the program's own calendar, here and below. The planned end has no part in it, nor an extension.
    """
    precheck = reached_on(started_on, policy.precheck_months, pauses, program)
    gate = reached_on(started_on, policy.gate_months, pauses, program)

    def settled(day: date) -> date | None:
        waits = any(pause.until is None and program.date_of(pause.since) < day for pause in pauses)
        return None if waits else day

    return GateDays(settled(precheck), settled(gate), gate)


def opens_at(precheck: date, program: Calendar, claimant: Calendar) -> datetime:
    """When to open a claim for its pre-check: on the morning of that day, the program's or the claimant's, whichever
    comes first, so that the claimant's mail goes out on time (CPE7, T4)."""
    morning = claimant.instant(precheck, claimant.hours.send_time)
    return min(program.instant(precheck, program.hours.send_time), morning)


def claimable(
    codes: Iterable[str], policy: CreditPolicy, catalogue: Catalogue, gate: date | None, on: date
) -> tuple[str, ...]:
    """The certifications out of those held on a day for which a claim is opened, each once (CPE3).

    Those that the program gives credit for and the catalogue has. A certification that appears on record after the
    gate opens none: the credit is for holders at the gate. `gate` as `gate_days` tells it.
    """
    if gate is not None and on > gate:
        return ()
    return tuple(
        code
        for code in dict.fromkeys(codes)
        if code in policy.certifications and catalogue.certification(code, gate or on)
    )


@dataclass(frozen=True, slots=True)
class Credit:
    """A claim as the cap of a cycle sees it: its credit date (YYYY-MM-DD), its state, the credits of its role."""

    claim: str
    engagement: str
    certification: str
    credit_date: str
    state: str
    amount: int


def in_cycle(credits: Iterable[Credit], certification: str, cycle: Cycle) -> list[Credit]:
    """Those of one person's credits that share the cap of a certification's cycle, whatever their role (CPE9)."""
    return [
        credit
        for credit in credits
        if credit.certification == certification and cycle.covers(date.fromisoformat(credit.credit_date))
    ]


def countable(credits: Sequence[Credit], cap: int) -> dict[str, int]:
    """How much of each credit counts, by claim, for credits that share a cap (CPE9).

    Earlier credit dates come first, then the engagement's id, whatever the order in which they were earned or
    told; a claim that is not earned, or no longer, takes no share. `in_cycle` selects what shares a cap.
    """
    left, shares = cap, {}
    for credit in sorted(
        credits, key=lambda each: (date.fromisoformat(each.credit_date), each.engagement, each.claim)
    ):
        shares[credit.claim] = min(credit.amount, left) if credit.state in EARNED else 0
        left -= shares[credit.claim]
    return shares


def cap_on(policy: CreditPolicy, catalogue: Catalogue, on: date) -> int:
    """The most credits that count in a cycle: the program's cap, or the catalogue's of that day if lower (CPE9)."""
    category = catalogue.category(policy.counts_as, on)
    return min(policy.cap, category.cap) if category else policy.cap


def agenda(
    facts: ClaimFacts, policy: CreditPolicy, program: Calendar, claimant: Calendar, counterpart: Calendar
) -> Agenda:
    """All that a claim does (CPE1, CPE3–CPE7, CPE10, MEM2). The calendars are the program's own and the two persons'.

    The gate turns at the program's send time of its day. Letters that are asked for again, after staff reopened the
    claim or the record was corrected, come under further occurrences, since a message that was decided never goes
    out again (MAIL1); what may yet come back is held rather than dropped.
    """
    course = _state_changes(facts, policy, program)
    paused, pauses = any(pause.until is None for pause in facts.pauses), merge_pauses(facts.pauses)
    mails = []
    for mail in _mails(facts, policy, program, claimant, counterpart, course):
        calendar = claimant if mail.to == facts.profile else counterpart
        late = after_pause(mail.due, pauses, calendar)
        mails.append(replace(mail, due=None) if paused else replace(mail, after_pause=late))
    return Agenda(
        tuple(mails),
        tuple(course.turns),
        tuple(course.tasks),
        course.dropped_because,
    )


def deciding_cycle(facts: ClaimFacts, policy: CreditPolicy, program: Calendar) -> Cycle | None:
    """The cycle that decides a claim, and that its letter states (CPE4); None if the certification was not held.

    It is the one on record at the gate, whatever is told of the certification later, until staff reopen the claim.
    """
    return _state_changes(facts, policy, program).round.cycle


@dataclass(frozen=True, slots=True)
class _EvidenceRound:
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
class _Timeline:
    """The turns and tasks of a claim, the round that it is in, its last step, and whether it was ever rejected in
    this round."""

    days: GateDays
    round: _EvidenceRound
    turns: list[StateChange] = field(default_factory=list)
    tasks: list[PlannedTask] = field(default_factory=list)
    last: Step | None = None
    rejected: bool = False

    @property
    def dropped_because(self) -> str:
        """Why messages of an earlier agenda are not in this one."""
        if self.last:
            return _cause(self.last)
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


def _round(
    facts: ClaimFacts,
    number: int,
    opens: datetime | None,
    days: GateDays,
    policy: CreditPolicy,
    program: Calendar,
) -> _EvidenceRound:
    """What comes of the gate, or of reopening the claim at `opens` (CPE4, CPE7, MEM2)."""
    known = _records_at(facts, opens, number)
    cycles = _cycles(known)
    found = cycles.covering(days.earliest)
    if cycles.latest is None:
        return _EvidenceRound(number, opens, "not_held", None, 0, cycles.changes)
    if found is None:
        return _EvidenceRound(number, opens, "outside", cycles.latest, 0, cycles.changes)
    later = range(len(known) - 1, len(facts.records))
    good = next((place for place in later if facts.records[place].good_standing), None)
    place, cycle = found
    asking = place + number - 1 + _lapses(facts.records[: later[0] + 1 if good is None else good + 1])
    round = _EvidenceRound(number, opens, "inside", cycle, asking, cycles.changes, waits=good is None)
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


def _state_changes(facts: ClaimFacts, policy: CreditPolicy, program: Calendar) -> _Timeline:
    """The turns and tasks of a claim, past and future: what rounds would do, each cut short by the next step."""
    steps = sorted(facts.steps, key=lambda step: step.at)
    course = _build_timeline(facts, policy, program, steps)
    if facts.ended_at is None or program.date_of(facts.ended_at) >= course.days.earliest:
        return course
    known_at = facts.ended_known_at or facts.ended_at
    state = _state_at(course.turns, known_at)
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
    return _build_timeline(facts, policy, program, [*(step for step in steps if step.at <= known_at), ending])


def _build_timeline(
    facts: ClaimFacts, policy: CreditPolicy, program: Calendar, steps: Sequence[Step]
) -> _Timeline:
    days = gate_days(date.fromisoformat(facts.started_on), facts.pauses, policy, program)
    gate_at = None
    if days.gate:
        gate_at = max(program.instant(days.gate, program.hours.send_time), facts.created_at)
    course = _Timeline(days, _round(facts, 1, gate_at, days, policy, program))
    course.turns.append(StateChange(facts.created_at, "precheck", "the claim was opened"))
    turns, tasks = _of_round(facts, course.round, "the gate is reached")
    for step in steps:
        course.turns += [turn for turn in turns if turn.due <= step.at]
        course.tasks += [task for task in tasks if task.due <= step.at]
        turns, tasks = [], []
        course.last = step
        course.rejected = step.name == "rejected" or (course.rejected and step.name != "reopened")
        if step.name == "reopened":
            course.round = _round(facts, course.round.number + 1, step.at, days, policy, program)
            turns, tasks = _of_round(facts, course.round, _cause(step))
        else:
            course.turns.append(StateChange(step.at, step.name, _cause(step), closes=step.name in OVER))
    course.turns += turns
    course.tasks += tasks
    return course


def _of_round(
    facts: ClaimFacts, round: _EvidenceRound, cause: str
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
        turns = [StateChange(round.ready_at, "ready", "the evidence is complete")]
        if round.waited or round.signature.at >= opens:
            turns.insert(0, StateChange(opens, "awaiting_evidence", cause))
        return turns, [task for task in tasks if task.due < round.ready_at]
    turns = [StateChange(opens, "awaiting_evidence", cause)]
    if round.missing_at:
        why = (
            f"the {signer} signed no letter in time" if round.asks else "good standing did not return in time"
        )
        turns.append(StateChange(round.missing_at, "evidence_missing", why))
    return turns, tasks


def _mails(
    facts: ClaimFacts,
    policy: CreditPolicy,
    program: Calendar,
    claimant: Calendar,
    counterpart: Calendar,
    course: _Timeline,
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
        if due and (due > round.signature.at or _is_paused(facts.pauses, due)):
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
    facts: ClaimFacts, program: Calendar, claimant: Calendar, course: _Timeline, context: dict[str, str]
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
    round: _EvidenceRound,
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


def _is_paused(pauses: Sequence[Pause], at: datetime) -> bool:
    return any(pause.since <= at and (pause.until is None or at < pause.until) for pause in pauses)


def _state_at(turns: Iterable[StateChange], at: datetime) -> str:
    return Agenda((), tuple(turns)).state_at(at)


def _cause(step: Step) -> str:
    if step.name == "not_eligible":
        return step.reason
    if step.name == "submitted":
        return "submitted by the claimant"
    done = "cancelled" if step.name == "canceled" else step.name
    return f"{done} by staff: {step.reason}" if step.reason else f"{done} by staff"


def record_changed(facts: ClaimFacts, good_standing: bool, cycle: Cycle | None, at: datetime) -> ClaimFacts:
    """The claimant's membership record as it stands from `at` on, when it reached the engine (CPE4, MEM2).

    What is on record at the gate decides; afterwards only good standing that returns does, or a reopened claim.
    """
    last = facts.records[-1]
    if (last.good_standing, last.cycle) == (good_standing, cycle):
        return facts
    after = [step.at + timedelta(microseconds=1) for step in facts.steps if step.name == "reopened"]
    at = max([at, last.at, *after])
    return replace(facts, records=[*facts.records, Record(at, good_standing, cycle)])


def engagement_changed(
    facts: ClaimFacts, pauses: Sequence[Pause], at: datetime, ended_at: datetime | None = None
) -> ClaimFacts:
    """The pauses of the engagement as they stand, suspensions among them, and its end (CPE1, ENG11).

    An end before the day of the gate closes the claim as not_eligible, whatever its reason; a later one leaves it
    as it is. An open pause ends with the engagement. Not for an engagement that staff cancel: `engagement_canceled`.
    """
    if ended_at is not None:
        pauses = [
            replace(pause, until=max(ended_at, pause.since)) if pause.until is None else pause
            for pause in pauses
        ]
    known_at = facts.ended_known_at
    if facts.ended_at != ended_at:
        known_at = max(recorded_at(ended_at, at), facts.created_at)
    return replace(
        facts,
        pauses=list(pauses),
        ended_at=ended_at,
        ended_known_at=known_at if ended_at is not None else None,
    )


def engagement_canceled(
    facts: ClaimFacts, at: datetime, state: str, reason: str = "", actor: str = ""
) -> ClaimFacts:
    """Staff cancelled the engagement: no credit for what is not earned yet (ENG6); earned credit is revoked by staff.

    Here and below, `state` is the state in force at `at`, as it was recorded.
    """
    if state in OVER | EARNED:
        return facts
    return _with(facts, "canceled", at, actor, reason)


def choose_domains(
    facts: ClaimFacts, by: str, domains: Iterable[str], certification: Certification | None, state: str
) -> ClaimFacts:
    """The claimant, by profile, chooses domains, by id or name, for the self-report form and the letter (CPE7, CPE10).

    `certification` is the catalogue's of the gate day. Raises Refused for anybody else, for a domain that the
    certification does not have, and once the claim was submitted or is over.
    """
    if by != facts.profile:
        raise Refused("only the claimant chooses the domains of a claim")
    if state in OVER or state in ("submitted", "accepted", "rejected"):
        raise Refused(f"this claim {_STATES[state]}: its domains stay as they are")
    return replace(facts, domains=_domains(facts, domains, certification))


class ShowAgain(Refused):
    """The letter is no longer the one that was shown: it has to be shown again before it can be signed (CPE8)."""


@dataclass(frozen=True, slots=True)
class Signing:
    """What came with a signature: by which profile, for whose credit (`role`), under which typed name.

    `shown` is the fingerprint of the text that was shown; None where another system showed its own. `domains` are
    ids or names.
    """

    by: str
    role: str
    name: str
    consent: bool
    shown: str | None
    purpose: str = ""
    domains: Sequence[str] = ()


def fingerprint(text: str) -> str:
    """The SHA-256 of a text as hexadecimal digits (CPE8, CPE11)."""
    return hashlib.sha256(text.encode()).hexdigest()


def same_name(typed: str, recorded: str) -> bool:
    """Whether a typed name is the recorded one, whatever the case, accents, spaces and punctuation (CPE8).

    `Pérez, Ana` on record is `ana perez`.
    """
    return bool(_plain(typed)) and _plain(typed) == _plain(recorded)


def check_signature(
    facts: ClaimFacts,
    signing: Signing,
    *,
    signer_name: str,
    statement: str,
    certification: Certification | None,
) -> list[str]:
    """The ids of the domains that a letter names, if it may be signed; none for a mentor's credit (CPE5, CPE6, CPE8).

    `signer_name` is the signer's name on record, `statement` the letter's text as it would be shown now,
    `certification` the catalogue's of the gate day. Raises Refused for the wrong letter or person, without consent,
    for another name, and for a mentee's credit without a purpose or with a domain that the certification does not
    have; ShowAgain if the text has changed since it was shown.
    """
    signer = "mentee" if facts.role == "mentor" else "mentor"
    if signing.role != facts.role:
        raise Refused(f"this letter is for the {signing.role}'s credit, and this claim is the {facts.role}'s")
    if signing.by != facts.counterpart:
        raise Refused(f"only the {signer} of this engagement can sign this letter")
    if signing.shown is not None and signing.shown != fingerprint(statement):
        raise ShowAgain("the letter has changed since it was shown to you; please read it again")
    if not signing.consent:
        raise Refused("the letter counts only with your consent")
    if not same_name(signing.name, signer_name):
        raise Refused("the name typed is not the name on record; please type your own full name")
    if facts.role == "mentor":
        return []
    if not signing.purpose.strip():
        raise Refused("the letter has to state the purpose of the mentorship")
    return _domains(facts, signing.domains, certification)


def sign(facts: ClaimFacts, signature: Signature, state: str) -> ClaimFacts:
    """The letter was signed, and checked before; one before the gate is kept and counts there (CPE5–CPE8).

    The same letter again changes nothing. Raises Refused for a second one, after the deadline, and where the claim
    takes no letter any more.
    """
    if any(signature.letter == earlier.letter for earlier in facts.signatures):
        return facts
    kept = any(earlier.void_from is None for earlier in facts.signatures)
    if state in EARNED or (kept and state in ("precheck", "awaiting_evidence")):
        raise Refused("this letter has already been signed")
    if state not in ("precheck", "awaiting_evidence"):
        raise Refused(f"this claim {_STATES[state]}")
    at = max([signature.at, *(step.at for step in facts.steps)])
    return replace(facts, signatures=[*facts.signatures, replace(signature, at=at)])


def submit(facts: ClaimFacts, by: str, at: datetime, state: str) -> ClaimFacts:
    """The claimant, by profile, has reported the credit to the certifying body (CPE10); again changes nothing.

    Raises Refused for anybody else, and unless the claim is ready.
    """
    if by != facts.profile:
        raise Refused("only the claimant marks a claim as submitted")
    if state in ("submitted", "accepted"):
        return facts
    _only_from(state, {"ready"}, "submitted")
    return _with(facts, "submitted", at, by, "")


def accept(facts: ClaimFacts, at: datetime, state: str, reason: str = "", actor: str = "") -> ClaimFacts:
    """Staff record that the certifying body accepted it (CPE10). Raises Refused unless it was ready, submitted or
    rejected."""
    if state == "accepted":
        return facts
    _only_from(state, {"ready", "submitted", "rejected"}, "accepted")
    return _with(facts, "accepted", at, actor, reason)


def reject(facts: ClaimFacts, at: datetime, state: str, reason: str, actor: str = "") -> ClaimFacts:
    """Staff record that the certifying body rejected it (CPE10). Raises Refused without a reason, and unless it was
    ready or submitted."""
    if state == "rejected":
        return facts
    _need_reason(reason)
    _only_from(state, {"ready", "submitted"}, "rejected")
    return _with(facts, "rejected", at, actor, reason)


def revoke(
    facts: ClaimFacts, at: datetime, state: str, reason: str, actor: str = "", because: str = ""
) -> ClaimFacts:
    """Staff take earned credit back, for good; its share of the cap is free again (CPE9, CPE11).

    `because` is the class of the reason that the public check of the letter shows, `other` unless given. Raises
    Refused without a reason, for an unknown class, and for a claim that is not complete.
    """
    if state == "revoked":
        return facts
    _need_reason(reason)
    _only_from(state, EARNED, "revoked")
    if (because or OTHER) not in REVOCATIONS:
        raise Refused(f"because is one of {', '.join(REVOCATIONS)}")
    return _with(facts, "revoked", at, actor, reason, because or OTHER)


def cancel(facts: ClaimFacts, at: datetime, state: str, reason: str = "", actor: str = "") -> ClaimFacts:
    """Staff cancel a claim that is not earned. Raises Refused for one that is: that is revoked, with a reason."""
    if state == "canceled":
        return facts
    if state in EARNED:
        raise Refused(f"this claim {_STATES[state]}: it can be revoked, but no longer cancelled")
    _only_from(state, _STATES.keys() - OVER - EARNED, "cancelled")
    return _with(facts, "canceled", at, actor, reason)


def reopen(
    facts: ClaimFacts,
    at: datetime,
    state: str,
    reason: str,
    policy: CreditPolicy,
    program: Calendar,
    actor: str = "",
) -> ClaimFacts:
    """Staff ask for the evidence anew, with the whole time for it (CPE7).

    A rejected claim needs another letter; one that was outside its cycle keeps a letter signed early. The cycle is
    looked at again, as it is on record at `at`. Raises Refused without a reason, unless the claim was
    evidence_missing, outside_cycle or rejected, and while the credit date lies outside the cycle.
    """
    if state == "awaiting_evidence" and facts.steps and facts.steps[-1].name == "reopened":
        return facts
    _need_reason(reason)
    _only_from(state, {"evidence_missing", "outside_cycle", "rejected"}, "reopened")
    gate = gate_days(date.fromisoformat(facts.started_on), facts.pauses, policy, program).earliest
    cycles = _cycles(_records_at(facts, at, 2))
    if cycles.latest is None:
        raise Refused(f"{facts.certification} is not on the member's record")
    if cycles.covering(gate) is None:
        raise Refused(
            f"the credit date, {gate.isoformat()}, lies outside the cycle on record, "
            f"{cycles.latest.start} to {cycles.latest.end}; have the membership record corrected first"
        )
    reopened = _with(facts, "reopened", at, actor, reason)
    if state != "rejected":
        return reopened
    number = 1 + sum(step.name == "reopened" for step in reopened.steps)
    return replace(
        reopened,
        signatures=[replace(each, void_from=each.void_from or number) for each in facts.signatures],
    )


def _with(
    facts: ClaimFacts, name: str, at: datetime, actor: str, reason: str, because: str = ""
) -> ClaimFacts:
    at = max([at, facts.created_at, *(step.at for step in facts.steps)])
    return replace(facts, steps=[*facts.steps, Step(name, at, actor, reason.strip(), because)])


def _need_reason(reason: str) -> None:
    if not reason.strip():
        raise Refused("a reason is needed")


def _only_from(state: str, states: Iterable[str], done: str) -> None:
    if state not in states:
        raise Refused(f"this claim {_STATES[state]}: it cannot be {done}")


def _domains(facts: ClaimFacts, words: Iterable[str], certification: Certification | None) -> list[str]:
    """The ids of domains given by id or name, each once. Raises Refused for none, and for any that is not of it."""
    given = [word for word in words if word.strip()]
    if not given:
        raise Refused(f"at least one domain of {facts.certification} has to be named")
    found = {word: certification.domain(word) if certification else None for word in given}
    strange = [word for word, domain in found.items() if domain is None]
    if strange:
        raise Refused(f"{facts.certification} has no domain {', '.join(strange)}")
    return list(dict.fromkeys(domain.id for domain in found.values() if domain))


_UNDECOMPOSED = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", **dict.fromkeys("'’‘ʼʹ`´")}
)


def _plain(name: str) -> str:
    last, comma, first = name.partition(",")
    folded = (f"{first} {last}" if comma else name).casefold().translate(_UNDECOMPOSED)
    letters = (
        letter
        for letter in unicodedata.normalize("NFKD", folded)
        if not unicodedata.category(letter).startswith("M")
    )
    return " ".join("".join(letter if letter.isalnum() else " " for letter in letters).split())


@dataclass(frozen=True, slots=True)
class Check:
    """A rule that decided a claim: whether it holds, None where that is still open, and why, in words for staff."""

    rule: str
    holds: bool | None
    why: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What comes of a claim, with every input and rule that decided it (CPE9, CPE11, CPE12).

    `earned` is 0 until the claim is complete, and again once it is revoked or rejected; `countable` is what of it
    counts under the cap. `credit_date` is the gate's day, None while a pause holds it.
    """

    claim: str
    state: str
    credit_date: str | None
    earned: int
    countable: int
    inputs: dict[str, Any]
    checks: list[Check]

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON, for the record: instants as ISO 8601 text."""
        return asdict(self)


def decide(
    facts: ClaimFacts,
    program: Program,
    calendar: Calendar,
    catalogue: Catalogue,
    others: Sequence[Credit],
    at: datetime,
) -> Decision:
    """The decision about a claim at an instant (CPE1–CPE7, CPE9, CPE12, MEM2).

    `calendar` is the program's own, `others` are the person's other claims for the same certification, from all
    engagements and in both roles.
    """
    policy = program.credit
    course = _state_changes(facts, policy, calendar)
    days, round, state = course.days, course.round, _state_at(course.turns, at)
    amount, cap = policy.amount(facts.role), cap_on(policy, catalogue, days.earliest)
    own = Credit(facts.claim, facts.engagement, facts.certification, days.earliest.isoformat(), state, amount)
    sharing = [credit for credit in others if credit.claim != facts.claim]
    sharing = in_cycle(sharing, facts.certification, round.cycle) if round.cycle else []
    shares = countable([*sharing, own], cap)
    inputs: dict[str, Any] = {
        **_inputs(facts, calendar, course, at),
        "gate_months": policy.gate_months,
        "amount": amount,
        "category": policy.category,
        "counts_as": policy.counts_as,
        "cap": cap,
        "sharing_the_cap": [
            {**asdict(credit), "countable": shares[credit.claim]}
            for credit in sorted(sharing, key=lambda each: (each.credit_date, each.engagement, each.claim))
        ],
        "program": program.id,
        "policy_version": program.policy_version,
        "policy_fingerprint": program.fingerprint,
        "catalogue_version": catalogue.version,
        "catalogue_fingerprint": catalogue.fingerprint,
    }
    earned = amount if state in EARNED else 0
    known = facts.certification in policy.certifications and bool(
        catalogue.certification(facts.certification, days.earliest)
    )
    checks = [
        *_checks(facts, policy, calendar, course, at, known),
        Check("CPE2", True, f"{amount} credits for the {facts.role}, once for this engagement"),
        Check(
            "CPE9",
            shares[facts.claim] == earned if earned else None,
            f"{earned} earned, {shares[facts.claim]} of them countable under a cap of {cap}",
        ),
        Check(
            "CPE12",
            True,
            f"policy {program.id} {program.policy_version}, catalogue {catalogue.version}",
        ),
    ]
    on = days.gate.isoformat() if days.gate else None
    return Decision(facts.claim, state, on, earned, shares[facts.claim], inputs, checks)


def _inputs(facts: ClaimFacts, calendar: Calendar, course: _Timeline, at: datetime) -> dict[str, Any]:
    days, round = course.days, course.round
    letter = round.signature
    return {
        "engagement": facts.engagement,
        "role": facts.role,
        "profile": facts.profile,
        "counterpart": facts.counterpart,
        "certification": facts.certification,
        "started_on": facts.started_on,
        "pauses": [
            {"since": pause.since.isoformat(), "until": pause.until.isoformat() if pause.until else None}
            for pause in facts.pauses
        ],
        "paused_days": days_paused(
            facts.pauses, calendar, before=calendar.instant(days.earliest, calendar.hours.send_time)
        ),
        "gate_on": days.gate.isoformat() if days.gate else None,
        "ended_on": calendar.date_of(facts.ended_at).isoformat() if facts.ended_at else None,
        "cycle": asdict(round.cycle) if round.cycle else None,
        "good_standing": _records_at(facts, at, 2)[-1].good_standing,
        "good_standing_from": round.asks.isoformat() if round.asks else None,
        "letter": letter.letter if letter else None,
        "signed_at": letter.at.isoformat() if letter else None,
        "signed_by": letter.by if letter else None,
        "domains_of_letter": letter.domains if letter else [],
        "domains_chosen": facts.domains,
        "steps": [{**asdict(step), "at": step.at.isoformat()} for step in facts.steps if step.at <= at],
    }


def _checks(
    facts: ClaimFacts, policy: CreditPolicy, calendar: Calendar, course: _Timeline, at: datetime, known: bool
) -> Iterator[Check]:
    days, round = course.days, course.round
    reached = True if round.opens and round.opens <= at else None
    ended_on = calendar.date_of(facts.ended_at) if facts.ended_at else None
    early = ended_on is not None and ended_on < days.earliest
    yield Check(
        "CPE1",
        False if early else reached,
        f"started on {facts.started_on}, {policy.gate_months} months active on "
        f"{days.gate.isoformat() if days.gate else 'a day that a pause still holds'}, "
        + (f"ended on {ended_on.isoformat()}" if ended_on else "not ended"),
    )
    held = known and round.outcome != "not_held"
    yield Check(
        "CPE3",
        False if not held else reached,
        f"{facts.certification} is {'' if held else 'not '}held, and in the program and the catalogue"
        if known
        else f"{facts.certification} is not in the program or the catalogue",
    )
    cycle = f"the cycle {round.cycle.start} to {round.cycle.end}" if round.cycle else "any cycle on record"
    yield Check(
        "CPE4",
        reached if round.outcome == "inside" else False,
        f"{days.earliest.isoformat()} lies {'inside' if round.outcome == 'inside' else 'outside'} {cycle}",
    )
    asks = round.asks if round.asks and round.asks <= at else None
    yield Check(
        "MEM2",
        True if asks else (False if reached and round.outcome == "inside" else None),
        f"good standing from {asks.isoformat()}" if asks else "no good standing at the gate yet",
    )
    letter = round.signature if round.signature and round.signature.at <= at else None
    missing = round.missing_at is not None and round.missing_at <= at
    if facts.role == "mentor":
        what = "letter of confirmation, signed by the mentee"
    else:
        what = "letter by the mentor, with purpose and domains of the certification"
    yield Check(
        "CPE5" if facts.role == "mentor" else "CPE6",
        True if letter else (False if missing else None),
        f"{what}: {letter.letter}, signed {letter.at.isoformat()}" if letter else f"{what}: none yet",
    )
    if course.last and course.last.at <= at and course.last.name in ("rejected", "revoked", "canceled"):
        rule = {"rejected": "CPE10", "revoked": "CPE11", "canceled": "ENG6"}[course.last.name]
        yield Check(rule, False, _cause(course.last))


def apply_to_claim(
    facts: ClaimFacts, act: Act, state: str, now: datetime, policy: CreditPolicy, calendar: Calendar
) -> ClaimFacts:
    """A claim's facts after an act of the claimant or of staff in a state. Raises Refused (CPE7, CPE10, CPE11)."""
    at, by = act.at or now, act.actor
    match act.name:
        case "submit":
            return submit(facts, act.by, at, state)
        case "accept":
            return accept(facts, at, state, act.reason, by)
        case "reject":
            return reject(facts, at, state, act.reason, by)
        case "revoke":
            return revoke(facts, at, state, act.reason, by, act.details.get("answer", ""))
        case "cancel":
            return cancel(facts, at, state, act.reason, by)
        case "reopen":
            return reopen(facts, at, state, act.reason, policy, calendar, by)
    raise Refused(f"a claim cannot be told to {act.name}")
