"""What one would write instead: a cron over a table and plain Temporal, beside ours, on the same scenario and faults.

`python -m benchmarks comparison --bursts 2 --requests 30 --kills 9 --seed 1`. Every system gets the same bursts of
requests, the same lost answers of the mail server, and as many kills at instants of the same seed. Counted at the mail
server. `docs/comparison.md` says how each is written.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from benchmarks.alternatives.contest import Contestant, LosingSmtp, Processes, Result, Scenario, play
from benchmarks.alternatives.cron_script import TABLE
from benchmarks.alternatives.plain_temporal import QUEUE, PlainRequest, PlainRequestWorkflow
from tests.support.processes import Program, TemporalServer, asking, migrated, worker_process
from tests.support.servers.hostile_smtp import HostileSmtp
from tests.support.servers.postgres_server import PostgresServer

ROOT = Path(__file__).resolve().parent.parent
CRON_EVERY = 5.0
"""Seconds between two runs of the script. Cron's minute would make it later, and change no other count."""

STUCK_AFTER = 300.0
"""Seconds after which a system that still has something to do is counted as it is."""

Maker = Callable[[PostgresServer, HostileSmtp, Path], AbstractAsyncContextManager[Contestant]]


async def _module(*arguments: str) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", *arguments)
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=asyncio.subprocess.DEVNULL)


def _address(postgres: PostgresServer, name: str) -> str:
    return f"host=127.0.0.1 port={postgres.port} user=postgres dbname={name}"


def _commits(postgres: PostgresServer, name: str) -> int:
    """Return how many transactions a database has committed, reading ones too."""
    with psycopg.connect(_address(postgres, "postgres"), autocommit=True) as connection:
        query = "SELECT xact_commit FROM pg_stat_database WHERE datname = %s"
        row = connection.execute(query, (name,)).fetchone()
    return int(row[0]) if row else 0


async def _history_events(client: Client) -> int:
    """Return how many events the histories of all workflows have."""
    return sum([execution.history_length async for execution in client.list_workflows()])


async def _polled(client: Client, queue: str) -> None:
    """Wait until a worker polls a task queue, so that no start of a process counts as lateness."""
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    while not (await client.workflow_service.describe_task_queue(request)).pollers:  # noqa: ASYNC110
        await asyncio.sleep(0.1)


async def _crash(postgres: PostgresServer) -> None:
    await asyncio.to_thread(postgres.stop, abruptly=True)
    await asyncio.to_thread(postgres.start)


