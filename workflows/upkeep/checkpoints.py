"""Checkpoints of the audit record, day after day (CPE11)."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.upkeep.checkpoints import CheckpointActivities

CHECKPOINTS = "checkpoints"
"""The id of the one workflow that takes them."""


@workflow.defn(name="Checkpoints")
class CheckpointsWorkflow:
    """Runs for ever beside the lifecycles. Not started on a time-skipping server, whose clock would never idle."""

    @workflow.run
    async def run(self) -> None:
        """Take what is due, wait for the next; continue as new whenever the server suggests it."""
        while not workflow.info().is_continue_as_new_suggested():
            again = await workflow.execute_activity_method(
                CheckpointActivities.look_for_checkpoint,
                start_to_close_timeout=timedelta(minutes=10),
                retry_policy=RetryPolicy(maximum_interval=timedelta(minutes=5)),
                summary="take a checkpoint",
            )
            await workflow.sleep(
                max(again - workflow.now(), timedelta(seconds=1)), summary="until the next look"
            )
        workflow.continue_as_new()
