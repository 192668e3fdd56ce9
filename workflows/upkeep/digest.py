"""The weekly digest to the managers of the programs (STA4)."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.upkeep.digest import DigestActivities

DIGEST = "digest"
"""The id of the one workflow that sends them, for all programs."""


@workflow.defn(name="Digest")
class DigestWorkflow:
    """Runs for ever beside the lifecycles. Not started on a time-skipping server, whose clock would never idle."""

    @workflow.run
    async def run(self) -> None:
        """Mail what is due, wait for the next; continue as new whenever the server suggests it."""
        while not workflow.info().is_continue_as_new_suggested():
            again = await workflow.execute_activity_method(
                DigestActivities.look_for_digest,
                start_to_close_timeout=timedelta(minutes=10),
                retry_policy=RetryPolicy(maximum_interval=timedelta(minutes=5)),
                summary="mail the digests that are due",
            )
            await workflow.sleep(
                max(again - workflow.now(), timedelta(seconds=1)), summary="until the next digest"
            )
        workflow.continue_as_new()