@dataclass
class CronOverTable:
    """A table of what is due, and a script that cron starts."""

    name: str
    postgres: PostgresServer
    database: str
    script: Processes
    commits: int = 0

    async def give(self, names: list[str], accepted_after: float) -> None:
        """Insert the four rows of each request, in one transaction."""
        insert = "INSERT INTO mails (address, subject, due_at) VALUES (%s, %s, now() + %s * interval '1 s')"
        rows = [
            (f"{who}{name}@example.org", subject, seconds)
            for name in names
            for who in ("", "mentee-")
            for subject, seconds in (("request", 0.0), ("match", accepted_after))
        ]
        async with asyncio.timeout(STUCK_AFTER):
            while True:
                try:
                    with psycopg.connect(_address(self.postgres, self.database)) as connection:
                        connection.cursor().executemany(insert, rows)
                    return
                except psycopg.OperationalError:
                    await asyncio.sleep(0.2)

    async def run_by_cron(self) -> None:
        """Start the script again and again, while the last run is over."""
        while True:
            if self.script.running is None or self.script.running.returncode is not None:
                await self.script.begin()
            await asyncio.sleep(CRON_EVERY)

    async def kill(self) -> None:
        """Kill the script; cron starts it again."""
        await self.script.kill()

    async def crash_server(self) -> None:
        """Crash PostgreSQL, which forgets its statistics."""
        self.commits += _commits(self.postgres, self.database)
        await _crash(self.postgres)

    async def until_done(self) -> None:
        """Wait until each row is marked."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STUCK_AFTER):
                while self._unsent():  # noqa: ASYNC110 - the script announces nothing
                    await asyncio.sleep(0.5)

    async def cost(self) -> str:
        """Return its commits."""
        await asyncio.sleep(1)
        return f"{self.commits + _commits(self.postgres, self.database):,} commits"

    def _unsent(self) -> bool:
        with psycopg.connect(_address(self.postgres, self.database)) as connection:
            row = connection.execute("SELECT count(*) FROM mails WHERE sent_at IS NULL").fetchone()
        return bool(row and row[0])


@asynccontextmanager
async def _cron(
    order: str, postgres: PostgresServer, smtp: HostileSmtp, folder: Path
) -> AsyncIterator[CronOverTable]:
    database = await asyncio.to_thread(postgres.create_database)
    with psycopg.connect(_address(postgres, database)) as connection:
        connection.execute(TABLE)
    arguments = ("benchmarks.alternatives.cron_script", _address(postgres, database), str(smtp.port), order)
    script = Processes(lambda: _module(*arguments))
    contestant = CronOverTable(f"cron over a table, {order.replace('-', ' ')}", postgres, database, script)
    running = asyncio.create_task(contestant.run_by_cron())
    try:
        yield contestant
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await script.kill()


@dataclass
class PlainTemporal:
    """A workflow for each request, which sends, sleeps and sends."""

    temporal: TemporalServer
    client: Client
    worker: Processes
    smtp_port: int
    name: str = "plain Temporal"
    started: list[str] = field(default_factory=list)

    async def give(self, names: list[str], accepted_after: float) -> None:
        """Start a workflow for each request."""
        for name in names:
            people = (f"{name}@example.org", f"mentee-{name}@example.org")
            request = PlainRequest(*people, accepted_after, self.smtp_port)
            await self.client.start_workflow(PlainRequestWorkflow.run, request, id=name, task_queue=QUEUE)
            self.started.append(name)

    async def kill(self) -> None:
        """Kill the worker, and start another."""
        await self.worker.kill()
        await self.worker.begin()

    async def crash_server(self) -> None:
        """Crash Temporal."""
        await self.temporal.kill()
        self.client = await self.temporal.start()

    async def until_done(self) -> None:
        """Wait until each workflow is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STUCK_AFTER):
                for name in self.started:
                    await self.client.get_workflow_handle(name).result()

    async def cost(self) -> str:
        """Return the events of its histories."""
        return f"{await _history_events(self.client):,} history events"


@asynccontextmanager
async def _plain(postgres: PostgresServer, smtp: HostileSmtp, folder: Path) -> AsyncIterator[PlainTemporal]:
    temporal = TemporalServer(folder / "plain.db")
    client = await temporal.start()
    worker = Processes(lambda: _module("benchmarks.alternatives.plain_temporal", str(temporal.port)))
    try:
        await worker.begin()
        await _polled(client, QUEUE)
        yield PlainTemporal(temporal, client, worker, smtp.port)
    finally:
        await worker.kill()
        await temporal.kill()


