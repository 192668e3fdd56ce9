"""Histories of a Temporal server, replayed under this code: what runs there would go on, or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from typer.testing import CliRunner

from cli.main import app
from tests.conftest import program
from tests.support.cli import Said
from tests.support.limits import PATIENCE
from tests.support.rollout.changed_workflows import RequestBehindAPatch, RequestWithATimer, with_request
from tests.support.temporal_workers import USUAL, TemporalFixture, running_workers
from worker.rollout.history_replay import ReplayFinding, replay_latest
from worker.workflow_runtime import WORKFLOWS


@pytest.fixture
async def server() -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal server of a test's own, since it lists all that is there."""
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=program("temporal")) as started:
        yield started


async def found(client: Client, count: int, workflows: tuple[type, ...]) -> list[ReplayFinding]:
    """What becomes of the latest histories."""
    async with aclosing(replay_latest(client, count, workflows)) as findings:
        return [each async for each in findings]


async def until_listed(client: Client, kind: str, count: int) -> None:
    """Wait until Temporal lists so many runs of a type: it does so a moment after they began."""
    async with asyncio.timeout(PATIENCE):
        while (await client.count_workflows(f"WorkflowType = '{kind}'")).count < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def replayed(client: Client, *arguments: str) -> Said:
    """The command, invoked in a thread with an event loop of its own."""
    settings = {"TEMPORAL_ADDRESS": client.service_client.config.target_host}
    order = ["replay", *arguments]
    result = await asyncio.to_thread(CliRunner().invoke, app, order, env=settings)
    return Said(result.exit_code, result.stdout, result.stderr)


@pytest.mark.rule("T6", "MEM6")
async def test_running_workflows_of_a_server_are_replayed_by_the_command(
    server: WorkflowEnvironment, sqlite_url: str
) -> None:
    async with running_workers(server.client, sqlite_url) as (database, catcher):
        ready = TemporalFixture(server.client, database, catcher)
        await ready.sign_up()
        for _ in range(2):
            await ready.close(await ready.ask())
        asked = await ready.ask()
        await until_listed(server.client, "Request", 3)
        said = await replayed(server.client, "--from-server", "2", "--json")
        assert said.status == 0, said.err
        rows = {row["workflow"]: row for row in said.lines}
        assert all(row["replays"] for row in said.lines)
        requests = [row for row in said.lines if row["type"] == "Request"]
        assert [row["status"] for row in requests] == ["running", "completed"], "the running one comes first"
        assert rows[asked.id]["events"] > 5
        assert rows.keys() >= {f"onboarding/{ready.profile('mentor')}", asked.id}
        table = await replayed(server.client, "--from-server", "1")
        assert table.status == 0
        assert asked.id in table.out
        for words in (said.out, table.out):
            assert "Vega" not in words
            assert "@" not in words


@pytest.mark.rule("T6", "MEM6")
async def test_workflow_that_would_stand_still_fails_the_command(
    server: WorkflowEnvironment, sqlite_url: str
) -> None:
    """The request was begun by code with a timer more, as if that release was to be taken back."""
    changed = replace(USUAL, workflows=with_request(RequestWithATimer, WORKFLOWS))
    async with running_workers(server.client, sqlite_url, Path("programs"), changed) as (database, catcher):
        ready = TemporalFixture(server.client, database, catcher)
        await ready.sign_up()
        asked = await ready.ask()
        await until_listed(server.client, "Request", 1)
        said = await replayed(server.client, "--from-server", "5")
    assert said.status == 1
    assert asked.id in said.out
    assert "No command scheduled for event" in said.out
    assert "1 of " in said.err
    assert "workflow.patched" in said.err
    assert "Traceback" not in said.err
    assert "Vega" not in said.out + said.err


@pytest.mark.rule("T6")
async def test_changed_workflow_replays_only_behind_a_patch(
    server: WorkflowEnvironment, sqlite_url: str
) -> None:
    async with running_workers(server.client, sqlite_url) as (database, catcher):
        ready = TemporalFixture(server.client, database, catcher)
        await ready.sign_up()
        await ready.ask()
        await until_listed(server.client, "Request", 1)
        broken = await found(server.client, 5, (RequestWithATimer,))
        patched = await found(server.client, 5, (RequestBehindAPatch,))
    assert [each.replays for each in broken] == [False]
    assert [each.reason for each in patched] == [""]


async def test_replay_of_nothing_and_of_no_server_says_so(server: WorkflowEnvironment) -> None:
    nothing = await replayed(server.client, "--from-server", "3")
    assert (nothing.status, nothing.out) == (0, "Temporal has no workflow of ours in this namespace.\n")
    for wrong in (("--from-server", "0"), ("--from-server", "many"), ()):
        said = await replayed(server.client, *wrong)
        assert said.status == 2
        assert "--from-server" in said.err
    away = {"TEMPORAL_ADDRESS": "127.0.0.1:1"}
    result = await asyncio.to_thread(CliRunner().invoke, app, ["replay", "--from-server", "3"], env=away)
    assert result.exit_code == 1
    assert result.stderr.startswith("Temporal cannot be reached at 127.0.0.1:1")
    assert "Traceback" not in result.stderr
