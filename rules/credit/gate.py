"""The six-month gate, who may claim, and how much counts in a cycle (CPE1–CPE4, CPE9)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from rules.calendar import Calendar
from rules.credit.facts import EARNED, Cycle
from rules.pauses import Pause, reached_on
from rules.program import CreditPolicy
from rules.program.catalogue import Catalogue


class GateDays(NamedTuple):
    """The days of the pre-check and of the gate; None while a pause before them has no end yet.

    `earliest` is the gate as if every open pause ended on the day on which it began.
    """

    precheck: date | None
    gate: date | None
    earliest: date


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
