"""Databases at this version's schema, on SQLite and on PostgreSQL, as fixtures (a plugin of pytest)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from database.models import Base
from database.session import Database
from tests.support.servers.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file at this version's schema, to copy."""
    file = tmp_path_factory.mktemp("migrated") / "throughline.db"
    asyncio.run(_upgrade(f"sqlite:///{file}"))
    return file


@pytest.fixture
def sqlite_url(migrated_file: Path, tmp_path: Path) -> str:
    """The address of an empty, migrated SQLite database."""
    file = tmp_path / "throughline.db"
    shutil.copyfile(migrated_file, file)
    return f"sqlite:///{file}"


@pytest.fixture(scope="session")
def postgres_database(postgres: PostgresServer) -> str:
    """The address of a PostgreSQL database at this version's schema, which each test gets emptied."""
    url = postgres.url(postgres.create_database())
    asyncio.run(_upgrade(url))
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def upgraded_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database at this version's schema: SQLite once, PostgreSQL once."""
    if request.param == "sqlite":
        file = tmp_path / "throughline.db"
        shutil.copy(request.getfixturevalue("migrated_file"), file)
        return f"sqlite:///{file}"
    url: str = request.getfixturevalue("postgres_database")
    return url


@pytest.fixture
async def database(upgraded_url: str) -> AsyncIterator[Database]:
    """That database, open."""
    database = Database(upgraded_url)
    if not database.is_sqlite:
        tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
        async with database.begin() as session:
            # CASCADE: the schema may be newer than the models, with tables that refer to these (make oldcode).
            await session.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    yield database
    await database.close()


async def _upgrade(url: str) -> None:
    database = Database(url)
    await database.upgrade()
    await database.close()
