"""Starting what runs beside the lifecycles: the inbox and the housekeeping workflows."""

from __future__ import annotations

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from activities.inbox import QUEUE
from workflows.checkpoints import CHECKPOINTS, CheckpointsWorkflow
from workflows.inbox import INBOX, InboxWorkflow
from workflows.watchdog import WATCHDOG, WatchdogWorkflow


async def notify_inbox(client: Client) -> None:
    """Tell the inbox that events were stored; starts it where it does not run."""
    await client.start_workflow(
        InboxWorkflow.run,
        id=INBOX,
        task_queue=QUEUE,
        start_signal="arrived",
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )


async def start_housekeeping(client: Client) -> None:
    """Have overdue messages looked for, and checkpoints taken, from now on; harmless where that is done already
    (MAIL1, CPE11).

    For deployments on real time only: a skipping clock would never come to rest.
    """
    for run, id in ((WatchdogWorkflow.run, WATCHDOG), (CheckpointsWorkflow.run, CHECKPOINTS)):
        await client.start_workflow(
            run,
            id=id,
            task_queue=QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )
