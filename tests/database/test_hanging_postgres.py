"""A PostgreSQL that hangs instead of refusing: every wait for it ends, and it goes on when the server does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from database.models import Suppression
from database.session import Database
from tests.support.servers.freezing_proxy import FreezingProxy

AT = datetime(2028, 3, 6, 15, 0, tzinfo=UTC)
SHORT, LONG = 2.0, 60.0


@pytest.fixture
def through(proxy: FreezingProxy, postgres_database: str) -> str:
    """The address of the database behind the proxy."""
    return proxy.through(postgres_database)


async def add(database: Database, address: str) -> None:
    async with database.begin() as session:
        session.add(Suppression(address=address, kind="hard", last_at=AT))


async def found(database: Database, address: str) -> bool:
    async with database.reading() as session:
        return await session.get(Suppression, address) is not None


@pytest.fixture
async def patient(through: str) -> AsyncIterator[Database]:
    """The database behind the proxy, given up after two seconds."""
    database = Database(through, timeout=SHORT)
    yield database
    await database.close()


async def test_unanswered_statement_times_out(patient: Database, proxy: FreezingProxy) -> None:
    async with patient.reading() as session:
        await session.scalar(text("SELECT 1"))
        proxy.freeze()
        with pytest.raises(OperationalError, match="no answer within"):
            await session.scalar(text("SELECT 2"))
    proxy.thaw()
    await add(patient, "after-a-statement@example.org")


async def test_pool_of_frozen_connections_is_replaced(patient: Database, proxy: FreezingProxy) -> None:
    await asyncio.gather(*(add(patient, f"pool-{number}@example.org") for number in range(5)))
    proxy.freeze()
    ended = await asyncio.gather(
        *(found(patient, f"pool-{number}@example.org") for number in range(30)), return_exceptions=True
    )
    assert all(isinstance(end, SQLAlchemyError) for end in ended)
    proxy.thaw()
    assert all([await found(patient, f"pool-{number}@example.org") for number in range(5)])


async def test_server_silent_after_connecting_times_out(through: str, proxy: FreezingProxy) -> None:
    proxy.freeze()
    database = Database(through, timeout=SHORT)
    with pytest.raises(OperationalError) as raised:
        await found(database, "nobody@example.org")
    await proxy.until_given_up()
    assert "timeout" in str(raised.value), "the error is kept, the socket is not"
    await database.close()


async def test_frozen_transaction_leaves_no_rows_and_no_lock(
    patient: Database, proxy: FreezingProxy, postgres_database: str
) -> None:
    async def write() -> None:
        async with patient.begin() as session:
            session.add(Suppression(address="half@example.org", kind="hard", last_at=AT))
            await session.flush()
            proxy.freeze()
            session.add(Suppression(address="other-half@example.org", kind="hard", last_at=AT))
            await session.flush()

    with pytest.raises(OperationalError):
        await write()
    await proxy.until_given_up()
    proxy.thaw()
    await add(patient, "half@example.org")
    assert not await found(patient, "other-half@example.org")


@pytest.mark.parametrize("end", [FreezingProxy.thaw, FreezingProxy.cut])
async def test_commit_without_a_reply_is_kept(
    patient: Database, proxy: FreezingProxy, end: Callable[[FreezingProxy], None]
) -> None:
    proxy.keep_answers_to(b"COMMIT")
    with pytest.raises(DBAPIError):
        await add(patient, f"{end.__name__}@example.org")
    end(proxy)
    assert await found(patient, f"{end.__name__}@example.org")


async def test_cancelled_caller_returns_at_once(through: str, proxy: FreezingProxy) -> None:
    database = Database(through, timeout=LONG)
    async with database.reading() as session:
        await session.scalar(text("SELECT 1"))
        proxy.freeze()
        waiting = asyncio.create_task(session.scalar(text("SELECT 2")))
        await proxy.until_unanswered(1)
        waiting.cancel()
        async with asyncio.timeout(LONG / 6):
            await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    proxy.thaw()
    await add(database, "free-again@example.org")
    await database.close()


async def test_server_cancels_a_statement_that_waits_for_a_lock(
    patient: Database, postgres_database: str
) -> None:
    direct = Database(postgres_database)
    async with direct.begin() as holder:
        holder.add(Suppression(address="locked@example.org", kind="hard", last_at=AT))
        await holder.flush()
        with pytest.raises(OperationalError, match="statement timeout"):
            await add(patient, "locked@example.org")
    await add(patient, "not-locked@example.org")
    await direct.close()


async def test_server_ends_an_idle_transaction_and_frees_its_locks(
    through: str, proxy: FreezingProxy, postgres_database: str
) -> None:
    silent, direct = Database(through, timeout=LONG), Database(postgres_database)

    async def write() -> None:
        async with silent.begin() as session:
            session.add(Suppression(address="silent@example.org", kind="hard", last_at=AT))
            await session.flush()
            assert await session.scalar(text("SHOW idle_in_transaction_session_timeout")) == "1min"
            await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 300"))
            proxy.freeze()
            await add(direct, "silent@example.org")
            proxy.thaw()

    with pytest.raises(DBAPIError) as raised:
        await write()
    assert raised.value.connection_invalidated
    assert await found(direct, "silent@example.org")
    await silent.close()
    await direct.close()
