"""A gateway for each test, on each kind of database. Each database is a copy of one that was migrated once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.delivery import migrate
from tests.support.gateway import GatewayFixture, gateway_fixture
from tests.support.servers.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def migrated_database(postgres: PostgresServer) -> str:
    """The name of a migrated PostgreSQL database to copy."""
    name = postgres.create_database()
    migrate(postgres.url(name))
    return name


@pytest.fixture
def postgres_database_url(postgres: PostgresServer, migrated_database: str) -> Iterator[str]:
    """The address of an empty, migrated PostgreSQL database."""
    name = postgres.create_database(migrated_database)
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture(params=["sqlite_url", "postgres_database_url"], ids=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest) -> str:
    """The address of an empty, migrated database: SQLite once, PostgreSQL once."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
async def gateway(migrated_url: str) -> AsyncIterator[GatewayFixture]:
    """A gateway with Ana, Marcus and Eva, the request r-1 and the engagement r-2."""
    async with gateway_fixture(migrated_url) as made:
        yield made


@pytest.fixture
async def sqlite_gateway(sqlite_url: str) -> AsyncIterator[GatewayFixture]:
    """The same on SQLite alone, for what no database decides."""
    async with gateway_fixture(sqlite_url) as made:
        yield made
