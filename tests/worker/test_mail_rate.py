"""The rate of mail holds for a deployment: all its workers together, whatever a workflow sends at once (MAIL3)."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.delivery import MailActivities, SendMail
from database import mail_limits
from database.links import Links
from database.session import Database
from mail.allowlist import RecipientAllowlist
from mail.smtp.channel import SmtpChannel
from mail.smtp.settings import SmtpSettings
from tests.support.delivery import (
    KEYS,
    WORKFLOW,
    DeliveryFixture,
    check_ins,
    composers,
    deliveries,
    migrated_url,
)
from tests.support.limits import PATIENCE
from tests.support.servers.hostile_smtp import HostileSmtp
from worker.connections import reserve_departure

pytestmark = pytest.mark.rule("MAIL3")

__all__ = ["deliveries", "migrated_url"]

PER_MINUTE = 600
STEP = 60 / PER_MINUTE
WORKERS, ACTIVITIES, MAILS_EACH = 2, 8, 3


@workflow.defn(name="SendTogether")
class SendTogether:
    """Sends messages by activities that run at the same time."""

    @workflow.run
    async def run(self, orders: list[SendMail]) -> None:
        """Send them all."""
        await asyncio.gather(
            *(
                workflow.execute_activity_method(
                    MailActivities.send_mail, order, start_to_close_timeout=timedelta(minutes=2)
                )
                for order in orders
            )
        )


async def mail_worker(
    stack: AsyncExitStack,
    environment: WorkflowEnvironment,
    url: str,
    queue: str,
    fixture: DeliveryFixture,
    smtp: int,
) -> Worker:
    """Return a worker with a database handle and a channel of its own, as another process has them."""
    database = Database(url, keys=KEYS)
    stack.push_async_callback(database.close)
    settings = SmtpSettings(
        host="127.0.0.1", port=smtp, rate_per_minute=PER_MINUTE, helo_name="worker.example.org"
    )
    channel = SmtpChannel(settings, partial(reserve_departure, database))
    stack.push_async_callback(channel.aclose)
    mail = MailActivities(
        database,
        fixture.programs,
        composers(),
        channel,
        Links("https://mentoring.example.org", KEYS),
        RecipientAllowlist(production=True),
    )
    # A client has one worker for each queue.
    client = await Client.connect(environment.client.service_client.config.target_host)
    return Worker(
        client,
        task_queue=queue,
        workflows=[SendTogether],
        workflow_runner=UnsandboxedWorkflowRunner(),
        activities=[mail.send_mail],
        max_concurrent_activities=ACTIVITIES // WORKERS,
    )


async def test_two_workers_together_keep_the_rate(
    deliveries: DeliveryFixture, migrated_url: str, temporal_dev: WorkflowEnvironment
) -> None:
    """Each activity has three mails, so that a limit of activities or of one process lets out too many."""
    now = datetime.now(UTC)
    count = ACTIVITIES * MAILS_EACH
    await deliveries.plan(*(replace(mail, due=now) for mail in check_ins(count)), at=now)
    keys = [f"check-in/{number}" for number in range(1, count + 1)]
    orders = [SendMail(WORKFLOW, keys[at : at + MAILS_EACH]) for at in range(0, count, MAILS_EACH)]
    queue = f"rate-{uuid4()}"
    async with HostileSmtp() as server, AsyncExitStack() as stack:
        for _ in range(WORKERS):
            made = await mail_worker(stack, temporal_dev, migrated_url, queue, deliveries, server.port)
            await stack.enter_async_context(made)
        async with asyncio.timeout(PATIENCE):
            await temporal_dev.client.execute_workflow(SendTogether.run, orders, id=queue, task_queue=queue)
    times = sorted(message.at for message in server.accepted)
    assert len(times) == count
    # Departures are STEP apart; a mail may be late on a slow machine, and then stand closer to the next one.
    slack = 1.0
    assert times[-1] - times[0] >= (count - 1) * STEP - slack
    per_second = [sum(1 for other in times if at <= other < at + 1) for at in times]
    assert max(per_second) <= 2 * PER_MINUTE / 60


async def test_reservations_are_a_step_apart_and_bounded(deliveries: DeliveryFixture) -> None:
    async def reserve(now: float) -> float | None:
        async with deliveries.database.begin() as session:
            return await mail_limits.reserve_departure(session, now, 10.0, 25.0)

    assert [await reserve(1_000_000.0) for _ in range(4)] == [0.0, 10.0, 20.0, None]
    assert await reserve(1_000_010.0) == 20.0
    assert await reserve(1_000_200.0) == 0.0


async def test_reservation_by_a_wrong_clock_does_not_stop_mail(deliveries: DeliveryFixture) -> None:
    async with deliveries.database.begin() as session:
        assert await mail_limits.reserve_departure(session, 9_000_000.0, 10.0, 25.0) == 0.0
    async with deliveries.database.begin() as session:
        assert await mail_limits.reserve_departure(session, 1_000_000.0, 10.0, 25.0) == 0.0
