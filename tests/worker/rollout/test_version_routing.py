"""Versions of workers on a Temporal server: who gets the work, and who takes over when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker, WorkerDeploymentConfig

from activities.inbox import QUEUE
from tests.conftest import program
from tests.support.limits import PATIENCE
from worker.errors import Failure
from worker.rollout.code_version import ROOMS, fingerprint, own_version
from worker.rollout.version_routing import following, pollers, routing, set_current

OLD, NEW = (WorkerDeploymentVersion("throughline", build) for build in ("0.3.0-old", "0.4.0-new"))


@pytest.fixture
async def server() -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal server of a test's own: its versions are of the whole namespace."""
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=program("temporal")) as started:
        yield started


@workflow.defn(name="Nothing", sandboxed=False)
class Nothing:
    """A workflow that ends at once."""

    @workflow.run
    async def run(self) -> None:
        """End."""


def worker(client: Client, version: WorkerDeploymentVersion) -> Worker:
    """A worker of a version, on the queue of all workflows."""
    config = WorkerDeploymentConfig(
        version=version,
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )
    return Worker(client, task_queue=QUEUE, workflows=[Nothing], deployment_config=config)


@asynccontextmanager
async def running(
    client: Client, version: WorkerDeploymentVersion, within: timedelta | None = None
) -> AsyncIterator[None]:
    """A worker that follows its version, looking twice a second: Temporal limits how often one may look."""
    follow: AbstractAsyncContextManager[None] = (
        following(client, version, 0.5) if within is None else following(client, version, 0.5, within)
    )
    async with worker(client, version), follow:
        yield


async def until_current(client: Client, build: str) -> None:
    """Wait until all work goes to a version."""
    async with asyncio.timeout(PATIENCE):
        while not ((found := await routing(client, "throughline")) and found.current == build):  # noqa: ASYNC110
            await asyncio.sleep(0.3)


async def ran_on(client: Client, name: str) -> str:
    """The version that a new workflow runs on."""
    handle = await client.start_workflow(Nothing.run, id=name, task_queue=QUEUE)
    async with asyncio.timeout(PATIENCE):
        await handle.result()
    info = (await handle.describe()).raw_description.workflow_execution_info.versioning_info
    return info.deployment_version.build_id


async def test_new_version_takes_the_work_and_the_old_one_waits(server: WorkflowEnvironment) -> None:
    client = server.client
    assert await routing(client, "throughline") is None
    async with running(client, OLD):
        await until_current(client, OLD.build_id)
        assert await ran_on(client, "before") == OLD.build_id
        async with running(client, NEW):
            await until_current(client, NEW.build_id)
            await asyncio.sleep(2.5)  # five looks of the old one
            assert await ran_on(client, "after") == NEW.build_id
            now = datetime.now(UTC)
            assert set(await pollers(client, now)) == {OLD.build_id, NEW.build_id}
            found = await routing(client, "throughline")
            assert found is not None
            assert all(found.seen.values()), "each knows since when"


async def test_old_version_takes_over_when_the_new_one_is_gone(server: WorkflowEnvironment) -> None:
    """The way back without a command: the new release is stopped, and workers of the old one run."""
    client = server.client
    async with running(client, OLD):
        await until_current(client, OLD.build_id)
    async with running(client, NEW):
        await until_current(client, NEW.build_id)
    async with running(client, OLD, within=timedelta(seconds=1)):
        await until_current(client, OLD.build_id)
        assert await ran_on(client, "back") == OLD.build_id


async def test_set_current_refuses_what_is_not_registered_or_has_changed(server: WorkflowEnvironment) -> None:
    client = server.client
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(client, OLD))
        await until_current(client, OLD.build_id)
        seen = await routing(client, "throughline")
        assert seen is not None
        with pytest.raises(Exception, match="not found"):
            await set_current(client, NEW)
        await stack.enter_async_context(running(client, NEW))
        await until_current(client, NEW.build_id)
        with pytest.raises(Exception, match="conflict"):
            await set_current(client, OLD, seen.token)
        await set_current(client, OLD)
        await until_current(client, OLD.build_id)


def test_version_is_that_of_the_code_or_the_named_one() -> None:
    own = own_version({})
    assert own.routes_itself
    assert own.version.deployment_name == "throughline"
    release, _, digits = own.version.build_id.rpartition("-")
    assert release
    assert len(digits) == 12
    named = own_version({"TEMPORAL_DEPLOYMENT_NAME": "ns/worker", "TEMPORAL_WORKER_BUILD_ID": "v7"})
    assert (named.version, named.routes_itself) == (WorkerDeploymentVersion("ns/worker", "v7"), False)
    with pytest.raises(Failure, match="TEMPORAL_WORKER_BUILD_ID"):
        own_version({"TEMPORAL_DEPLOYMENT_NAME": "ns/worker"})


def test_fingerprint_changes_with_each_file_name_and_sdk(tmp_path: Path) -> None:
    for room in ROOMS:
        (tmp_path / room).mkdir()
    file = tmp_path / ROOMS[0] / "dates.py"
    seen = {fingerprint(tmp_path, "temporalio 1.35.0")}
    file.write_text("DAYS = 1\n")
    seen.add(fingerprint(tmp_path, "temporalio 1.35.0"))
    file.write_text("DAYS = 2\n")
    seen.add(fingerprint(tmp_path, "temporalio 1.35.0"))
    seen.add(fingerprint(tmp_path, "temporalio 1.36.0"))
    file.rename(tmp_path / ROOMS[1] / "dates.py")
    seen.add(fingerprint(tmp_path, "temporalio 1.36.0"))
    assert len(seen) == 5
    (tmp_path / ROOMS[0] / "notes.txt").write_text("no code")
    assert fingerprint(tmp_path, "temporalio 1.36.0") in seen
