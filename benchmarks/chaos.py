"""Chaos: hundreds of people through a year of program time, while every part is taken away again and again.

`python -m benchmarks chaos --people 300 --days 365 --faults 60 --seed 1`. The same numbers draw the same lives and
faults. What the rules owe comes from the reference model; what came, from the mail server. Takes an hour and more.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from rich.console import Console

from benchmarks.mail import Figure, show
from tests.support.chaos.lives import draw_lives
from tests.support.chaos.run import ChaosCount, run_chaos
from tests.support.servers.postgres_server import PostgresServer


def _figures(count: ChaosCount) -> list[Figure]:
    none = [("lost", count.lost), ("doubled", count.doubled), ("not owed", count.not_owed)]
    none += [("stuck", count.stuck), ("ambiguous without a cause", count.without_cause)]
    return [
        Figure("faults", ", ".join(f"{kind}: {n}" for kind, n in sorted(count.faults.items()))),
        Figure("messages that the rules owe", f"{count.owed:,}"),
        Figure("received", f"{count.owed_and_received:,}"),
        Figure("said in the mail of another claim", f"{count.joined:,}"),
        Figure("answered before the mail server came back", f"{count.overtaken:,}"),
        Figure("ambiguous, listed for staff", f"{len(count.ambiguous):,}"),
        *(Figure(what, f"{len(found):,}", "0", not found) for what, found in none),
        Figure("minutes", f"{count.seconds / 60:,.0f}"),
    ]


async def measure(people: int, days: int, faults: int, seed: int) -> ChaosCount:
    """Play it, and count; progress goes to the standard error."""
    screen, shown = Console(stderr=True), time.monotonic()

    def progress(at: datetime, count: ChaosCount) -> None:
        nonlocal shown
        if time.monotonic() - shown > 30:
            shown = time.monotonic()
            screen.print(f"{at:%Y-%m-%d}: {count.faults.total()} faults")

    lives = draw_lives(people, days, seed)
    screen.print(f"{len(lives.happenings):,} events, {len(lives.owed):,} messages owed")
    with tempfile.TemporaryDirectory(prefix="throughline-bench-") as folder, PostgresServer() as postgres:
        return await run_chaos(lives, postgres, Path(folder), faults=faults, progress=progress)


def main() -> None:
    """Measure and print; what breaks a promise, and what is ambiguous, line by line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks chaos")
    for name, usual in (("people", 300), ("days", 365), ("faults", 60), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    options = parser.parse_args(sys.argv[2:])
    count = asyncio.run(measure(options.people, options.days, options.faults, options.seed))
    for line in (*count.trouble(), *(f"ambiguous: {each}" for each in count.ambiguous)):
        Console(stderr=True).print(line, highlight=False)
    title = f"Chaos: {options.people} people, {options.days} days, seed {options.seed}"
    show(_figures(count), title)
    if count.trouble():
        sys.exit(1)


if __name__ == "__main__":
    main()
