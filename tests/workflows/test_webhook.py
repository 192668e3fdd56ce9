"""The workflow of an endpoint: it delivers for as long as the endpoint is enabled, in runs with short histories."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.webhooks import AddressPolicy, WebhookActivities, WebhookSender
from database import audit
from database.key_ring import KeyRing
from database.models import OutboxEvent
from database.session import Database
from embedded.faults import FaultyDatabase, KillFault
from staff import endpoints
from tests.support.limits import PATIENCE
from tests.support.servers.hostile_http import HostileHttp, status
from tests.support.temporal_workers import running_workers
from worker.assembly import load_programs
from worker.workflow_runtime import workflow_runner
from workflows.webhook import MOST_TURNS, WebhookWorkflow

KEYS = KeyRing(("a key for tests only",))


@dataclass
class Delivering:
    """A worker that delivers to a receiver, and the workflow of its endpoint."""

    client: Client
    database: Database
    receiver: HostileHttp
    queue: str

    async def start(self) -> WorkflowHandle[WebhookWorkflow, None]:
        """Start the endpoint's workflow, on a queue of the test's own."""
        return await self.client.start_workflow(
            WebhookWorkflow.run, "members", id=f"webhook/{self.queue}", task_queue=self.queue
        )

    async def happen(self, request: str) -> None:
        """A request changes its state."""
        at = datetime.now(UTC)
        async with self.database.begin() as session:
            data = {"state": "open", "due": at.isoformat()}
            await audit.append(session, f"request/{request}", "state", at, data)

    async def until_taken(self, number: int) -> None:
        """Wait until the receiver has so many events."""
        await self.receiver.until(lambda: len(self.receiver.taken) >= number)


@asynccontextmanager
async def _closing(database: Database) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await database.close()


@asynccontextmanager
async def delivering(
    client: Client, url: str, turn: float, kill: KillFault | None = None
) -> AsyncIterator[Delivering]:
    """A worker with turns of so many seconds, on a database at an address, with an endpoint that is enabled."""
    queue, database = f"webhook-{uuid4().hex[:8]}", FaultyDatabase(url) if kill else Database(url)
    sender = WebhookSender(AddressPolicy(["127.0.0.1"]), "/test", lambda: datetime.now(UTC))
    made = WebhookActivities(database, {}, client, sender, KEYS, turn=turn)
    async with (
        _closing(database),
        HostileHttp() as receiver,
        Worker(
            client,
            task_queue=queue,
            workflows=[WebhookWorkflow],
            workflow_runner=workflow_runner(),
            activities=[made.deliver_events],
            interceptors=[kill] if kill else [],
        ),
    ):
        at = datetime.now(UTC)
        async with database.begin() as session:
            await endpoints.add(session, KEYS, sender, "members", receiver.url, [], "lina", at)
        yield Delivering(client, database, receiver, queue)


async def test_worker_that_dies_at_its_transactions_loses_no_event(
    temporal_dev: WorkflowEnvironment, sqlite_url: str
) -> None:
    """Each attempt dies before or after a record; what the receiver has by then comes again with its id."""
    kill = KillFault()
    kill.on = True
    async with delivering(temporal_dev.client, sqlite_url, 60, kill) as ready:
        handle = await ready.start()
        for _ in range(3):
            for request in ("r-1", "r-2"):
                await ready.happen(request)
        await ready.receiver.until(lambda: max(ready.receiver.times().values(), default=0) > 2)
        kill.on = False
        await ready.receiver.until(
            lambda: sum(map(len, ready.receiver.by_subject().values())) == 6  # each once
        )
        async with ready.database.reading() as session:
            rows = list(await session.scalars(select(OutboxEvent).order_by(OutboxEvent.id)))
        assert ready.receiver.by_subject() == {
            subject: [row.event_id for row in rows if row.subject == subject]
            for subject in ("engagement/r-1", "engagement/r-2")
        }
        assert kill.kills > 1
        await disable(ready)
        await handle.result()


async def test_mail_about_a_disabled_endpoint_reaches_the_manager(
    temporal_dev: WorkflowEnvironment, sqlite_url: str
) -> None:
    programs, client = load_programs(Path("programs")), temporal_dev.client
    sender = WebhookSender(AddressPolicy(["127.0.0.1"]), "/test", lambda: datetime.now(UTC))
    async with (
        HostileHttp(lambda request: status(410)) as receiver,
        running_workers(client, sqlite_url) as (database, catcher),
    ):
        made = WebhookActivities(database, programs, client, sender, KEYS, turn=0)
        async with database.begin() as session:
            at = datetime.now(UTC)
            await endpoints.add(session, KEYS, sender, "members", receiver.url, [], "lina", at)
            data = {"state": "open", "due": at.isoformat()}
            await audit.append(session, "request/r-1", "state", at, data)
        turn = await made.deliver("members", lambda: datetime.now(UTC), lambda: False)
        assert not turn.enabled
        managers = {program.manager.email for program in programs.values()}
        await catcher.wait_for(len(managers))
        assert {mail.recipient for mail in catcher.caught} == managers
        mail = next(one for one in catcher.caught if one.recipient == programs["asis-global"].manager.email)
        assert mail.message["Subject"] == "Action needed: Events no longer go to the endpoint members"
        text = mail.message.get_body(("plain",))
        assert text is not None
        assert "it answered 410" in " ".join(text.get_content().split())


async def disable(ready: Delivering) -> None:
    async with ready.database.begin() as session:
        await endpoints.disable(session, "members", "lina", "they move", datetime.now(UTC))


async def test_workflow_delivers_until_the_endpoint_is_disabled(
    temporal_dev: WorkflowEnvironment, sqlite_url: str
) -> None:
    async with delivering(temporal_dev.client, sqlite_url, 60) as ready:
        handle = await ready.start()
        for number in range(3):
            await ready.happen("r-1")
            await ready.until_taken(number + 1)
        await disable(ready)
        async with asyncio.timeout(PATIENCE):
            await handle.result()
        # One activity did all of it: the history does not grow with the events.
        assert (await handle.describe()).history_length < 15
        await ready.happen("r-1")
        async with ready.database.begin() as session:
            await endpoints.enable(session, KEYS, "members", "lina", datetime.now(UTC))
        again = await ready.start()
        await ready.until_taken(4)  # the acts of staff make no events
        await again.terminate()


async def test_run_continues_as_new_after_some_turns(
    temporal_dev: WorkflowEnvironment, sqlite_url: str
) -> None:
    async with delivering(temporal_dev.client, sqlite_url, 0) as ready:
        handle = await ready.start()
        async with asyncio.timeout(PATIENCE):
            while True:
                described = await ready.client.get_workflow_handle(handle.id).describe()
                if described.run_id != handle.first_execution_run_id:
                    break
                await asyncio.sleep(0.2)
        first = ready.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
        ended = await first.describe()
        assert ended.status is WorkflowExecutionStatus.CONTINUED_AS_NEW
        assert (ended.history_length or 0) <= 7 * MOST_TURNS
        await disable(ready)
        await ready.client.get_workflow_handle(handle.id).result()
