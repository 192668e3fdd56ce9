"""The morning peak: mails that are all due at one instant, on one, two and four worker processes.

PostgreSQL, one Temporal dev server and the mail server share the machine with the workers. Each mail is a workflow of
its own that waits in the server for the instant, with one delivery, as a lifecycle's next mail does. Every second one
has the priority of nudges. `python -m benchmarks peak`, or `peak 20000` for a morning of 20,000.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert
from temporalio.common import Priority

from activities.delivery import SendMail
from benchmarks.crowd import most_memory
from benchmarks.mail import Figure, show
from database import ledger
from database.models import Member, Message, Profile
from database.session import Database
from embedded.mail_catcher import Caught, MailCatcher
from embedded.temporal_servers import DevServer, dev_server
from rules.agenda import PlannedMail
from tests.support.processes import migrated, worker_process
from tests.support.servers.postgres_server import PostgresServer
from workflows.agenda_loop import GIVES_WAY
from workflows.resend import ResendWorkflow

COUNT = 500
LONG_COUNT = 20_000
"""Mails of the long form."""
WORKERS = (1, 2, 4)
BATCH = 250
AT_ONCE = 32
AHEAD = 10.0
"""Seconds from the first start to the instant, beside those that the starts take."""
STARTS_A_SECOND = 40
"""How many workflows are started a second at the least, on a busy machine."""
WAIT = 3600.0

_DELIVERY = re.compile(rb"X-Throughline-Delivery: (\S+)")


@dataclass(slots=True)
class Morning:
    """One morning: when each mail arrived, in seconds after it was due."""

    due: float = 0.0
    """By the clock of `time.time`."""
    lags: dict[str, float] = field(default_factory=dict)
    doubled: int = 0

    def note(self, caught: Caught) -> None:
        """Keep when a mail arrived."""
        found = _DELIVERY.search(caught.content)
        delivery = found[1].decode() if found else ""
        self.doubled += delivery in self.lags
        self.lags.setdefault(delivery, time.time() - self.due)


async def _plan(database: Database, numbers: list[str]) -> dict[str, bool]:
    """Plan a mail for each of so many people; whether each is a nudge, by its delivery."""
    now = datetime.now(UTC)
    common = {"standing": "good", "standing_since": now, "updated_at": now}
    of_profiles = {"role": "mentor", "program": "asis-global", "created_at": now, "updated_at": now}
    nudges: dict[str, bool] = {}
    for first in range(0, len(numbers), BATCH):
        some = numbers[first : first + BATCH]
        async with database.begin() as session:
            people = [{"id": n, "name": n, "email": f"{n}@example.org", **common} for n in some]
            await session.execute(insert(Member), people)
            profiles = [{"id": f"p-{n}", "member_id": n, **of_profiles} for n in some]
            await session.execute(insert(Profile), profiles)
            for number in some:
                name = f"onboarding/p-{number}"
                mail = PlannedMail("mentor.welcome", now, "mentor.welcome", f"p-{number}")
                await ledger.plan(session, name, "asis-global", [mail], now, "", {f"p-{number}": number})
                row = await ledger.found(session, name, mail.key)
                if not isinstance(row, Message):
                    raise LookupError(name)
                nudges[row.delivery] = _is_nudge(number)
    return nudges


def _is_nudge(number: str) -> bool:
    return int(number.rpartition("-")[2]) % 2 == 1


async def _start(temporal: DevServer, numbers: list[str], due: datetime) -> None:
    waiting = list(numbers)

    async def work() -> None:
        while waiting:
            number = waiting.pop()
            delay = due - datetime.now(UTC)
            if delay <= timedelta(0):
                raise RuntimeError("the morning came before all mails were there")
            await temporal.client.start_workflow(
                ResendWorkflow.run,
                SendMail(f"onboarding/p-{number}", ["mentor.welcome/1"]),
                id=f"resend/{number}",
                task_queue="throughline",
                start_delay=delay,
                priority=GIVES_WAY if _is_nudge(number) else Priority.default,
            )

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def morning(database_url: str, folder: Path, count: int, workers: int) -> list[Figure]:
    """Play one morning with so many workers."""
    numbers = [f"m{workers}-{number}" for number in range(count)]
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(migrated(database_url))
        nudges = await _plan(database, numbers)
        temporal = await stack.enter_async_context(dev_server(folder / f"temporal-{workers}.db"))
        played = Morning()
        sink = MailCatcher(on_mail=played.note)
        await sink.start()
        stack.push_async_callback(sink.stop)
        logs = [folder / f"worker-{workers}-{number}.log" for number in range(workers)]
        processes = [
            await stack.enter_async_context(worker_process(temporal.port, database.url, sink, log))
            for log in logs
        ]
        async with asyncio.timeout(WAIT):
            while not all(b"worker_started" in log.read_bytes() for log in logs):  # noqa: ASYNC110 - a log notifies nobody
                await asyncio.sleep(0.2)
        due = datetime.now(UTC) + timedelta(seconds=AHEAD + count / STARTS_A_SECOND)
        played.due = due.timestamp()
        await _start(temporal, numbers, due)
        async with asyncio.timeout(WAIT):
            while len(played.lags) < count:  # noqa: ASYNC110 - the sink notifies nobody
                await asyncio.sleep(0.1)
        memory = max(most_memory(process.pid) for process in processes)
    return _figures(workers, played, nudges, memory)


def _figures(workers: int, played: Morning, nudges: dict[str, bool], memory: float) -> list[Figure]:
    last = max(played.lags.values())
    owed, others = (
        statistics.median(lag for delivery, lag in played.lags.items() if nudges[delivery] is nudge)
        for nudge in (False, True)
    )
    what = f"{workers} worker{'s' if workers > 1 else ''}"
    return [
        Figure(f"{what}: mails a second", f"{len(played.lags) / last:,.1f}"),
        Figure(f"{what}: seconds to the last", f"{last:,.1f}"),
        Figure(
            f"{what}: median of owed, of nudges",
            f"{owed:,.1f} s, {others:,.1f} s",
            "owed first",
            owed < others,
        ),
        Figure(f"{what}: most memory of one, MB", f"{memory:,.0f}"),
        Figure(f"{what}: doubled", str(played.doubled), "0", played.doubled == 0),
    ]


async def measure(count: int) -> list[Figure]:
    """Play a morning on each number of workers."""
    figures = []
    with PostgresServer() as server, tempfile.TemporaryDirectory(prefix="throughline-bench-") as folder:
        for workers in WORKERS:
            figures += await morning(server.url(server.create_database()), Path(folder), count, workers)
    return figures


def main() -> None:
    """Measure and print."""
    usual = LONG_COUNT if sys.argv[1:2] == ["long"] else COUNT
    parser = argparse.ArgumentParser(prog="python -m benchmarks peak")
    parser.add_argument("count", nargs="?", type=int, default=usual, help="mails")
    options = parser.parse_args(sys.argv[2:])
    show(asyncio.run(measure(options.count)), f"{options.count:,} mails due at one instant, on PostgreSQL")


if __name__ == "__main__":
    main()
