"""A worker that is killed amid the invitations to a meetup: each person gets one (MEE1, MAIL1)."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from database.models import DECISIONS, MeetupInvitation, Message
from database.session import Database
from embedded.temporal_servers import dev_server
from tests.support.limits import PATIENCE
from tests.support.processes import HoldingSmtp, Program, migrated, worker_process
from tests.support.programs.many_members import many_members, scheduled
from tests.support.reports.fault_table import Judge
from tests.support.servers.hostile_smtp import HostileSmtp

PEOPLE = 150
KILLED_AT = (15, 70)
"""After how many mails that the server has the worker is killed."""


async def decisions(database: Database) -> Counter[str]:
    """How many invitations are decided, by decision."""
    async with database.reading() as session:
        rows = await session.scalars(
            select(Message.state).where(
                Message.message == "member.meetup_invitation", Message.state.in_(DECISIONS)
            )
        )
        return Counter(rows)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(3 * PATIENCE):
        while not await condition():  # noqa: ASYNC110 - neither the database nor the server notifies anybody
            await asyncio.sleep(0.05)


@pytest.mark.rule("MEE1", "MAIL1", "MAIL2")
async def test_worker_killed_amid_invitations_sends_each_once(
    database_url: str, tmp_path: Path, fault_run: Judge
) -> None:
    log = tmp_path / "worker.log"
    async with (
        migrated(database_url) as database,
        HostileSmtp(narrow=True) as server,
        dev_server(None) as temporal,
    ):
        smtp, program = HoldingSmtp(server), Program(database, temporal.client)
        await many_members(database, PEOPLE)
        await program.store(scheduled("m-1"))
        for mails in KILLED_AT:
            async with worker_process(temporal.port, database.url, server, log) as worker:

                async def has_received(mails: int = mails) -> bool:
                    return len(smtp.received()) >= mails

                await until(has_received)
                worker.send_signal(signal.SIGKILL)
                await worker.wait()
        assert (await decisions(database)).total() < PEOPLE, "it was killed in the middle"

        async def is_done() -> bool:
            return (await decisions(database)).total() == PEOPLE

        async with worker_process(temporal.port, database.url, server, log):
            await until(is_done)
        rows, decided = await program.mails(), await program.decided()
        invitations = [row for row in rows if row.message == "member.meetup_invitation"]
        received = smtp.received()
        fault_run("worker killed amid a meetup", invitations, received.elements(), decided)
        assert set(received.values()) == {1}, "nobody got it twice"
        assert {row.delivery for row in invitations if row.state == "sent"} <= set(received)
        assert {row.state for row in invitations} <= {"sent", "ambiguous"}
        async with database.reading() as session:
            people = await session.scalar(select(func.count()).select_from(MeetupInvitation))
        assert (people, len(invitations)) == (PEOPLE, PEOPLE)
