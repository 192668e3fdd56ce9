"""Checkpoints: one kept hash reveals a chain that was rebuilt from its first record."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from database import audit
from database.audit import GENESIS
from database.models import AuditRecord, Checkpoint, CheckpointHead
from database.session import Database
from evidence import checkpoints
from evidence.checkpoints import Head, _proof, _tree
from evidence.dossier import export
from evidence.verifier import canonical, examine, hash_in, joined, leaf, sha256, verify
from tests.support.dossiers import covered, opened, rewritten

AT = datetime(2028, 9, 14, 13, 0, tzinfo=UTC)
DAY = timedelta(days=1)
CHAIN = "engagement/r-1"

pytestmark = pytest.mark.rule("CPE11")


async def happened(database: Database, chain: str, at: datetime, count: int = 1) -> None:
    """So many records of a chain, at an instant."""
    async with database.begin() as session:
        for number in range(count):
            await audit.append(session, chain, "state", at, {"state": "active", "number": number})


async def taken(database: Database, at: datetime) -> Checkpoint | None:
    async with database.begin() as session:
        return await checkpoints.take(session, at)


@pytest.fixture
async def kept(database: Database) -> list[str]:
    """The hashes of three checkpoints, a day apart; the chain has 2, 2 and 5 records at them, and then 6."""
    hashes = []
    for day, records in enumerate((2, 0, 3)):
        at = AT + day * DAY
        await happened(database, CHAIN, at, records)
        await happened(database, f"engagement/other-{day}", at)
        row = await taken(database, at + timedelta(hours=3))
        assert row is not None
        hashes.append(row.hash)
    await happened(database, CHAIN, AT + 2 * DAY + timedelta(hours=5))
    return hashes


async def dossier(database: Database, folder: Path) -> Path:
    file = folder / "dossier.zip"
    async with database.reading() as session:
        file.write_bytes(await export(session, CHAIN))
    return file


async def made_anew(database: Database, *, earned: int = 90) -> None:
    """The whole chain written again with other content, each hash as it should be."""
    async with database.begin() as session:
        records = await session.scalars(
            select(AuditRecord).where(AuditRecord.chain == CHAIN).order_by(AuditRecord.sequence)
        )
        times = [record.at for record in records]
        await session.execute(delete(AuditRecord).where(AuditRecord.chain == CHAIN))
        for at in times:
            await audit.append(session, CHAIN, "state", at, {"state": "active", "earned": earned})


async def test_checkpoint_covers_the_record_at_its_instant(
    database: Database, kept: list[str], tmp_path: Path
) -> None:
    file = await dossier(database, tmp_path)
    notes = [examine(file, hash) for hash in kept]
    assert notes == [
        ([], "checkpoint 1, of 2028-09-14, covers 2 of 6 records"),
        ([], "checkpoint 2, of 2028-09-15, covers 2 of 6 records"),
        ([], "checkpoint 3, of 2028-09-16, covers 5 of 6 records"),
    ]
    assert examine(file) == notes[-1]


async def test_checkpoint_links_to_the_previous_one(database: Database, kept: list[str]) -> None:
    async with database.reading() as session:
        rows = list(await session.scalars(select(Checkpoint).order_by(Checkpoint.number)))
    assert [row.previous for row in rows] == [GENESIS, *kept[:-1]]
    assert [(row.number, row.chains) for row in rows] == [(1, 2), (2, 3), (3, 4)]


async def test_checkpoint_keeps_only_new_chains_and_none_without_any(
    database: Database, kept: list[str]
) -> None:
    async with database.reading() as session:
        rows = await session.execute(select(CheckpointHead.number, CheckpointHead.chain))
        assert sorted((number, chain) for number, chain in rows) == [
            (1, "engagement/other-0"),
            (1, CHAIN),
            (2, "engagement/other-1"),
            (3, "engagement/other-2"),
            (3, CHAIN),
        ]
    assert await taken(database, AT + 3 * DAY) is not None, "there was a record since the third"
    assert await taken(database, AT + 4 * DAY) is None


async def test_mails_about_checkpoints_cause_no_checkpoint(database: Database, kept: list[str]) -> None:
    await taken(database, AT + 3 * DAY)
    await happened(database, "checkpoint/4/asis-global", AT + 3 * DAY)
    assert await taken(database, AT + 4 * DAY) is None


async def test_rebuilt_chain_fails_against_existing_checkpoints(
    database: Database, kept: list[str], tmp_path: Path
) -> None:
    await made_anew(database)
    async with database.reading() as session:
        assert await checkpoints.altered(session) == [CHAIN]
    found = verify(await dossier(database, tmp_path))
    assert (
        "checkpoints.json: checkpoint 1: saw another record 2: the record was rewritten since then" in found
    )
    assert (
        "checkpoints.json: checkpoint 3: saw another record 5: the record was rewritten since then" in found
    )


async def test_rebuilt_checkpoints_do_not_lead_to_the_published_hash(
    database: Database, kept: list[str], tmp_path: Path
) -> None:
    async with database.begin() as session:
        await session.execute(delete(CheckpointHead))
        await session.execute(delete(Checkpoint))
    await made_anew(database)
    await taken(database, AT + timedelta(hours=3))
    file = await dossier(database, tmp_path)
    assert verify(file) == [], "nothing within it tells"
    for hash in kept:
        (fault,) = verify(file, hash)
        assert fault.startswith(f"checkpoints.json: nothing leads to checkpoint {hash}")


async def test_record_removed_from_the_end_is_noticed(database: Database, kept: list[str]) -> None:
    async with database.begin() as session:
        await session.execute(delete(AuditRecord).where(AuditRecord.chain == "engagement/other-1"))
    async with database.reading() as session:
        assert await checkpoints.altered(session) == ["engagement/other-1"]


async def test_chain_that_only_grew_verifies(database: Database, kept: list[str]) -> None:
    await happened(database, "engagement/other-0", AT + 3 * DAY, 4)
    async with database.reading() as session:
        assert await checkpoints.altered(session) == []


async def test_erased_text_changes_no_checkpoint(database: Database, tmp_path: Path) -> None:
    async with database.begin() as session:
        await audit.append(session, CHAIN, "state", AT, {"state": "active"}, veiled={"cause": "Ana asked"})
    row = await taken(database, AT)
    assert row is not None
    async with database.begin() as session:
        await session.execute(update(AuditRecord).values(veiled=None, salt=None))
    assert verify(await dossier(database, tmp_path), row.hash) == []


async def test_dossier_without_a_checkpoint_verifies_by_itself(database: Database, tmp_path: Path) -> None:
    await happened(database, CHAIN, AT)
    file = await dossier(database, tmp_path)
    assert examine(file) == ([], "")
    (fault,) = verify(file, "a" * 64)
    assert "nothing leads to checkpoint" in fault


async def test_dossier_of_the_format_without_checkpoints_verifies(
    database: Database, kept: list[str], tmp_path: Path
) -> None:
    files = opened((await dossier(database, tmp_path)).read_bytes())
    del files["checkpoints.json"]
    (tmp_path / "old.zip").write_bytes(covered(files))
    assert verify(tmp_path / "old.zip") == []
    assert verify(tmp_path / "old.zip", kept[0])


Checkpoints = list[dict[str, Any]]


CHANGES: list[tuple[Callable[[Checkpoints], object], str]] = [
    (lambda each: each[1].update(root="a" * 64), "checkpoint 2: changed after it was made"),
    (lambda each: each[0].update(at="2027-01-01T00:00:00+00:00"), "checkpoint 1: changed after it was"),
    (lambda each: each.pop(1), "checkpoint 3: does not follow the checkpoint before it"),
    (lambda each: each[0]["proof"].update(sequence=1), "checkpoint 1: its proof does not fit"),
    (lambda each: each[2]["proof"]["path"].pop(), "checkpoint 3: its proof does not fit"),
    (lambda each: each[0].update(number="1"), "changed after it was written"),
    (lambda each: each[0]["proof"].update(path=[["up", "a" * 64]]), "changed after it was written"),
    (lambda each: each[0]["proof"].update(head="zz"), "changed after it was written"),
    (lambda each: each[0].update(at="2028-09-14T00:00:00"), "changed after it was written"),
    (lambda each: each.append({}), "changed after it was written"),
]


async def test_changed_checkpoint_in_a_dossier_is_found(
    database: Database, kept: list[str], tmp_path: Path
) -> None:
    files = opened((await dossier(database, tmp_path)).read_bytes())
    for change, fault in CHANGES:
        listed = json.loads(files["checkpoints.json"])
        change(listed)
        (tmp_path / "changed.zip").write_bytes(covered({**files, "checkpoints.json": canonical(listed)}))
        assert any(fault in each for each in verify(tmp_path / "changed.zip")), fault
    (tmp_path / "deep.zip").write_bytes(covered({**files, "checkpoints.json": b"[" * 100_000}))
    assert verify(tmp_path / "deep.zip") == ["checkpoints.json: changed after it was written"]


async def test_rewritten_end_is_found_without_the_last_proof(
    database: Database, kept: list[str], tmp_path: Path
) -> None:
    """The dates of the records reveal a forger who keeps early proofs and drops those that no longer fit."""
    await happened(database, "engagement/later", AT + 9 * DAY)
    last = await taken(database, AT + 9 * DAY)
    assert last is not None
    files = opened((await dossier(database, tmp_path)).read_bytes())
    lines = files["records.jsonl"].splitlines()
    for place in range(2, len(lines)):
        before = json.loads(lines[place - 1])["hash"]
        lines[place] = rewritten(lines[place], previous=before, data={"state": "completed"})
    listed = json.loads(files["checkpoints.json"])
    for each in listed[1:]:
        each.pop("proof", None)
    changed = tmp_path / "changed.zip"
    changed.write_bytes(
        covered(
            {
                **files,
                "records.jsonl": b"".join(line + b"\n" for line in lines),
                "checkpoints.json": canonical(listed),
            }
        )
    )
    assert [fault.partition(": ")[2] for fault in verify(changed, last.hash)] == [
        *(
            f"checkpoint {number}: carries no proof of this record, so it may have seen more of it"
            for number in (2, 3, 4)
        ),
        *["is older than checkpoint 4, which did not see it"] * 4,
    ]


async def test_cut_end_is_found_whatever_becomes_of_the_proofs(
    database: Database, kept: list[str], tmp_path: Path
) -> None:
    """The last records are cut, and the proof of the checkpoint that saw them is left out or replaced."""
    files = opened((await dossier(database, tmp_path)).read_bytes())
    records = b"".join(line + b"\n" for line in files["records.jsonl"].splitlines()[:2])
    listed = json.loads(files["checkpoints.json"])
    assert all("proof" in each for each in listed)
    without = [*listed[:2], {name: value for name, value in listed[2].items() if name != "proof"}]
    old = [*listed[:2], {**listed[2], "proof": listed[1]["proof"]}]
    for changed in (listed, without, old):
        (tmp_path / "cut.zip").write_bytes(
            covered({**files, "records.jsonl": records, "checkpoints.json": canonical(changed)})
        )
        for hash in ("", kept[2]):
            found, _ = examine(tmp_path / "cut.zip", hash)
            assert any("checkpoint 3" in fault for fault in found), (changed, hash)
    assert examine(tmp_path / "cut.zip", kept[0])[0], "each checkpoint that is listed has a proof that fits"


@pytest.mark.parametrize("removed", ["the last head", "all heads of the chain", "a changed head"])
async def test_cut_end_in_the_database_is_found(
    database: Database, kept: list[str], tmp_path: Path, removed: str
) -> None:
    """The dossier is exported from a database in which records and heads were removed together."""
    async with database.begin() as session:
        await session.execute(delete(AuditRecord).where(AuditRecord.chain == CHAIN, AuditRecord.sequence > 2))
        of_chain = CheckpointHead.chain == CHAIN
        if removed == "the last head":
            await session.execute(delete(CheckpointHead).where(of_chain, CheckpointHead.number == 3))
        elif removed == "all heads of the chain":
            await session.execute(delete(CheckpointHead).where(of_chain))
        else:
            first = await session.scalar(select(CheckpointHead).where(of_chain, CheckpointHead.number == 1))
            assert first is not None
            changed = update(CheckpointHead).where(of_chain, CheckpointHead.number == 3)
            await session.execute(changed.values(sequence=2, head=first.head))
    async with database.reading() as session:
        newest = await checkpoints.newest(session)
        assert newest is not None
        assert await checkpoints.unfounded(session, newest)
    assert verify(await dossier(database, tmp_path), kept[2])


async def test_untouched_heads_give_the_root_of_the_last_checkpoint(
    database: Database, kept: list[str]
) -> None:
    async with database.reading() as session:
        newest = await checkpoints.newest(session)
        assert newest is not None
        assert not await checkpoints.unfounded(session, newest)


async def test_bundled_verifier_checks_a_checkpoint_with_plain_python(
    database: Database, kept: list[str], tmp_path: Path
) -> None:
    file = await dossier(database, tmp_path)
    (tmp_path / "verify.py").write_bytes(opened(file.read_bytes())["verify.py"])

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", "-S", "verify.py", "dossier.zip", *arguments],
            cwd=tmp_path,
            env={},
            capture_output=True,
            text=True,
            check=False,
        )

    good = run(kept[2])
    assert (good.returncode, good.stderr) == (0, "")
    assert "Checkpoint 3, of 2028-09-16, covers 5 of 6 records." in good.stdout
    assert run("a" * 64).returncode == 1
    assert run("no hash").returncode == 2
    assert run("a", "b").returncode == 2


def test_hash_is_found_in_a_checkpoint_mail() -> None:
    hash = "3b7e90c41f55a2d8" * 4
    grouped = " ".join(hash[place : place + 8] for place in range(0, 64, 8))
    assert hash_in(f"> Please keep\n>   {hash}\n") == hash
    assert hash_in(f"Hash {grouped.upper()}, in eights; plain: {hash}") == hash
    for text in ("", "a" * 63, "a" * 65, f"{hash} or {'b' * 64}"):
        with pytest.raises(ValueError, match="named by its hash"):
            hash_in(text)


@given(st.integers(1, 70), st.data())
def test_every_chain_has_a_proof_to_its_root_and_no_other(count: int, data: Any) -> None:
    heads = {f"engagement/{number}": Head(number + 1, sha256(b"%d" % number)) for number in range(count)}
    chain = data.draw(st.sampled_from(sorted(heads)))
    proof = _proof(heads, chain)

    def root(node: str) -> str:
        for side, other in proof["path"]:
            node = joined(other, node) if side == "left" else joined(node, other)
        return node

    assert root(leaf(chain, *heads[chain])) == _tree(heads)[-1][0]
    assert root(leaf(chain, heads[chain].sequence + 1, heads[chain].hash)) != _tree(heads)[-1][0]
    assert len(proof["path"]) <= 7
