"""A meetup to ten thousand people, with the worker killed three times: each gets the invitation, and once.

Takes many minutes, and so runs by name only: `python -m benchmarks fan_out`, or `fan_out 1000` for a smaller one.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from sqlalchemy import func, select

from benchmarks.crowd import MEGABYTES, most_memory, small_worker
from benchmarks.mail import Figure, show
from database import events
from database.models import DECISIONS, Message
from database.session import Database
from embedded.mail_catcher import Caught, MailCatcher
from embedded.temporal_servers import DevServer, dev_server
from rules.events import Envelope
from tests.support.programs.many_members import many_members, scheduled
from workflows.starting import notify_inbox

COUNT = 10_000
KILLS = 3
WAIT = 7200.0
"""Seconds for all to have their invitation."""


async def _decided(database: Database) -> Counter[str]:
    async with database.reading() as session:
        rows = await session.execute(
            select(Message.state, func.count())
            .where(Message.message == "member.meetup_invitation")
            .group_by(Message.state)
        )
        return Counter({state: count for state, count in rows if state in DECISIONS})


async def _schedule(database: Database, temporal: DevServer) -> None:
    kind, data = scheduled("m-1")
    async with database.begin() as session:
        await events.store(session, [Envelope("1", "/bench", kind, datetime.now(UTC), data)])
    await notify_inbox(temporal.client, database)


async def _until(received: Counter[str], count: int, until: float) -> None:
    """Wait until the mail server has so many mails."""
    shown = time.perf_counter()
    while received.total() < count:
        now = time.perf_counter()
        if now > until:
            raise TimeoutError(f"{received.total():,} of {count:,} have come")
        if now - shown > 30:
            shown = now
            Console(stderr=True).print(f"{received.total():,} of {count:,} have come")
        await asyncio.sleep(0.2)


async def measure(count: int, wait: float = WAIT) -> list[Figure]:
    """Invite that many, and kill the worker at each quarter; `wait` is the limit in seconds."""
    received: Counter[str] = Counter()

    def note(mail: Caught) -> None:
        received[mail.recipient] += 1
        # It keeps each mail, which would be a gigabyte here.
        sink.caught.clear()

    with tempfile.TemporaryDirectory(prefix="throughline-bench-") as name:
        folder = Path(name)
        database, sink = Database(f"sqlite:///{folder / 'throughline.db'}"), MailCatcher(None, note)
        memory: list[float] = []
        try:
            await database.upgrade()
            await sink.start()
            await many_members(database, count)
            async with dev_server(folder / "temporal.db") as temporal:
                began = time.perf_counter()
                await _schedule(database, temporal)
                for kill in range(1, KILLS + 1):
                    async with small_worker(temporal, database, sink, folder / "worker.log") as process:
                        await _until(received, count * kill // (KILLS + 1), began + wait)
                        memory.append(most_memory(process.pid))
                        process.send_signal(signal.SIGKILL)
                        await process.wait()
                async with small_worker(temporal, database, sink, folder / "worker.log") as process:
                    while (decided := await _decided(database)).total() < count:
                        if time.perf_counter() > began + wait:
                            break
                        await asyncio.sleep(1)
                    memory.append(most_memory(process.pid))
                took = time.perf_counter() - began
        finally:
            await sink.stop()
            await database.close()
    once = sum(times == 1 for times in received.values())
    doubtful = decided["ambiguous"]
    return [
        Figure("invitations a second, with three kills", f"{decided.total() / took:,.1f}"),
        Figure(
            "have it once",
            f"{once:,} of {count:,}, {doubtful} unconfirmed",
            "all",
            once + doubtful >= count and once == len(received),
        ),
        Figure(
            "most memory of a worker, MB", f"{max(memory):,.0f}", f"< {MEGABYTES}", max(memory) < MEGABYTES
        ),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks fan_out")
    parser.add_argument("count", nargs="?", type=int, default=COUNT, help="people")
    parser.add_argument("--wait", type=float, default=WAIT, help="seconds for all to be invited")
    options = parser.parse_args(sys.argv[2:])
    title = f"A meetup to {options.count:,} people, the worker killed {KILLS} times"
    show(asyncio.run(measure(options.count, options.wait)), title)


if __name__ == "__main__":
    main()
