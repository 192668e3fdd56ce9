"""Erasing a member while things run for them: all ends quietly, the other side reads no name (STA5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from database import audit
from database.erased_file import ErasedFile
from database.key_ring import KeyRing
from database.models import AuditRecord, Base, Engagement, Event, Member, Message, Onboarding, Request, Task
from database.session import Database
from embedded.mail_catcher import Caught
from tests.support.limits import PATIENCE
from tests.support.servers.postgres_server import PostgresServer
from tests.support.temporal_workers import TemporalFixture, running_workers, terminate_workflows

KEYS = KeyRing(("a key for tests only",))
ORDER = {"actor": "lina", "reason": "asked by letter"}


@dataclass
class ErasingFixture(TemporalFixture):
    """A mentor and a mentee whose names no other test uses, and the file of erased people."""

    file: ErasedFile = field(default_factory=lambda: ErasedFile(Path("erased.jsonl"), KEYS))

    def name(self, role: str) -> str:
        """The surname of a person."""
        return f"Qu{role}{self.mark}"

    async def sign_up(self) -> None:
        """One mentor and one mentee."""
        for role in ("mentor", "mentee"):
            await self.send_events(
                ("member.updated", self.member(role)),
                (
                    "profile.created",
                    {
                        "profile": self.profile(role),
                        "member": self.profile(role),
                        "role": role,
                        "program": "asis-global",
                        "goals": f"To become {self.name(role)}",
                    },
                ),
            )

    def member(self, role: str) -> dict[str, object]:
        """What the member directory says of a person."""
        return {
            "member": self.profile(role),
            "name": f"Ana {self.name(role)}",
            "email": f"{self.name(role).lower()}@example.org",
            "standing": "good",
            "years_management": 9,
        }

    async def erase(self, role: str, wanted: str = "applied") -> Event:
        """Erase a person; the event once it is applied."""
        await self.send_events(("member.erased", {"member": self.profile(role), **ORDER}))
        return await self.event_about(f"member/{self.profile(role)}", wanted)

    async def event_about(self, about: str, wanted: str) -> Event:
        """The last event about something, once it is in a state."""
        async with asyncio.timeout(PATIENCE):
            while True:
                async with self.database.reading() as session:
                    query = select(Event).where(Event.subject == about).order_by(Event.id.desc()).limit(1)
                    event = await session.scalar(query)
                if event is not None and event.state == wanted:
                    return event
                await asyncio.sleep(0.05)

    async def mails_to(self, role: str) -> list[Caught]:
        """The mails that a person got."""
        address = f"{self.name(role).lower()}@example.org"
        return [each for each in self.catcher.caught if each.recipient.lower() == address]

    async def until_mail(self, role: str, subject: str) -> str:
        """The text of a mail to a person with words in its subject, as soon as it is there."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for caught in await self.mails_to(role):
                    if subject in str(caught.message["Subject"]):
                        body = caught.message.get_body(("plain",))
                        assert body is not None
                        return str(caught.message["Subject"]) + "\n" + str(body.get_content())
                await asyncio.sleep(0.05)

    async def held_of(self, role: str) -> list[str]:
        """Where the database still has the surname of a person, in any case."""
        found, name = [], self.name(role).lower()
        async with self.database.reading() as session:
            for table in Base.metadata.sorted_tables:
                for row in (await session.execute(table.select())).mappings():
                    found += [
                        f"{table.name}.{key}" for key, value in row.items() if name in str(value).lower()
                    ]
        return found


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
async def workers_running(
    request: pytest.FixtureRequest,
    temporal_dev: WorkflowEnvironment,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[ErasingFixture]:
    """Workers on a database of their own, for the tests of the module."""
    folder = tmp_path_factory.mktemp("erasing")
    url = f"sqlite:///{folder / 'throughline.db'}"
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.url(server.create_database())
    file = ErasedFile(folder / "erased.jsonl", KEYS)
    await terminate_workflows(temporal_dev.client, "no lifecycle")
    async with running_workers(temporal_dev.client, url, keys=KEYS, erased=file) as (database, catcher):
        yield ErasingFixture(temporal_dev.client, database, catcher, file=file)
        await terminate_workflows(temporal_dev.client, "no lifecycle")


@pytest.fixture
async def erasing(workers_running: ErasingFixture) -> AsyncIterator[ErasingFixture]:
    """The workers, and two new people who have signed up."""
    ready = workers_running
    fresh = ErasingFixture(ready.client, ready.database, ready.catcher, file=ready.file)
    await fresh.sign_up()
    yield fresh
    await terminate_workflows(fresh.client, fresh.mark)


async def closed(database: Database, table: type[Any], workflow: str) -> str:
    """The last state of a lifecycle, once it is over."""
    async with asyncio.timeout(PATIENCE):
        while True:
            async with database.reading() as session:
                row = await session.get_one(table, workflow)
            if row.closed_at is not None:
                return str(row.state)
            await asyncio.sleep(0.05)


async def quiet(client: Client, mark: str) -> list[str]:
    """The workflows that still run with a mark in their id."""
    query = "ExecutionStatus = 'Running'"
    return [each.id async for each in client.list_workflows(query) if mark in each.id]


@pytest.mark.rule("STA5", "MEM6")
async def test_request_of_an_erased_mentee_ends_without_a_name(erasing: ErasingFixture) -> None:
    request = await erasing.ask()
    before = len(await erasing.mails_to("mentee"))
    assert {"members.name", "profiles.goals", "messages.recipient"} <= set(await erasing.held_of("mentee"))
    await erasing.erase("mentee")
    assert await closed(erasing.database, Request, request.id) == "canceled"
    body = await erasing.until_mail("mentor", "request is withdrawn")
    assert body.startswith("The mentee's request is withdrawn")
    assert erasing.name("mentee") not in body
    assert (
        await closed(erasing.database, Onboarding, f"onboarding/{erasing.profile('mentee')}") == "withdrawn"
    )
    assert len(await erasing.mails_to("mentee")) == before
    assert await erasing.held_of("mentee") == []


@pytest.mark.rule("STA5")
async def test_request_to_an_erased_mentor_closes_as_unavailable(erasing: ErasingFixture) -> None:
    request = await erasing.ask()
    await erasing.erase("mentor")
    assert await closed(erasing.database, Request, request.id) == "unavailable"
    body = await erasing.until_mail("mentee", "no room")
    assert body.startswith("The mentor you chose has no room")
    assert erasing.name("mentor") not in body
    assert await erasing.held_of("mentor") == []


@pytest.mark.rule("STA5", "ENG7", "ENG11")
async def test_paused_engagement_ends_and_the_other_side_reads_no_name(erasing: ErasingFixture) -> None:
    engagement = await erasing.match()
    await engagement.execute_update("pause", {"actor": "lina", "reason": "on leave"})
    await erasing.erase("mentee")
    assert await closed(erasing.database, Engagement, engagement.id) == "ended"
    body = await erasing.until_mail("mentor", "come to an end")
    assert "with your mentee has come to an end" in body
    assert "There is nothing for you to do." in body
    assert erasing.name("mentee") not in body
    assert "erase" not in body.lower()
    assert await erasing.held_of("mentee") == []
    async with erasing.database.reading() as session:
        records = await session.scalars(
            select(AuditRecord).where(AuditRecord.chain == engagement.id).order_by(AuditRecord.sequence)
        )
        assert audit.breaks(records.all()) == []


@pytest.mark.rule("STA5")
async def test_both_sides_of_a_pair_can_be_erased(erasing: ErasingFixture) -> None:
    engagement = await erasing.match()
    await erasing.erase("mentor")
    await erasing.erase("mentee")
    assert await closed(erasing.database, Engagement, engagement.id) == "ended"
    for role in ("mentor", "mentee"):
        assert await erasing.held_of(role) == []
    async with asyncio.timeout(PATIENCE):
        while await quiet(erasing.client, erasing.mark):  # noqa: ASYNC110 - the server notifies of ends only
            await asyncio.sleep(0.1)
    async with erasing.database.reading() as session:
        left = await session.scalars(
            select(Message.state).where(Message.member_id == erasing.profile("mentee"))
        )
        assert set(left) <= {"sent", "cancelled", "suppressed"}


@pytest.mark.rule("STA5", "T8")
async def test_event_about_an_erased_member_is_refused_and_not_kept(erasing: ErasingFixture) -> None:
    await erasing.erase("mentee")
    member = erasing.profile("mentee")
    await erasing.send_events(("member.updated", erasing.member("mentee")))
    refused = await erasing.event_about(f"member/{member}", "refused")
    assert refused.reason == f"member {member} was erased"
    goals = {"profile": member, "goals": f"To be {erasing.name('mentee')} again"}
    await erasing.send_events(("profile.updated", goals))
    await erasing.event_about(f"onboarding/{member}", "refused")
    assert await erasing.held_of("mentee") == []
    async with erasing.database.reading() as session:
        assert (await session.get_one(Member, member)).email == ""
        tasks = await session.scalars(select(Task.kind).where(Task.subject.contains(erasing.mark)))
        assert "event_unapplied" not in set(tasks)


@pytest.mark.rule("STA5", "T8")
async def test_second_erasure_changes_nothing(erasing: ErasingFixture) -> None:
    first = await erasing.erase("mentee")
    second = await erasing.erase("mentee")
    assert second.id > first.id
    member = erasing.profile("mentee")
    assert [each.member for each in await erasing.file.read()].count(member) == 1
    async with erasing.database.reading() as session:
        acts = await audit.records_of(session, f"member/{member}", "act")
    assert len(acts) == 1


@pytest.mark.rule("STA5", "T8")
async def test_erasure_of_an_unknown_member_waits_for_them(erasing: ErasingFixture) -> None:
    """Events may come out of order: one about a member who never comes is refused in the end."""
    await erasing.send_events(("member.erased", {"member": f"no-{erasing.mark}", **ORDER}))
    held = await erasing.event_about(f"member/no-{erasing.mark}", "held")
    assert held.waits_for == f"member/no-{erasing.mark}"
    late = {**erasing.member("mentee"), "member": f"no-{erasing.mark}"}
    await erasing.send_events(("member.updated", late))
    async with asyncio.timeout(PATIENCE):
        while f"no-{erasing.mark}" not in [each.member for each in await erasing.file.read()]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.rule("STA5", "MAIL2")
async def test_mail_in_flight_is_called_back(erasing: ErasingFixture) -> None:
    """Its delivery has begun, and the server has not answered yet."""
    before = len(await erasing.mails_to("mentor"))
    address = f"{erasing.name('mentor').lower()}@example.org"
    erasing.catcher.asked_for.clear()
    erasing.catcher.open.clear()
    try:
        people = {role: erasing.profile(role) for role in ("mentee", "mentor")}
        await erasing.send_events(("request.created", {"request": f"r-{erasing.mark}", **people}))
        async with asyncio.timeout(PATIENCE):
            while address not in [each.lower() for each in erasing.catcher.asked_for]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await erasing.erase("mentor")
    finally:
        erasing.catcher.open.set()
    await closed(erasing.database, Request, f"request/r-{erasing.mark}")
    await erasing.until_mail("mentee", "no room")
    assert len(await erasing.mails_to("mentor")) == before
    assert await erasing.held_of("mentor") == []


@pytest.mark.rule("STA5", "MEM6")
async def test_histories_of_an_erased_member_hold_no_name(erasing: ErasingFixture) -> None:
    engagement = await erasing.match()
    await erasing.erase("mentee")
    await closed(erasing.database, Engagement, engagement.id)
    for workflow in (engagement.id, f"onboarding/{erasing.profile('mentee')}"):
        history = await erasing.client.get_workflow_handle(workflow).fetch_history()
        written = history.to_json()
        assert erasing.name("mentee").lower() not in written.lower()
        assert ORDER["reason"] not in written
