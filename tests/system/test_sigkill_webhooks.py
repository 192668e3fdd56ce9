"""A worker that is killed while it delivers events: none is lost, and each subject keeps its order."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select

from activities.webhooks import AddressPolicy, WebhookSender
from database.models import OutboxEvent
from database.session import Database
from embedded.temporal_servers import dev_server
from staff import endpoints
from tests.support.limits import PATIENCE
from tests.support.processes import KEYS, Program, joining, migrated, worker_process
from tests.support.servers.hostile_http import OK, Act, HostileHttp, Received, die_in_mid_answer, status
from tests.support.servers.hostile_smtp import HostileSmtp

PEOPLE = 12
BAD = "onboarding/p-0"


async def left(database: Database) -> int:
    """How many events wait."""
    async with database.reading() as session:
        waiting = select(func.count()).select_from(OutboxEvent).where(OutboxEvent.state == "waiting")
        return int(await session.scalar(waiting) or 0)


async def test_killed_worker_loses_no_event_and_keeps_the_order(database_url: str, tmp_path: Path) -> None:
    """Killed while the receiver has requests and gives no answer. One subject is refused all the time."""
    log, hold = tmp_path / "worker.log", asyncio.Event()
    people = [event for number in range(PEOPLE) for event in joining(f"p-{number}", f"n-{number}", "mentee")]
    gone = [("profile.withdrawn", {"profile": f"p-{number}"}) for number in range(PEOPLE)]
    deaths = [die_in_mid_answer, status(503)]

    async def take_late(writer: asyncio.StreamWriter) -> None:
        await hold.wait()
        await OK(writer)

    def plan(request: Received) -> Act:
        if request.event["subject"] == BAD:
            return status(500)
        if not hold.is_set():
            return take_late
        # Some answers are lost: each event that meets it comes again after five seconds.
        return deaths.pop() if deaths else OK

    allow = {"WEBHOOK_ALLOW": json.dumps(["127.0.0.1"])}
    async with (
        migrated(database_url) as database,
        HostileSmtp() as smtp,
        HostileHttp(plan) as receiver,
        dev_server(None) as temporal,
    ):
        program = Program(database, temporal.client)
        async with database.begin() as session:
            sender = WebhookSender(AddressPolicy(["127.0.0.1"]), "/test", lambda: datetime.now(UTC))
            at = datetime.now(UTC)
            await endpoints.add(session, KEYS, sender, "members", receiver.url, [], "lina", at)
        await program.store(*people)
        async with worker_process(temporal.port, database.url, smtp, log, **allow) as worker:
            await receiver.until(lambda: len(receiver.received) > 4)
            worker.send_signal(signal.SIGKILL)
            await worker.wait()
        hold.set()
        await program.store(*gone)
        async with worker_process(temporal.port, database.url, smtp, log, **allow):
            async with asyncio.timeout(2 * PATIENCE):
                while len(await events_of(database)) < PEOPLE or await left(database) > len(  # noqa: ASYNC110
                    (await events_of(database))[BAD]
                ):
                    await asyncio.sleep(0.2)
        in_order = await events_of(database)
        bad = in_order.pop(BAD)
        of_people = {
            subject: ids
            for subject, ids in receiver.by_subject().items()
            if subject.startswith("onboarding/")
        }
        assert of_people == in_order
        assert all(len(ids) >= 2 for ids in in_order.values())
        assert {each.event["id"] for each in receiver.received if each.event["subject"] == BAD} == {bad[0]}
        assert receiver.times().most_common(1)[0][1] > 1, "some came again, with their ids"


async def events_of(database: Database) -> dict[str, list[str]]:
    """The ids of all events by subject, in their order; only of people who came and went."""
    found: dict[str, list[str]] = defaultdict(list)
    went = set()
    async with database.reading() as session:
        for row in await session.scalars(select(OutboxEvent).order_by(OutboxEvent.id)):
            found[row.subject].append(row.event_id)
            if row.data.get("state") == "withdrawn":
                went.add(row.subject)
    return {subject: ids for subject, ids in found.items() if subject in went}
