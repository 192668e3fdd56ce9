"""What is in the repository, and what is not: a clone builds anywhere, from any registry."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LARGEST = 1_000_000
LONGEST_NAME = 70

REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|debian\.org|proxy\.golang\.org|"
    r"--(?:extra-)?index-url[= ]\S|--find-links[= ]\S"
)
PATHS_OF_A_MACHINE = re.compile(r"(?<![\w.~}])/(?:root|home|work|Users|private|mnt)/")


@pytest.fixture(scope="module")
def tracked() -> dict[str, bytes]:
    """Every tracked file that is there, by its path."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    files = {name: ROOT / name for name in listed.split("\0") if name}
    return {name: path.read_bytes() for name, path in files.items() if path.is_file()}


def test_no_file_names_a_registry(tracked: dict[str, bytes]) -> None:
    assert _lines_with(REGISTRIES, tracked) == []


def test_no_file_names_a_path_of_a_machine(tracked: dict[str, bytes]) -> None:
    assert _lines_with(PATHS_OF_A_MACHINE, tracked) == []


def test_no_file_is_large(tracked: dict[str, bytes]) -> None:
    assert {name: len(data) for name, data in tracked.items() if len(data) > LARGEST} == {}


def test_lock_has_every_dependency_by_hash_and_no_address() -> None:
    lock = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert "://" not in lock
    assert not re.search(r"^-", lock, re.MULTILINE)
    entries = re.findall(r"^(\S+?)==.*\\\n    --hash=sha256:", lock, re.MULTILINE)
    assert len(entries) == len(re.findall(r"^\S", lock, re.MULTILINE))
    # NumPy and SciPy have an entry for each range of Python versions.
    locked = set(map(_name, entries))

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [
        *declared["build-system"]["requires"],
        *declared["project"]["dependencies"],
        *declared["dependency-groups"]["dev"],
    ]
    assert [entry for entry in wanted if _name(entry) not in locked] == []


def test_names_of_tests_have_at_most_70_characters(tracked: dict[str, bytes]) -> None:
    """The name says the behaviour; its detail belongs in the docstring, its rule in the marker."""
    names = {
        f"{path}: {name}": len(name)
        for path, data in tracked.items()
        if re.fullmatch(r"tests/(?:.*/)?test_\w+\.py", path)
        for name in re.findall(r"^ *(?:async )?def (test_\w+)", data.decode("utf-8"), re.MULTILINE)
    }
    assert names
    assert {name: length for name, length in names.items() if length > LONGEST_NAME} == {}


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower().replace("_", "-").replace(".", "-")


def _lines_with(pattern: re.Pattern[str], files: dict[str, bytes]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, data in files.items()
        if b"\0" not in data
        for number, line in enumerate(data.decode("utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
