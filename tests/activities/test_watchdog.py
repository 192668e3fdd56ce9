"""What no lifecycle brings to a decision is found, and decided or shown to staff (MAIL1, STA2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.testing import WorkflowEnvironment

from activities.delivery import SendMail
from activities.watchdog import OVERDUE, WatchdogActivities
from database import ledger
from rules.agenda import PlannedMail
from tests.support.delivery import (
    COMPLIANCE,
    DUE,
    NUDGE,
    OWED,
    WORKFLOW,
    World,
    environment,
    migrated_url,
    refused_for_now,
    send,
    world,
)
from tests.support.limits import PATIENCE
from tests.support.servers.hostile_smtp import HostileSmtp, hostile_smtp, say
from workflows.resend import ResendWorkflow

__all__ = ["hostile_smtp", "migrated_url", "world"]

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@asynccontextmanager
async def running(client: Client) -> AsyncIterator[None]:
    """The messages' workflow runs; no worker does anything about it."""
    handle = await client.start_workflow(
        ResendWorkflow.run,
        SendMail(WORKFLOW, []),
        id=WORKFLOW,
        task_queue="nobody",
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )
    yield
    await handle.terminate()


async def look(world: World, temporal: WorkflowEnvironment, after: timedelta) -> int:
    """Let the watchdog look, so long after the messages were due."""
    watchdog = WatchdogActivities(world.database, world.programs, temporal.client)
    return await environment(DUE + after).run(watchdog.look_for_overdue)


async def states(world: World) -> list[str]:
    return [row.state for row in await world.rows()]


async def died(world: World, wanted: PlannedMail, state: str) -> None:
    """A worker died with the message in this state, right when it was due."""
    async with world.database.begin() as session:
        row = await ledger.locked(session, WORKFLOW, wanted.key)
        assert row is not None
        row.state, row.claimed_by, row.claimed_at, row.attempted_at = state, "a dead worker", DUE, DUE


@pytest.mark.rule("MAIL1")
async def test_message_due_soon_or_just_now_is_left_alone(
    world: World, temporal_dev: WorkflowEnvironment
) -> None:
    await world.plan(NUDGE, replace(COMPLIANCE, due=DUE + 30 * DAY))
    assert await look(world, temporal_dev, OVERDUE - timedelta(seconds=1)) == 0
    assert await states(world) == ["planned"] * 2
    assert await world.tasks() == []


@pytest.mark.rule("MAIL1", "STA2")
async def test_held_message_waits_for_its_workflow_and_ends_with_it(
    world: World, temporal_dev: WorkflowEnvironment
) -> None:
    """A held message waits as long as its workflow lives, and is decided when the workflow is gone."""
    await world.plan(replace(NUDGE, due=None), replace(OWED, due=None))
    async with running(temporal_dev.client):
        assert await look(world, temporal_dev, 300 * DAY) == 0
        assert await states(world) == ["planned"] * 2
        assert await world.tasks() == []
    assert await look(world, temporal_dev, 300 * DAY) == 2
    assert [row.reason for row in await world.rows()] == [
        "its workflow no longer runs",
        "its workflow no longer runs; staff were asked",
    ]
    assert await world.tasks() == [("mail_failed", WORKFLOW)]


@pytest.mark.rule("MAIL1", "MAIL2")
async def test_in_flight_message_is_left_to_its_worker(
    world: World, temporal_dev: WorkflowEnvironment
) -> None:
    await world.plan(NUDGE)
    async with asyncio.timeout(PATIENCE):
        if world.database.is_sqlite:
            # One writes at a time there: who looks waits for who decides, and finds it decided.
            async with world.database.begin() as session:
                row = await ledger.locked(session, WORKFLOW, NUDGE.key)
                assert row is not None
                looking = asyncio.create_task(look(world, temporal_dev, 300 * DAY))
                await ledger.decide(session, row, "skipped", "decided meanwhile", DUE)
            assert await looking == 0
        else:
            async with world.database.begin() as session:
                row = await ledger.locked(session, WORKFLOW, NUDGE.key)
                assert row is not None
                assert await look(world, temporal_dev, 300 * DAY) == 0
                await ledger.decide(session, row, "skipped", "decided meanwhile", DUE)
    assert [row.reason for row in await world.rows()] == ["decided meanwhile"]


