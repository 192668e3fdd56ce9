"""What a deployment needs for so many members: `python -m benchmarks sizing --members 1000000`.

The arithmetic of `docs/scaling.md`. Its constants are measured: `sizing --measure` plays nine months of some pairs and
prints them as they are now.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from sqlalchemy import func, select, text
from temporalio.api.enums.v1 import EventType

from benchmarks.actions import COUNTED
from benchmarks.mail import ROOT, Figure, show
from benchmarks.program import scenario
from database.models import Base, Event, Message
from embedded.scenario import read_scenario
from embedded.stack import EmbeddedStack, StackOptions, embedded_stack
from lifecycles.registry import LIFECYCLES
from worker.assembly import load_programs

BUSINESS_DAYS = 250
"""Business days of a year."""

STATE_TRANSITIONS = 1_000
"""State transitions a second of a Temporal server on PostgreSQL with 2 processors, as published (see the page)."""

HEADROOM = 0.5
"""The share of a published figure that is planned with."""


@dataclass(frozen=True, slots=True)
class PairConstants:
    """What one pair of people costs from joining to the end of an engagement, with its claims and surveys."""

    mails: float
    events_in: float
    actions: float
    history_events: float
    history_bytes: float
    rows: float
    database_bytes: float


MEASURED = PairConstants(
    mails=36,
    events_in=16,
    actions=90,
    history_events=530,
    history_bytes=100_000,
    rows=220,
    database_bytes=350_000,
)
"""As measured with `--measure`, rounded up."""


@dataclass(frozen=True, slots=True)
class Association:
    """An association, by numbers that it knows. Shares are of its members."""

    members: int
    engaged: float = 0.02
    """The share that is in a mentoring pair during a year."""
    changes: float = 4.0
    """Changes a year of a member's record that the member database sends, whether or not the member takes part."""
    busiest: float = 3.0
    """How many times the mails of a usual morning leave on the busiest one."""
    window: float = 30.0
    """Minutes over which the mails of a morning are spread."""
    kept_years: float = 6.0
    """Years for which rows are kept."""
    retention_days: float = 30.0
    """Days for which Temporal keeps closed histories."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What the association needs."""

    pairs: float
    mails_a_year: float
    events_a_day: float
    transitions_a_second: float
    """State transitions of Temporal, on average over the hours of business days."""
    peak_mails: float
    mails_a_second: float
    """In the window of the busiest morning."""
    peak_transitions: float
    """State transitions a second in that window."""
    shortest_window: float
    """Minutes into which the busiest morning fits with the published figure and headroom."""
    history_gigabytes: float
    database_gigabytes: float


def needs_of(association: Association, pair: PairConstants = MEASURED) -> Needs:
    """Return what an association needs. A history event is counted as a state transition, which is at most that."""
    pairs = association.members * association.engaged / 2
    mails = pairs * pair.mails
    peak = mails / BUSINESS_DAYS * association.busiest
    per_mail = pair.history_events / pair.mails
    records = association.members * association.changes
    # Each pair is open for most of a year, and its histories are kept for the retention after that.
    history = pairs * pair.history_bytes * (1 + association.retention_days / 365)
    rows = pairs * pair.database_bytes * association.kept_years
    return Needs(
        pairs=pairs,
        mails_a_year=mails,
        events_a_day=(pairs * pair.events_in + records) / BUSINESS_DAYS,
        transitions_a_second=pairs * pair.history_events / (BUSINESS_DAYS * 8 * 3600),
        peak_mails=peak,
        mails_a_second=peak / (association.window * 60),
        peak_transitions=peak * per_mail / (association.window * 60),
        shortest_window=peak * per_mail / (STATE_TRANSITIONS * HEADROOM) / 60,
        history_gigabytes=history / 1e9,
        database_gigabytes=(rows + association.members * 2_000) / 1e9,
    )


