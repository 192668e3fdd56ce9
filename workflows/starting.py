"""Starting what runs beside the lifecycles: the inbox and the housekeeping workflows."""

from __future__ import annotations

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from activities.inbox import QUEUE
from activities.inbox.wakeup import wake_shards
from database.event_queue import waiting_shards
from database.session import Database
from workflows.checkpoints import CHECKPOINTS, CheckpointsWorkflow
from workflows.watchdog import WATCHDOG, WatchdogWorkflow


async def notify_inbox(client: Client, database: Database) -> None:
    """Signal the shards of the inbox in which events wait; start those that do not run."""
    async with database.reading() as session:
        shards = await waiting_shards(session)
    await wake_shards(client, shards)


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
