"""Moves what sleeps to the current version now, rather than when it wakes by itself.

A workflow follows the current version with its next task, which may be weeks away. A signal gives it one today, while
somebody looks: what does not go on shows at once, and not at nine in the morning.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from temporalio.client import Client
from temporalio.common import WorkerDeploymentVersion
from temporalio.service import RPCError, RPCStatusCode

from rules.kinds import KINDS
from worker.rollout.version_routing import UNVERSIONED

LISTED_BY: Final = "TemporalWorkerDeploymentVersion"
"""The search attribute that names a workflow's version; it has none before its first task on a versioned worker."""

SIGNAL: Final = "replan"
"""What every lifecycle takes, and what changes nothing where nothing has changed (T7)."""


def listed_name(deployment: str, build: str) -> str:
    """Return how Temporal lists a version among a workflow's search attributes."""
    return f"{deployment}:{build}"


async def count_on(client: Client, deployment: str, build: str) -> int:
    """Return how many running workflows had their last task on a version. Raises RPCError."""
    on = (
        f"{LISTED_BY} = '{listed_name(deployment, build)}'"
        if build != UNVERSIONED
        else f"{LISTED_BY} IS NULL"
    )
    return (await client.count_workflows(f"ExecutionStatus = 'Running' AND {on}")).count


async def lifecycles_elsewhere(client: Client, version: WorkerDeploymentVersion) -> AsyncGenerator[str, None]:
    """Yield the ids of running lifecycles whose last task was not on a version. Raises RPCError.

    The other workflows wait for events or for an hour at most, and move with what comes then.
    """
    kinds = ", ".join(f"'{kind.workflow}'" for kind in KINDS.values())
    listed = (
        f"{LISTED_BY} IS NULL OR {LISTED_BY} != '{listed_name(version.deployment_name, version.build_id)}'"
    )
    query = f"ExecutionStatus = 'Running' AND WorkflowType IN ({kinds}) AND ({listed})"
    async for execution in client.list_workflows(query):
        yield execution.id


async def wake(client: Client, workflow: str) -> bool:
    """Give a workflow a task; return False if it has ended. Raises RPCError."""
    try:
        await client.get_workflow_handle(workflow).signal(SIGNAL)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


async def wake_all(
    client: Client, version: WorkerDeploymentVersion, per_second: float
) -> AsyncGenerator[str, None]:
    """Wake the lifecycles that are elsewhere, `per_second` at most, and yield their ids. Raises RPCError."""
    # The list is read before the first signal: each signal moves a workflow out of what is listed.
    for workflow in [each async for each in lifecycles_elsewhere(client, version)]:
        if await wake(client, workflow):
            yield workflow
        await asyncio.sleep(1 / per_second)
