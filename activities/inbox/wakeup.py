"""Waking the inbox: its shards are workflows that run for ever, each for the events of its own subjects (T8)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.command_sender import FIRST, QUEUE
from database.event_queue import SHARDS

INBOX = "inbox"
"""The id of the one inbox workflow of earlier versions. It hands over to the shards."""

_SHARD = "inbox/"

SHARD_IDS = tuple(f"{_SHARD}{shard}" for shard in range(SHARDS))
"""The ids of the workflows of all shards."""


def shard_id(shard: int) -> str:
    """Return the id of the workflow that applies the events of a shard."""
    return SHARD_IDS[shard]


async def wake_shards(client: Client, shards: Iterable[int]) -> None:
    """Signal shards that events wait for them; start those that do not run."""
    await asyncio.gather(*(_wake(client, shard) for shard in shards))


async def _wake(client: Client, shard: int) -> None:
    await client.start_workflow(
        "InboxShard",
        shard,
        id=shard_id(shard),
        task_queue=QUEUE,
        start_signal="arrived",
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        priority=FIRST,
    )


async def inbox_of_before_runs(client: Client) -> bool:
    """Return whether the one inbox of an earlier version runs, and wake it, so that it hands over."""
    handle = client.get_workflow_handle(INBOX)
    try:
        if (await handle.describe()).status != WorkflowExecutionStatus.RUNNING:
            return False
        await handle.signal("arrived")
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True
