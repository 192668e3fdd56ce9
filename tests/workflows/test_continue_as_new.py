"""What a run hands to the next one, on a server that suggests to continue as new after a few events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from temporalio.testing import WorkflowEnvironment

from database.models import AuditRecord
from embedded.stack import embedded_stack
from tests.conftest import program
from tests.support.limits import PATIENCE
from tests.support.temporal_workers import TemporalFixture, running_workers
from worker.assembly import load_programs


@pytest.fixture(scope="module")
async def temporal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TemporalFixture]:
    """Workers on a server with short runs, for one mentor and one mentee."""
    url = f"sqlite:///{tmp_path_factory.mktemp('short-runs') / 'throughline.db'}"
    limit = ["--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=40"]
    async with (
        await WorkflowEnvironment.start_local(
            dev_server_existing_path=program("temporal"), dev_server_extra_args=limit
        ) as server,
        running_workers(server.client, url) as (database, catcher),
    ):
        ready = TemporalFixture(server.client, database, catcher)
        await ready.sign_up()
        yield ready


@pytest.mark.rule("STA1", "STA3", "ENG10")
async def test_update_and_signals_count_once_over_several_runs(temporal: TemporalFixture) -> None:
    engagement = await temporal.match()
    first = (await engagement.describe()).run_id
    extension = {"months": 1, "actor": "lina"}
    await engagement.execute_update("extend", extension, id="ticket-1")
    for _ in range(12):
        await engagement.signal("resume", {"actor": "lina"})
        await engagement.execute_update("pause", {"actor": "lina"})
        await engagement.execute_update("resume", {"actor": "lina"})
    async with asyncio.timeout(PATIENCE):
        while (await engagement.describe()).run_id == first:  # noqa: ASYNC110 - the server tells nobody of a new run
            await asyncio.sleep(0.05)
    answer = await engagement.execute_update("extend", extension, id="ticket-1")
    assert (answer["state"], answer["moved"], answer["added"]) == ("active", [], [])
    await temporal.close(engagement)
    async with temporal.database.reading() as session:
        records = list(await session.scalars(select(AuditRecord).where(AuditRecord.subject == engagement.id)))
    acts = [record.data["id"] for record in records if record.kind == "act"]
    assert acts.count("update ticket-1") == 1
    assert len(acts) == len(set(acts)) == 1 + 24 + 1
    refused = [record.data["id"] for record in records if record.kind == "refused"]
    assert refused == [f"signal {number}" for number in range(1, 13)]


@pytest.mark.rule("STA1", "STA3")
async def test_long_outage_keeps_the_history_short_and_loses_no_signal() -> None:
    """Each try of a plan adds six events to a history: the run continues as new, with the signals that wait."""
    programs = load_programs(Path("programs"))
    async with embedded_stack(programs, Path("templates/mail"), Path("programs")) as ready:
        start = datetime(2035, 3, 5, 15, tzinfo=UTC)
        await ready.advance(start)
        member = {"member": "ana", "name": "Ana Vega", "email": "ana@example.org", "standing": "good"}
        await ready.send_events(
            start,
            [
                ("member.updated", member),
                ("profile.created", {"profile": "p-ana", "member": "ana", "role": "mentee"}),
            ],
        )
        await ready.advance(start + timedelta(hours=1))
        onboarding = ready.clock.client.get_workflow_handle("onboarding/p-ana")
        first = (await onboarding.describe()).run_id
        ready.outage.down = True
        await onboarding.signal("extend", {"check_ins": 2, "actor": "lina"})
        await onboarding.signal("extend", {"check_ins": 99, "actor": "lina"})
        await ready.advance(start + timedelta(hours=12))
        ready.outage.down = False
        await ready.advance(start + timedelta(hours=14))
        now = await onboarding.describe()
        assert now.run_id != first
        assert now.history_length < 1_200
        async with ready.database.reading() as session:
            records = list(
                await session.scalars(select(AuditRecord).where(AuditRecord.subject == "onboarding/p-ana"))
            )
        acts = [(record.kind, record.data["id"]) for record in records if record.kind in ("act", "refused")]
        assert sorted(acts) == [("act", "signal 1"), ("refused", "signal 2")]
        await onboarding.terminate()
