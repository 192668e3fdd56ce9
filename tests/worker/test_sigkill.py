"""A worker that is really killed, at every step of a delivery: nothing lost, doubled or stuck (MAIL1, MAIL2).

The worker is the product's own command in a process of its own, on a Temporal dev server. The mail server holds one
delivery at each step; then the worker gets SIGKILL, and another one takes over.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from database import events, ledger
from database.models import DECISIONS, AuditRecord, Message, Request, Task
from database.session import Database
from rules.events import Envelope
from tests.hostile_smtp import Answer, HostileSmtp, Session, say
from worker.embedded import DevServer, dev_server
from worker.parts import poke

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 60.0
"""Seconds after which a wait fails the test."""

HELD = {"MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go ahead", "END": "250 2.0.0 kept"}
"""The steps at which deliveries are held, with the server's usual answer."""

RECEIVED = "mentor.request_received"


@dataclass
class HoldingSmtp:
    """A mail server that holds the delivery to `<step>@example.org` at that step, for as long as it is told to."""

    server: HostileSmtp
    senders: dict[str, str] = field(default_factory=dict)
    holding: bool = True
    held: set[str] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    locking: Database | None = None
    unlock: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        for step, usual in HELD.items():
            self.server.always(step, self._answer(step, usual))

    def _answer(self, step: str, usual: str) -> Answer:
        async def act(session: Session) -> None:
            if self.holding and step == self._wanted(session):
                self.held.add(step)
                self.changed.set()
                while await session.reader.read(2**16):
                    pass
                raise ConnectionResetError
            if self.holding and step == "END" and _recipient(session) == "answered@example.org":
                await self._answer_and_block(session)
            else:
                await say(usual).act(session)

        return Answer(act)

    def _wanted(self, session: Session) -> str:
        last = session.commands[-1]
        if last.startswith("MAIL"):
            return self.senders.get(last.partition("+")[2].partition("@")[0], "")
        return _recipient(session).partition("@")[0].upper()

    async def _answer_and_block(self, session: Session) -> None:
        """Say yes while nobody can write the row: the worker knows what it cannot write down."""
        assert self.locking is not None
        async with self.locking.begin() as transaction:
            await ledger.locked(transaction, "request/r-answered", f"{RECEIVED}/1")
            await say(HELD["END"]).act(session)
            self.answered.set()
            await self.unlock.wait()

    async def until_held(self) -> None:
        """Wait until each step holds its delivery."""
        async with asyncio.timeout(PATIENCE):
            while self.held != set(HELD):
                self.changed.clear()
                await self.changed.wait()

    def received(self) -> Counter[str]:
        """How often the server has each delivery."""
        return Counter(
            str(message_from_bytes(message.content)["X-Throughline-Delivery"])
            for message in self.server.accepted
        )


def _recipient(session: Session) -> str:
    last = next((line for line in reversed(session.commands) if line.startswith("RCPT")), "")
    return last.partition("<")[2].partition(">")[0]


