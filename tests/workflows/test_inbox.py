"""The shards of the inbox on a real server: they take over from the one inbox, and keep the order of each subject."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDReusePolicy
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.inbox import QUEUE, InboxActivities
from database import events
from database.models import AuditRecord, Event, Onboarding, Request
from database.session import Database
from rules.events import Envelope
from rules.program.catalogue import load_catalogue
from tests.histories.inbox_of_before import InboxOfBefore
from tests.support.delivery import bundled
from tests.support.limits import PATIENCE
from tests.support.temporal_workers import running_workers, terminate_workflows
from worker.workflow_runtime import workflow_runner
from workflows.inbox import INBOX
from workflows.starting import notify_inbox

Happened = tuple[str, dict[str, Any]]


def joins(name: str, role: str = "mentee", **more: Any) -> list[Happened]:
    """Somebody signs up."""
    member = {"member": name, "name": name, "email": f"{name}@example.org", "standing": "good"}
    profile = {"profile": f"p-{name}", "member": name, "role": role, **more}
    return [("member.updated", member), ("profile.created", profile)]


async def store(database: Database, *happened: Happened) -> None:
    at = datetime.now(UTC)
    async with database.begin() as session:
        await events.store(
            session, [Envelope(uuid4().hex, "/tests", kind, at, data) for kind, data in happened]
        )


async def states(database: Database) -> Counter[str]:
    async with database.reading() as session:
        return Counter(await session.scalars(select(Event.state)))


async def until_applied(database: Database) -> Counter[str]:
    """Wait until no event waits, as long as there is progress; the states of all."""
    known = Counter[str]()
    async with asyncio.timeout(PATIENCE) as limit:
        while set(known := await states(database)) & {"stored", "applying"}:
            before = known
            await asyncio.sleep(0.1)
            if await states(database) != before:
                limit.reschedule(asyncio.get_running_loop().time() + PATIENCE)
    return known


async def status(client: Client, workflow: str) -> WorkflowExecutionStatus | None:
    return (await client.get_workflow_handle(workflow).describe()).status


async def until_status(client: Client, workflow: str, wanted: WorkflowExecutionStatus) -> None:
    async with asyncio.timeout(PATIENCE):
        while await status(client, workflow) != wanted:  # noqa: ASYNC110 - the server notifies of ends only
            await asyncio.sleep(0.05)


async def begins(client: Client) -> None:
    """An inbox as a gateway of before starts it."""
    await client.start_workflow(
        "Inbox",
        id=INBOX,
        task_queue=QUEUE,
        start_signal="arrived",
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )


@asynccontextmanager
async def worker_of_before(client: Client, database: Database) -> AsyncIterator[None]:
    """A worker with the one inbox of before."""
    inbox = InboxActivities(database, {"asis-global": bundled()}, client, load_catalogue())
    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[InboxOfBefore],
        activities=[inbox.apply_events],
        workflow_runner=workflow_runner(),
    ):
        yield


@pytest.fixture
async def client(temporal_dev: WorkflowEnvironment) -> AsyncIterator[Client]:
    """A server on which no inbox runs."""
    await terminate_workflows(temporal_dev.client, "no lifecycle")
    yield temporal_dev.client
    await terminate_workflows(temporal_dev.client, "p-shard")


@pytest.mark.rule("T8")
async def test_running_inbox_of_before_hands_over_to_the_shards(client: Client, database: Database) -> None:
    """Amid its wait, with events applied and others that came since; each is applied once."""
    async with worker_of_before(client, database):
        await store(database, *joins("shard-before")[:1])
        await begins(client)
        await until_applied(database)
        await store(database, *joins("shard-before")[1:], *joins("shard-after"))
    async with running_workers(client, database.url):
        await notify_inbox(client, database)
        assert await until_applied(database) == {"applied": 4}
        await until_status(client, INBOX, WorkflowExecutionStatus.COMPLETED)
    async with database.reading() as session:
        started = select(AuditRecord.subject).where(AuditRecord.kind == "state")
        begun = Counter(await session.scalars(started))
    assert set(begun.values()) <= {1}


@pytest.mark.rule("T8")
async def test_shards_wait_while_a_worker_of_before_runs_the_inbox(
    client: Client, database: Database
) -> None:
    async with worker_of_before(client, database):
        await begins(client)
        await notify_inbox(client, database)
        await store(database, *joins("shard-both")[:1])
        await notify_inbox(client, database)
        inbox = InboxActivities(database, {"asis-global": bundled()}, client, load_catalogue())
        waiting = asyncio.create_task(inbox._waits_for_the_inbox_of_before())
        assert await until_applied(database) == {"applied": 1}, "the one inbox was woken, and applied it"
        assert not waiting.done()
        await client.get_workflow_handle(INBOX).terminate()
        async with asyncio.timeout(PATIENCE):
            assert not await waiting


@pytest.mark.rule("T8")
async def test_inbox_that_a_gateway_of_before_starts_wakes_the_shards(
    client: Client, database: Database
) -> None:
    await store(database, *joins("shard-gateway"))
    async with running_workers(client, database.url):
        await begins(client)
        assert await until_applied(database) == {"applied": 2}
        await until_status(client, INBOX, WorkflowExecutionStatus.COMPLETED)


def programme(seed: int, mentees: list[str], mentors: list[str]) -> tuple[list[Happened], dict[str, str]]:
    """Changes of people and requests between them at random, and what each request comes to if all go in turn."""
    chance = random.Random(seed)
    good, places = dict.fromkeys(mentees + mentors, True), dict.fromkeys(mentors, 50)
    happened: list[Happened] = []
    expected = {}
    for number in range(60):
        mentee, mentor = chance.choice(mentees), chance.choice(mentors)
        match chance.randrange(4):
            case 0:
                places[mentor] = chance.choice([0, 50])
                data = {"profile": f"p-{mentor}", "mentees_at_a_time": places[mentor]}
                happened.append(("profile.updated", data))
            case 1:
                good[mentee] = not good[mentee]
                data = {**joins(mentee)[0][1], "standing": "good" if good[mentee] else "lapsed"}
                happened.append(("member.updated", data))
            case _:
                request = f"shard-{seed}-{number}"
                data = {"request": request, "mentee": f"p-{mentee}", "mentor": f"p-{mentor}"}
                happened.append(("request.created", data))
                available = "open" if places[mentor] else "unavailable"
                expected[request] = available if good[mentee] else "refused"
    return happened, expected


@pytest.mark.rule("T8", "MEM1", "MEM4")
@pytest.mark.parametrize("seed", [1, 2])
async def test_events_about_two_people_keep_their_order_in_both(
    client: Client, database: Database, seed: int
) -> None:
    """A request comes to what it would if all events went in turn: the mentee's standing, the mentor's places."""
    names = [f"shard-{seed}-{number}-{uuid4().hex[:4]}" for number in range(8)]
    mentees, mentors = names[:4], names[4:]
    happened, expected = programme(seed, mentees, mentors)
    second = await Client.connect(client.service_client.config.target_host)
    async with running_workers(client, database.url), running_workers(second, database.url):
        people = [each for name in mentees for each in joins(name)]
        people += [each for name in mentors for each in joins(name, "mentor", mentees_at_a_time=50)]
        await store(database, *people)
        for first in range(0, len(happened), 20):
            await store(database, *happened[first : first + 20])
            await notify_inbox(client, database)
        await until_applied(database)
    async with database.reading() as session:
        rows = await session.scalars(select(Request))
        found = {row.id: "unavailable" if row.facts["unavailable_because"] else "open" for row in rows}
        refused = await session.scalars(
            select(Event.subject).where(Event.type == "request.created", Event.state == "refused")
        )
        found |= {subject.partition("/")[2]: "refused" for subject in refused}
        assert await session.scalar(select(func.count()).select_from(Onboarding)) == len(names)
    assert found == expected
