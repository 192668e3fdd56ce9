"""Staff hear of workflows that cannot go on, and the events that nobody applies are woken (STA2, T8)."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.upkeep.stalled_workflows import MOST_ATTEMPTS, OVER_FOR
from activities.upkeep.watchdog import WatchdogActivities
from database import events
from database.models import Event, Onboarding, Task
from rules.events import Envelope
from tests.support.delivery import AT, WORKFLOW, DeliveryFixture, deliveries, environment, migrated_url
from tests.support.limits import PATIENCE
from tests.support.temporal_workers import terminate_workflows
from workflows.inbox import shard_id
from workflows.resend import ResendWorkflow

__all__ = ["deliveries", "migrated_url"]

LATER = AT + timedelta(hours=2)


async def onboarding(deliveries: DeliveryFixture, closed_at: datetime | None = None) -> None:
    """A row of a lifecycle."""
    async with deliveries.database.begin() as session:
        state = {"state": "active", "state_since": AT, "facts": {}, "closed_at": closed_at}
        program = {"program": "asis-global", "policy_version": "1"}
        session.add(Onboarding(workflow=WORKFLOW, profile_id="p-ana", **program, **state))


async def look(deliveries: DeliveryFixture, client: Client, at: datetime) -> None:
    """Let the watchdog look."""
    watchdog = WatchdogActivities(deliveries.database, deliveries.programs, client)
    await environment(at).run(watchdog.look_for_overdue)


async def tasks(deliveries: DeliveryFixture) -> list[tuple[str, str, str]]:
    async with deliveries.database.reading() as session:
        found = await session.execute(
            select(Task.kind, Task.cause, Task.state).where(Task.subject == WORKFLOW)
        )
        return [(kind, cause, state) for kind, cause, state in found]


async def workflow(client: Client, kind: str = "Resend", queue: str = "nobody") -> None:
    """A workflow under the lifecycle's id."""
    await client.start_workflow(
        kind, id=WORKFLOW, task_queue=queue, id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE
    )


async def attempt(client: Client) -> int:
    """The attempt of the workflow's pending task."""
    described = await client.get_workflow_handle(WORKFLOW).describe()
    return int(described.raw_description.pending_workflow_task.attempt)


@pytest.mark.rule("STA2")
async def test_workflow_whose_task_fails_again_and_again_opens_a_task(
    deliveries: DeliveryFixture, temporal_dev: WorkflowEnvironment
) -> None:
    """Its worker does not know the type of the workflow, as after a release that was rolled back."""
    client, queue = temporal_dev.client, uuid4().hex
    await onboarding(deliveries)
    await workflow(client, "OnboardingOfNextYear", queue)
    async with Worker(client, task_queue=queue, workflows=[ResendWorkflow]), asyncio.timeout(PATIENCE):
        while await attempt(client) <= MOST_ATTEMPTS:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.2)
    await look(deliveries, client, LATER)
    await look(deliveries, client, LATER + timedelta(hours=1))
    cause = "its workflow fails again and again"
    assert await tasks(deliveries) == [("workflow_stalled", cause, "open")]

    await client.get_workflow_handle(WORKFLOW).terminate()
    await workflow(client)
    await look(deliveries, client, LATER + timedelta(hours=2))
    assert await tasks(deliveries) == [("workflow_stalled", cause, "done")]
    await client.get_workflow_handle(WORKFLOW).terminate()


@pytest.mark.rule("STA2")
async def test_workflow_of_a_closed_lifecycle_opens_a_task(
    deliveries: DeliveryFixture, temporal_dev: WorkflowEnvironment
) -> None:
    client, cause = temporal_dev.client, "it is over, and its workflow still runs"
    await onboarding(deliveries, closed_at=AT)
    await workflow(client)
    await look(deliveries, client, LATER)
    assert await tasks(deliveries) == [], "its last mail may be on the way"
    await look(deliveries, client, AT + OVER_FOR + timedelta(hours=1))
    assert await tasks(deliveries) == [("workflow_stalled", cause, "open")]

    await client.get_workflow_handle(WORKFLOW).terminate()
    await look(deliveries, client, AT + OVER_FOR + timedelta(hours=2))
    assert await tasks(deliveries) == [("workflow_stalled", cause, "done")]


@pytest.mark.rule("T8", "MAIL7")
@pytest.mark.parametrize(("state", "wakes"), [("stored", True), ("applying", True), ("applied", False)])
async def test_watchdog_wakes_the_inbox_for_events_that_wait(
    deliveries: DeliveryFixture, temporal_dev: WorkflowEnvironment, state: str, wakes: bool
) -> None:
    """A command stored them while Temporal was away, and could not wake the inbox."""
    client = temporal_dev.client
    await terminate_workflows(client, "no lifecycle")
    async with deliveries.database.begin() as session:
        data = {"member": "eva", "name": "Eva", "email": "eva@example.org", "standing": "good"}
        await events.store(session, [Envelope("e-1", "/members", "member.updated", AT, data)])
        (event,) = await session.scalars(select(Event))
        event.state = state
        assert event.shard is not None
        shard = shard_id(event.shard)
    before = await runs(client, shard)
    await look(deliveries, client, LATER)
    assert (await runs(client, shard) != before) == wakes
    if wakes:
        await client.get_workflow_handle(shard).terminate()


async def runs(client: Client, shard: str) -> str:
    """The last run of a shard of the inbox."""
    try:
        return (await client.get_workflow_handle(shard).describe()).run_id
    except RPCError:
        return ""


FAILING_WORKER = """
import asyncio, logging, sys
from temporalio.client import Client
from temporalio.worker import Worker
from worker.log_setup import set_up_logging
from workflows.resend import ResendWorkflow

async def main():
    set_up_logging(logging.INFO)
    client = await Client.connect(sys.argv[1])
    async with Worker(client, task_queue=sys.argv[2], workflows=[ResendWorkflow]):
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_worker_logs_what_temporal_warns_of(temporal_dev: WorkflowEnvironment) -> None:
    """A workflow that cannot go on is a warning of Temporal's core, with its run in a field of its own."""
    client, queue, id = temporal_dev.client, uuid4().hex, uuid4().hex
    await client.start_workflow("OnboardingOfNextYear", id=id, task_queue=queue)
    address = client.service_client.config.target_host
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FAILING_WORKER, address, queue), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE):
            while b"temporal_core_reported" not in (line := await process.stderr.readline()):
                assert line, "the worker ended"
        assert b"core_run_id" in line
    finally:
        process.kill()
        await process.wait()
    await client.get_workflow_handle(id).terminate()
