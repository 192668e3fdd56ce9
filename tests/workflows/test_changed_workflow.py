"""A workflow whose commands change in a release: behind a patch, with old and new workers at once, nothing is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkerDeploymentVersion

from database.session import Database
from embedded.temporal_servers import dev_server
from tests.support.limits import PATIENCE
from tests.support.rollout.changed_workflows import PATCH, RequestBehindAPatch, with_request
from tests.support.temporal_workers import USUAL, TemporalFixture, WaitingCatcher, running_workers
from worker.rollout.version_routing import following, routing
from worker.workflow_runtime import WORKFLOWS

OLD, NEW = (WorkerDeploymentVersion("throughline", build) for build in ("0.3.0-old", "0.4.0-new"))


@asynccontextmanager
async def release(
    client: Client, url: str, version: WorkerDeploymentVersion, workflows: Sequence[type]
) -> AsyncIterator[tuple[Database, WaitingCatcher]]:
    """The workers of a release, once they have the work."""
    options = replace(USUAL, version=version, workflows=workflows)
    async with (
        running_workers(client, url, Path("programs"), options) as running,
        following(client, version),
    ):
        async with asyncio.timeout(PATIENCE):
            while not ((found := await routing(client, "throughline")) and found.current == version.build_id):  # noqa: ASYNC110
                await asyncio.sleep(0.3)
        yield running


async def has_patch(handle: WorkflowHandle[object, object]) -> bool:
    """Whether a workflow began under the changed code."""
    history = await handle.fetch_history()
    return any(PATCH.encode() in event.SerializeToString() for event in history.events)


@pytest.mark.rule("T6", "MAIL1", "MAIL2")
async def test_changed_workflow_behind_a_patch_goes_on_and_loses_nothing(sqlite_url: str) -> None:
    """Requests begin under both releases, and are accepted after the switch; both releases' workers run meanwhile."""
    async with dev_server(None) as temporal, AsyncExitStack() as stack:
        client = temporal.client
        kept, old_mail = await stack.enter_async_context(release(client, sqlite_url, OLD, WORKFLOWS))
        ready = TemporalFixture(client, kept, old_mail)
        await ready.sign_up()
        before = await ready.ask()
        changed = with_request(RequestBehindAPatch, WORKFLOWS)
        _, new_mail = await stack.enter_async_context(release(client, sqlite_url, NEW, changed))
        await ready.close(before)
        after = await ready.ask()
        assert [await has_patch(each) for each in (before, after)] == [False, True]
        await after.execute_update("accept")
        assert await after.result() == "accepted"
        engagement = after.id.replace("request/", "engagement/")
        async with asyncio.timeout(PATIENCE):
            while list((await ready.decisions(engagement)).values()).count("sent") < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        caught = [
            str(each.message["X-Throughline-Delivery"]) for each in (*old_mail.caught, *new_mail.caught)
        ]
        decided = [
            state
            for workflow in (before.id, after.id, engagement)
            for state in (await ready.decisions(workflow)).values()
        ]
        assert set(Counter(caught).values()) == {1}
        assert len(caught) == decided.count("sent")
        description = await client.get_workflow_handle(engagement).describe()
        info = description.raw_description.workflow_execution_info.versioning_info
        assert info.deployment_version.build_id == NEW.build_id
