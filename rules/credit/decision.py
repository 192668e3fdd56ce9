"""The decision on a claim, with the inputs and checks that an auditor reads (CPE9–CPE12)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from rules.calendar import Calendar
from rules.credit.facts import EARNED, ClaimFacts
from rules.credit.gate import Credit, cap_on, countable, in_cycle
from rules.credit.timeline import Timeline, _records_at, cause_of, state_at, timeline_of
from rules.pauses import days_paused
from rules.program import CreditPolicy, Program
from rules.program.catalogue import Catalogue


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
    course = timeline_of(facts, policy, calendar)
    days, round, state = course.days, course.round, state_at(course.state_changes, at)
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


def _inputs(facts: ClaimFacts, calendar: Calendar, course: Timeline, at: datetime) -> dict[str, Any]:
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
    facts: ClaimFacts, policy: CreditPolicy, calendar: Calendar, course: Timeline, at: datetime, known: bool
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
        yield Check(rule, False, cause_of(course.last))
