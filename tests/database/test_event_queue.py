"""Which events may be applied now: those that no earlier event about the same person or engagement precedes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import delete, select

from database import event_queue, events
from database.models import Event, EventSubject, Member, Profile
from database.session import Database
from rules.events import Envelope

AT = datetime(2028, 3, 6, 15, 0, tzinfo=UTC)
ASKED = {"request": "r-1", "mentee": "p-ana", "mentor": "p-ben"}
PAIR = {"member/ana", "member/ben", "engagement/r-1"}


def member(name: str) -> tuple[str, dict[str, Any]]:
    address = f"{name}@example.org"
    return "member.updated", {"member": name, "name": name, "email": address, "standing": "good"}


def profile(name: str) -> tuple[str, dict[str, Any]]:
    return "profile.created", {"profile": f"p-{name}", "member": name, "role": "mentee"}


PEOPLE = [member("ana"), profile("ana"), member("ben"), profile("ben")]


async def store(database: Database, *happened: tuple[str, dict[str, Any]]) -> list[int]:
    """Store events, and return their numbers."""
    async with database.begin() as session:
        last = await session.scalar(select(Event.id).order_by(Event.id.desc()).limit(1)) or 0
        envelopes = [Envelope(f"e-{last}-{at}", "/tests", *each) for at, each in enumerate(named(happened))]
        await events.store(session, envelopes)
        return list(await session.scalars(select(Event.id).where(Event.id > last).order_by(Event.id)))


def named(happened: Sequence[tuple[str, dict[str, Any]]]) -> list[tuple[str, datetime, dict[str, Any]]]:
    return [(kind, AT, data) for kind, data in happened]


async def known(database: Database, *names: str) -> None:
    """People whose events are applied."""
    async with database.begin() as session:
        for name in names:
            values = {**member(name)[1], "standing_since": AT, "updated_at": AT}
            session.add(Member(id=values.pop("member"), **values))
        await session.flush()
        for name in names:
            values = {"member_id": name, "role": "mentee", "program": "asis-global"}
            session.add(Profile(id=f"p-{name}", created_at=AT, updated_at=AT, **values))


async def subjects(database: Database, event: int) -> set[str]:
    async with database.reading() as session:
        query = select(EventSubject.subject).where(EventSubject.event_id == event)
        return set(await session.scalars(query))


async def shard_of(database: Database, event: int) -> int:
    async with database.reading() as session:
        shard = await session.scalar(select(Event.shard).where(Event.id == event))
    assert shard is not None
    return shard


async def become(database: Database, state: str, *numbers: int, **values: Any) -> None:
    """Bring events into a state, as the inbox does."""
    async with database.begin() as session:
        for row in await session.scalars(select(Event).where(Event.id.in_(numbers))):
            row.state = state
            for name, value in values.items():
                setattr(row, name, value)
        if state in ("applied", "refused"):
            await event_queue.forget(session, numbers)


async def free(database: Database, shard: int, at: datetime = AT) -> list[int]:
    """The events that a shard may apply at an instant."""
    async with database.begin() as session:
        found, _ = await event_queue.next_events(session, shard, at, {}, 100)
    return [each.id for each in found]


def elsewhere() -> tuple[str, str]:
    """Names of two members whose events go to different shards."""
    here = event_queue.shard_of("member/ana")
    names = (f"ben{number}" for number in count())
    return "ana", next(name for name in names if event_queue.shard_of(f"member/{name}") != here)


@pytest.mark.rule("T8")
@pytest.mark.parametrize(
    ("kind", "data", "found"),
    [
        ("member.updated", member("ana")[1], {"member/ana"}),
        ("profile.updated", {"profile": "p-ana"}, {"member/ana"}),
        ("request.accepted", {"request": "r-1"}, PAIR),
        ("engagement.met", {"engagement": "r-1", "by": "p-ben", "answer": "yes"}, PAIR),
        ("staff.cancel", {"target": "claim/r-1/mentor/CPP", "actor": "a", "reason": "b"}, PAIR),
        ("staff.cancel", {"target": "onboarding/p-ana", "actor": "a", "reason": "b"}, {"member/ana"}),
        ("profile.updated", {"profile": "p-zoe"}, {"profile/p-zoe"}),
        ("request.accepted", {"request": "r-9"}, {"engagement/r-9"}),
        ("mail.bounced", {"delivery": "d-1", "kind": "hard"}, {"mail/d-1"}),
    ],
)
async def test_event_concerns_the_people_behind_what_it_names(
    database: Database, kind: str, data: dict[str, Any], found: set[str]
) -> None:
    """Also where the events that make them known wait, too."""
    *_, asked = await store(database, *PEOPLE, ("request.created", ASKED))
    assert await subjects(database, asked) == PAIR
    (event,) = await store(database, (kind, data))
    assert await subjects(database, event) == found


@pytest.mark.rule("T8")
async def test_event_about_two_waits_for_what_precedes_it_in_each_order(database: Database) -> None:
    """The mentor's events have another shard than the mentee's; the request is in the order of both."""
    mentee, mentor = elsewhere()
    await known(database, mentee, mentor)
    asked = {"request": "r-1", "mentee": f"p-{mentee}", "mentor": f"p-{mentor}"}
    before, request, after, other = await store(
        database, member(mentor), ("request.created", asked), member(mentor), member("zoe")
    )
    at_mentor, at_mentee = await shard_of(database, before), await shard_of(database, request)
    assert at_mentor != at_mentee
    assert (await free(database, at_mentor))[:1] == [before]
    assert request not in await free(database, at_mentee)
    await become(database, "applied", before)
    assert (await free(database, at_mentee))[:1] == [request]
    assert after not in await free(database, at_mentor)
    assert other in await free(database, await shard_of(database, other))
    await become(database, "refused", request)
    assert (await free(database, at_mentor))[:1] == [after]


@pytest.mark.rule("T8")
async def test_released_event_waits_for_one_that_is_being_applied(database: Database) -> None:
    """It has a lower number: it came first, and was held."""
    mentee, mentor = elsewhere()
    await known(database, mentee, mentor)
    asked = {"request": "r-1", "mentee": f"p-{mentee}", "mentor": f"p-{mentor}"}
    request, update = await store(database, ("request.created", asked), member(mentor))
    await become(database, "held", request, waits_for="member/x", held_until=AT + timedelta(hours=1))
    shard = await shard_of(database, request)
    assert update in await free(database, await shard_of(database, update)), "a held event precedes none"
    await become(database, "applying", update)
    async with database.begin() as session:
        released = await events.release_held(session, "member/x")
        assert [row.id for row in released] == [request]
    assert await free(database, shard) == []
    await become(database, "applied", update)
    assert await free(database, shard) == [request]


@pytest.mark.rule("T8")
async def test_held_event_goes_when_its_wait_ends(database: Database) -> None:
    first, second = await store(database, member("ana"), member("ana"))
    shard = await shard_of(database, first)
    await become(database, "held", first, waits_for="x", held_until=AT)
    assert await free(database, shard, AT - timedelta(minutes=1)) == [second]
    assert await free(database, shard) == [first, second]
    async with database.reading() as session:
        assert await event_queue.next_deadline(session, shard) == AT


@pytest.mark.rule("T8")
async def test_release_finds_out_whom_the_event_concerns_by_now(database: Database) -> None:
    """An answer before its request names nobody whom the inbox knows."""
    (answer,) = await store(database, ("request.accepted", {"request": "r-1"}))
    await become(database, "held", answer, waits_for="request/r-1", held_until=AT)
    assert await subjects(database, answer) == {"engagement/r-1"}
    await store(database, *PEOPLE, ("request.created", ASKED))
    async with database.begin() as session:
        await events.release_held(session, "request/r-1")
    assert await subjects(database, answer) == PAIR


@pytest.mark.rule("T8")
async def test_event_that_an_earlier_version_stored_is_routed(database: Database) -> None:
    """It has no shard and no subjects; what came after it waits all the same."""
    first, second = await store(database, member("ana"), member("ana"))
    shard = await shard_of(database, first)
    async with database.begin() as session:
        (await session.get_one(Event, first)).shard = None
        await session.execute(delete(EventSubject).where(EventSubject.event_id == first))
    async with database.reading() as session:
        assert await event_queue.waiting_shards(session) == sorted({0, shard})
    async with database.begin() as session:
        await event_queue.route_unrouted(session)
    assert await free(database, shard) == [first, second]
    assert await subjects(database, first) == {"member/ana"}


async def test_shards_that_wait_are_those_with_unapplied_events(database: Database) -> None:
    first, second = elsewhere()
    one, other = await store(database, member(first), member(second))
    shards = [await shard_of(database, one), await shard_of(database, other)]
    await become(database, "held", other, waits_for="x", held_until=AT)
    async with database.reading() as session:
        assert await event_queue.waiting_shards(session) == shards[:1]
        assert await event_queue.waiting_shards(session, AT) == sorted(shards)
        assert await event_queue.shards_behind(session, {f"member/{first}", f"member/{second}"}) == {
            shards[0]
        }
    await become(database, "applied", one, other)
    async with database.reading() as session:
        assert await event_queue.waiting_shards(session, AT) == []
        assert await session.scalar(select(EventSubject.subject)) is None
