"""Starting what runs beside the lifecycles: the inbox and the housekeeping workflows."""

from __future__ import annotations

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from activities.inbox import QUEUE
from workflows.checkpoints import CHECKPOINTS, CheckpointsWorkflow
from workflows.inbox import INBOX, InboxWorkflow
from workflows.watchdog import WATCHDOG, WatchdogWorkflow


async def notify_inbox(client: Client) -> None:
    """Signal the inbox that events were stored; start it where it does not run."""
    await client.start_workflow(
        InboxWorkflow.run,
        id=INBOX,
        task_queue=QUEUE,
        start_signal="arrived",
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )


async def start_housekeeping(client: Client) -> None:
    """Start the watchdog and the checkpoints, where they do not run (MAIL1, CPE11).

    For deployments on real time only: a time-skipping clock would never idle.
    """
    for run, id in ((WatchdogWorkflow.run, WATCHDOG), (CheckpointsWorkflow.run, CHECKPOINTS)):
        await client.start_workflow(
            run,
            id=id,
            task_queue=QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )
