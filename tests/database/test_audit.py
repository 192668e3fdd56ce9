"""The audit record: whatever is changed, removed, swapped or forked is found, and where (STA3)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import IntegrityError

from database import audit
from database.models import AuditRecord
from database.session import Database
from tests.support.limits import PATIENCE

AT = datetime(2028, 3, 6, 15, 0, tzinfo=UTC)
SUBJECT = "onboarding/p-1"


async def append(database: Database, number: int, subject: str = SUBJECT) -> None:
    async with database.begin() as session:
        await audit.append(
            session,
            subject,
            "act",
            AT + timedelta(hours=number),
            {"act": "cancel", "number": number, "names": ["ñandú", "日本"]},
            actor="lina",
            veiled={"reason": f"reason {number}"},
        )


async def chain(database: Database, subject: str = SUBJECT) -> list[AuditRecord]:
    async with database.reading() as session:
        return list(
            await session.scalars(
                select(AuditRecord)
                .where(AuditRecord.chain == audit.chain_of(subject))
                .order_by(AuditRecord.sequence)
            )
        )


@pytest.fixture
async def five(database: Database) -> Database:
    """A database with a chain of five records."""
    for number in range(1, 6):
        await append(database, number)
    return database


@pytest.mark.rule("STA3")
async def test_untouched_chain_verifies(five: Database) -> None:
    records = await chain(five)
    assert [record.sequence for record in records] == [1, 2, 3, 4, 5]
    assert records[0].previous == audit.GENESIS
    assert audit.breaks(records) == []
    assert audit.breaks([]) == []


@pytest.mark.rule("STA3")
@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("actor", "carlos", "changed after it was written"),
        ("actor", None, "changed after it was written"),
        ("subject", "onboarding/p-2", "changed after it was written"),
        ("kind", "state", "changed after it was written"),
        ("at", AT + timedelta(hours=3, microseconds=1), "changed after it was written"),
        (
            "data",
            {"act": "extend", "number": 3, "names": ["ñandú", "日本"]},
            "changed after it was written",
        ),
        ("veil", "0" * 64, "changed after it was written"),
        ("veiled", {"reason": "reason 4"}, "its words were changed after it was written"),
        ("salt", "0" * 32, "its words were changed after it was written"),
        ("hash", "f" * 64, "changed after it was written"),
    ],
)
async def test_changed_value_is_found_in_its_record(
    five: Database, column: str, value: Any, expected: str
) -> None:
    async with five.begin() as session:
        await session.execute(update(AuditRecord).where(AuditRecord.sequence == 3).values({column: value}))
    found = audit.breaks(await chain(five))
    assert f"{SUBJECT} record 3: {expected}" in found
    assert not any(f"record {number}:" in line for number in (1, 2, 5) for line in found)


@pytest.mark.rule("STA3")
async def test_rewritten_record_with_a_valid_hash_breaks_the_next_link(
    five: Database,
) -> None:
    async with five.begin() as session:
        record = (await session.scalars(select(AuditRecord).where(AuditRecord.sequence == 3))).one()
        record.data = {**record.data, "act": "extend"}
        record.hash = audit.digest(audit.content(record))
    assert audit.breaks(await chain(five)) == [f"{SUBJECT} record 4: does not follow the record before it"]


@pytest.mark.rule("STA3")
@pytest.mark.parametrize(
    ("removed", "expected"),
    [
        (1, ["record 2: record 1 should stand here", "record 2: does not follow the record before it"]),
        (3, ["record 4: record 3 should stand here", "record 4: does not follow the record before it"]),
        (5, []),
    ],
    ids=["the first", "one in the middle", "the last, which only somebody who knew its hash can miss"],
)
async def test_removed_record_breaks_the_next_link(five: Database, removed: int, expected: list[str]) -> None:
    async with five.begin() as session:
        await session.execute(text("DELETE FROM audit_records WHERE sequence = :n"), {"n": removed})
    assert audit.breaks(await chain(five)) == [f"{SUBJECT} {line}" for line in expected]


@pytest.mark.rule("STA3")
async def test_removed_record_is_found_even_after_renumbering(five: Database) -> None:
    async with five.begin() as session:
        await session.execute(text("DELETE FROM audit_records WHERE sequence = 3"))
        for number in (4, 5):
            await session.execute(
                text("UPDATE audit_records SET sequence = :less WHERE sequence = :n"),
                {"less": number - 1, "n": number},
            )
    found = audit.breaks(await chain(five))
    assert f"{SUBJECT} record 3: does not follow the record before it" in found
    assert f"{SUBJECT} record 3: changed after it was written" in found


@pytest.mark.rule("STA3")
async def test_two_swapped_records_are_found(five: Database) -> None:
    records = await chain(five)
    swapped = [records[0], records[2], records[1], *records[3:]]
    found = audit.breaks(swapped)
    assert f"{SUBJECT} record 3: record 2 should stand here" in found
    assert f"{SUBJECT} record 2: does not follow the record before it" in found
    assert not any("record 5" in line for line in found)


@pytest.mark.rule("STA3")
@pytest.mark.parametrize("clash", ["sequence", "previous"])
async def test_database_constraint_refuses_a_fork(five: Database, clash: str) -> None:
    last = (await chain(five))[-1]
    fork = AuditRecord(
        chain=SUBJECT,
        sequence=last.sequence if clash == "sequence" else last.sequence + 1,
        subject=SUBJECT,
        at=AT,
        kind="act",
        data={},
        previous=last.previous if clash == "previous" else last.hash,
        hash="a" * 64,
    )
    with pytest.raises(IntegrityError):
        async with five.begin() as session:
            session.add(fork)


@pytest.mark.rule("STA3")
async def test_fork_is_found(five: Database) -> None:
    records = await chain(five)
    assert f"{SUBJECT} record 3: record 4 should stand here" in audit.breaks(
        [*records[:3], records[2], *records[3:]]
    )


@pytest.mark.rule("STA3", "MEM6")
async def test_erasing_free_text_keeps_the_chain_valid(five: Database) -> None:
    async with five.begin() as session:
        for record in await session.scalars(select(AuditRecord)):
            record.veiled, record.salt = None, None
    records = await chain(five)
    assert all(record.veil for record in records)
    assert audit.breaks(records) == []


@pytest.mark.rule("MEM6")
async def test_erased_text_cannot_be_guessed_from_its_digest(database: Database) -> None:
    for _ in range(2):
        async with database.begin() as session:
            await audit.append(session, SUBJECT, "act", AT, {}, veiled={"reason": "moved"})
    first, second = await chain(database)
    assert first.veil != second.veil
    assert first.veil != audit.digest({"reason": "moved"})


@pytest.mark.rule("STA3")
async def test_concurrent_writers_extend_one_chain_without_a_fork(database: Database) -> None:
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(append(database, number) for number in range(20)))
        await asyncio.gather(*(append(database, n, f"onboarding/q-{n}") for n in range(10)))
    records = await chain(database)
    assert len(records) == 20
    assert audit.breaks(records) == []


@pytest.mark.rule("STA3")
async def test_records_of_one_request_share_one_chain(database: Database) -> None:
    subjects = ["request/r-1", "engagement/r-1", "claim/r-1/mentor/CPP", "survey/r-1/mentee"]
    for number, subject in enumerate(subjects):
        await append(database, number, subject)
        await append(database, number)
    records = await chain(database, "request/r-1")
    assert {record.chain for record in records} == {"engagement/r-1"}
    assert [record.subject for record in records] == subjects
    assert audit.breaks(records) == []
    assert audit.chain_of("onboarding/p-1") == "onboarding/p-1"
    assert audit.chain_of("member/ana") == "member/ana"


@pytest.mark.rule("STA3", "T8")
@pytest.mark.parametrize(
    "at",
    [
        datetime(2028, 3, 6, 15, 0, 0, 123456, tzinfo=UTC),
        datetime(2028, 3, 6, 10, 0, tzinfo=timezone(timedelta(hours=-5))),
        datetime(2028, 2, 29, 23, 59, 59, tzinfo=timezone(timedelta(hours=13))),
    ],
)
async def test_record_hash_does_not_depend_on_the_time_zone(database: Database, at: datetime) -> None:
    async with database.begin() as session:
        await audit.append(session, SUBJECT, "state", at, {"n": 1.5, "deep": {"b": [True, None], "a": "é"}})
    records = await chain(database)
    assert audit.breaks(records) == []
    assert records[0].at == at


def test_digest_does_not_depend_on_key_order() -> None:
    assert audit.digest({"a": 1, "b": {"c": 2, "d": 3}}) == audit.digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert audit.digest({"a": 1}) != audit.digest({"a": "1"})
