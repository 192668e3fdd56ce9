"""`throughline audit`: a dossier that goes out, is checked without us, and does not hold once it is touched."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from database import audit
from evidence import checkpoints
from tests.support.cli import CliFixture

pytestmark = pytest.mark.rule("CPE11")


async def recorded(cli: CliFixture) -> None:
    async with cli.database.begin() as session:
        for state in ("active", "completed"):
            await audit.append(
                session,
                "engagement/r-1",
                "state",
                cli.now.replace(microsecond=0),
                {"state": state, "due": cli.now.isoformat()},
                veiled={"cause": "as agreed"},
            )


async def test_exported_dossier_verifies_offline(cli: CliFixture, tmp_path: Path) -> None:
    await recorded(cli)
    file = tmp_path / "dossier.zip"
    said = await cli.throughline("audit", "export", "engagement/r-1", "--out", file)
    assert said.status == 0, said.err
    said = await cli.throughline("audit", "verify", file)
    assert said.status == 0, said.err
    assert "as it was written" in said.out


async def test_dossier_with_one_changed_byte_fails_and_names_the_place(
    cli: CliFixture, tmp_path: Path
) -> None:
    await recorded(cli)
    file, changed = tmp_path / "dossier.zip", tmp_path / "changed.zip"
    await cli.throughline("audit", "export", "r-1", "--out", file)
    with zipfile.ZipFile(file) as before, zipfile.ZipFile(changed, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "records.jsonl":
                content = content.replace(b"completed", b"canceled_", 1)
            after.writestr(name, content)
    said = await cli.throughline("audit", "verify", changed)
    assert said.status == 1
    assert "record" in said.err


async def test_dossier_verifies_against_a_checkpoint_hash_or_its_mail(
    cli: CliFixture, tmp_path: Path
) -> None:
    assert (await cli.throughline("audit", "checkpoints")).out == "There is no checkpoint yet.\n"
    await recorded(cli)
    async with cli.database.begin() as session:
        taken = await checkpoints.take(session, cli.now)
    assert taken is not None
    (listed,) = (await cli.throughline("audit", "checkpoints", "--json")).lines
    assert (listed["number"], listed["chains"], listed["hash"]) == (1, taken.chains, taken.hash)
    assert taken.hash in (await cli.throughline("audit", "checkpoints")).out
    file = tmp_path / "dossier.zip"
    await cli.throughline("audit", "export", "r-1", "--out", file)
    for known in (taken.hash, f"Please keep this mail.\n\n  {taken.hash.upper()}\n"):
        said = await cli.throughline("audit", "verify", file, "--checkpoint", known)
        assert said.status == 0, said.err
        assert "covers 2 of 2 records" in said.out
    said = await cli.throughline("audit", "verify", file, "--checkpoint", "a" * 64)
    assert (said.status, said.err.count("\n")) == (1, 1)
    assert "nothing leads to checkpoint" in said.err
    assert (await cli.throughline("audit", "verify", file, "--checkpoint", "xyz")).status == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("export", "r-none"), "nothing is on record of engagement/r-none"),
        (("verify", "no-such-file.zip"), "no such file"),
    ],
)
async def test_unknown_file_or_engagement_is_one_clear_line(
    cli: CliFixture, arguments: tuple[str, ...], words: str
) -> None:
    said = await cli.throughline("audit", *arguments)
    assert said.status == 1
    assert words in said.err
    assert said.err.count("\n") == 1