async def measure(pairs: int = 4) -> PairConstants:
    """Play nine months of some pairs, and return what one of them costs."""
    programs = load_programs(ROOT / "programs")
    with tempfile.TemporaryDirectory(prefix="throughline-bench-") as name:
        folder = Path(name)
        file = folder / "program.toml"
        file.write_text(scenario(pairs))
        read = read_scenario(file, programs)
        options = StackOptions(folder=folder)
        async with embedded_stack(programs, ROOT / "templates/mail", ROOT / "programs", options) as ready:
            before = await _bytes(ready)
            for at, events in groupby(read.events, key=lambda event: event.at):
                await ready.advance(at)
                program = {"program": read.program}
                await ready.send_events(
                    at,
                    [
                        (
                            event.type,
                            {**program, **event.data} if event.type == "profile.created" else event.data,
                        )
                        for event in events
                    ],
                )
            await ready.advance(read.until)
            await ready.wait_idle()
            counts = await _histories(ready)
            rows = await _rows(ready)
            counts |= Counter(bytes_kept=await _bytes(ready) - before)
    return PairConstants(
        rows["mails"] / pairs,
        rows["events"] / pairs,
        counts["actions"] / pairs,
        counts["events"] / pairs,
        counts["bytes"] / pairs,
        rows["all"] / pairs,
        counts["bytes_kept"] / pairs,
    )


async def _histories(ready: EmbeddedStack) -> Counter[str]:
    """Count actions, events and bytes of the histories of all lifecycles."""
    counts: Counter[str] = Counter()
    async with ready.database.reading() as session:
        tables = [entry.table for entry in LIFECYCLES.values()]
        workflows = [found for table in tables for found in await session.scalars(select(table.workflow))]
    for workflow in workflows:
        history = await ready.clock.client.get_workflow_handle(workflow).fetch_history()
        for event in history.events:
            counts.update(events=1, bytes=event.ByteSize())
            counts.update(actions=EventType.ValueType(event.event_type) in COUNTED)
    return counts


async def _rows(ready: EmbeddedStack) -> Counter[str]:
    async with ready.database.reading() as session:
        rows = Counter(
            mails=await session.scalar(select(func.count()).where(Message.state == "sent")) or 0,
            events=await session.scalar(select(func.count()).select_from(Event)) or 0,
        )
        for table in Base.metadata.sorted_tables:
            rows["all"] += await session.scalar(select(func.count()).select_from(table)) or 0
    return rows


async def _bytes(ready: EmbeddedStack) -> int:
    """Return the bytes of the database's pages."""
    async with ready.database.reading() as session:
        pages = await session.scalar(text("PRAGMA page_count")) or 0
        return int(pages) * int(await session.scalar(text("PRAGMA page_size")) or 0)


def _figures(needs: Needs) -> Iterator[Figure]:
    yield Figure("pairs a year", f"{needs.pairs:,.0f}")
    yield Figure("mails a year", f"{needs.mails_a_year:,.0f}")
    yield Figure("events in, a business day", f"{needs.events_a_day:,.0f}")
    yield Figure("state transitions a second, business hours", f"{needs.transitions_a_second:,.1f}")
    yield Figure("mails of the busiest morning", f"{needs.peak_mails:,.0f}")
    yield Figure("… a second, over the window", f"{needs.mails_a_second:,.1f}")
    yield Figure("… state transitions a second", f"{needs.peak_transitions:,.0f}")
    yield Figure("shortest window, minutes", f"{needs.shortest_window:,.1f}")
    yield Figure("histories in Temporal's database, GB", f"{needs.history_gigabytes:,.1f}")
    yield Figure("the program's database, GB", f"{needs.database_gigabytes:,.1f}")


def main() -> None:
    """Print what an association needs, or measure the constants."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks sizing")
    parser.add_argument("--members", type=int, default=1_000_000)
    usual = Association(0)
    for name in ("engaged", "changes", "busiest", "window", "kept_years", "retention_days"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(usual, name))
    parser.add_argument("--measure", action="store_true", help="measure the constants of a pair")
    options = vars(parser.parse_args(sys.argv[2:]))
    if options.pop("measure"):
        pair = asyncio.run(measure())
        figures = [Figure(name, f"{getattr(pair, name):,.0f}") for name in PairConstants.__slots__]
        show(figures, "One pair, from joining to the end of its claims and surveys")
        return
    association = Association(**options)
    show(list(_figures(needs_of(association))), f"{association.members:,} members")


if __name__ == "__main__":
    main()
