"""The deliveries to one endpoint: turn after turn, for as long as it is enabled."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.webhooks import DeliverEvents, WebhookActivities

from workflows.agenda_loop import DEAD_AFTER

MOST_TURNS = 100
"""Turns of a run: a history stays short, also where the server suggests no new one."""


@workflow.defn(name="Webhook")
class WebhookWorkflow:
    """Has the events of an endpoint delivered; ends when it is disabled. Id `webhook/{endpoint}`.

    There is one for each endpoint, so that each event is with one worker at a time. Not started on a time-skipping
    server, whose clock would never idle.
    """

    @workflow.run
    async def run(self, endpoint: str) -> None:
        """Deliver, turn after turn; continue as new after some."""
        for _ in range(MOST_TURNS):
            turn = await workflow.execute_activity_method(
                WebhookActivities.deliver_events,
                DeliverEvents(endpoint),
                start_to_close_timeout=timedelta(minutes=10),
                heartbeat_timeout=DEAD_AFTER,
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1)
                ),
                summary="deliver events",
            )
            if not turn.enabled:
                return
            if workflow.info().is_continue_as_new_suggested():
                break
        workflow.continue_as_new(endpoint)