@dataclass
class Throughline:
    """Ours: events in, a worker, PostgreSQL and Temporal."""

    temporal: TemporalServer
    program: Program
    postgres: PostgresServer
    database: str
    worker: Processes
    name: str = "Throughline"
    accepting: list[asyncio.Task[None]] = field(default_factory=list)
    requests: int = 0
    commits: int = 0

    async def give(self, names: list[str], accepted_after: float) -> None:
        """Send the events of these requests, and later those of their acceptance."""
        self.requests += len(names)
        await self._send([event for name in names for event in asking(name)])
        self.accepting.append(asyncio.create_task(self._accept(names, accepted_after)))

    async def _accept(self, names: list[str], after: float) -> None:
        await asyncio.sleep(after)
        await self._send([("request.accepted", {"request": f"r-{name}"}) for name in names])

    async def _send(self, happened: list[tuple[str, dict[str, Any]]]) -> None:
        """Store events until the database answers, as a sender does; the same ids, so that none counts twice."""
        stored = self.program.stored
        async with asyncio.timeout(STUCK_AFTER):
            while True:
                try:
                    self.program.stored = stored
                    await self.program.send_events(*happened)
                    return
                except (SQLAlchemyError, OSError, RuntimeError):
                    await asyncio.sleep(0.2)

    async def kill(self) -> None:
        """Kill the worker, and start another."""
        await self.worker.kill()
        await self.worker.begin()

    async def crash_server(self) -> None:
        """Crash Temporal and PostgreSQL, which forgets its statistics."""
        await self.temporal.kill()
        self.commits += _commits(self.postgres, self.database)
        await _crash(self.postgres)
        self.program.client = await self.temporal.start()

    async def until_done(self) -> None:
        """Wait until each message has its decision."""
        await asyncio.gather(*self.accepting)
        with suppress(TimeoutError):
            async with asyncio.timeout(STUCK_AFTER):
                while True:
                    try:
                        await self.program.until_decided(4 * self.requests)
                        return
                    except (SQLAlchemyError, OSError):
                        await asyncio.sleep(0.2)

    async def cost(self) -> str:
        """Return its commits, the events of its histories, and how many messages it lists as ambiguous."""
        rows = await self.program.mails()
        ambiguous = sum(row.state == "ambiguous" for row in rows)
        await asyncio.sleep(1)
        commits = self.commits + _commits(self.postgres, self.database)
        events = await _history_events(self.program.client)
        return f"{commits:,} commits, {events:,} history events; {ambiguous} listed as ambiguous"


@asynccontextmanager
async def _ours(postgres: PostgresServer, smtp: HostileSmtp, folder: Path) -> AsyncIterator[Throughline]:
    temporal, name = TemporalServer(folder / "ours.db"), await asyncio.to_thread(postgres.create_database)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(migrated(postgres.url(name)))
        stack.push_async_callback(temporal.kill)
        program = Program(database, await temporal.start())

        async def another() -> asyncio.subprocess.Process:
            running = worker_process(temporal.port, database.url, smtp, folder / "worker.log")
            return await stack.enter_async_context(running)

        worker = Processes(another)
        await worker.begin()
        await _polled(program.client, "throughline")
        yield Throughline(temporal, program, postgres, name, worker)


async def measure(scenario: Scenario) -> list[Result]:
    """Play the scenario with each system, one after the other, each with a mail server of its own."""
    makers: list[Maker] = [
        lambda *parts: _cron("send-first", *parts),
        lambda *parts: _cron("mark-first", *parts),
        _plain,
        _ours,
    ]
    results = []
    with tempfile.TemporaryDirectory(prefix="throughline-bench-") as folder, PostgresServer() as postgres:
        for make in makers:
            async with HostileSmtp() as smtp:
                LosingSmtp(smtp, scenario)
                async with make(postgres, smtp, Path(folder)) as contestant:
                    result = await play(contestant, scenario, smtp)
                    result.cpu = _processes(contestant).total()
            Console(stderr=True).print(result)
            results.append(result)
    return results


def _processes(contestant: Any) -> Processes:
    return contestant.script if isinstance(contestant, CronOverTable) else contestant.worker


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks comparison")
    for name, usual in (("bursts", 2), ("requests", 30), ("kills", 9), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    options = parser.parse_args(sys.argv[2:])
    scenario = Scenario(options.bursts, options.requests, options.kills, options.seed)
    table = Table(title=f"{scenario.owed} messages owed, {scenario.kills} kills, seed {scenario.seed}")
    for column in (
        "system",
        "lost",
        "doubled",
        f"later than {scenario.late:g} s",
        "last after, s",
        "CPU, s",
        "cost",
    ):
        table.add_column(column, justify="left" if column in ("system", "cost") else "right")
    for each in asyncio.run(measure(scenario)):
        counts = (each.lost, each.doubled, each.late, round(each.last), round(each.cpu, 1))
        table.add_row(each.name, *map(str, counts), each.cost)
    Console().print(table)


if __name__ == "__main__":
    main()
