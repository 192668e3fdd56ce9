"""The six-month gate, who may claim, and how much counts in a cycle (CPE1–CPE4, CPE9).

`program` is the program's own calendar in every function of this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from rules.calendar import Calendar
from rules.credit.facts import EARNED, ClaimFacts, Cycle
from rules.pauses import Pause, reached_on
from rules.program import CreditPolicy
from rules.program.catalogue import Catalogue


class GateDays(NamedTuple):
    """The days of the pre-check and of the gate."""

    precheck: date | None
    """None while an open pause holds it."""
    gate: date | None
    """None while an open pause holds it."""
    earliest: date
    """The gate as if every open pause ended on the day on which it began."""


def gate_days(started_on: date, pauses: Sequence[Pause], policy: CreditPolicy, program: Calendar) -> GateDays:
    """Return the days on which an engagement has been active for the months of pre-check and gate (CPE1, CPE7, T3).

    Paused days do not count (ENG11). Neither the planned end nor an extension has any effect.
    """
    precheck = reached_on(started_on, policy.precheck_months, pauses, program)
    gate = reached_on(started_on, policy.gate_months, pauses, program)

    def unless_held(day: date) -> date | None:
        held = any(pause.until is None and program.date_of(pause.since) < day for pause in pauses)
        return None if held else day

    return GateDays(unless_held(precheck), unless_held(gate), gate)


def gate_days_of(facts: ClaimFacts, policy: CreditPolicy, program: Calendar) -> GateDays:
    """Return the gate days of a claim's engagement."""
    return gate_days(date.fromisoformat(facts.started_on), facts.pauses, policy, program)


def days_in_cycle(facts: ClaimFacts, gate: date, policy: CreditPolicy) -> tuple[date, ...]:
    """Return the days that have to lie inside one cycle: the gate and, by the program, the first day (CPE4)."""
    return (date.fromisoformat(facts.started_on), gate) if policy.in_cycle == "term" else (gate,)


def took_part(
    started_on: date, ended_on: date, pauses: Sequence[Pause], policy: CreditPolicy, program: Calendar
) -> bool:
    """Return whether an engagement was active for the months of a certificate of participation (CPE3, T3, ENG11)."""
    return reached_on(started_on, policy.certificate_months, pauses, program) <= ended_on


def opens_at(precheck: date, program: Calendar, claimant: Calendar) -> datetime:
    """Return when to open a claim for its pre-check (CPE7, T4).

    That is the send time of the day in the program's zone or in the claimant's, whichever comes first, so that the
    claimant's mail goes out on time.
    """
    morning = claimant.instant(precheck, claimant.hours.send_time)
    return min(program.instant(precheck, program.hours.send_time), morning)


def claimable(
    codes: Iterable[str], policy: CreditPolicy, catalogue: Catalogue, gate: date | None, on: date
) -> tuple[str, ...]:
    """Return the certifications, out of those held on a day, for which a claim is opened (CPE3).

    They must be in the program's policy and in the catalogue. Credit is for holders at the gate, so a certification
    that comes on record after the gate opens no claim. `gate` is the gate of GateDays.
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
    """What the cap of a cycle needs to know of a claim."""

    claim: str
    engagement: str
    certification: str
    credit_date: str
    """The gate's day, YYYY-MM-DD."""
    state: str
    amount: int
    """The credits of the claim's role."""


def in_cycle(credits: Iterable[Credit], certification: str, cycle: Cycle) -> list[Credit]:
    """Return those of one person's credits that share the cap of a cycle, whatever their role (CPE9)."""
    return [
        credit
        for credit in credits
        if credit.certification == certification and cycle.covers(date.fromisoformat(credit.credit_date))
    ]


def countable(credits: Sequence[Credit], cap: int) -> dict[str, int]:
    """Return how much of each credit counts, by claim, for credits that share a cap (CPE9).

    Earlier credit dates come first, then the engagement's id, whatever the order in which they were earned or
    reported. A claim that is not earned takes no share. `in_cycle` selects the credits that share a cap.
    """
    remaining, shares = cap, {}
    for credit in sorted(
        credits, key=lambda each: (date.fromisoformat(each.credit_date), each.engagement, each.claim)
    ):
        shares[credit.claim] = min(credit.amount, remaining) if credit.state in EARNED else 0
        remaining -= shares[credit.claim]
    return shares


def cap_on(policy: CreditPolicy, catalogue: Catalogue, on: date) -> int:
    """Return the most credits that count in a cycle: the lower cap of the program and of the catalogue (CPE9)."""
    category = catalogue.category(policy.counts_as, on)
    return min(policy.cap, category.cap) if category else policy.cap
