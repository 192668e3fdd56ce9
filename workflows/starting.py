"""Starting what runs beside the lifecycles: the inbox and the housekeeping workflows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from activities.inbox import QUEUE
from activities.inbox.wakeup import wake_shards
from activities.webhooks import start_webhooks
from database.event_queue import waiting_shards
from database.session import Database
from workflows.upkeep.checkpoints import CHECKPOINTS, CheckpointsWorkflow
from workflows.upkeep.digest import DIGEST, DigestWorkflow
from workflows.upkeep.watchdog import WATCHDOG, WatchdogWorkflow

LOOK_EVERY = 600.0
"""Seconds after which a worker starts housekeeping workflows that somebody has cancelled or terminated in Temporal."""

log = structlog.get_logger()


async def notify_inbox(client: Client, database: Database) -> None:
    """Signal the shards of the inbox in which events wait; start those that do not run."""
    async with database.reading() as session:
        shards = await waiting_shards(session)
    await wake_shards(client, shards)


async def start_housekeeping(client: Client) -> None:
    """Start the watchdog, the checkpoints and the digest, where they do not run (MAIL1, CPE11, STA4).

    For deployments on real time only: a time-skipping clock would never idle.
    """
    for run, id in (
        (WatchdogWorkflow.run, WATCHDOG),
        (CheckpointsWorkflow.run, CHECKPOINTS),
        (DigestWorkflow.run, DIGEST),
    ):
        await client.start_workflow(
            run,
            id=id,
            task_queue=QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )


@asynccontextmanager
async def housekeeping(client: Client, database: Database, every: float = LOOK_EVERY) -> AsyncIterator[None]:
    """Have the housekeeping workflows and those of endpoints run within the block.

    An end from outside lasts `every` seconds at most.
    """
    await start_housekeeping(client)
    await start_webhooks(client, database)
    task = asyncio.create_task(_keep(client, database, every))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _keep(client: Client, database: Database, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        try:
            await start_housekeeping(client)
            await start_webhooks(client, database)
        except (RPCError, RuntimeError, OSError, SQLAlchemyError) as error:
            log.warning("housekeeping_not_started", error=type(error).__name__)
