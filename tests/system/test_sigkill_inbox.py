"""A worker that is killed while a shard of the inbox applies many events: each is applied, and once (T8)."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select

from database.models import AuditRecord, Event, Message
from database.session import Database
from embedded.temporal_servers import dev_server
from tests.support.limits import PATIENCE
from tests.support.processes import Program, joining, migrated, worker_process
from tests.support.servers.hostile_smtp import HostileSmtp

PEOPLE = 20


async def states(database: Database) -> Counter[str]:
    async with database.reading() as session:
        return Counter(await session.scalars(select(Event.state)))


@pytest.mark.rule("T8")
async def test_worker_killed_amid_many_events_loses_and_doubles_none(
    database_url: str, tmp_path: Path
) -> None:
    """Killed once as soon as the first are applied, and while the commands of others are on their way."""
    log = tmp_path / "worker.log"
    people = [event for number in range(PEOPLE) for event in joining(f"p-{number}", f"n-{number}", "mentee")]
    async with (
        migrated(database_url) as database,
        HostileSmtp() as server,
        dev_server(None) as temporal,
    ):
        program = Program(database, temporal.client)
        await program.store(*people)
        async with worker_process(temporal.port, database.url, server, log) as first:
            async with asyncio.timeout(PATIENCE):
                while not {"applied", "applying"} <= set(await states(database)):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            first.send_signal(signal.SIGKILL)
            await first.wait()
        assert set(await states(database)) & {"stored", "applying"}, "it was killed in the middle"
        async with worker_process(temporal.port, database.url, server, log):
            async with asyncio.timeout(2 * PATIENCE):
                while await states(database) != {"applied": 2 * PEOPLE}:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
                while await planned(database) < 4 * PEOPLE:  # noqa: ASYNC110 - the database notifies nobody
                    await asyncio.sleep(0.1)
        async with database.reading() as session:
            of_people = AuditRecord.subject.startswith("onboarding/")
            begun = await session.scalars(
                select(AuditRecord.subject).where(AuditRecord.kind == "state", of_people)
            )
            assert Counter(begun) == {f"onboarding/p-{number}": 1 for number in range(PEOPLE)}
        assert await planned(database) == 4 * PEOPLE


async def planned(database: Database) -> int:
    """How many check-ins are planned: four for each mentee."""
    async with database.reading() as session:
        return int(await session.scalar(select(func.count()).select_from(Message)) or 0)
