"""Migrations beside processes that run: a table that is held, and code older or newer than the schema."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from database.schema_upgrade import (
    MIGRATIONS,
    SchemaLockedError,
    SchemaVersion,
    config_of,
    head,
    runs_on,
    upgrade,
)
from database.session import Database
from tests.support.cli import throughline
from tests.support.limits import PATIENCE
from tests.support.servers.postgres_server import PostgresServer

BEFORE, TABLE = "0022", "members"
"""The migration after it adds a column to this table."""


@pytest.fixture
def old_database(postgres: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database at the schema of an earlier version."""
    name = postgres.create_database()
    url = postgres.url(name)
    command.upgrade(config_of(Database(url).url), BEFORE)
    yield url
    postgres.drop_database(name)


@asynccontextmanager
async def held(url: str, name: str = "report") -> AsyncIterator[asyncio.Event]:
    """A transaction that has read the table and stays open, until the event is set or the block ends."""
    engine = create_async_engine(url, connect_args={"application_name": name})
    let_go = asyncio.Event()
    connection = await engine.connect()
    await connection.execute(text(f"SELECT count(*) FROM {TABLE}"))

    async def end() -> None:
        await let_go.wait()
        await connection.rollback()

    task = asyncio.create_task(end())
    try:
        yield let_go
    finally:
        let_go.set()
        await task
        await connection.close()
        await engine.dispose()


async def schema_of(url: str) -> str:
    """The id of the last migration that a database has."""
    database = Database(url)
    async with database.reading() as session:
        found = await session.scalar(text("SELECT version_num FROM alembic_version"))
    await database.close()
    return str(found)


async def test_migration_gives_up_a_table_that_others_hold(old_database: str) -> None:
    """It names who holds it, and readers wait no longer than it does."""
    url = Database(old_database).url
    reader = create_async_engine(url)
    async with held(url):
        migrating = asyncio.create_task(upgrade(url, lock_wait_ms=700, pauses=(0.2,)))
        await asyncio.sleep(0.3)
        async with asyncio.timeout(PATIENCE), reader.connect() as connection:
            await connection.execute(text(f"SELECT count(*) FROM {TABLE}"))
        with pytest.raises(SchemaLockedError) as refused:
            await migrating
    await reader.dispose()
    words = str(refused.value)
    assert "(report, role " in words
    assert "idle in transaction" in words
    assert f"holds {TABLE}" in words
    assert await schema_of(old_database) == BEFORE


async def test_migration_goes_on_when_the_table_is_free_again(old_database: str) -> None:
    url = Database(old_database).url
    async with held(url) as let_go:
        migrating = asyncio.create_task(upgrade(url, lock_wait_ms=300, pauses=(0.3,) * 40))
        await asyncio.sleep(1)
        assert not migrating.done()
        let_go.set()
        async with asyncio.timeout(PATIENCE):
            await migrating
    assert await schema_of(old_database) == head()


async def test_command_says_who_holds_the_table(old_database: str) -> None:
    async with held(Database(old_database).url, "nightly export"):
        done = await asyncio.to_thread(
            throughline, "db", "upgrade", settings={"THROUGHLINE_DATABASE": old_database}
        )
    assert done.returncode == 1
    assert "the database is not upgraded: a table is held by others: process " in done.stderr
    assert "(nightly export, role " in done.stderr
    assert "Traceback" not in done.stderr


async def test_code_runs_on_a_newer_schema_that_only_adds(database: Database) -> None:
    """While a release rolls out, old processes stay ready; one that restarts starts."""
    ours = str(head())
    try:
        await name_schema(database, "8888")
        await database.check()
        await name_schema(database, f"8888-from-{int(ours):04}")
        await database.check()
        await name_schema(database, "8888-from-8887")
        with pytest.raises(RuntimeError, match="too new for this version"):
            await database.check()
        await name_schema(database, "0001")
        with pytest.raises(RuntimeError, match="throughline db upgrade"):
            await database.check()
    finally:
        await name_schema(database, ours)


async def name_schema(database: Database, name: str) -> None:
    """Write another id of a migration into a database."""
    async with database.begin() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = :name"), {"name": name})


@pytest.mark.parametrize(
    ("code", "found", "runs"),
    [
        ("0031", "0031", True),
        ("0031", "0030", False),
        ("0031", "0040", True),
        ("0031", "0040-from-0031", True),
        ("0031", "0040-from-0032", False),
        ("0031", "0031-from-0031", False),
        ("0040-from-0032", "0041-from-0032", True),
        ("0031", "a branch", False),
        ("0031", "None", False),
    ],
)
def test_schema_names_the_oldest_code_that_runs_on_it(code: str, found: str, runs: bool) -> None:
    assert runs_on(code, found) is runs


def test_ids_of_migrations_are_numbers_and_carry_their_oldest_on() -> None:
    """A migration that takes something away names the oldest schema whose code still runs; all later ones do, too."""
    scripts = reversed(list(ScriptDirectory(str(MIGRATIONS)).walk_revisions()))
    found = [SchemaVersion.of(each.revision) for each in scripts]
    assert [each.number for each in found] == list(range(1, len(found) + 1))
    assert [each.oldest for each in found] == sorted(each.oldest for each in found)
    with pytest.raises(ValueError, match="no id of a migration"):
        SchemaVersion.of("31")