@pytest.mark.rule("MAIL1", "STA2")
async def test_overdue_message_without_attempts_opens_one_task(
    world: World, temporal_dev: WorkflowEnvironment
) -> None:
    await world.plan(NUDGE)
    async with running(temporal_dev.client):
        for hours in (6, 7, 30):
            assert await look(world, temporal_dev, hours * HOUR) == 1
    assert await world.tasks() == [("mail_failed", WORKFLOW)]
    assert await states(world) == ["planned"]


@pytest.mark.rule("MAIL3", "STA2")
async def test_mail_server_outage_opens_one_task_a_day(
    world: World, hostile_smtp: HostileSmtp, temporal_dev: WorkflowEnvironment
) -> None:
    hostile_smtp.always("MAIL", say("451 4.3.0 not now"))
    await world.plan(NUDGE, OWED, COMPLIANCE)
    async with world.mailing(hostile_smtp) as mail:
        await refused_for_now(mail, NUDGE.key, OWED.key, COMPLIANCE.key)
    async with running(temporal_dev.client):
        for hours in (6, 7):
            assert await look(world, temporal_dev, hours * HOUR) == 3
    assert await world.tasks() == [("mail_failed", "channel/smtp")]
    assert await states(world) == ["planned"] * 3


@pytest.mark.rule("MAIL1", "MAIL2", "STA2")
async def test_hand_over_without_a_recorded_reply_is_ambiguous(
    world: World, temporal_dev: WorkflowEnvironment
) -> None:
    await world.plan(NUDGE, OWED)
    for wanted in (NUDGE, OWED):
        await died(world, wanted, "handed_over")
    await look(world, temporal_dev, OVERDUE)
    assert await states(world) == ["ambiguous"] * 2
    assert await world.tasks() == [("mail_ambiguous", WORKFLOW)]


@pytest.mark.rule("MAIL1", "STA2")
@pytest.mark.parametrize("state", ["planned", "claimed"])
async def test_message_of_a_missing_workflow_is_skipped_with_a_task(
    world: World, temporal_dev: WorkflowEnvironment, state: str
) -> None:
    """Staff see a task for what was owed; nudges are skipped without one."""
    await world.plan(NUDGE, OWED)
    for wanted in (NUDGE, OWED):
        await died(world, wanted, state)
    await look(world, temporal_dev, OVERDUE)
    rows = await world.rows()
    assert [(row.state, row.reason) for row in rows] == [
        ("skipped", "its workflow no longer runs"),
        ("skipped", "its workflow no longer runs; staff were asked"),
    ]
    assert await world.tasks() == [("mail_failed", WORKFLOW)]
    assert len(await world.decisions()) == 2


@pytest.mark.rule("MAIL1")
async def test_restored_message_unknown_to_its_workflow_is_decided(
    world: World, temporal_dev: WorkflowEnvironment
) -> None:
    await world.plan(NUDGE)
    async with running(temporal_dev.client):
        await look(world, temporal_dev, 14 * DAY)
        assert await states(world) == ["planned"]
        await look(world, temporal_dev, 16 * DAY)
    assert [row.reason for row in await world.rows()] == ["its workflow never brought it to a decision"]


@pytest.mark.rule("T8", "MAIL1")
async def test_restored_planned_message_follows_its_policy_when_asked(
    world: World, hostile_smtp: HostileSmtp
) -> None:
    await world.plan(NUDGE, OWED, COMPLIANCE)
    async with world.mailing(hostile_smtp) as mail:
        outcomes = await send(mail, NUDGE.key, OWED.key, COMPLIANCE.key, at=DUE + 10 * DAY)
    assert [outcome.decision for outcome in outcomes] == ["skipped", "skipped", "sent"]


@pytest.mark.rule("MAIL2")
async def test_resent_copy_lives_as_long_as_its_workflow(
    world: World, temporal_dev: WorkflowEnvironment
) -> None:
    await world.plan(OWED)
    await died(world, OWED, "handed_over")
    await look(world, temporal_dev, OVERDUE)
    async with world.database.begin() as session:
        original = (await world.row(OWED.key)).delivery
        copy = await ledger.copy(session, original, "lina", "it never came", DUE)
    async with running(temporal_dev.client):
        await look(world, temporal_dev, OVERDUE)
    assert (await world.row(f"{OWED.step}/{copy.occurrence}")).state == "skipped"
