"""The watchdog runs beside everything else, and what nobody sends comes to its decision (MAIL1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.worker import Worker

from activities.inbox import QUEUE
from activities.upkeep.watchdog import WatchdogActivities
from embedded.temporal_servers import skipping_clock
from tests.support.delivery import (
    COMPLIANCE,
    NUDGE,
    OWED,
    WORKFLOW,
    DeliveryFixture,
    deliveries,
    migrated_url,
)
from worker.workflow_runtime import RedactErrors, workflow_runner
from workflows.upkeep.watchdog import WATCHDOG, WatchdogWorkflow

__all__ = ["deliveries", "migrated_url"]

HOUR = timedelta(hours=1)


@pytest.mark.rule("MAIL1", "STA2")
async def test_unsent_message_is_found_within_the_hour_repeatedly(
    deliveries: DeliveryFixture,
) -> None:
    async with skipping_clock() as clock:
        start = await clock.now()
        watchdog = WatchdogActivities(deliveries.database, deliveries.programs, clock.client)
        later = replace(COMPLIANCE, due=start + timedelta(days=2))
        mails = [replace(OWED, due=start + HOUR), replace(NUDGE, due=None), later]
        await deliveries.plan(*mails, at=start + 2 * HOUR)
        async with Worker(
            clock.client,
            task_queue=QUEUE,
            workflows=[WatchdogWorkflow],
            workflow_runner=workflow_runner(),
            activities=[watchdog.look_for_overdue],
            interceptors=[RedactErrors()],
        ):
            await clock.client.start_workflow(WatchdogWorkflow.run, id=WATCHDOG, task_queue=QUEUE)
            seen = []
            for hours in (6.5, 7.5, 8.5, 48 + 5.5, 48 + 7.5):
                await clock.advance(start + hours * HOUR)
                seen.append([row.state for row in await deliveries.rows()])
    assert seen == [
        ["planned", "planned", "planned"],
        ["skipped", "planned", "planned"],
        ["skipped", "skipped", "planned"],
        ["skipped", "skipped", "planned"],
        ["skipped", "skipped", "skipped"],
    ]
    assert await deliveries.tasks() == [("mail_failed", WORKFLOW)] * 2
    assert len(await deliveries.decisions()) == 3
