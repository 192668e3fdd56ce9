"""A deployment for chaos: workers as processes, PostgreSQL, a Temporal server with a moved clock, and a mail server.

Each part can be taken away while the others work, and comes back on what it kept.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes
from pathlib import Path
from typing import Final

import httpx
from sqlalchemy import and_, func, or_, select
from temporalio.client import Client

from database import events
from database.models import Event, Message
from database.session import Database
from embedded.temporal_servers import HOST, free_port
from lifecycles.registry import LIFECYCLES
from rules.events import Envelope
from tests.support.chaos.lives import Happening
from tests.support.chaos.moved_server import MovedTemporalServer
from tests.support.limits import PATIENCE
from tests.support.processes import migrated, worker_process
from tests.support.servers.hostile_smtp import Answer, HostileSmtp, Session, say
from tests.support.servers.postgres_server import PostgresServer
from workflows.starting import notify_inbox


@dataclass
class FaultySmtp:
    """A mail server that takes a moment for each message, and can be away, busy, or fall silent after the body."""

    server: HostileSmtp
    chance: random.Random
    mode: str = ""
    """`away`, `busy`, `drops` (the message is kept, its sender never learns), or nothing."""
    dropped: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.server.always("banner", Answer(self._greet))
        self.server.always("MAIL", Answer(self._admit))
        self.server.always("END", Answer(self._keep))

    def set_mode(self, mode: str) -> None:
        """Behave so from now on."""
        self.mode = mode
        if mode == "away":
            self.server.drop_all()

    def received(self) -> Counter[str]:
        """Return how often the server has each delivery."""
        return Counter(map(_delivery, (message.content for message in self.server.accepted)))

    async def _greet(self, session: Session) -> None:
        if self.mode == "away":
            raise ConnectionResetError
        await say("220 localhost ESMTP").act(session)

    async def _admit(self, session: Session) -> None:
        await say("451 4.3.0 not now" if self.mode == "busy" else "250 ok").act(session)

    async def _keep(self, session: Session) -> None:
        # A worker that is killed now has handed over, and does not know.
        await asyncio.sleep(self.chance.uniform(0, 0.03))
        if self.mode == "drops" and self.chance.random() < 0.5:
            self.dropped.append(_delivery(self.server.last_message(session).content))
            raise ConnectionResetError
        await say("250 2.0.0 kept").act(session)


def _delivery(content: bytes) -> str:
    return str(message_from_bytes(content)["X-Throughline-Delivery"])


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A worker's process, and the port of its metrics."""

    process: asyncio.subprocess.Process
    port: int

    async def busy(self, http: httpx.AsyncClient) -> int | None:
        """Return how many tasks it has in hand; nothing while it does not answer."""
        try:
            answer = await http.get(f"http://{HOST}:{self.port}/metrics")
        except httpx.HTTPError:
            return None
        return int(sum(float(number) for number in SLOTS.findall(answer.text)))


SLOTS: Final = re.compile(r"^temporal_worker_task_slots_used\{.*\} ([\d.]+)$", re.MULTILINE)


