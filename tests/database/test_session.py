"""Transactions, addresses and instants, alike on both databases."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Environment, Member, Suppression, Task
from database.session import Database
from tests.support.limits import PATIENCE

AT = datetime(2028, 3, 6, 15, 0, tzinfo=UTC)


def suppression(address: str, at: datetime) -> Suppression:
    return Suppression(address=address, kind="hard", last_at=at)


async def addresses(session: AsyncSession) -> list[str]:
    return list(await session.scalars(select(Suppression.address).order_by(Suppression.address)))


async def test_committed_rows_are_visible_to_the_next_transaction(database: Database) -> None:
    async with database.begin() as session:
        session.add(suppression("ana@example.org", AT))
    async with database.reading() as session:
        assert await addresses(session) == ["ana@example.org"]


async def test_failed_transaction_leaves_nothing(database: Database) -> None:
    async def writes_and_fails() -> None:
        async with database.begin() as session:
            session.add(suppression("ana@example.org", AT))
            await session.flush()
            raise LookupError

    with pytest.raises(LookupError):
        await writes_and_fails()
    async with database.reading() as session:
        assert await addresses(session) == []


async def test_cancelled_transaction_leaves_no_rows_and_no_lock(database: Database) -> None:
    written = asyncio.Event()

    async def writes_and_waits() -> None:
        async with database.begin() as session:
            session.add(suppression("ana@example.org", AT))
            await session.flush()
            written.set()
            await asyncio.Event().wait()

    waiting = asyncio.create_task(writes_and_waits())
    await written.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(PATIENCE), database.begin() as session:
        session.add(suppression("bob@example.org", AT))
    async with database.reading() as session:
        assert await addresses(session) == ["bob@example.org"]


async def test_reader_does_not_wait_and_sees_only_committed_rows(database: Database) -> None:
    async with database.begin() as writer:
        writer.add(suppression("ana@example.org", AT))
        await writer.flush()
        async with asyncio.timeout(PATIENCE), database.reading() as reader:
            assert await addresses(reader) == []


async def test_concurrent_writers_all_succeed(database: Database) -> None:
    async def write(number: int) -> None:
        async with database.begin() as session:
            found = await addresses(session)
            session.add(suppression(f"member{number:02}@example.org", AT + timedelta(days=len(found))))

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(write(number) for number in range(30)))
    async with database.reading() as session:
        assert len(await addresses(session)) == 30


@pytest.mark.rule("T6", "T8")
async def test_datetime_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(StatementError, match="needs a zone"):
        async with database.begin() as session:
            session.add(suppression("ana@example.org", datetime(2028, 3, 6, 15, 0)))  # noqa: DTZ001
    async with database.reading() as session:
        assert await addresses(session) == []


@pytest.mark.rule("T8")
async def test_datetime_reads_back_as_the_same_instant_in_utc(database: Database) -> None:
    moments = {
        "bogota@example.org": datetime(2028, 3, 6, 10, 0, tzinfo=timezone(timedelta(hours=-5))),
        "tokyo@example.org": datetime(2028, 3, 7, 0, 0, 0, 123456, tzinfo=timezone(timedelta(hours=9))),
    }
    async with database.begin() as session:
        session.add_all([suppression(address, at) for address, at in moments.items()])
    async with database.reading() as session:
        for row in await session.scalars(select(Suppression)):
            assert row.last_at == moments[row.address]
            assert row.last_at.tzinfo is UTC
            assert row.since is None
        later = select(Suppression.address).where(Suppression.last_at > moments["bogota@example.org"])
        assert list(await session.scalars(later)) == ["tokyo@example.org"]


@pytest.mark.rule("MEM6")
async def test_database_error_hides_the_parameters(database: Database) -> None:
    async def writes_twice() -> None:
        insert = text("INSERT INTO suppressions (address, kind, score, last_at) VALUES (:a, 'hard', 0, :at)")
        async with database.begin() as session:
            for _ in range(2):
                await session.execute(insert, {"a": "ana@example.org", "at": AT.replace(tzinfo=None)})

    with pytest.raises(IntegrityError, match="parameters hidden"):
        await writes_twice()


async def test_profile_needs_a_member(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.begin() as session:
            await session.execute(
                text(
                    "INSERT INTO profiles (id, member_id, role, program, areas, interests, languages,"
                    " created_at, updated_at) VALUES ('p', 'nobody', 'mentee', 'x', '[]', '[]', '[]',"
                    " '2028-03-06 15:00:00', '2028-03-06 15:00:00')"
                )
            )


async def test_json_columns_read_back_unchanged(database: Database) -> None:
    cycle = {"code": "PSP", "cycle_start": "2027-01-01", "cycle_end": "2029-12-31"}
    async with database.begin() as session:
        session.add(
            Member(
                id="ana",
                name="Ana Pérez ✓",
                email="ana@example.org",
                standing="good",
                standing_since=AT,
                languages=["es", "en"],
                certifications=[cycle],
                preferences={"stopped": ["*"]},
                updated_at=AT,
            )
        )
    async with database.reading() as session:
        ana = await session.get_one(Member, "ana")
        assert (ana.name, ana.languages, ana.certifications) == ("Ana Pérez ✓", ["es", "en"], [cycle])
        assert ana.preferences == {"stopped": ["*"]}
        assert ana.country is None


async def test_database_is_usable_only_at_this_versions_schema(database_url: str) -> None:
    database = Database(database_url)
    await database.upgrade()
    await database.check()
    async with database.begin() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(RuntimeError, match="throughline db upgrade"):
        await database.check()
    await database.close()


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("sqlite:///var/x.db", "sqlite+aiosqlite:///var/x.db"),
        ("postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg://u@h/d"),
    ],
)
async def test_url_may_omit_the_driver(
    given: str, used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    database = Database(given)
    assert database.url == used
    await database.close()


@pytest.mark.parametrize("given", ["mysql://h/d", "postgresql+asyncpg://h/d", "throughline.db", ""])
def test_url_of_another_database_is_refused_with_a_reason(given: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite:///file or postgresql://"):
        Database(given)


async def test_unreadable_url_is_refused_without_its_password() -> None:
    with pytest.raises(ValueError, match="cannot be read") as caught:
        Database("postgresql//ana:hunter2@h")
    assert "hunter2" not in str(caught.value)


async def test_sqlite_file_is_created_with_its_folder(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'deep' / 'down' / 'throughline.db'}")
    await database.upgrade()
    await database.check()
    async with database.begin() as session:
        session.add(Environment(id=1, name="test"))
    await database.close()
    assert (tmp_path / "deep" / "down" / "throughline.db").exists()


async def test_cancelling_at_any_point_leaves_no_lock_and_no_half_write(
    database: Database,
) -> None:
    chance = random.Random(7)

    async def write(name: str) -> None:
        async with database.begin() as session:
            for half in ("a", "b"):
                session.add(suppression(f"{half}-{name}@example.org", AT))
                await session.flush()
                await asyncio.sleep(0)

    for turn in range(20):
        writers = [asyncio.create_task(write(f"{turn}-{number}")) for number in range(12)]
        for _ in range(chance.randrange(40)):
            await asyncio.sleep(0)
        for writer in chance.sample(writers, 6):
            writer.cancel()
        ended = await asyncio.gather(*writers, return_exceptions=True)
        assert {type(end) for end in ended} <= {type(None), asyncio.CancelledError}
    async with database.reading() as session:
        found = await addresses(session)
    assert len(found) >= 20 * 6 * 2
    assert [one[2:] for one in found if one[0] == "a"] == [one[2:] for one in found if one[0] == "b"]


async def test_rows_of_one_flush_are_inserted_by_one_statement(database: Database) -> None:
    """Each row still has the number that the database gave it, in the order in which they were added."""
    inserts: list[str] = []

    def note(*call: Any) -> None:
        if str(call[2]).startswith("INSERT INTO tasks"):
            inserts.append(str(call[2]))

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    tasks = [
        Task(
            kind="mail_failed",
            subject="member/m-1",
            cause=f"{number}",
            action="Look.",
            opened_at=AT,
            due_at=AT,
        )
        for number in range(50)
    ]
    async with database.begin() as session:
        session.add_all(tasks)
    assert len(inserts) == 1
    async with database.reading() as session:
        found = list(await session.execute(select(Task.id, Task.cause).order_by(Task.id)))
    assert found == [(task.id, f"{number}") for number, task in enumerate(tasks)]
