"""The schema that the migrations make is the one that the models describe."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from database import audit
from database.models import Base
from database.schema_upgrade import MIGRATIONS, config_of
from database.session import Database
from evidence import checkpoints
from lifecycles.registry import LIFECYCLES

AT = datetime(2028, 9, 14, 13, 0, tzinfo=UTC)


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True}
    )
    return list(compare_metadata(context, Base.metadata))


async def test_migrations_create_the_tables_of_the_models(database_url: str) -> None:
    database = Database(database_url)
    await database.upgrade()
    await database.check()
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


async def test_database_without_a_schema_is_refused(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(DBAPIError):
        await database.check()
    await database.close()


async def test_upgrading_again_changes_nothing_and_loses_nothing(database: Database) -> None:
    async with database.begin() as session:
        await session.execute(text("INSERT INTO environment (id, name) VALUES (1, 'test')"))
    await database.upgrade()
    async with database.reading() as session:
        assert await session.scalar(text("SELECT name FROM environment")) == "test"


async def test_database_of_the_first_release_upgrades_with_its_data(
    database_url: str,
) -> None:
    database = Database(database_url)
    await asyncio.to_thread(command.upgrade, config_of(database.url), "0001")
    async with database.begin() as session:
        record = await audit.append(session, "engagement/r-1", "decision", AT, {"state": "active"})
    with pytest.raises(RuntimeError, match="0001"):
        await database.check()
    await database.upgrade()
    await database.check()
    async with database.begin() as session:
        taken = await checkpoints.take(session, AT)
        assert taken is not None
        assert await session.scalar(text("SELECT hash FROM audit_records")) == record.hash
    await database.close()


async def test_unique_constraints_exist_in_the_database(database: Database) -> None:
    def unique(connection: Connection) -> set[tuple[str, ...]]:
        found = inspect(connection)
        return {
            (table, *sorted(str(column) for column in constraint["column_names"]))
            for table in ("messages", "events", "tasks", "audit_records")
            for constraint in found.get_unique_constraints(table)
        }

    async with database.engine.connect() as connection:
        assert await connection.run_sync(unique) == {
            ("messages", "occurrence", "step", "workflow"),
            ("messages", "delivery"),
            ("events", "event_id", "source"),
            ("tasks", "cause", "subject"),
            ("audit_records", "chain", "sequence"),
            ("audit_records", "chain", "previous"),
        }


def test_migrations_form_one_line() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert len(scripts.get_heads()) == 1
    assert len(scripts.get_bases()) == 1


def test_every_kind_of_lifecycle_has_its_own_table() -> None:
    assert len({table.__tablename__ for table in (entry.table for entry in LIFECYCLES.values())}) == len(
        LIFECYCLES
    )