@dataclass
class Deployment:
    """The parts, running."""

    temporal: MovedTemporalServer
    client: Client
    postgres: PostgresServer
    database: Database
    smtp: FaultySmtp
    log: Path
    stack: AsyncExitStack
    workers: list[RunningWorker] = field(default_factory=list)
    http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(trust_env=False))

    async def add_worker(self) -> None:
        """Start another `throughline worker`."""
        temporal, url, port = self.temporal.port, self.database.url, free_port()
        running = worker_process(temporal, url, self.smtp.server, self.log, HEALTH_PORT=str(port))
        self.workers.append(RunningWorker(await self.stack.enter_async_context(running), port))

    async def is_idle(self) -> bool:
        """Return whether a worker is there and none has a task in hand."""
        busy = await asyncio.gather(*(worker.busy(self.http) for worker in self.workers))
        return any(count is not None for count in busy) and not any(busy)

    async def kill_workers(self, count: int) -> None:
        """Kill the workers that live longest, and start as many."""
        for worker in self.workers[:count]:
            worker.process.kill()
            await worker.process.wait()
        del self.workers[:count]
        for _ in range(count):
            await self.add_worker()

    async def kill_temporal(self) -> None:
        """Kill the server, and start it on its file."""
        await self.temporal.kill()
        self.client = await self.temporal.start()

    async def crash_postgres(self) -> None:
        """Stop the database as a crash would, and start it on its files."""
        await asyncio.to_thread(self.postgres.stop, abruptly=True)
        await asyncio.sleep(1)
        await asyncio.to_thread(self.postgres.start)

    async def send(self, happenings: Iterable[Happening]) -> None:
        """Store events as the gateway does, and notify the inbox."""
        envelopes = [
            Envelope(each.id, "/chaos", each.type, each.time, each.data)
            for each in happenings
            for _ in range(each.copies)
        ]
        # A repeat comes in a request of its own.
        for chunk in (envelopes, envelopes[::3]):
            async with self.database.begin() as session:
                await events.store(session, chunk)
        await notify_inbox(self.client, self.database)

    async def pending(self, at: datetime) -> list[str]:
        """Return what should be done by an instant and is not. A mail that waits for the mail server is not counted."""
        waits = and_(Message.state == "planned", Message.due_at <= at, Message.trouble.is_(None))
        flies = Message.state.in_(("claimed", "handed_over"))
        async with self.database.reading() as session:
            events = await session.execute(
                select(Event.type, Event.subject, Event.state).where(Event.state.in_(("stored", "applying")))
            )
            mails = await session.execute(
                select(Message.workflow, Message.step, Message.state).where(or_(flies, waits))
            )
            found = [str(tuple(row)) for row in (*events, *mails)]
            for kind in LIFECYCLES.values():
                table = kind.table
                query = select(table.workflow, table.state, table.next_at).where(table.next_at <= at)
                found += [str(tuple(row)) for row in await session.execute(query)]
        return found

    async def waits_for_mail_server(self, until: datetime) -> bool:
        """Return whether a message that was due by an instant is to be tried again, or is just being tried."""
        async with self.database.reading() as session:
            undecided = Message.state.in_(("planned", "claimed", "handed_over"))
            query = select(Message.id).where(undecided, Message.due_at <= until).limit(1)
            return await session.scalar(query) is not None

    async def next_due(self, after: datetime) -> datetime | None:
        """Return the next instant at which anything is due."""
        found: list[datetime] = []
        async with self.database.reading() as session:
            queries = [
                select(func.min(Message.due_at)).where(Message.state == "planned", Message.due_at > after)
            ]
            queries.append(select(func.min(Event.held_until)).where(Event.state == "held"))
            for kind in LIFECYCLES.values():
                table = kind.table
                queries.append(select(func.min(table.next_at)).where(table.next_at > after))
            for query in queries:
                if instant := await session.scalar(query):
                    found.append(instant)
        return min((each for each in found if each > after), default=None)


@asynccontextmanager
async def deployment(
    postgres: PostgresServer, folder: Path, start: datetime, chance: random.Random, workers: int
) -> AsyncIterator[Deployment]:
    """A deployment whose program time begins at `start`."""
    async with AsyncExitStack() as stack:
        name = await asyncio.to_thread(postgres.create_database)
        database = await stack.enter_async_context(migrated(postgres.url(name)))
        server = await stack.enter_async_context(HostileSmtp())
        temporal = MovedTemporalServer(folder / "temporal.db")
        await temporal.move_to(start)
        stack.push_async_callback(temporal.kill)
        client = await temporal.start()
        ready = Deployment(
            temporal, client, postgres, database, FaultySmtp(server, chance), folder / "worker.log", stack
        )
        stack.push_async_callback(ready.http.aclose)
        for _ in range(workers):
            await ready.add_worker()
        async with asyncio.timeout(PATIENCE):
            while not await ready.is_idle():  # noqa: ASYNC110 - a process announces nothing here
                await asyncio.sleep(0.1)
        yield ready
