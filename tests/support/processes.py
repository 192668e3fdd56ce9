"""The product's own worker processes, on a real Temporal dev server and a mail server that holds deliveries.

What the tests share that kill, stop and restart the parts of a deployment while messages are on their way.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import select
from temporalio.client import Client

from database import events, ledger
from database.key_ring import KeyRing
from database.models import DECISIONS, AuditRecord, Message, ProgramTrial, Request
from database.session import Database
from embedded.temporal_servers import HOST, binary, free_port
from rules.events import Envelope
from tests.support.limits import PATIENCE
from tests.support.servers.hostile_smtp import Answer, HostileSmtp, Session, say
from workflows.starting import notify_inbox

ROOT = Path(__file__).resolve().parents[2]

USUAL = {
    "banner": "220 localhost ESMTP",
    "MAIL": "250 ok",
    "RCPT": "250 ok",
    "DATA": "354 go ahead",
    "END": "250 2.0.0 kept",
}

KEYS = KeyRing(("a secret for tests only",))
"""What the workers of the tests sign with."""

RECEIVED = "mentor.request_received"


class MailServer(Protocol):
    """Where a worker hands its mail over."""

    host: str
    port: int


@dataclass
class HoldingSmtp:
    """A mail server that holds the delivery to `<name>@example.org` at a step, until it is released or dropped.

    Steps are those of `HostileSmtp`; at `banner` it is the next connection that is held, at `BODY` the delivery whose
    first bytes have come. `words` are what a released delivery is answered at the end of its message, if not a yes.
    """

    server: HostileSmtp
    held: set[str] = field(default_factory=set)
    said: set[str] = field(default_factory=set)
    words: dict[str, str] = field(default_factory=dict)
    _steps: dict[str, str] = field(default_factory=dict)
    _release: defaultdict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _sessions: dict[str, Session] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for step, usual in USUAL.items():
            self.server.always(step, Answer(self._act(step, usual)))

    def hold(self, step: str, *names: str) -> None:
        """Hold the deliveries to these names at a step."""
        self._steps |= dict.fromkeys(names, step)

    def release(self, *names: str) -> None:
        """Answer them, as if nothing had been."""
        for name in names:
            self._release[name].set()

    def give_up(self) -> None:
        """Break every connection, and hold nothing from now on."""
        self._steps.clear()
        self.server.drop_all()

    def drop_idle(self) -> None:
        """Break the connections on which nothing is held, so that the next delivery makes one of its own."""
        holding = [self._sessions[name] for name in self.held if not self._release[name].is_set()]
        for session in self.server.open_sessions:
            if session not in holding:
                session.drop()

    async def until_held(self, *names: str) -> None:
        """Wait until these deliveries have come to the steps where they are held."""
        await self._until(lambda: self.held >= set(names))

    async def until_said(self, *names: str) -> None:
        """Wait until these have got their answer."""
        await self._until(lambda: self.said >= set(names))

    async def until_gone(self, *names: str) -> None:
        """Wait until the worker has left the connections on which these were held."""
        await self.server.until(lambda: not any(self._sessions[name].open for name in names))

    def received(self) -> Counter[str]:
        """How often the server has each delivery."""
        return Counter(
            str(message_from_bytes(message.content)["X-Throughline-Delivery"])
            for message in self.server.accepted
        )

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def _act(self, step: str, usual: str) -> Callable[[Session], Any]:
        async def act(session: Session) -> None:
            name = self._name(step, session)
            if step == "DATA" and self._steps.get(name) == "BODY":
                # Nothing more is read than what has come by then: the rest waits on the client's side.
                await say(usual).act(session)
                await session.reader.read(100)
                session.writer.transport.pause_reading()  # type: ignore[attr-defined]
                await self._hold(name, session)
                raise ConnectionResetError
            if self._steps.get(name) == step:
                await self._hold(name, session)
            answer = self.words.get(name, usual) if step == "END" else usual
            if step == "END" and not answer.startswith("2"):
                self.server.last_message(session).accepted = False
            await say(answer).act(session)
            if step == "END":
                self._note(self.said, name)

        return act

    async def _hold(self, name: str, session: Session) -> None:
        self._sessions[name] = session
        self._note(self.held, name)
        await self._release[name].wait()

    def _note(self, where: set[str], name: str) -> None:
        where.add(name)
        self._changed.set()

    def _name(self, step: str, session: Session) -> str:
        if step == "banner":
            wanted = [name for name, at in self._steps.items() if at == step and name not in self.held]
            return wanted[0] if wanted else ""
        if step == "MAIL":
            delivery = session.commands[-1].partition("+")[2].partition("@")[0]
            mine = {ledger.delivery_id(KEYS, f"request/r-{name}", RECEIVED, 1): name for name in self._steps}
            return mine.get(delivery, "")
        last = next((line for line in reversed(session.commands) if line.startswith("RCPT")), "")
        return last.partition("<")[2].partition("@")[0]


@dataclass
class TemporalServer:
    """A Temporal dev server with its state in a file, which can be killed and started again."""

    file: Path
    port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> Client:
        """Start it, and wait until it answers."""
        command = [binary("temporal"), "server", "start-dev", "--ip", HOST, "--port", str(self.port)]
        command += ["--headless", "--log-level", "error", "--db-filename", str(self.file)]
        command += ["--dynamic-config-value", "frontend.enableServerVersionCheck=false"]
        self.process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        async with asyncio.timeout(PATIENCE):
            while True:
                assert self.process.returncode is None, "the Temporal server ended at once"
                try:
                    return await Client.connect(f"{HOST}:{self.port}")
                except RuntimeError:
                    await asyncio.sleep(0.1)

    async def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


def with_long_letters(folder: Path, name: str) -> Path:
    """The programs, in a folder of their own, but with a megabyte in the mail about a request by `mentee-<name>`.

    That is more than the kernel takes for a server that does not read.
    """
    programs = shutil.copytree(ROOT / "programs", folder / "programs")
    texts = programs / "asis-global" / "en"
    texts.mkdir(parents=True, exist_ok=True)
    for template in (ROOT / "templates" / "mail" / "en").glob(f"{RECEIVED}.*"):
        shutil.copy(template, texts)
    lines = "A line that says nothing.\n" * 40_000
    with (texts / f"{RECEIVED}.text").open("a") as text:
        text.write(f'{{% if other.name == "mentee-{name}" %}}\n{lines}{{% endif %}}\n')
    return programs


@asynccontextmanager
async def worker_process(
    temporal_port: int, database: str, smtp: MailServer, log: Path, **settings: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command `throughline worker`, killed at the end of the block if it lives.

    `database` is its address; `settings` are further ones, by their names without `THROUGHLINE_`.
    """
    usual = {
        "ENVIRONMENT": "test",
        "PRODUCTION": "true",
        "DATABASE": database,
        "SECRET": KEYS.keys[0],
        "SMTP_HOST": smtp.host,
        "SMTP_PORT": str(smtp.port),
        "SMTP_CONNECTIONS": "10",
        "SMTP_RATE_PER_MINUTE": "60000",
    }
    named = {f"THROUGHLINE_{name}": value for name, value in {**usual, **settings}.items()}
    with log.open("ab") as said:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from cli.main import main; main()", "worker"),
            cwd=ROOT,
            env={**os.environ, **named, "TEMPORAL_ADDRESS": f"{HOST}:{temporal_port}"},
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
        async with database.begin() as session:
            # The people of these tests are mailed, though the deployment is new and in production.
            session.add(
                ProgramTrial(program="asis-global", since=datetime.now(UTC), live_at=datetime.now(UTC))
            )
        yield database
    finally:
        await database.close()


