"""Ten thousand open onboardings on one worker with a cache of 500: what it holds in memory, and whether each still
hears after the worker was killed.

Takes many minutes, and so runs by name only: `python -m benchmarks crowd`, or `crowd 1000` for a smaller one. Those
that have not heard when the limit is over (`--wait SECONDS`) are counted as missed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from sqlalchemy import func, select
from temporalio.service import RPCError, RPCStatusCode

from benchmarks.mail import Figure, show
from database import events
from database.models import Onboarding
from database.session import Database
from embedded.mail_catcher import MailCatcher
from embedded.temporal_servers import DevServer, dev_server
from rules.events import Envelope
from tests.support.processes import worker_process
from workflows.messages import ActInput
from workflows.starting import notify_inbox

COUNT = 10_000
CACHE = 500
MEGABYTES = 400
"""The most that the worker may hold."""

WAIT = 3600.0
"""Seconds for all to come to where they should be, each time."""

AT_ONCE = 16
BATCH = 500


def small_worker(
    temporal: DevServer, database: Database, sink: MailCatcher, log: Path
) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """A worker with a cache of 500 workflows."""
    return worker_process(temporal.port, database.url, sink, log, MAX_CACHED_WORKFLOWS=str(CACHE))


def most_memory(pid: int) -> float:
    """The most memory that a process held so far, in megabytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (kilobytes,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return kilobytes / 1024


async def _sign_up(database: Database, temporal: DevServer, count: int) -> None:
    now = datetime.now(UTC)
    for first in range(0, count, BATCH):
        inputs = []
        for number in range(first, min(first + BATCH, count)):
            member = {"member": f"m-{number}", "name": f"Member {number}", "standing": "good"}
            inputs += [
                ("member.updated", {**member, "email": f"m-{number}@example.org"}),
                ("profile.created", {"profile": f"p-{number}", "member": f"m-{number}", "role": "mentee"}),
            ]
        async with database.begin() as session:
            envelopes = [
                Envelope(f"{first}-{number}", "/bench", kind, now, data)
                for number, (kind, data) in enumerate(inputs)
            ]
            await events.store(session, envelopes)
        await notify_inbox(temporal.client, database)


async def _until(
    database: Database, state: str, count: int, process: asyncio.subprocess.Process, wait: float
) -> tuple[int, float]:
    """Wait until so many onboardings are in a state, but only so long; how many are, and after how many seconds."""
    began = shown = time.perf_counter()
    while True:
        async with database.reading() as session:
            reached = await session.scalar(
                select(func.count()).select_from(Onboarding).where(Onboarding.state == state)
            )
        assert reached is not None
        now = time.perf_counter()
        if reached == count or now - began > wait:
            return reached, now - began
        if process.returncode is not None:
            raise RuntimeError(f"the worker ended with {process.returncode}")
        if now - shown > 30:
            shown = now
            Console(stderr=True).print(f"{reached:,} of {count:,} are {state}")
        await asyncio.sleep(0.5)


async def _pause_each(temporal: DevServer, count: int) -> None:
    left = list(range(count))

    async def signal() -> None:
        while left:
            handle = temporal.client.get_workflow_handle(f"onboarding/p-{left.pop()}")
            try:
                await handle.signal("pause", ActInput(actor="bench"))
            except RPCError as error:
                # One that did not start in time gets no signal, and counts as one that did not hear.
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise

    await asyncio.gather(*(signal() for _ in range(AT_ONCE)))


async def measure(count: int, wait: float = WAIT) -> list[Figure]:
    """Start that many onboardings, kill the worker, start it again, and tell each one to pause.

    `wait` is the limit in seconds, for their start and again for their signals.
    """
    with tempfile.TemporaryDirectory(prefix="throughline-bench-") as name:
        folder = Path(name)
        database, sink = Database(f"sqlite:///{folder / 'throughline.db'}"), MailCatcher()
        try:
            await database.upgrade()
            await sink.start()
            async with dev_server(folder / "temporal.db") as temporal:
                async with small_worker(temporal, database, sink, folder / "worker.log") as process:
                    await _sign_up(database, temporal, count)
                    started, starting = await _until(database, "waiting", count, process, wait)
                    before = most_memory(process.pid)
                async with small_worker(temporal, database, sink, folder / "worker.log") as process:
                    await _pause_each(temporal, count)
                    heard, hearing = await _until(database, "paused", count, process, wait)
                    after = most_memory(process.pid)
        finally:
            await sink.stop()
            await database.close()
    most = max(before, after)
    return [
        Figure("open onboardings, started a second", f"{started / starting:,.1f}"),
        Figure("most memory of the worker, MB", f"{most:,.0f}", f"< {MEGABYTES}", most < MEGABYTES),
        Figure(
            "heard a signal after the kill",
            f"{heard:,} of {count:,} in {hearing:,.0f} s",
            "all",
            heard == count,
        ),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks crowd")
    parser.add_argument("count", nargs="?", type=int, default=COUNT, help="onboardings")
    parser.add_argument("--wait", type=float, default=WAIT, help="seconds for all to hear")
    options = parser.parse_args(sys.argv[2:])
    title = f"{options.count:,} open onboardings, one worker with a cache of {CACHE}"
    show(asyncio.run(measure(options.count, options.wait)), title)


if __name__ == "__main__":
    main()
