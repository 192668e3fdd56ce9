"""The decision on a claim, with the inputs and checks that an auditor reads (CPE9–CPE12)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from rules.calendar import Calendar
from rules.credit.facts import EARNED, ClaimFacts
from rules.credit.gate import Credit, cap_on, countable, days_in_cycle, in_cycle
from rules.credit.records import lapses_of_standing, records_known_at
from rules.credit.timeline import Timeline, timeline_of
from rules.pauses import days_paused
from rules.program import Program
from rules.program.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Check:
    """One rule that decided a claim."""

    rule: str
    """The rule's id."""
    holds: bool | None
    """None while it is open."""
    why: str
    """The reason, in words for staff."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The result for a claim, with every input and rule that decided it (CPE9, CPE11, CPE12)."""

    claim: str
    state: str
    credit_date: str | None
    """The gate's day, YYYY-MM-DD; None while an open pause holds it."""
    earned: int
    """0 until the claim is complete, and again once it is revoked or rejected."""
    countable: int
    """How much of the earned credit counts under the cap."""
    inputs: dict[str, Any]
    checks: list[Check]

    def as_json(self) -> dict[str, Any]:
        """Return the decision as plain JSON, for the audit record."""
        return asdict(self)


def decide(
    facts: ClaimFacts,
    program: Program,
    calendar: Calendar,
    catalogue: Catalogue,
    others: Sequence[Credit],
    at: datetime,
) -> Decision:
    """Decide a claim at an instant (CPE1–CPE7, CPE9, CPE12, MEM2).

    `calendar` is the program's own. `others` are the person's other claims for the same certification, from all
    engagements and in both roles.
    """
    timeline = timeline_of(facts, program.credit, calendar)
    case = _Case(facts, program, calendar, catalogue, timeline, at)
    sharing = [credit for credit in others if credit.claim != facts.claim]
    cycle = timeline.round.cycle
    sharing = in_cycle(sharing, facts.certification, cycle) if cycle else []
    shares = countable([*sharing, case.credit], case.cap)
    inputs = {**case.claim_inputs(), **case.policy_inputs(), "sharing_the_cap": _as_inputs(sharing, shares)}
    return Decision(
        claim=facts.claim,
        state=case.state,
        credit_date=timeline.days.gate.isoformat() if timeline.days.gate else None,
        earned=case.earned,
        countable=shares[facts.claim],
        inputs=inputs,
        checks=list(case.checks(shares[facts.claim])),
    )


def _as_inputs(sharing: Sequence[Credit], shares: dict[str, int]) -> list[dict[str, Any]]:
    """Return the other credits under the same cap, each with its share, in the order in which they take it."""
    return [
        {**asdict(credit), "countable": shares[credit.claim]}
        for credit in sorted(sharing, key=lambda each: (each.credit_date, each.engagement, each.claim))
    ]


