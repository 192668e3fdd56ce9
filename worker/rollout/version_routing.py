"""Which version of the workers gets the work: Temporal routes all workflows to the current one.

Each workflow follows with its next task (AUTO_UPGRADE), also one that workers without a version began. Temporal's name
for all versions together is a worker deployment.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.deployment.v1 import WorkerDeploymentInfo
from temporalio.api.enums.v1 import RoutingConfigUpdateState, TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
)
from temporalio.client import Client
from temporalio.common import WorkerDeploymentVersion
from temporalio.service import RPCError, RPCStatusCode

from activities.inbox import QUEUE

log = structlog.get_logger()

# The service limits how often one deployment is asked about, to a few times a second: calls here are repeated.

UNVERSIONED: Final = ""
"""The build id of workers without a version."""

LOOK_EVERY: Final = 30.0
"""Seconds between two looks of a worker at who is current."""

FIRST_PAUSE: Final = 0.25
"""Half the seconds before the second look. It doubles until the service knows the version: usually for a second."""

POLLED_WITHIN: Final = timedelta(seconds=90)
"""How recently a worker that lives has polled: a poll without work takes a minute."""

MOST_LOOKS_WITHOUT: Final = 3
"""Looks in a row that find the current version without workers, before another one takes over.

A Temporal server that restarts knows no poller for a moment.
"""

IDENTITY: Final = "throughline"


@dataclass(frozen=True, slots=True)
class Routing:
    """What the service says of the versions of a worker deployment."""

    current: str
    """The build id that all workflows go to; empty for workers without a version."""
    seen: Mapping[str, datetime | None]
    """By build id, since when it was current for the first time; None where it never was."""
    is_settled: bool
    """Whether every task queue has heard of the last change."""
    token: bytes
    """What the service compares, so that a change on old knowledge is refused."""


async def routing(client: Client, deployment: str) -> Routing | None:
    """Return how work is routed; None where no worker has registered a version yet. Raises RPCError."""
    request = DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=deployment)
    try:
        answer = await client.workflow_service.describe_worker_deployment(request, retry=True)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    info: WorkerDeploymentInfo = answer.worker_deployment_info
    seen = {
        each.deployment_version.build_id: _instant(each.first_activation_time)
        for each in info.version_summaries
    }
    in_progress = RoutingConfigUpdateState.ROUTING_CONFIG_UPDATE_STATE_IN_PROGRESS
    return Routing(
        info.routing_config.current_deployment_version.build_id,
        seen,
        info.routing_config_update_state != in_progress,
        answer.conflict_token,
    )


async def pollers(client: Client, now: datetime, within: timedelta = POLLED_WITHIN) -> Counter[str]:
    """Return how many workers look for workflow tasks, by build id. Raises RPCError."""
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=QUEUE),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    answer = await client.workflow_service.describe_task_queue(request, retry=True)
    living = (each for each in answer.pollers if _utc(each.last_access_time) > now - within)
    return Counter(each.deployment_options.build_id for each in living)


async def set_current(
    client: Client, version: WorkerDeploymentVersion, token: bytes = b"", build: str | None = None
) -> None:
    """Route all workflows to a version, or to another `build` of its deployment, from their next task on.

    Raises RPCError if the version is not registered, polls not every queue, or `token` is no longer that of the
    service.
    """
    await client.workflow_service.set_worker_deployment_current_version(
        SetWorkerDeploymentCurrentVersionRequest(
            namespace=client.namespace,
            deployment_name=version.deployment_name,
            build_id=version.build_id if build is None else build,
            conflict_token=token,
            identity=IDENTITY,
        ),
        retry=True,
    )


@asynccontextmanager
async def following(
    client: Client,
    version: WorkerDeploymentVersion,
    every: float = LOOK_EVERY,
    within: timedelta = POLLED_WITHIN,
) -> AsyncIterator[None]:
    """Make a worker's version current within the block, when it is that version's turn.

    A version that was never current takes over as soon as a worker of it runs: it is a new release. A version that was
    current before waits until the current one has no workers: then the release was taken back, or it does not start.
    """
    task = asyncio.create_task(_Follower(client, version, every, within).run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class _Follower:
    def __init__(
        self, client: Client, version: WorkerDeploymentVersion, every: float, within: timedelta
    ) -> None:
        self._client = client
        self._version = version
        self._every = every
        self._within = within
        self._without = 0
        self._waits_behind: str | None = None

    async def run(self) -> None:
        pause = min(self._every, FIRST_PAUSE)
        while True:
            try:
                is_registered = await self._look()
            except (RPCError, RuntimeError, OSError) as error:
                is_registered = False
                # At first another worker was faster, or a queue is not polled yet; later it is a refusal.
                level = "warning" if pause >= self._every else "info"
                reason = error.status.name if isinstance(error, RPCError) else type(error).__name__
                getattr(log, level)("version_not_made_current", error=reason)
            pause = self._every if is_registered else min(self._every, 2 * pause)
            await asyncio.sleep(pause)

    async def _look(self) -> bool:
        """Look at who is current, and take over where it is time; return whether this version is registered."""
        own = self._version.build_id
        found = await routing(self._client, self._version.deployment_name)
        if found is None or own not in found.seen:
            return False
        if found.current == own:
            self._without, self._waits_behind = 0, None
        elif await self._may_take_over(found):
            await set_current(self._client, self._version, found.token)
            self._without = 0
            log.info("version_made_current", version=own, before=found.current or "unversioned")
        elif self._waits_behind != found.current:
            self._waits_behind = found.current
            log.warning("version_not_current", version=own, current=found.current or "unversioned")
        return True

    async def _may_take_over(self, found: Routing) -> bool:
        if found.seen[self._version.build_id] is None:
            return True
        polling = await pollers(self._client, datetime.now(UTC), self._within)
        self._without = 0 if polling[found.current] else self._without + 1
        return self._without >= MOST_LOOKS_WITHOUT


def _instant(stamp: Timestamp) -> datetime | None:
    return _utc(stamp) if stamp.seconds else None


def _utc(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
