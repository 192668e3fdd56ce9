"""The watchdog: looks every hour for due messages that no workflow brings to a decision (MAIL1)."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.upkeep.watchdog import WatchdogActivities

WATCHDOG = "watchdog"
"""The id of the one watchdog."""

EVERY = timedelta(hours=1)


@workflow.defn(name="Watchdog")
class WatchdogWorkflow:
    """Runs for ever beside the lifecycles. Not started on a time-skipping server, whose clock would never idle."""

    @workflow.run
    async def run(self) -> None:
        """Look, wait, look again; continue as new whenever the server suggests it."""
        while not workflow.info().is_continue_as_new_suggested():
            await workflow.execute_activity_method(
                WatchdogActivities.look_for_overdue,
                start_to_close_timeout=timedelta(minutes=30),
                heartbeat_timeout=timedelta(minutes=2),
                retry_policy=RetryPolicy(maximum_interval=timedelta(minutes=5)),
                summary="look for overdue messages",
            )
            await workflow.sleep(EVERY, summary="until the next look")
        workflow.continue_as_new()
