"""What no lifecycle brings to a decision is found, and decided or shown to staff (MAIL1, STA2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDReusePolicy
from temporalio.testing import WorkflowEnvironment

from activities.delivery import SendMail
from activities.upkeep.watchdog import OVERDUE, WatchdogActivities
from database import ledger, staff_orders
from rules.agenda import PlannedMail
from tests.support.delivery import (
    COMPLIANCE,
    DUE,
    NUDGE,
    OWED,
    WORKFLOW,
    DeliveryFixture,
    deliveries,
    environment,
    migrated_url,
    refused_for_now,
    send,
)
from tests.support.limits import PATIENCE
from tests.support.servers.hostile_smtp import HostileSmtp, hostile_smtp, say
from workflows.resend import ResendWorkflow

__all__ = ["deliveries", "hostile_smtp", "migrated_url"]

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


async def look(deliveries: DeliveryFixture, temporal: WorkflowEnvironment, after: timedelta) -> int:
    """Let the watchdog look, so long after the messages were due."""
    watchdog = WatchdogActivities(deliveries.database, deliveries.programs, temporal.client)
    return await environment(DUE + after).run(watchdog.look_for_overdue)


async def states(deliveries: DeliveryFixture) -> list[str]:
    return [row.state for row in await deliveries.rows()]


async def died(deliveries: DeliveryFixture, wanted: PlannedMail, state: str) -> None:
    """A worker died with the message in this state, right when it was due."""
    async with deliveries.database.begin() as session:
        row = await ledger.locked(session, WORKFLOW, wanted.key)
        assert row is not None
        row.state, row.claimed_by, row.claimed_at, row.attempted_at = state, "a dead worker", DUE, DUE


@pytest.mark.rule("MAIL1")
async def test_message_due_soon_or_just_now_is_left_alone(
    deliveries: DeliveryFixture, temporal_dev: WorkflowEnvironment
) -> None:
    await deliveries.plan(NUDGE, replace(COMPLIANCE, due=DUE + 30 * DAY))
    assert await look(deliveries, temporal_dev, OVERDUE - timedelta(seconds=1)) == 0
    assert await states(deliveries) == ["planned"] * 2
    assert await deliveries.tasks() == []


@pytest.mark.rule("MAIL1", "STA2")
async def test_held_message_waits_for_its_workflow_and_ends_with_it(
    deliveries: DeliveryFixture, temporal_dev: WorkflowEnvironment
) -> None:
    """A held message waits as long as its workflow lives, and is decided when the workflow is gone."""
    await deliveries.plan(replace(NUDGE, due=None), replace(OWED, due=None))
    async with running(temporal_dev.client):
        assert await look(deliveries, temporal_dev, 300 * DAY) == 0
        assert await states(deliveries) == ["planned"] * 2
        assert await deliveries.tasks() == []
    assert await look(deliveries, temporal_dev, 300 * DAY) == 2
    assert [row.reason for row in await deliveries.rows()] == [
        "its workflow no longer runs",
        "its workflow no longer runs; staff were asked",
    ]
    assert await deliveries.tasks() == [("mail_failed", WORKFLOW)]


@pytest.mark.rule("MAIL1", "MAIL2")
async def test_in_flight_message_is_left_to_its_worker(
    deliveries: DeliveryFixture, temporal_dev: WorkflowEnvironment
) -> None:
    await deliveries.plan(NUDGE)
    async with asyncio.timeout(PATIENCE):
        if deliveries.database.is_sqlite:
            # One writes at a time there: who looks waits for who decides, and finds it decided.
            async with deliveries.database.begin() as session:
                row = await ledger.locked(session, WORKFLOW, NUDGE.key)
                assert row is not None
                looking = asyncio.create_task(look(deliveries, temporal_dev, 300 * DAY))
                await ledger.decide(session, row, "skipped", "decided meanwhile", DUE)
            assert await looking == 0
        else:
            async with deliveries.database.begin() as session:
                row = await ledger.locked(session, WORKFLOW, NUDGE.key)
                assert row is not None
                assert await look(deliveries, temporal_dev, 300 * DAY) == 0
                await ledger.decide(session, row, "skipped", "decided meanwhile", DUE)
    assert [row.reason for row in await deliveries.rows()] == ["decided meanwhile"]


@pytest.mark.rule("MAIL1", "STA2")
async def test_overdue_message_without_attempts_opens_one_task(
    deliveries: DeliveryFixture, temporal_dev: WorkflowEnvironment
) -> None:
    await deliveries.plan(NUDGE)
    async with running(temporal_dev.client):
        for hours in (6, 7, 30):
            assert await look(deliveries, temporal_dev, hours * HOUR) == 1
    assert await deliveries.tasks() == [("mail_failed", WORKFLOW)]
    assert await states(deliveries) == ["planned"]


@pytest.mark.rule("MAIL3", "STA2")
async def test_mail_server_outage_opens_one_task_a_day(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, temporal_dev: WorkflowEnvironment
) -> None:
    hostile_smtp.always("MAIL", say("451 4.3.0 not now"))
    await deliveries.plan(NUDGE, OWED, COMPLIANCE)
    async with deliveries.mailing(hostile_smtp) as mail:
        await refused_for_now(mail, NUDGE.key, OWED.key, COMPLIANCE.key)
    async with running(temporal_dev.client):
        for hours in (6, 7):
            assert await look(deliveries, temporal_dev, hours * HOUR) == 3
    assert await deliveries.tasks() == [("mail_failed", "channel/smtp")]
    assert await states(deliveries) == ["planned"] * 3


@pytest.mark.rule("MAIL1", "MAIL2", "STA2")
async def test_hand_over_without_a_recorded_reply_is_ambiguous(
    deliveries: DeliveryFixture, temporal_dev: WorkflowEnvironment
) -> None:
    await deliveries.plan(NUDGE, OWED)
    for wanted in (NUDGE, OWED):
        await died(deliveries, wanted, "handed_over")
    await look(deliveries, temporal_dev, OVERDUE)
    assert await states(deliveries) == ["ambiguous"] * 2
    assert await deliveries.tasks() == [("mail_ambiguous", WORKFLOW)]


@pytest.mark.rule("MAIL1", "STA2")
@pytest.mark.parametrize("state", ["planned", "claimed"])
async def test_message_of_a_missing_workflow_is_skipped_with_a_task(
    deliveries: DeliveryFixture, temporal_dev: WorkflowEnvironment, state: str
) -> None:
    """Staff see a task for what was owed; nudges are skipped without one."""
    await deliveries.plan(NUDGE, OWED)
    for wanted in (NUDGE, OWED):
        await died(deliveries, wanted, state)
    await look(deliveries, temporal_dev, OVERDUE)
    rows = await deliveries.rows()
    assert [(row.state, row.reason) for row in rows] == [
        ("skipped", "its workflow no longer runs"),
        ("skipped", "its workflow no longer runs; staff were asked"),
    ]
    assert await deliveries.tasks() == [("mail_failed", WORKFLOW)]
    assert len(await deliveries.decisions()) == 2


@pytest.mark.rule("MAIL1")
async def test_restored_message_unknown_to_its_workflow_is_decided(
    deliveries: DeliveryFixture, temporal_dev: WorkflowEnvironment
) -> None:
    await deliveries.plan(NUDGE)
    async with running(temporal_dev.client):
        await look(deliveries, temporal_dev, 14 * DAY)
        assert await states(deliveries) == ["planned"]
        await look(deliveries, temporal_dev, 16 * DAY)
    assert [row.reason for row in await deliveries.rows()] == ["its workflow never brought it to a decision"]


@pytest.mark.rule("T8", "MAIL1")
async def test_restored_planned_message_follows_its_policy_when_asked(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    await deliveries.plan(NUDGE, OWED, COMPLIANCE)
    async with deliveries.mailing(hostile_smtp) as mail:
        outcomes = await send(mail, NUDGE.key, OWED.key, COMPLIANCE.key, at=DUE + 10 * DAY)
    assert [outcome.decision for outcome in outcomes] == ["skipped", "skipped", "sent"]


@pytest.mark.rule("MAIL2")
async def test_resent_copy_lives_as_long_as_its_workflow(
    deliveries: DeliveryFixture, temporal_dev: WorkflowEnvironment
) -> None:
    await deliveries.plan(OWED)
    await died(deliveries, OWED, "handed_over")
    await look(deliveries, temporal_dev, OVERDUE)
    async with deliveries.database.begin() as session:
        original = (await deliveries.row(OWED.key)).delivery
        copy = await ledger.copy(session, original, "lina", "it never came", DUE)
    async with running(temporal_dev.client):
        await look(deliveries, temporal_dev, OVERDUE)
    assert (await deliveries.row(f"{OWED.step}/{copy.occurrence}")).state == "skipped"


@pytest.mark.rule("MAIL1", "STA3")
async def test_watchdog_leaves_what_staff_hold_and_sends_what_they_released(
    deliveries: DeliveryFixture, temporal_dev: WorkflowEnvironment
) -> None:
    """A held message stays when its workflow is gone; a released one gets a workflow of its own, once."""
    await deliveries.plan(NUDGE)
    async with deliveries.database.begin() as session:
        row = await ledger.locked(session, WORKFLOW, NUDGE.key)
        assert row is not None
        await staff_orders.give(session, row, "hold", "lina", "away", DUE - DAY)
    assert await look(deliveries, temporal_dev, 300 * DAY) == 0
    async with deliveries.database.begin() as session:
        row = await ledger.locked(session, WORKFLOW, NUDGE.key)
        assert row is not None
        await staff_orders.give(session, row, "release", "lina", "back", DUE)
    assert await look(deliveries, temporal_dev, HOUR) == 0
    sending = temporal_dev.client.get_workflow_handle(f"resend/{row.delivery}")
    assert (await sending.describe()).status == WorkflowExecutionStatus.RUNNING
    assert await look(deliveries, temporal_dev, OVERDUE + HOUR) == 1
    assert await states(deliveries) == ["planned"]
    await sending.terminate()
