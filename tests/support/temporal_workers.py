"""The real workers on the dev server, and two people who have signed up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiosmtpd.smtp import SMTP, Session
from aiosmtpd.smtp import Envelope as EmailEnvelope
from sqlalchemy import select
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from database import events
from database.erased_file import ErasedFile
from database.key_ring import KeyRing
from database.links import Links
from database.models import Event, Message
from database.session import Database
from embedded.mail_catcher import MailCatcher
from mail.allowlist import RecipientAllowlist
from mail.smtp.channel import SmtpChannel
from mail.smtp.settings import SmtpSettings
from rules.events import Envelope
from tests.support.limits import PATIENCE
from worker.assembly import Components, Composers, WorkerOptions, load_programs, workers
from workflows.inbox import INBOX
from workflows.starting import notify_inbox

USUAL = WorkerOptions(grace_period=timedelta(0))
"""How the workers of most tests run."""


@dataclass
class TemporalFixture:
    """Workers with a database and a mailbox of their own; ids end in `mark`, which no other test uses."""

    client: Client
    database: Database
    catcher: WaitingCatcher
    mark: str = field(default_factory=lambda: uuid4().hex[:8])
    asked: int = 0

    async def send_events(self, *happened: tuple[str, dict[str, Any]]) -> None:
        """Store events that happen now, and have them applied."""
        envelopes = [Envelope(uuid4().hex, "/tests", kind, None, data) for kind, data in happened]
        async with self.database.begin() as session:
            await events.store(session, envelopes)
        await notify_inbox(self.client, self.database)

    async def sign_up(self) -> None:
        """One mentor and one mentee."""
        for role in ("mentor", "mentee"):
            name = f"{role}-{self.mark}"
            await self.send_events(
                (
                    "member.updated",
                    {
                        "member": name,
                        "name": f"{role.capitalize()} Vega",
                        "email": f"{name}@example.org",
                        "standing": "good",
                        "years_management": 9,
                    },
                ),
                (
                    "profile.created",
                    {"profile": name, "member": name, "role": role, "program": "asis-global"},
                ),
            )

    def profile(self, role: str) -> str:
        """The profile id of the mentor or the mentee."""
        return f"{role}-{self.mark}"

    async def ask(self) -> WorkflowHandle[Any, Any]:
        """A new request, as soon as both have their first mail about it."""
        self.asked += 1
        request = f"r{self.asked}-{self.mark}"
        people = {role: self.profile(role) for role in ("mentee", "mentor")}
        await self.send_events(("request.created", {"request": request, **people}))
        return await self._once_sent(f"request/{request}")

    async def match(self) -> WorkflowHandle[Any, Any]:
        """A new engagement, as soon as both have their match mail."""
        request = await self.ask()
        await request.execute_update("accept")
        await request.result()
        return await self._once_sent(request.id.replace("request/", "engagement/"))

    async def _once_sent(self, workflow: str) -> WorkflowHandle[Any, Any]:
        """The handle of a workflow, as soon as two messages of it are sent."""
        async with asyncio.timeout(PATIENCE):
            while list((await self.decisions(workflow)).values()).count("sent") < 2:  # noqa: ASYNC110 - a row
                await asyncio.sleep(0.05)
        return self.client.get_workflow_handle(workflow)

    async def close(self, lifecycle: WorkflowHandle[Any, Any]) -> None:
        """Cancel it, and wait until its last mail is out."""
        await lifecycle.execute_update("cancel")
        await lifecycle.result()

    async def decisions(self, workflow: str) -> dict[str, str]:
        """What became of each message of a workflow, by name."""
        async with self.database.reading() as session:
            rows = await session.scalars(select(Message).where(Message.workflow == workflow))
            return {row.message: row.state for row in rows}

    async def events(self, about: str, state: str) -> list[Event]:
        """The stored events about a lifecycle that are in a state."""
        async with self.database.reading() as session:
            query = select(Event).where(Event.subject == about, Event.state == state).order_by(Event.id)
            return list(await session.scalars(query))

    async def catcher_has(self, mails: int) -> None:
        """Wait until the mail server has accepted so many messages."""
        await self.catcher.wait_for(mails)


class WaitingCatcher(MailCatcher):
    """A mail server on which a test can wait. While `open` is not set, a delivery waits in its middle."""

    def __init__(self) -> None:
        super().__init__(on_mail=lambda caught: self._came())
        self.open = asyncio.Event()
        self.open.set()
        self.asked_for: list[str] = []
        self._waiting: list[tuple[int, asyncio.Event]] = []

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: EmailEnvelope, address: str, options: list[str]
    ) -> str:
        """Answer once the server is open."""
        self.asked_for.append(address)
        await self.open.wait()
        return await super().handle_RCPT(server, session, envelope, address, options)

    def _came(self) -> None:
        for mails, event in self._waiting:
            if len(self.caught) >= mails:
                event.set()

    async def wait_for(self, mails: int, seconds: float = PATIENCE) -> None:
        """Wait until so many messages were accepted. Raises TimeoutError."""
        event = asyncio.Event()
        self._waiting.append((mails, event))
        self._came()
        async with asyncio.timeout(seconds):
            await event.wait()


@asynccontextmanager
async def running_workers(
    client: Client,
    url: str,
    programs: Path = Path("programs"),
    options: WorkerOptions = USUAL,
    keys: KeyRing | None = None,
    erased: ErasedFile | None = None,
) -> AsyncIterator[tuple[Database, WaitingCatcher]]:
    """The workers, running on a database at an address, with a folder of programs and a mail server of their own."""
    async with AsyncExitStack() as stack:
        database = Database(url, keys=keys)
        stack.push_async_callback(database.close)
        await database.upgrade()
        catcher = WaitingCatcher()
        await catcher.start()
        stack.push_async_callback(catcher.stop)
        channel = SmtpChannel(SmtpSettings(host=catcher.host, port=catcher.port))
        stack.push_async_callback(channel.aclose)
        parts = Components(
            database,
            load_programs(programs),
            Composers(Path("templates/mail"), programs),
            channel,
            Links("http://127.0.0.1:8080", keys or "a test needs no secret"),
            RecipientAllowlist(production=False, allowed=("*",)),
            "test",
            erased=erased,
        )
        await parts.claim_environment()
        await parts.apply_erasures(datetime.now(UTC))
        stack.push_async_callback(parts.mail.aclose)
        await stack.enter_async_context(workers(client, parts, options))
        yield database, catcher


async def terminate_workflows(client: Client, mark: str) -> None:
    """End the inbox, and all workflows whose ids hold the mark."""
    async for execution in client.list_workflows("ExecutionStatus = 'Running'"):
        if execution.id.startswith(INBOX) or mark in execution.id:
            try:
                await client.get_workflow_handle(execution.id).terminate()
            except RPCError as failed:
                if failed.status is not RPCStatusCode.NOT_FOUND:  # it ended by itself meanwhile
                    raise


@pytest.fixture(scope="module")
async def temporal(
    temporal_dev: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[TemporalFixture]:
    """Workers for the tests of a module, with a mentor and a mentee."""
    url = f"sqlite:///{tmp_path_factory.mktemp('temporal') / 'throughline.db'}"
    async with running_workers(temporal_dev.client, url) as (database, catcher):
        ready = TemporalFixture(temporal_dev.client, database, catcher)
        await ready.sign_up()
        yield ready
        await terminate_workflows(ready.client, ready.mark)
