"""The file of erased people keeps each line, and shows what was changed in it (STA5)."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from database.erased_file import ErasedFile, ErasedFileError
from database.key_ring import KeyRing

AT = datetime(2028, 3, 6, 15, tzinfo=UTC)
KEYS = KeyRing(("a key for tests only",))


@pytest.fixture
def file(tmp_path: Path) -> ErasedFile:
    """A file that is not there yet."""
    return ErasedFile(tmp_path / "erased.jsonl", KEYS)


async def members(file: ErasedFile) -> list[str]:
    """The members of all lines."""
    return [person.member for person in await file.read()]


@pytest.mark.rule("STA5")
async def test_lines_are_kept_in_their_order(file: ErasedFile) -> None:
    assert await members(file) == []
    await file.add([("ana", AT)])
    await file.add([("luis", AT), ("marcus", AT)])
    assert await members(file) == ["ana", "luis", "marcus"]
    assert (await file.read())[0].at == AT
    assert file.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.rule("STA5")
async def test_writers_at_the_same_moment_lose_no_line(file: ErasedFile) -> None:
    names = [f"m-{number}" for number in range(40)]
    await asyncio.gather(*(file.add([(name, AT)]) for name in names))
    assert sorted(await members(file)) == sorted(names)


@pytest.mark.rule("STA5")
async def test_line_that_a_crash_cut_off_was_never_written(file: ErasedFile) -> None:
    await file.add([("ana", AT)])
    with file.path.open("ab") as torn:
        torn.write(b'{"number":2,"mem')
    assert await members(file) == ["ana"]
    await file.add([("luis", AT)])
    assert await members(file) == ["ana", "luis"]


def _without_a_line(lines: list[str]) -> list[str]:
    return lines[:1] + lines[2:]


def _with_another_member(lines: list[str]) -> list[str]:
    return [*lines[:2], lines[2].replace("marcus", "walter")]


def _with_a_forged_line(lines: list[str]) -> list[str]:
    return [*lines, json.dumps({**json.loads(lines[2]), "number": 4, "member": "walter"})]


def _with_words(lines: list[str]) -> list[str]:
    return [*lines, "[]", "no line"]


@pytest.mark.rule("STA5")
@pytest.mark.parametrize(
    "change",
    [_without_a_line, _with_another_member, _with_a_forged_line, _with_words],
    ids=lambda f: f.__name__,
)
async def test_changed_file_is_refused(file: ErasedFile, change: object) -> None:
    await file.add([("ana", AT), ("luis", AT), ("marcus", AT)])
    lines = file.path.read_text().splitlines()
    file.path.write_text("".join(f"{line}\n" for line in change(lines)))  # type: ignore[operator]
    with pytest.raises(ErasedFileError, match=r"line \d was changed"):
        await file.read()


@pytest.mark.rule("STA5")
async def test_forged_line_is_refused_whose_hashes_fit(file: ErasedFile) -> None:
    """With the file and without a key, hashes can be made, and no MAC."""
    await file.add([("ana", AT)])
    other = ErasedFile(file.path, KeyRing(("another key for tests",)))
    await other.add([("luis", AT)])
    forged = file.path.read_text().replace(other.keys.fingerprints[0], KEYS.fingerprints[0])
    file.path.write_text(forged)
    with pytest.raises(ErasedFileError, match="line 2 was changed"):
        await file.read()


@pytest.mark.rule("STA5")
async def test_file_outlives_its_key(file: ErasedFile) -> None:
    await file.add([("ana", AT)])
    rotated = ErasedFile(file.path, KeyRing(("another key for tests",)))
    await rotated.add([("luis", AT)])
    assert await members(rotated) == ["ana", "luis"]


@pytest.mark.rule("STA5")
async def test_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = ErasedFile(tmp_path / "missing" / "erased.jsonl", KEYS)
    with pytest.raises(ErasedFileError, match=r"erased\.jsonl: No such file or directory"):
        await file.add([("ana", AT)])
