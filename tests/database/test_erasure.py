"""The erasure of a person: nothing of theirs can be read any more, and what others rely on still holds (STA5)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.engine import make_url

from database import audit, erasure, mail_bodies, person_keys
from database.erasure import ErasureReport, Fate
from database.erasure.treatments import TREATMENTS
from database.models import (
    AuditRecord,
    Base,
    Claim,
    Event,
    Letter,
    MailBody,
    Member,
    Message,
    Profile,
    Survey,
    Task,
)
from database.retention import personal_columns
from database.session import Database
from evidence.dossier import export
from evidence.verifier import verify
from rules.text import ERASED
from tests.support.gateway import NOW
from tests.support.programs.erased_life import ADDRESS, KEYS, NAME, life, live

AT = NOW + timedelta(days=200)


@pytest.fixture
async def lived(upgraded_url: str) -> Any:
    """A database in which Ana has lived, on SQLite and on PostgreSQL."""
    database = Database(upgraded_url, keys=KEYS)
    if not database.is_sqlite:
        tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
        async with database.begin() as session:
            await session.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    async with database.begin() as session:
        await live(session)
    yield database
    await database.close()


async def rows_of(database: Database) -> dict[str, Sequence[Any]]:
    """Return all rows of a database, by table."""
    async with database.reading() as session:
        return {
            table.name: (await session.execute(select(table).order_by(*table.primary_key))).all()
            for table in Base.metadata.sorted_tables
        }


async def everything(database: Database) -> bytes:
    """Return all bytes that a database holds: the files of SQLite, the rows of PostgreSQL as text."""
    await erasure.compact(database)
    if database.is_sqlite:
        file = Path(make_url(database.url).database or "")
        return b"".join(each.read_bytes() for each in file.parent.glob(f"{file.name}*"))
    found: list[str] = []
    async with database.reading() as session:
        for table in Base.metadata.sorted_tables:
            found += await session.scalars(text(f"SELECT t::text FROM {table.name} t"))
    return "\n".join(found).encode()


def spellings(word: str) -> Iterable[bytes]:
    """Return the ways in which a word may stand in a database: as it is, in JSON, in bytes."""
    yield word.encode()
    yield json.dumps(word)[1:-1].encode()
    yield word.encode().hex().encode()


def words_left(content: bytes, *words: str) -> list[str]:
    return [word for word in words if any(spelling in content for spelling in spellings(word))]


async def erase(database: Database, at: datetime = AT) -> ErasureReport:
    async with database.begin() as session:
        return await erasure.erase(session, "ana", "lina", True, at)


STAYS = {
    # Codes, days and numbers of evidence: they name nobody once the names are gone.
    *(("claims", name) for name in ("certification", "credit_date", "cycle_start", "cycle_end", "domains")),
    *(("claims", "earned"), ("claims", "countable"), ("letters", "certification")),
    *(("meetings", "answer"), ("meetings", "met_on")),
    # Its batch removes it when it ends.
    ("act_batches", "reason"),
    # Written with the name and the address; the number of the task.
    *(("members", "folded"), ("tasks", "cause")),
}


@pytest.mark.rule("STA5")
def test_erasure_deals_with_every_personal_column() -> None:
    """A new column fails here until erasure knows what becomes of it, and the life of Ana has a row of its table."""
    dealt_with = {
        (each.table.__tablename__, column.name)
        for each in TREATMENTS
        for column in each.table.__table__.columns
        if not each.changes or column.name in each.changes
    }
    assert set(personal_columns()) - dealt_with == STAYS
    written = {table for table, _ in personal_columns()} - {row.__tablename__ for row in life()}
    assert written == {"audit_records", "badges", "mail_bodies", "meetings"}


NUMBER = re.compile(b"777777777|" + re.escape((777_777_777).to_bytes(4, "big")))
"""The mark of columns with numbers, as text and as SQLite writes it."""


@pytest.mark.rule("STA5")
async def test_nothing_of_an_erased_person_can_be_read(lived: Database) -> None:
    """Once what has to be kept for a time is over as well."""
    before = await everything(lived)
    assert words_left(before, "~qz", NAME, ADDRESS) == ["~qz", NAME, ADDRESS]
    assert NUMBER.search(before)
    report = await erase(lived)
    assert [await erasure.compact(lived) for _ in range(2)] == [lived.is_sqlite, False]
    after = await everything(lived)
    assert words_left(after, NAME, ADDRESS, "Ñandú", "鈴木", "veiled~qz", "events~qz", "facts~qz") == []
    kept = {(item.table, item.until) for item in report.items if item.outcome is Fate.KEPT}
    assert kept == {("letters", date(2033, 12, 31)), ("reports", date(2033, 12, 31))}
    assert b"statement~qz" in after
    async with lived.begin() as session:
        assert await erasure.remove_expired(session, datetime(2033, 12, 31, 12, tzinfo=UTC)) == 0
    async with lived.begin() as session:
        assert await erasure.remove_expired(session, datetime(2034, 1, 1, 12, tzinfo=UTC)) == 1
        assert await erasure.remove_expired(session, datetime(2034, 1, 1, 12, tzinfo=UTC)) == 0
    last = await everything(lived)
    assert [line for line in last.split(b"\n") if b"~qz" in line or NUMBER.search(line)] == []


@pytest.mark.rule("STA5")
async def test_the_other_side_and_the_audit_chain_are_left_whole(lived: Database, tmp_path: Path) -> None:
    """Marcus keeps his data, his mail, his claims and his letters; no record is changed, and the dossier verifies."""
    await erase(lived)
    async with lived.begin() as session:
        marcus = await session.get_one(Member, "marcus")
        assert (marcus.name, marcus.email) == ("Marcus Oyelaran", "marcus@example.org")
        chains: dict[str, list[AuditRecord]] = {}
        for record in await session.scalars(select(AuditRecord).order_by(AuditRecord.id)):
            chains.setdefault(record.chain, []).append(record)
        assert {chain: audit.breaks(records) for chain, records in chains.items()} == {
            chain: [] for chain in chains
        }
        assert [record.veiled for record in chains["member/marcus"]] == [{"reason": "Marcus has moved"}]
        erased = chains["member/ana"][-1]
        assert (erased.data["act"], erased.data["reason_given"], erased.actor) == ("erase", True, "lina")
        claims = (await session.scalars(select(Claim).order_by(Claim.workflow))).all()
        assert [claim.earned for claim in claims] == [0, 0, 9]
        letter = await session.get_one(Letter, "Lm3x9QkT2vB7")
        assert letter.document is not None
        assert [event.state for event in await session.scalars(select(Event).order_by(Event.id))] == [
            *("applied", "refused", "applied", "refused", "applied", "refused", "applied")
        ]
        surveys = (await session.scalars(select(Survey.answers))).all()
        assert surveys == [{"rating": 4, "why": ERASED}] * 2
        (tmp_path / "dossier.zip").write_bytes(await export(session, "r-2"))
    assert verify(tmp_path / "dossier.zip") == []


@pytest.mark.rule("STA5")
async def test_preview_says_what_the_erasure_then_does(lived: Database) -> None:
    before = await rows_of(lived)
    async with lived.begin() as session:
        preview = await erasure.preview(session, "ana", AT)
    assert await rows_of(lived) == before
    assert preview.is_known
    assert await erase(lived) == preview
    assert preview.counts["kept"] == 2
    assert {item.table for item in preview.items if item.outcome is Fate.UNREADABLE} == {
        *("badges", "mail_bodies")
    }


@pytest.mark.rule("STA5")
async def test_erasing_again_changes_nothing(lived: Database) -> None:
    await erase(lived)
    before = await rows_of(lived)
    again = await erase(lived, AT + timedelta(days=1))
    assert await rows_of(lived) == before
    assert again.counts["deleted"] == 0


@pytest.mark.rule("STA5")
async def test_no_mail_to_an_erased_person_waits(lived: Database) -> None:
    """What is rendered for the other side is rendered again, without the name."""
    await erase(lived)
    async with lived.begin() as session:
        rows = (await session.scalars(select(Message).order_by(Message.id))).all()
        assert [(row.state, row.reason) for row in rows if row.member_id == "ana"][1] == (
            *("cancelled", "the person was erased"),
        )
        assert [(row.state, row.content, row.subject) for row in rows if row.id == 4] == [
            ("planned", None, None)
        ]
        bodies = {row.member_id: row.content for row in await session.scalars(select(MailBody))}
        assert bodies["marcus"] is None
        assert bodies["ana"] is not None
        assert (await mail_bodies.read(session, "d-1")).state == "erased"
        tasks = {task.kind: task.state for task in await session.scalars(select(Task))}
        assert tasks == {"inactive": "dismissed", "misconduct": "open"}
        assert await session.get_one(Profile, "p-ana") is not None


@pytest.mark.rule("STA5")
async def test_unknown_member_is_erased_before_anything_comes(database: Database) -> None:
    """A ledger of erased ids is applied to an older copy of the database: no key is made for them any more."""
    async with database.begin() as session:
        report = await erasure.erase(session, "nobody", "lina", False, AT)
        assert (report.is_known, report.items) == (False, ())
        assert await person_keys.is_destroyed(session, "nobody")
