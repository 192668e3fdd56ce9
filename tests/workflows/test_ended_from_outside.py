"""What somebody ends or resets in Temporal itself: housekeeping comes back, a lifecycle goes on as it was (STA2)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.upkeep.watchdog import WatchdogActivities
from database import audit
from database.models import Message, Request, Task
from embedded.temporal_servers import binary
from tests.support.cli import ROOT as REPOSITORY
from tests.support.delivery import environment
from tests.support.limits import PATIENCE
from tests.support.temporal_workers import TemporalFixture, temporal
from worker.assembly import load_programs
from workflows.starting import housekeeping
from workflows.upkeep.checkpoints import CHECKPOINTS
from workflows.upkeep.digest import DIGEST
from workflows.upkeep.watchdog import WATCHDOG

__all__ = ["temporal"]


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(PATIENCE):
        while not await holds():  # noqa: ASYNC110 - a server and a database send no notice of a change
            await asyncio.sleep(0.1)


async def runs(client: Client, workflow: str, but: str = "") -> bool:
    """Whether a workflow runs, by another run than one."""
    found = await client.get_workflow_handle(workflow).describe()
    return found.status == WorkflowExecutionStatus.RUNNING and found.run_id != but


async def reset(env: WorkflowEnvironment, workflow: str, to: str) -> None:
    """Reset a workflow by Temporal's own command."""
    address = env.client.service_client.config.target_host
    arguments = ["workflow", "reset", "--address", address, "--workflow-id", workflow, "--type", to]
    process = await asyncio.create_subprocess_exec(
        binary("temporal"),
        *arguments,
        "--reason",
        "tried",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


@pytest.mark.rule("STA2", "MAIL1", "CPE11")
async def test_housekeeping_comes_back_after_cancel_and_terminate(temporal: TemporalFixture) -> None:
    client = temporal.client
    async with housekeeping(client, temporal.database, {}, lambda: datetime.now(UTC), every=0.2):
        for workflow, end in ((WATCHDOG, "cancel"), (CHECKPOINTS, "terminate"), (WATCHDOG, "terminate")):
            handle = client.get_workflow_handle(workflow)
            await until(lambda workflow=workflow: runs(client, workflow))  # type: ignore[misc]
            before = (await handle.describe()).run_id
            await (handle.cancel() if end == "cancel" else handle.terminate("tried"))
            await until(lambda workflow=workflow, before=before: runs(client, workflow, before))  # type: ignore[misc]
    for workflow in (WATCHDOG, CHECKPOINTS, DIGEST):
        await client.get_workflow_handle(workflow).terminate()


@pytest.mark.rule("STA2", "MAIL1", "REQ9")
@pytest.mark.parametrize("to", ["FirstWorkflowTask", "LastWorkflowTask"])
async def test_reset_lifecycle_goes_on_and_mails_nothing_twice(
    temporal: TemporalFixture, temporal_dev: WorkflowEnvironment, to: str
) -> None:
    request = await _asked(temporal)
    await request.execute_update("extend", {"business_days": 2, "actor": "lina"}, id=str(uuid4()))
    before, mails = await _row(temporal, request.id), await _sent(temporal, request.id)
    run = (await request.describe()).run_id

    await reset(temporal_dev, request.id, to)
    fresh = temporal.client.get_workflow_handle(request.id)
    await until(lambda: runs(temporal.client, request.id, run))
    await fresh.execute_update("extend", {"business_days": 1, "actor": "lina"}, id=str(uuid4()))
    row = await _row(temporal, request.id)
    assert row.state == before.state == "open"
    assert row.next_at
    assert before.next_at
    assert row.next_at >= before.next_at + timedelta(hours=1)
    assert await _sent(temporal, request.id) == mails
    async with temporal.database.reading() as session:
        acts = await audit.records_of(session, request.id, "act")
    assert [act["act"] for act in acts] == ["extend", "extend"]
    await temporal.close(fresh)
    sent = await _sent(temporal, request.id)
    assert sent.count("mentor.request_received") == sent.count("mentee.request_sent") == 1
    assert (await _row(temporal, request.id)).state == "canceled"


@pytest.mark.rule("STA2", "MAIL1")
async def test_reset_of_a_closed_lifecycle_ends_by_itself_and_mails_nobody(
    temporal: TemporalFixture, temporal_dev: WorkflowEnvironment
) -> None:
    """The row stays closed, and the new run finds that it is."""
    request = await _asked(temporal)
    await temporal.close(request)
    mails, closed = await _sent(temporal, request.id), await _row(temporal, request.id)
    run = (await request.describe()).run_id
    await reset(temporal_dev, request.id, "FirstWorkflowTask")

    async def has_ended() -> bool:
        found = await temporal.client.get_workflow_handle(request.id).describe()
        return found.status == WorkflowExecutionStatus.COMPLETED and found.run_id != run

    await until(has_ended)
    row = await _row(temporal, request.id)
    assert (row.state, row.closed_at) == (closed.state, closed.closed_at)
    assert await _sent(temporal, request.id) == mails


@pytest.mark.rule("STA2", "MAIL1")
async def test_terminated_lifecycle_is_one_task_and_goes_on_after_a_reset(
    temporal: TemporalFixture, temporal_dev: WorkflowEnvironment
) -> None:
    request = await _asked(temporal)
    mails, row = await _sent(temporal, request.id), await _row(temporal, request.id)
    await temporal.client.get_workflow_handle(request.id).terminate("tried")
    watchdog = WatchdogActivities(temporal.database, load_programs(REPOSITORY / "programs"), temporal.client)
    for hours in (2, 3):
        await environment(row.state_since + timedelta(hours=hours)).run(watchdog.look_for_overdue)
    assert await _tasks(temporal, request.id) == [("workflow_gone", "open")]
    assert (await _row(temporal, request.id)).state == "open"
    await reset(temporal_dev, request.id, "LastWorkflowTask")
    await until(lambda: runs(temporal.client, request.id))
    await environment(row.state_since + timedelta(hours=4)).run(watchdog.look_for_overdue)
    assert await _tasks(temporal, request.id) == [("workflow_gone", "done")]
    assert await _sent(temporal, request.id) == mails
    await temporal.close(temporal.client.get_workflow_handle(request.id))


async def _asked(temporal: TemporalFixture) -> WorkflowHandle[Any, Any]:
    """A request whose first two mails are recorded as sent."""
    request = await temporal.ask()

    async def is_recorded() -> bool:
        return len(await _sent(temporal, request.id)) == 2

    await until(is_recorded)
    return request


async def _tasks(temporal: TemporalFixture, subject: str) -> list[tuple[str, str]]:
    async with temporal.database.reading() as session:
        rows = await session.execute(select(Task.kind, Task.state).where(Task.subject == subject))
        return [(kind, state) for kind, state in rows]


async def _row(temporal: TemporalFixture, workflow: str) -> Request:
    async with temporal.database.reading() as session:
        return await session.get_one(Request, workflow)


async def _sent(temporal: TemporalFixture, workflow: str) -> list[str]:
    async with temporal.database.reading() as session:
        query = select(Message.message).where(Message.workflow == workflow, Message.state == "sent")
        return sorted(await session.scalars(query))
