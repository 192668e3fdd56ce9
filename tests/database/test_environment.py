"""Which deployment a database belongs to, and the keys that sign for it (MAIL8)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from database import environment
from database.environment import Deployment, EnvironmentRefused
from database.key_ring import KeyRing
from database.links import Link, LinkRefused, Links
from database.models import Environment
from database.session import Database

OLD, NEW = "the key of last year", "the key of this year"
LINK = Link("accept", "p-ana", "request/r-1", datetime(2028, 4, 1, tzinfo=UTC))


def process(*keys: str, name: str = "live", production: bool = True, version: str = "2028-1") -> Deployment:
    return Deployment(name, production, KeyRing(keys or (OLD,)), {"asis-global": version})


async def claim(database: Database, one: Deployment) -> dict[str, tuple[str | None, str]]:
    async with database.begin() as session:
        return await environment.claim(session, one)


async def row(database: Database) -> Environment:
    async with database.reading() as session:
        return (await session.scalars(select(Environment))).one()


# --- the key ring


def test_first_key_signs_and_all_verify() -> None:
    before, between = Links("https://m.example.org", OLD), Links("https://m.example.org", KeyRing((NEW, OLD)))
    after = Links("https://m.example.org", KeyRing((NEW,)))
    assert between.token(LINK) == after.token(LINK) != before.token(LINK)
    assert between.read(before.token(LINK)) == LINK
    assert after.read(between.token(LINK)) == LINK
    with pytest.raises(LinkRefused):
        after.read(before.token(LINK))


def test_key_ring_shows_no_key_and_refuses_a_short_one() -> None:
    ring = KeyRing((NEW, OLD), ("whsec_c2VjcmV0",))
    assert NEW not in f"{ring!r} {ring}"
    assert "c2VjcmV0" not in f"{ring!r} {ring}"
    assert ring.mac("a", "b") != ring.mac("c", "b")
    for keys in ((), ("short",), (NEW, "")):
        with pytest.raises(ValueError, match="16"):
            KeyRing(keys)


# --- the environment


@pytest.mark.rule("MAIL8")
@pytest.mark.parametrize(
    ("other", "named"),
    [
        (process(name="staging"), "belongs to environment 'live', this process is 'staging'"),
        (process(production=False), "with production true, this process has false"),
        (process(NEW), "none in common"),
        (process(NEW, name="staging", production=False), "staging.*production.*none in common"),
    ],
    ids=["environment", "production", "keys", "all"],
)
async def test_process_that_differs_is_refused_by_what_differs(
    database: Database, other: Deployment, named: str
) -> None:
    await claim(database, process())
    await claim(database, process())
    with pytest.raises(EnvironmentRefused, match=named) as refused:
        await claim(database, other)
    assert NEW not in str(refused.value)
    assert (await row(database)).keys == process().keys.fingerprints


@pytest.mark.rule("MAIL8")
async def test_keys_rotate_while_each_process_shares_one(database: Database) -> None:
    for keys in ((OLD,), (OLD, NEW), (NEW, OLD), (OLD, NEW), (NEW,)):
        await claim(database, process(*keys))
    assert (await row(database)).keys == process(NEW).keys.fingerprints
    with pytest.raises(EnvironmentRefused, match="none in common"):
        await claim(database, process(OLD))


@pytest.mark.rule("MAIL8", "CPE12")
async def test_other_program_version_is_recorded_and_allowed(database: Database) -> None:
    assert await claim(database, process()) == {}
    assert await claim(database, process(version="2029-1")) == {"asis-global": ("2028-1", "2029-1")}
    assert (await row(database)).versions == {"asis-global": "2029-1"}


@pytest.mark.rule("MAIL8")
async def test_row_of_an_earlier_version_takes_over_what_it_lacks(database: Database) -> None:
    async with database.begin() as session:
        session.add(Environment(id=1, name="live"))
    await claim(database, process())
    found = await row(database)
    assert (found.production, found.keys) == (True, process().keys.fingerprints)


@pytest.mark.rule("MAIL8")
async def test_adopted_database_belongs_to_the_new_deployment(database: Database) -> None:
    await claim(database, process())
    copy = process(NEW, name="staging", production=False)
    async with database.begin() as session:
        await environment.adopt(session, copy)
    await claim(database, copy)
    with pytest.raises(EnvironmentRefused, match="belongs to environment 'staging'"):
        await claim(database, process())