@asynccontextmanager
async def worker_process(
    temporal: DevServer, database: Database, smtp: HostileSmtp, log: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command `throughline worker`, killed at the end of the block if it lives."""
    settings = {
        "TEMPORAL_ADDRESS": f"127.0.0.1:{temporal.port}",
        "THROUGHLINE_ENVIRONMENT": "test",
        "THROUGHLINE_PRODUCTION": "true",
        "THROUGHLINE_DATABASE": database.url,
        "THROUGHLINE_SECRET": "a secret for tests only",
        "THROUGHLINE_SMTP_HOST": smtp.host,
        "THROUGHLINE_SMTP_PORT": str(smtp.port),
        "THROUGHLINE_SMTP_CONNECTIONS": "8",
        "THROUGHLINE_SMTP_RATE_PER_MINUTE": "60000",
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


@asynccontextmanager
async def migrated(url: str) -> AsyncIterator[Database]:
    """A database with the schema of this version."""
    database = Database(url)
    try:
        await database.upgrade()
        yield database
    finally:
        await database.close()


@dataclass
class Program:
    """Requests that are made and answered, as events, and what the database says of them."""

    database: Database
    temporal: DevServer
    told: int = 0

    async def tell(self, *happened: tuple[str, dict[str, Any]]) -> None:
        """Store events, and have them applied."""
        envelopes = []
        for kind, data in happened:
            self.told += 1
            envelopes.append(Envelope(str(self.told), "/test", kind, datetime.now(UTC), data))
        async with self.database.begin() as session:
            await events.store(session, envelopes)
        await poke(self.temporal.client)

    async def ask(self, *names: str) -> None:
        """Make a request to a mentor `<name>@example.org`, by a mentee of its own."""
        for name in names:
            await self.tell(
                *(
                    (
                        "member.updated",
                        {"member": who, "name": who, "email": f"{who}@example.org", "standing": "good"},
                    )
                    for who in (name, f"mentee-{name}")
                ),
                (
                    "profile.created",
                    {"profile": f"p-{name}", "member": name, "role": "mentor", "mentees_at_a_time": 1},
                ),
                ("profile.created", {"profile": f"q-{name}", "member": f"mentee-{name}", "role": "mentee"}),
                ("request.created", {"request": f"r-{name}", "mentee": f"q-{name}", "mentor": f"p-{name}"}),
            )

    async def mails(self) -> Sequence[Message]:
        """All messages but those of onboardings, which are not due for days."""
        async with self.database.reading() as session:
            found = await session.scalars(select(Message).where(Message.workflow.not_like("onboarding/%")))
            return [row for row in found if row.due_at is None or row.due_at <= datetime.now(UTC)]

    async def until_decided(self, count: int) -> dict[str, str]:
        """Wait until so many messages are due and all have their decision; the decisions by workflow and key."""
        async with asyncio.timeout(PATIENCE):
            while True:
                rows = await self.mails()
                if len(rows) >= count and all(row.state in DECISIONS for row in rows):
                    return {f"{row.workflow}:{row.step}": row.state for row in rows}
                await asyncio.sleep(0.2)

    async def until_sent(self, workflow: str, count: int) -> None:
        """Wait until so many messages of a workflow are sent."""
        async with asyncio.timeout(PATIENCE):
            while True:
                rows = [row for row in await self.mails() if row.workflow == workflow]
                if sum(row.state == "sent" for row in rows) >= count:
                    return
                await asyncio.sleep(0.1)

    async def states(self) -> Counter[str]:
        """The states of all requests."""
        async with self.database.reading() as session:
            return Counter(await session.scalars(select(Request.state)))


@pytest.mark.rule("MAIL1", "MAIL2")
@pytest.mark.timeout(240)
async def test_a_worker_killed_at_every_step_of_a_delivery_loses_doubles_and_blocks_nothing(
    database_url: str, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    steps = [step.lower() for step in HELD]
    async with migrated(database_url) as database, HostileSmtp() as server, dev_server(None) as temporal:
        smtp, program = HoldingSmtp(server, locking=database), Program(database, temporal)
        smtp.senders[ledger.delivery_id("request/r-mail", RECEIVED, 1)] = "MAIL"
        async with worker_process(temporal, database, server, log) as first:
            await program.ask("free")
            await program.until_sent("request/r-free", 2)
            await program.ask(*steps)
            await smtp.until_held()
            await program.ask("answered")
            async with asyncio.timeout(PATIENCE):
                await smtp.answered.wait()
            first.send_signal(signal.SIGKILL)
            await first.wait()
        smtp.holding = False
        smtp.unlock.set()
        server.drop_all()
        names = ["free", *steps, "answered"]
        async with worker_process(temporal, database, server, log):
            decisions = await program.until_decided(2 * len(names))
            await program.tell(*(("request.accepted", {"request": f"r-{name}"}) for name in names))
            after = await program.until_decided(4 * len(names))
        async with database.reading() as session:
            recorded = await session.scalars(select(AuditRecord.data).where(AuditRecord.kind == "mail"))
            once = Counter(data["delivery"] for data in recorded)
            asked = Counter(await session.scalars(select(Task.kind).where(Task.kind.like("mail_%"))))
        rows = await program.mails()
        doubtful = {f"request/r-end:{RECEIVED}", f"request/r-answered:{RECEIVED}"}
        assert {key for key, decision in decisions.items() if decision == "ambiguous"} == doubtful, (
            "only after the last byte"
        )
        assert {decision for key, decision in after.items() if key not in doubtful} == {"sent"}
        assert smtp.received() == Counter(row.delivery for row in rows), "each is there, and once"
        assert set(once.values()) == {1}, "each has one decision"
        assert set(once) >= {row.delivery for row in rows}
        assert asked == {"mail_ambiguous": 2}
        assert await program.states() == {"accepted": len(names)}, "nothing is stuck"
