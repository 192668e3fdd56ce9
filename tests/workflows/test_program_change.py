"""Workers that stop, and start again with another program file: what runs goes on by the file that it began with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from temporalio.testing import WorkflowEnvironment
from typer.testing import CliRunner

from activities.upkeep.late_plans import wake_late_plans
from cli.main import app
from database.models import Message
from database.session import Database
from lifecycles.registry import find_lifecycle
from tests.conftest import program
from tests.support.delivery import bundled
from tests.support.limits import PATIENCE
from tests.support.programs.program_files import changed_program
from tests.support.temporal_workers import TemporalFixture, running_workers


@pytest.fixture
async def server() -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal server of this test's own: its workers stop and start."""
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=program("temporal")) as started:
        yield started


async def due_days(database: Database, workflow: str, message: str, count: int) -> list[date]:
    """The days (UTC) on which messages of a workflow are due, as soon as so many are planned."""
    planned = (
        select(Message.due_at)
        .where(Message.workflow == workflow, Message.message == message)
        .order_by(Message.occurrence)
    )
    async with asyncio.timeout(PATIENCE):
        while True:
            async with database.reading() as session:
                due = [each.date() for each in await session.scalars(planned) if each]
            if len(due) >= count:
                return due
            await asyncio.sleep(0.05)


@pytest.mark.rule("CPE12", "ONB2", "ENG2")
async def test_running_lifecycles_go_on_by_the_file_of_their_start(
    server: WorkflowEnvironment, sqlite_url: str, tmp_path: Path
) -> None:
    """An onboarding and a request begin before the change; another onboarding and the acceptance come after it."""
    changed = changed_program(
        tmp_path, policy_version='"2035-2"', check_ins="[0, 7]", discovery_days="60", discovery_repeats="3"
    )
    checks = "mentee.checkin"
    async with running_workers(server.client, sqlite_url) as (kept, catcher):
        ready = TemporalFixture(server.client, kept, catcher)
        await ready.sign_up()
        old = f"onboarding/{ready.profile('mentee')}"
        before = await due_days(kept, old, checks, 4)
        request = await ready.ask()
    async with running_workers(server.client, sqlite_url, tmp_path) as (kept, catcher):
        ready.database, ready.catcher = kept, catcher
        extension = {"check_ins": 1, "actor": "lina"}
        answer = await server.client.get_workflow_handle(old).execute_update("extend", extension)
        assert (answer["moved"], len(answer["added"])) == ([], 1)
        after = await due_days(kept, old, checks, 5)
        assert (after[:4], len(after)) == (before, 5)
        await request.execute_update("accept")
        engagement = request.id.replace("request/", "engagement/")
        discovery = await due_days(kept, engagement, "mentee.discovery", 1)
        assert min(discovery) < datetime.now(UTC).date() + timedelta(days=22)
        ready.mark = f"new-{ready.mark}"
        await ready.sign_up()
        newcomer = f"onboarding/{ready.profile('mentee')}"
        assert len(await due_days(kept, newcomer, checks, 2)) == 2
        async with kept.reading() as session:
            rows = [await find_lifecycle(session, each) for each in (old, engagement, newcomer)]
    of_before = bundled().fingerprint
    assert [row.program_version for row in rows if row] == [of_before, of_before, changed.fingerprint]


@pytest.mark.rule("CPE12", "STA1", "STA3")
async def test_moved_lifecycle_plans_by_its_new_version_at_once(
    server: WorkflowEnvironment, sqlite_url: str, tmp_path: Path
) -> None:
    """The onboarding begins with four check-ins; the changed file has two. The command moves it, and once only."""
    changed = changed_program(tmp_path, policy_version='"2035-2"', check_ins="[0, 7]")
    async with running_workers(server.client, sqlite_url) as (kept, catcher):
        ready = TemporalFixture(server.client, kept, catcher)
        await ready.sign_up()
        old = f"onboarding/{ready.profile('mentee')}"
        await due_days(kept, old, "mentee.checkin", 4)
    target = server.client.service_client.config.target_host
    settings = {"THROUGHLINE_DATABASE": sqlite_url, "THROUGHLINE_PROGRAMS": str(tmp_path)}
    settings |= {"TEMPORAL_ADDRESS": target}
    order = ["program", "move", "asis-global", "--from", bundled().fingerprint[:12], "--json"]
    async with running_workers(server.client, sqlite_url, tmp_path) as (kept, _):
        seen = await invoke([*order, "--preview"], settings)
        done = await invoke([*order, "--reason", "fewer mails", "--actor", "lina"], settings)
        again = await invoke([*order, "--reason", "fewer mails"], settings)
        assert (seen["preview"], seen["not_sent"], seen["moved_lifecycles"]) == (True, 2, [])
        assert (sorted(done["moved_lifecycles"])[0], done["unreached"]) == (old, 0)
        assert (again["moved_lifecycles"], again["lifecycles"]) == ([], [])
        async with asyncio.timeout(PATIENCE):
            while await _planned(kept, old) != 2:  # noqa: ASYNC110 - rows change outside of any event loop
                await asyncio.sleep(0.05)
        # A plan that is late: the process that had to notify the workflow ended before.
        now = datetime.now(UTC)
        async with kept.begin() as session:
            row = await find_lifecycle(session, old)
            assert row is not None
            assert row.program_version == changed.fingerprint
            row.next_at = now - timedelta(hours=3)
        assert await wake_late_plans(kept, server.client, now) == 1
        async with asyncio.timeout(PATIENCE):
            while not await _plans_ahead(kept, old, now):  # noqa: ASYNC110 - rows change outside of any event loop
                await asyncio.sleep(0.05)


async def invoke(arguments: list[str], settings: dict[str, str]) -> Any:
    """What the command prints as JSON."""
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=settings)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


async def _plans_ahead(database: Database, workflow: str, at: datetime) -> bool:
    async with database.reading() as session:
        row = await find_lifecycle(session, workflow)
    return row is not None and row.next_at is not None and row.next_at > at


async def _planned(database: Database, workflow: str) -> int:
    async with database.reading() as session:
        waiting = select(func.count()).where(Message.workflow == workflow, Message.state == "planned")
        return await session.scalar(waiting.where(Message.message == "mentee.checkin")) or 0
