"""What Temporal's own pages show of a lifecycle: kind, program and state to search by, and details to read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.operatorservice.v1 import RemoveSearchAttributesRequest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer

from activities.search_attributes import KIND, NAMES, PROGRAM, STATE, missing_attributes, register_attributes
from embedded.temporal_servers import dev_server, skipping_clock
from tests.support.limits import PATIENCE
from tests.support.temporal_workers import TemporalFixture, running_workers, temporal
from worker.workflow_runtime import WORKFLOWS, workflow_runner

__all__ = ["temporal"]

EVERY = KIND, PROGRAM, STATE


@pytest.fixture(scope="module")
async def registered(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TemporalFixture]:
    """Workers and two people on a server whose namespace has the attributes, as `throughline up` starts it."""
    folder = tmp_path_factory.mktemp("registered")
    async with (
        dev_server(folder / "temporal.db") as server,
        running_workers(server.client, f"sqlite:///{folder / 'throughline.db'}") as (database, catcher),
    ):
        ready = TemporalFixture(server.client, database, catcher)
        await ready.sign_up()
        yield ready


async def attributes(handle: WorkflowHandle[Any, Any]) -> list[str | None]:
    found = (await handle.describe()).typed_search_attributes
    return [found.get(key) for key in EVERY]


async def until_attributes(handle: WorkflowHandle[Any, Any], expected: list[str]) -> None:
    """Wait until a workflow has attributes."""
    async with asyncio.timeout(PATIENCE):
        while await attributes(handle) != expected:  # noqa: ASYNC110 - a workflow of the server
            await asyncio.sleep(0.1)


async def found_by(client: Client, query: str, expected: set[str]) -> None:
    """Wait until a query finds these workflows."""
    async with asyncio.timeout(PATIENCE):
        while {each.id async for each in client.list_workflows(query)} != expected:  # noqa: ASYNC110 - the server
            await asyncio.sleep(0.1)


@pytest.mark.rule("MEM6")
async def test_lifecycles_are_found_by_kind_program_and_state(registered: TemporalFixture) -> None:
    request = await registered.ask()
    await until_attributes(request, ["Request", "asis-global", "open"])
    await found_by(registered.client, 'ThroughlineState = "open"', {request.id})
    await request.execute_update("decline")
    await request.result()
    await until_attributes(request, ["Request", "asis-global", "declined"])
    history = await request.fetch_history()
    await Replayer(workflows=WORKFLOWS, workflow_runner=workflow_runner()).replay_workflow(history)


@pytest.mark.rule("MEM6")
async def test_details_name_the_state_and_the_next_messages(registered: TemporalFixture) -> None:
    request = await registered.ask()
    metadata = await request.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    state, *ahead = metadata.current_details.split("\n\n")
    assert state == "State: open"
    assert [line for line in ahead if re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC: [\w.-]+/\d+", line)]
    assert "Vega" not in metadata.current_details
    await registered.close(request)


async def test_namespace_without_attributes_has_lifecycles_all_the_same(temporal: TemporalFixture) -> None:
    assert await missing_attributes(temporal.client) == list(NAMES)
    request = await temporal.ask()
    assert await attributes(request) == [None, None, None]
    await temporal.close(request)


async def test_attribute_removed_later_stops_no_start(registered: TemporalFixture) -> None:
    """A process that knew them meets the refusal at the start of a lifecycle."""
    client = registered.client
    await registered.close(await registered.ask())
    await client.operator_service.remove_search_attributes(
        RemoveSearchAttributesRequest(namespace=client.namespace, search_attributes=[KIND.name])
    )
    assert await missing_attributes(client) == [KIND.name]
    request = await registered.ask()
    assert (await attributes(request))[0] is None
    await registered.close(request)
    assert await register_attributes(client) == [KIND.name]
    assert await register_attributes(client) == []


async def test_skipping_server_knows_no_attributes() -> None:
    async with skipping_clock() as clock:
        with pytest.raises(RPCError) as refused:
            await missing_attributes(clock.client)
    assert refused.value.status is RPCStatusCode.UNIMPLEMENTED


async def test_server_of_an_earlier_version_gets_the_attributes(tmp_path: Path) -> None:
    """The embedded server registers them at its start, also in the file of one that had none."""
    file = tmp_path / "temporal.db"
    async with dev_server(file) as server:
        await server.client.operator_service.remove_search_attributes(
            RemoveSearchAttributesRequest(
                namespace=server.client.namespace, search_attributes=[STATE.name, PROGRAM.name]
            )
        )
        assert await missing_attributes(server.client) == [PROGRAM.name, STATE.name]
    async with dev_server(file) as server:
        assert await missing_attributes(server.client) == []