@dataclass
class Program:
    """Requests that are made and answered, as events, and what the database says of them."""

    database: Database
    client: Client
    stored: int = 0

    async def send_events(self, *happened: tuple[str, dict[str, Any]]) -> None:
        """Store events, and have them applied."""
        await self.store(*happened)
        await self.poke()

    async def poke(self) -> None:
        """Notify the inbox of stored events."""
        await notify_inbox(self.client, self.database)

    async def store(self, *happened: tuple[str, dict[str, Any]]) -> None:
        """Store events as the gateway does, without a notification."""
        envelopes = []
        for kind, data in happened:
            self.stored += 1
            envelopes.append(Envelope(str(self.stored), "/test", kind, datetime.now(UTC), data))
        async with self.database.begin() as session:
            await events.store(session, envelopes)

    async def ask(self, *names: str) -> None:
        """Make a request to a mentor `<name>@example.org`, by a mentee of its own."""
        for name in names:
            await self.send_events(*asking(name))

    async def mails(self) -> Sequence[Message]:
        """All messages but those of onboardings, which are not due for days."""
        async with self.database.reading() as session:
            found = await session.scalars(select(Message).where(Message.workflow.not_like("onboarding/%")))
            return [row for row in found if row.due_at is None or row.due_at <= datetime.now(UTC)]

    async def states_of(self, *names: str) -> dict[str, str]:
        """The states of the messages that are held: of each request that to the mentor, or the one that is not sent."""
        mails = await self.mails()
        rows = {row.workflow: row.state for row in mails if row.message == RECEIVED}
        rows |= {row.workflow: row.state for row in mails if row.state != "sent"}
        return {name: rows.get(f"request/r-{name}", "not planned") for name in names}

    async def until_decided(self, count: int) -> dict[str, str]:
        """Wait until so many messages are due and all have their decision; the decisions by workflow and key.

        Fails the test if no further message comes to its decision for a while.
        """
        known = 0
        async with asyncio.timeout(PATIENCE) as limit:
            while True:
                rows = await self.mails()
                decided = sum(row.state in DECISIONS for row in rows)
                if len(rows) >= count and decided == len(rows):
                    return {f"{row.workflow}:{row.step}": row.state for row in rows}
                if decided > known:
                    known = decided
                    limit.reschedule(asyncio.get_running_loop().time() + PATIENCE)
                await asyncio.sleep(0.4)

    async def until_sent(self, workflow: str, count: int) -> None:
        """Wait until so many messages of a workflow are sent."""
        async with asyncio.timeout(PATIENCE):
            while True:
                rows = [row for row in await self.mails() if row.workflow == workflow]
                if sum(row.state == "sent" for row in rows) >= count:
                    return
                await asyncio.sleep(0.1)

    async def decided(self) -> list[str]:
        """The delivery of each decision in the audit record: a second one for a message would show."""
        async with self.database.reading() as session:
            recorded = await session.scalars(select(AuditRecord.data).where(AuditRecord.kind == "mail"))
            return [data["delivery"] for data in recorded]

    async def states(self) -> Counter[str]:
        """The states of all requests."""
        async with self.database.reading() as session:
            return Counter(await session.scalars(select(Request.state)))


def asking(name: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of two people who join, and of the request of one to the other."""
    return [
        *joining(f"p-{name}", name, "mentor", mentees_at_a_time=1),
        *joining(f"q-{name}", f"mentee-{name}", "mentee"),
        ("request.created", {"request": f"r-{name}", "mentee": f"q-{name}", "mentor": f"p-{name}"}),
    ]


def joining(profile: str, name: str, role: str, **more: Any) -> list[tuple[str, dict[str, Any]]]:
    """The events of somebody who joins."""
    member = {"member": name, "name": name, "email": f"{name}@example.org", "standing": "good"}
    return [
        ("member.updated", member),
        ("profile.created", {"profile": profile, "member": name, "role": role, **more}),
    ]
