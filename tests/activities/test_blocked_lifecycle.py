"""A lifecycle that does not answer delays its own events only, and staff hear of it once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from temporalio.api.workflowservice.v1 import (
    PauseWorkflowExecutionRequest,
    UnpauseWorkflowExecutionRequest,
)
from temporalio.client import WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from activities.command_sender import PATIENCE as TIME_TO_ANSWER
from activities.command_sender import QUEUE
from activities.inbox import BLOCKED_FOR, InboxActivities
from database import events
from database.models import Engagement, Event, Task
from lifecycles.facts import facts_from_row
from rules.engagement import EngagementFacts
from rules.events import Envelope
from rules.program.catalogue import load_catalogue
from tests.support.delivery import bundled, environment
from tests.support.limits import PATIENCE
from tests.support.temporal_workers import TemporalFixture, temporal, terminate_workflows

__all__ = ["temporal"]

Handle = WorkflowHandle[Any, Any]


async def another_in_its_place(temporal: TemporalFixture, blocked: Handle, kind: str, queue: str) -> None:
    """End a lifecycle's workflow behind the back of its row, and start one of another kind or queue under its id."""
    async with temporal.database.reading() as session:
        row = await session.get_one(Engagement, blocked.id)
        facts = facts_from_row(EngagementFacts, row.facts)
    await temporal.client.start_workflow(
        kind,
        facts,
        id=blocked.id,
        task_queue=queue,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
    )


async def on_a_queue_without_worker(temporal: TemporalFixture, blocked: Handle) -> None:
    """Nobody works on it."""
    await another_in_its_place(temporal, blocked, "Engagement", "nobody")


async def of_another_version(temporal: TemporalFixture, blocked: Handle) -> None:
    """Its workers do not know what it is: its task fails again and again."""
    await another_in_its_place(temporal, blocked, "EngagementOfNextYear", QUEUE)


async def replaced(temporal: TemporalFixture, blocked: Handle) -> None:
    """It is as it should be."""
    await another_in_its_place(temporal, blocked, "Engagement", QUEUE)


async def paused(temporal: TemporalFixture, blocked: Handle) -> None:
    """Somebody paused it on Temporal's page."""
    await temporal.client.workflow_service.pause_workflow_execution(
        PauseWorkflowExecutionRequest(
            namespace=temporal.client.namespace, workflow_id=blocked.id, request_id=uuid4().hex
        )
    )


async def unpaused(temporal: TemporalFixture, blocked: Handle) -> None:
    """It goes on."""
    await temporal.client.workflow_service.unpause_workflow_execution(
        UnpauseWorkflowExecutionRequest(
            namespace=temporal.client.namespace, workflow_id=blocked.id, request_id=uuid4().hex
        )
    )


@pytest.fixture
def inbox(temporal: TemporalFixture) -> InboxActivities:
    """The activity, driven by the test instead of the inbox workflow."""
    return InboxActivities(temporal.database, {"asis-global": bundled()}, temporal.client, load_catalogue())


async def met(temporal: TemporalFixture, *engagements: Handle) -> None:
    """The mentee says for each of these that the two have met."""
    data = {"by": temporal.profile("mentee"), "answer": "yes"}
    async with temporal.database.begin() as session:
        await events.store(
            session,
            [
                Envelope(uuid4().hex, "/tests", "engagement.met", None, {"engagement": name, **data})
                for name in (handle.id.partition("/")[2] for handle in engagements)
            ],
        )


async def state_of_events(temporal: TemporalFixture, about: Handle) -> list[str]:
    async with temporal.database.reading() as session:
        query = select(Event.state).where(Event.subject == about.id, Event.type == "engagement.met")
        return list(await session.scalars(query.order_by(Event.id)))


async def tasks_about(temporal: TemporalFixture, about: Handle) -> list[tuple[str, str, str | None]]:
    async with temporal.database.reading() as session:
        found = await session.execute(
            select(Task.kind, Task.state, Task.closed_by).where(Task.subject == about.id)
        )
        return [(kind, state, closed_by) for kind, state, closed_by in found]


@pytest.mark.rule("T8", "STA2")
@pytest.mark.parametrize(
    ("block", "unblock", "waits"),
    [
        (on_a_queue_without_worker, replaced, True),
        (of_another_version, replaced, True),
        # The server refuses an update of a paused workflow at once.
        (paused, unpaused, False),
    ],
    ids=["on_a_queue_without_worker", "of_another_version", "paused"],
)
async def test_blocked_lifecycle_delays_its_own_events_only(
    temporal: TemporalFixture,
    inbox: InboxActivities,
    block: Callable[[TemporalFixture, Handle], Awaitable[None]],
    unblock: Callable[[TemporalFixture, Handle], Awaitable[None]],
    waits: bool,
) -> None:
    """Its events wait in their order, with one task; they are applied when it answers, and the task closes."""
    blocked, healthy = await temporal.match(), await temporal.match()
    await terminate_workflows(temporal.client, "no lifecycle")
    await block(temporal, blocked)
    now = datetime.now(UTC)
    await met(temporal, blocked, healthy, blocked)
    zoe = {"member": f"zoe-{uuid4().hex}", "name": "Zoe", "email": "zoe@example.org", "standing": "good"}
    async with temporal.database.begin() as session:
        await events.store(session, [Envelope(uuid4().hex, "/tests", "member.updated", None, zoe)])
    async with asyncio.timeout(PATIENCE):
        began = asyncio.get_running_loop().time()
        applying = asyncio.create_task(environment(now).run(inbox.apply_events))
        while not await temporal.events(f"member/{zoe['member']}", "applied"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        states = await state_of_events(temporal, blocked)
        if waits and asyncio.get_running_loop().time() < began + TIME_TO_ANSWER.total_seconds():
            assert states == ["applying", "stored"], "it still has time to answer"
        await applying
    assert await state_of_events(temporal, healthy) == ["applied"]
    assert await state_of_events(temporal, blocked) == ["held", "held"]
    assert await tasks_about(temporal, blocked) == [("event_unapplied", "open", None)]

    later = now + BLOCKED_FOR + timedelta(minutes=1)
    async with asyncio.timeout(PATIENCE):
        await environment(later).run(inbox.apply_events)
    assert await state_of_events(temporal, blocked) == ["held", "held"]
    assert await tasks_about(temporal, blocked) == [("event_unapplied", "open", None)]

    await unblock(temporal, blocked)
    async with asyncio.timeout(PATIENCE):
        while await state_of_events(temporal, blocked) != ["applied", "applied"]:
            later += BLOCKED_FOR + timedelta(minutes=1)
            await environment(later).run(inbox.apply_events)
    assert await tasks_about(temporal, blocked) == [("event_unapplied", "done", "program")]
    for engagement in (blocked, healthy):
        await temporal.close(temporal.client.get_workflow_handle(engagement.id))
