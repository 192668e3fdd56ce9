"""What the membership record says of a certification over time: its cycles, and good standing (CPE4, MEM2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise

from rules.credit.facts import ClaimFacts, Cycle, Record


@dataclass(frozen=True, slots=True)
class CycleHistory:
    """The cycles of a certification that came on record until an instant."""

    changes: int
    """How often the cycle on record changed, the first entry included."""
    latest: Cycle | None
    valid: list[tuple[int, Cycle]]
    """The cycles that are still on record, each with its place in the history."""

    def covering(self, *days: date) -> tuple[int, Cycle] | None:
        """Return the cycle that all days lie in, with its place; two valid cycles have no day in common."""
        return next(((place, cycle) for place, cycle in self.valid if all(map(cycle.covers, days))), None)


def records_known_at(facts: ClaimFacts, at: datetime | None, *, inclusive: bool) -> list[Record]:
    """Return the records that came before an instant, oldest first, and always the first one; all of them for None.

    With `inclusive`, one that came at the very instant belongs to them. At the gate it does not.
    """
    known = [
        record for record in facts.records if at is None or record.at < at or (record.at == at and inclusive)
    ]
    return known or facts.records[:1]


def cycles_on_record(records: Sequence[Record]) -> CycleHistory:
    """Return the cycles in a series of records.

    A cycle that begins after another one has ended renews the certification, and both stay on record. Any other new
    cycle replaces the earlier ones as a correction.
    """
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
    return CycleHistory(len(history), history[-1], valid)


def lapses_of_standing(records: Sequence[Record]) -> list[tuple[datetime, datetime | None]]:
    """Return from when to when good standing was missing; the second is None while it is (MEM2)."""
    lapses: list[tuple[datetime, datetime | None]] = []
    for record in records:
        is_open = bool(lapses) and lapses[-1][1] is None
        if not record.good_standing and not is_open:
            lapses.append((record.at, None))
        elif record.good_standing and is_open:
            lapses[-1] = (lapses[-1][0], record.at)
    return lapses


def times_lapsed(records: Sequence[Record]) -> int:
    """Return how often good standing was lost in a series of records (MEM2)."""
    return sum(before.good_standing and not after.good_standing for before, after in pairwise(records))
