"""How many statements and commits of the database a mail costs, with its share of events and plans."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from temporalio import activity

from benchmarks.mail import ROOT, Figure, show
from benchmarks.program import scenario
from embedded.rehearsal import rehearse
from embedded.scenario import read_scenario
from worker.assembly import load_programs

PAIRS = 8
STATEMENTS = 16
"""The most that a mail may cost."""
COMMITS = 3.5


class Costs:
    """Statements and commits by what they were for: an event, a plan, a mail, or anything else."""

    def __init__(self) -> None:
        self.statements: Counter[str] = Counter()
        self.commits: Counter[str] = Counter()

    def note_statement(self, *call: Any) -> None:
        """Count a statement. Those that begin a transaction go to no server of their own."""
        if not str(call[2]).startswith("BEGIN"):
            self.statements[_purpose()] += 1

    def note_commit(self, connection: Any) -> None:
        """Count a commit of a transaction that writes."""
        if not connection.get_execution_options().get("reading"):
            self.commits[_purpose()] += 1


def _purpose() -> str:
    name = activity.info().activity_type if activity.in_activity() else ""
    if name.startswith("plan_"):
        return "plans"
    return {"send_mail": "mails", "apply_events": "events", "tell": "events"}.get(name, "the rest")


@contextmanager
def counting() -> Iterator[Costs]:
    """Count what all engines of this process do meanwhile."""
    costs = Costs()
    event.listen(Engine, "before_cursor_execute", costs.note_statement)
    event.listen(Engine, "commit", costs.note_commit)
    try:
        yield costs
    finally:
        event.remove(Engine, "before_cursor_execute", costs.note_statement)
        event.remove(Engine, "commit", costs.note_commit)


async def measure() -> list[Figure]:
    """Play nine months of a few pairs, and count."""
    programs = load_programs(ROOT / "programs")
    with tempfile.TemporaryDirectory(prefix="throughline-bench-") as folder:
        file = Path(folder) / "program.toml"
        file.write_text(scenario(PAIRS))
        read = read_scenario(file, programs)
        with counting() as costs:
            rows = await rehearse(read, programs, ROOT / "templates" / "mail", ROOT / "programs")
    mails = rows[-1]["mails"]
    statements, commits = costs.statements.total() / mails, costs.commits.total() / mails
    parts = [
        Figure(
            f"of these for {part}", f"{costs.statements[part] / mails:.1f}, {costs.commits[part] / mails:.2f}"
        )
        for part in ("mails", "plans", "events", "the rest")
    ]
    return [
        Figure("statements a mail", f"{statements:.1f}", f"≤ {STATEMENTS}", statements <= STATEMENTS),
        Figure("commits a mail", f"{commits:.2f}", f"≤ {COMMITS}", commits <= COMMITS),
        *parts,
    ]


def main() -> None:
    """Measure and print."""
    show(asyncio.run(measure()), "What a mail of a program of nine months costs the database")


if __name__ == "__main__":
    main()
