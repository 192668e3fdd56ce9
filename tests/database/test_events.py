"""Inbound events at rest: stored once whatever the sender repeats, held and let go."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from database import events
from database.models import Event
from database.session import Database
from rules.events import Envelope, subject
from tests.support.limits import PATIENCE

AT = datetime(2028, 3, 6, 15, 0, tzinfo=UTC)
CREATED = Envelope(
    "e-1", "/members", "profile.created", AT, {"profile": "p-1", "member": "ana", "role": "mentee"}
)


async def store(database: Database, *envelopes: Envelope) -> int:
    async with database.begin() as session:
        return await events.store(session, envelopes)


async def stored(database: Database) -> list[Event]:
    async with database.reading() as session:
        return list(await session.scalars(select(Event).order_by(Event.id)))


async def hold(database: Database, event_id: str, waits_for: str) -> None:
    async with database.begin() as session:
        event = (await session.scalars(select(Event).where(Event.event_id == event_id))).one()
        event.state, event.waits_for, event.held_until = "held", waits_for, AT + timedelta(hours=24)


async def test_event_is_stored_as_received_and_unapplied(database: Database) -> None:
    assert await store(database, CREATED) == 1
    (event,) = await stored(database)
    assert (event.source, event.event_id, event.type) == ("/members", "e-1", "profile.created")
    assert (event.subject, event.occurred_at, event.state) == (
        subject(CREATED.type, CREATED.data),
        AT,
        "stored",
    )
    assert event.data == CREATED.data
    assert (event.effects, event.applied_at, event.reason) == ([], None, None)


async def test_same_source_and_id_is_stored_once_whatever_its_data(database: Database) -> None:
    assert await store(database, CREATED, CREATED) == 1
    assert await store(database, replace(CREATED, data={**CREATED.data, "role": "mentor"})) == 0
    (event,) = await stored(database)
    assert event.data["role"] == "mentee"


async def test_another_source_may_use_the_same_id(database: Database) -> None:
    assert await store(database, CREATED, replace(CREATED, source="/staff")) == 2
    assert await store(database, replace(CREATED, id="e-2"), replace(CREATED, id="E-1")) == 2


async def test_events_keep_their_order_of_arrival(database: Database) -> None:
    ids = [f"e-{number}" for number in (5, 3, 9, 1)]
    await store(database, *(replace(CREATED, id=name, time=None) for name in ids))
    assert [event.event_id for event in await stored(database)] == ids
    assert [event.occurred_at for event in await stored(database)] == [None] * 4


async def test_concurrent_repeats_of_an_event_are_stored_once(database: Database) -> None:
    async def send() -> int:
        try:
            return await store(database, CREATED)
        except IntegrityError:
            return await store(database, CREATED)

    async with asyncio.timeout(PATIENCE):
        new = await asyncio.gather(*(send() for _ in range(6)))
    assert sum(new) == 1
    assert len(await stored(database)) == 1


async def test_failed_batch_stores_nothing(database: Database) -> None:
    with pytest.raises(KeyError):
        await store(database, CREATED, replace(CREATED, id="e-2", type="unheard.of"))
    assert await stored(database) == []


async def test_arrival_releases_only_the_events_that_waited_for_it(database: Database) -> None:
    await store(database, *(replace(CREATED, id=f"e-{number}") for number in range(4)))
    await hold(database, "e-0", "member/ana")
    await hold(database, "e-1", "member/bob")
    await hold(database, "e-2", "request/r-1")
    async with database.begin() as session:
        await events.release_held(session, "member/ana", "request/r-1", "profile/p-9")
    assert [(event.state, event.waits_for, event.held_until) for event in await stored(database)] == [
        ("stored", None, None),
        ("held", "member/bob", AT + timedelta(hours=24)),
        ("stored", None, None),
        ("stored", None, None),
    ]


async def test_release_leaves_refused_and_applied_events_alone(database: Database) -> None:
    await store(database, CREATED, replace(CREATED, id="e-2"))
    await hold(database, "e-1", "member/ana")
    async with database.begin() as session:
        for event in await session.scalars(select(Event)):
            event.state = "refused" if event.event_id == "e-1" else "applied"
    async with database.begin() as session:
        await events.release_held(session, "member/ana")
        await events.release_held(session)
    assert [event.state for event in await stored(database)] == ["refused", "applied"]
