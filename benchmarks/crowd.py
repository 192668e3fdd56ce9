"""Ten thousand open onboardings on one worker with a cache of 500: what it holds in memory, and whether each still
hears after the worker was killed.

Takes many minutes, and so runs by name only: `python -m benchmarks crowd`, or `crowd 1000` for a smaller one.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from sqlalchemy import func, select

from benchmarks.mail import ROOT, Figure, show
from database import events
from database.models import Onboarding
from database.session import Database
from rules.events import Envelope
from worker.catcher import MailCatcher
from worker.embedded import DevServer, dev_server
from worker.parts import poke
from workflows.agenda import ActInput

COUNT = 10_000
CACHE = 500
MEGABYTES = 400
"""The most that the worker may hold."""

AT_ONCE = 16
BATCH = 500


@asynccontextmanager
async def _worker(
    temporal: DevServer, database: Database, sink: MailCatcher, log: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The product's own worker in a process of its own, killed without warning at the end."""
    settings = {
        "TEMPORAL_ADDRESS": f"127.0.0.1:{temporal.port}",
        "THROUGHLINE_ENVIRONMENT": "bench",
        "THROUGHLINE_DATABASE": database.url,
        "THROUGHLINE_SECRET": "a secret for measuring only",
        "THROUGHLINE_SMTP_HOST": sink.host,
        "THROUGHLINE_SMTP_PORT": str(sink.port),
        "THROUGHLINE_MAX_CACHED_WORKFLOWS": str(CACHE),
    }
    with log.open("ab") as said:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from worker.command import main; main()", "worker"),
            cwd=ROOT,
            env={**os.environ, **settings},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _most_memory(pid: int) -> float:
    """The most memory that a process held so far, in megabytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (kilobytes,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return kilobytes / 1024


async def _sign_up(database: Database, temporal: DevServer, count: int) -> None:
    now = datetime.now(UTC)
    for first in range(0, count, BATCH):
        told = []
        for number in range(first, min(first + BATCH, count)):
            member = {"member": f"m-{number}", "name": f"Member {number}", "standing": "good"}
            told += [
                ("member.updated", {**member, "email": f"m-{number}@example.org"}),
                ("profile.created", {"profile": f"p-{number}", "member": f"m-{number}", "role": "mentee"}),
            ]
        async with database.begin() as session:
            envelopes = [
                Envelope(f"{first}-{number}", "/bench", kind, now, data)
                for number, (kind, data) in enumerate(told)
            ]
            await events.store(session, envelopes)
        await poke(temporal.client)


async def _until(database: Database, state: str, count: int, process: asyncio.subprocess.Process) -> float:
    """Wait until so many onboardings are in a state; how many seconds that took."""
    began = shown = time.perf_counter()
    while True:
        async with database.reading() as session:
            reached = await session.scalar(
                select(func.count()).select_from(Onboarding).where(Onboarding.state == state)
            )
        if reached == count:
            return time.perf_counter() - began
        if process.returncode is not None:
            raise RuntimeError(f"the worker ended with {process.returncode}")
        if time.perf_counter() - shown > 30:
            shown = time.perf_counter()
            Console(stderr=True).print(f"{reached:,} of {count:,} are {state}")
        await asyncio.sleep(0.5)


async def _pause_each(temporal: DevServer, count: int) -> None:
    left = list(range(count))

    async def signal() -> None:
        while left:
            handle = temporal.client.get_workflow_handle(f"onboarding/p-{left.pop()}")
            await handle.signal("pause", ActInput(actor="bench"))

    await asyncio.gather(*(signal() for _ in range(AT_ONCE)))


async def measure(count: int) -> list[Figure]:
    """Start that many onboardings, kill the worker, start it again, and tell each one to pause."""
    with tempfile.TemporaryDirectory(prefix="throughline-bench-") as name:
        folder = Path(name)
        database, sink = Database(f"sqlite:///{folder / 'throughline.db'}"), MailCatcher()
        try:
            await database.upgrade()
            await sink.start()
            async with dev_server(folder / "temporal.db") as temporal:
                async with _worker(temporal, database, sink, folder / "worker.log") as process:
                    await _sign_up(database, temporal, count)
                    started = await _until(database, "waiting", count, process)
                    before = _most_memory(process.pid)
                async with _worker(temporal, database, sink, folder / "worker.log") as process:
                    await _pause_each(temporal, count)
                    heard = await _until(database, "paused", count, process)
                    after = _most_memory(process.pid)
        finally:
            await sink.stop()
            await database.close()
    most = max(before, after)
    return [
        Figure("open onboardings, started a second", f"{count / started:,.1f}"),
        Figure("most memory of the worker, MB", f"{most:,.0f}", f"< {MEGABYTES}", most < MEGABYTES),
        Figure("heard a signal after the kill", f"{count:,} of {count:,} in {heard:,.0f} s", "all", True),
    ]


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[2]) if len(sys.argv) > 2 else COUNT
    show(asyncio.run(measure(count)), f"{count:,} open onboardings, one worker with a cache of {CACHE}")


if __name__ == "__main__":
    main()
