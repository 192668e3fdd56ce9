"""The inbox: an outage amid an event, and the events that are held or refused."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from activities.inbox import InboxActivities
from database import events
from database.models import AuditRecord, Engagement, Event, Member, Profile, Report, Request, Task
from database.session import Database
from rules.events import Envelope
from rules.program.catalogue import load_catalogue
from tests.support.delivery import AT, bundled, environment, migrate
from tests.support.servers.freezing_proxy import FreezingProxy
from tests.support.servers.postgres_server import PostgresServer

EVA = {"member": "eva", "name": "Eva", "email": "eva@example.org", "standing": "good"}


async def locked(database: Database, how: str = "") -> bool:
    """Lock the one event for a moment; whether that could be done."""
    async with database.begin() as session:
        return bool(await session.scalar(text(f"SELECT 1 FROM events FOR UPDATE {how}")))


@pytest.mark.rule("T8", "STA2")
async def test_event_is_retried_when_the_server_ends_an_idle_transaction(
    postgres: PostgresServer,
) -> None:
    """A transaction that PostgreSQL ended because its client was idle is an outage, not a fault of the event."""
    name = postgres.create_database()
    migrate(postgres.url(name))
    direct = Database(postgres.url(name))
    client = await Client.connect("127.0.0.1:1", lazy=True)
    async with FreezingProxy(postgres.port) as proxy:
        short = f"{proxy.through(postgres.url(name))}?options=-c%20idle_in_transaction_session_timeout%3D2500"
        database = Database(short, timeout=60)
        inbox = InboxActivities(database, {"asis-global": bundled()}, client, load_catalogue())
        async with direct.begin() as session:
            await events.store(session, [Envelope("e-1", "/members", "member.updated", AT, EVA)])
        async with direct.begin() as holder:
            await holder.execute(text("SELECT 1 FROM events FOR UPDATE"))
            applying = asyncio.create_task(environment(AT).run(inbox.apply_events))
            await asyncio.to_thread(postgres.until_waiting, 1, "Lock")
            proxy.freeze()
        while await locked(direct, "SKIP LOCKED"):
            pass
        assert await locked(direct), "the server has ended the transaction that held it"
        proxy.thaw()
        with pytest.raises(DBAPIError):
            await applying
        async with direct.reading() as session:
            assert await session.scalar(select(Event.state)) == "stored"
            assert await session.scalar(select(Task.kind)) is None
        await environment(AT).run(inbox.apply_events)
        async with direct.reading() as session:
            assert await session.scalar(select(Event.state)) == "applied"
            assert await session.scalar(select(Member.name)) == "Eva"
        await database.close()
    await direct.close()
    postgres.drop_database(name)


@pytest.mark.rule("T9")
async def test_time_ahead_of_our_clock_counts_as_the_moment_of_receipt(
    tmp_path: Path,
) -> None:
    """A sender's clock that runs ahead silences no later event about the same member."""
    database = Database(f"sqlite:///{tmp_path / 'throughline.db'}")
    await database.upgrade()
    client = await Client.connect("127.0.0.1:1", lazy=True)
    inbox = InboxActivities(database, {"asis-global": bundled()}, client, load_catalogue())
    envelopes = [
        Envelope("e-1", "/members", "member.updated", AT + timedelta(hours=5), {**EVA, "name": "Later"}),
        Envelope("e-2", "/members", "member.updated", AT + timedelta(minutes=4), EVA),
    ]
    async with database.begin() as session:
        await events.store(session, envelopes[:1], AT)
        await events.store(session, envelopes[1:], AT + timedelta(minutes=4))
    await environment(AT + timedelta(minutes=5)).run(inbox.apply_events)
    async with database.reading() as session:
        rows = await session.execute(select(Event.state, Event.occurred_at).order_by(Event.id))
        assert [tuple(row) for row in rows] == [("applied", AT), ("applied", AT + timedelta(minutes=4))]
        assert await session.scalar(select(Member.name)) == "Eva"
        assert await session.scalar(select(Task.kind)) is None
    await database.close()


async def engagement_without_workflow(database: Database) -> None:
    """Write an engagement that the database has open and Temporal does not have."""
    async with database.begin() as session:
        eva = {"id": "eva", "name": "Eva", "email": "eva@example.org", "standing": "good"}
        session.add(Member(**eva, standing_since=AT, updated_at=AT))
        await session.flush()
        for role, profile in (("mentee", "p-eva"), ("mentor", "p-other")):
            values = {"id": profile, "member_id": "eva", "role": role, "program": "asis-global"}
            session.add(Profile(**values, created_at=AT, updated_at=AT))
        await session.flush()
        pair = {"id": "r-starting", "mentee_id": "p-eva", "mentor_id": "p-other", "program": "asis-global"}
        since = {"policy_version": "1", "state_since": AT, "facts": {}}
        session.add(Request(workflow="request/r-starting", state="accepted", created_at=AT, **pair, **since))
        session.add(
            Engagement(workflow="engagement/r-starting", state="active", started_at=AT, **pair, **since)
        )