@dataclass(frozen=True, slots=True)
class _Case:
    """A claim at an instant, with what it is judged by."""

    facts: ClaimFacts
    program: Program
    calendar: Calendar
    catalogue: Catalogue
    timeline: Timeline
    at: datetime

    @property
    def state(self) -> str:
        return self.timeline.state_at(self.at)

    @property
    def amount(self) -> int:
        return self.program.credit.amount(self.facts.role)

    @property
    def earned(self) -> int:
        return self.amount if self.state in EARNED else 0

    @property
    def cap(self) -> int:
        return cap_on(self.program.credit, self.catalogue, self.timeline.days.earliest)

    @property
    def credit(self) -> Credit:
        """The claim as the cap of its cycle sees it."""
        facts, day = self.facts, self.timeline.days.earliest
        return Credit(
            facts.claim, facts.engagement, facts.certification, day.isoformat(), self.state, self.amount
        )

    def claim_inputs(self) -> dict[str, Any]:
        """Return what is on record of the claim, its engagement and its claimant."""
        facts, calendar = self.facts, self.calendar
        days, evidence = self.timeline.days, self.timeline.round
        letter = evidence.signature
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
            "cycle": asdict(evidence.cycle) if evidence.cycle else None,
            "good_standing": records_known_at(facts, self.at, inclusive=True)[-1].good_standing,
            "good_standing_from": evidence.asks_from.isoformat() if evidence.asks_from else None,
            "standing_lost": [
                {"since": start.isoformat(), "until": end.isoformat() if end else None}
                for start, end in self._lapses()
            ],
            "letter": letter.letter if letter else None,
            "signed_at": letter.at.isoformat() if letter else None,
            "signed_by": letter.by if letter else None,
            "domains_of_letter": letter.domains if letter else [],
            "domains_chosen": facts.domains,
            "steps": [
                {**asdict(step), "at": step.at.isoformat()} for step in facts.steps if step.at <= self.at
            ],
        }

    def policy_inputs(self) -> dict[str, Any]:
        """Return what the program and the catalogue say, with their versions (CPE12)."""
        policy = self.program.credit
        return {
            "gate_months": policy.gate_months,
            "amount": self.amount,
            "category": policy.category,
            "counts_as": policy.counts_as,
            "cap": self.cap,
            "program": self.program.id,
            "policy_version": self.program.policy_version,
            "policy_fingerprint": self.program.fingerprint,
            "catalogue_version": self.catalogue.version,
            "catalogue_fingerprint": self.catalogue.fingerprint,
        }

    def checks(self, countable: int) -> Iterator[Check]:
        """Yield the rules that decide the claim; `countable` is its share of the cap."""
        yield self._gate()
        yield self._certification()
        yield self._cycle()
        yield self._standing()
        yield self._evidence()
        yield from self._act_of_staff()
        yield Check(
            "CPE2", True, f"{self.amount} credits for the {self.facts.role}, once for this engagement"
        )
        yield Check(
            "CPE9",
            countable == self.earned if self.earned else None,
            f"{self.earned} earned, {countable} of them countable under a cap of {self.cap}",
        )
        versions = (
            f"policy {self.program.id} {self.program.policy_version}, catalogue {self.catalogue.version}"
        )
        yield Check("CPE12", True, versions)

    @property
    def _gate_reached(self) -> bool | None:
        """True once the gate is reached, None before it."""
        opens_at = self.timeline.round.opens_at
        return True if opens_at and opens_at <= self.at else None

    def _gate(self) -> Check:
        days, ended_at = self.timeline.days, self.facts.ended_at
        ended_on = self.calendar.date_of(ended_at) if ended_at else None
        ended_early = ended_on is not None and ended_on < days.earliest
        gate = days.gate.isoformat() if days.gate else "a day that a pause still holds"
        return Check(
            "CPE1",
            False if ended_early else self._gate_reached,
            f"started on {self.facts.started_on}, {self.program.credit.gate_months} months active on {gate}, "
            + (f"ended on {ended_on.isoformat()}" if ended_on else "not ended"),
        )

    def _certification(self) -> Check:
        code, gate = self.facts.certification, self.timeline.days.earliest
        is_known = code in self.program.credit.certifications and bool(
            self.catalogue.certification(code, gate)
        )
        if not is_known:
            return Check("CPE3", False, f"{code} is not in the program or the catalogue")
        is_held = self.timeline.round.outcome != "not_held"
        return Check(
            "CPE3",
            self._gate_reached if is_held else False,
            f"{code} is {'' if is_held else 'not '}held, and in the program and the catalogue",
        )

    def _cycle(self) -> Check:
        evidence, gate = self.timeline.round, self.timeline.days.earliest
        cycle = evidence.cycle
        is_inside = evidence.outcome == "inside"
        where = f"the cycle {cycle.start} to {cycle.end}" if cycle else "any cycle on record"
        days = days_in_cycle(self.facts, gate, self.program.credit)
        what = " to ".join(day.isoformat() for day in days)
        return Check(
            "CPE4",
            self._gate_reached if is_inside else False,
            f"{what} lies {'inside' if is_inside else 'outside'} {where}",
        )

    def _standing(self) -> Check:
        evidence = self.timeline.round
        since = evidence.asks_from if evidence.asks_from and evidence.asks_from <= self.at else None
        lost = "".join(
            f", lost from {start.isoformat()} to {end.isoformat() if end else 'now'}"
            for start, end in self._lapses()
        )
        if since:
            return Check("MEM2", True, f"good standing from {since.isoformat()}{lost}")
        is_missing = self._gate_reached and evidence.outcome == "inside"
        return Check("MEM2", False if is_missing else None, f"no good standing at the gate yet{lost}")

    def _lapses(self) -> list[tuple[datetime, datetime | None]]:
        """Return from when to when good standing was missing, as it was on record by now (MEM2)."""
        return lapses_of_standing(records_known_at(self.facts, self.at, inclusive=True))

    def _evidence(self) -> Check:
        evidence = self.timeline.round
        if self.facts.role == "mentor":
            rule, what = "CPE5", "letter of confirmation, signed by the mentee"
        else:
            rule, what = "CPE6", "letter by the mentor, with purpose and domains of the certification"
        letter = evidence.signature
        if letter and letter.at <= self.at:
            return Check(rule, True, f"{what}: {letter.letter}, signed {letter.at.isoformat()}")
        is_missing = evidence.missing_at is not None and evidence.missing_at <= self.at
        return Check(rule, False if is_missing else None, f"{what}: none yet")

    def _act_of_staff(self) -> Iterator[Check]:
        """Yield the act by which staff denied the claim, if one did."""
        step = self.timeline.last_step
        rule = {"rejected": "CPE10", "revoked": "CPE11", "canceled": "ENG6"}.get(step.name) if step else None
        if step and rule and step.at <= self.at:
            yield Check(rule, False, step.cause)