@pytest.mark.rule("ENG4", "REQ10", "STA2")
@pytest.mark.parametrize("first", [timedelta(), timedelta(days=2)], ids=["at once", "late"])
async def test_act_before_its_engagement_waits_for_the_start(
    tmp_path: Path, temporal_dev: WorkflowEnvironment, first: timedelta
) -> None:
    """If the engagement never starts, staff get a task."""
    database = Database(f"sqlite:///{tmp_path / 'throughline.db'}")
    await database.upgrade()
    inbox = InboxActivities(database, {"asis-global": bundled()}, temporal_dev.client, load_catalogue())
    met = {"engagement": "r-starting", "by": "p-eva", "answer": "yes"}
    await engagement_without_workflow(database)
    async with database.begin() as session:
        await events.store(session, [Envelope("e-1", "/community", "engagement.met", AT, met)])
    over = ("refused", "engagement/r-starting does not run")
    for later, found in (
        (first, ("held", None)),
        (first + timedelta(minutes=2), ("held", None)),
        (first + timedelta(hours=25), over),
    ):
        await environment(AT + later).run(inbox.apply_events)
        async with database.reading() as session:
            row = (await session.execute(select(Event.state, Event.reason))).one()
            assert tuple(row) == found
            task = await session.scalar(select(Task.kind))
            assert task == ("event_unapplied" if found[0] == "refused" else None)
    await database.close()


@pytest.mark.rule("ENG8", "STA2")
async def test_report_before_its_engagement_runs_is_kept_once(
    tmp_path: Path, temporal_dev: WorkflowEnvironment
) -> None:
    """Its handler runs at each try; the report has the event's id, which is unique."""
    database = Database(f"sqlite:///{tmp_path / 'throughline.db'}")
    await database.upgrade()
    inbox = InboxActivities(database, {"asis-global": bundled()}, temporal_dev.client, load_catalogue())
    await engagement_without_workflow(database)
    report = {"engagement": "r-starting", "by": "p-eva", "text": "Please read this."}
    async with database.begin() as session:
        await events.store(
            session, [Envelope("e-1", "/community", "engagement.misconduct_reported", AT, report)]
        )
    for minutes in (0, 2, 4):
        await environment(AT + timedelta(minutes=minutes)).run(inbox.apply_events)
    async with database.reading() as session:
        row = (await session.execute(select(Event.state, Event.waits_for))).one()
        assert tuple(row) == ("held", "engagement/r-starting")
        assert (await session.scalars(select(Report.text))).all() == ["Please read this."]
        assert await session.scalar(select(Task.kind)) is None
    await database.close()


@pytest.mark.rule("STA2", "T8")
@pytest.mark.parametrize(("source", "tasks"), [("/community", 1), ("/links", 0)])
async def test_mistake_of_a_sender_is_one_task_however_often_it_is_sent(
    tmp_path: Path, source: str, tasks: int
) -> None:
    """A third person's answer, twice: a person who answers by a link gets the reason on the page instead."""
    database = Database(f"sqlite:///{tmp_path / 'throughline.db'}")
    await database.upgrade()
    client = await Client.connect("127.0.0.1:1", lazy=True)
    inbox = InboxActivities(database, {"asis-global": bundled()}, client, load_catalogue())
    await engagement_without_workflow(database)
    met = {"engagement": "r-starting", "by": "p-zoe", "answer": "yes"}
    async with database.begin() as session:
        for name in ("e-1", "e-2"):
            await events.store(session, [Envelope(name, source, "engagement.met", AT, met)])
    await environment(AT).run(inbox.apply_events)
    async with database.reading() as session:
        found = (await session.scalars(select(Task))).all()
        assert {row.state for row in await session.scalars(select(Event))} == {"refused"}
    assert [(task.kind, task.subject) for task in found] == [
        ("event_unapplied", "engagement/r-starting")
    ] * tasks
    assert all("only the mentor and the mentee" in task.action for task in found)
    await database.close()


@pytest.mark.rule("T8", "STA2", "MEM5", "REQ10")
@pytest.mark.parametrize(
    ("type", "data", "reason", "action"),
    [
        ("profile.withdrawn", {"profile": "p-none"}, "profile/p-none did not arrive in time", "See why"),
        ("profile.created", {"profile": "p-eva", "member": "eva", "role": "mentee"}, "exists already", ""),
        ("member.updated", {"member": "bob"}, "the program failed on it: KeyError", "Have this fault"),
        ("staff.extend", {"target": "claim/r-starting/mentor/CPP"}, "there is no claim/", "Correct it"),
    ],
)
async def test_refusal_has_a_reason_and_a_task_where_staff_can_act(
    tmp_path: Path, type: str, data: dict[str, str], reason: str, action: str
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'throughline.db'}")
    await database.upgrade()
    client = await Client.connect("127.0.0.1:1", lazy=True)
    inbox = InboxActivities(database, {"asis-global": bundled()}, client, load_catalogue())
    await engagement_without_workflow(database)
    async with database.begin() as session:
        await events.store(session, [Envelope("e-1", "/members", type, AT, data)])
    for days in (0, 2):
        await environment(AT + timedelta(days=days)).run(inbox.apply_events)
    async with database.reading() as session:
        row = await session.get_one(Event, 1)
        assert row.state == "refused"
        assert reason in (row.reason or "")
        actions = (await session.scalars(select(Task.action))).all()
        assert [text.startswith(action) for text in actions] == ([True] if action else [])
        refusals = select(AuditRecord.kind).where(AuditRecord.kind == "refused")
        assert len((await session.scalars(refusals)).all()) == 1
    await database.close()
