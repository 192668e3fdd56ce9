"""The dossier: the offline check finds every change, removal, swap and fork, and names its place."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from database.session import Database
from evidence.dossier import export
from evidence.verifier import _HASHED, MOST_BYTES, MOST_FAULTS, canonical, pack, sha256, verify
from tests.support.dossiers import CLAIM, PDF, VERSIONS, Files, covered, opened, rewritten, with_lines

pytestmark = pytest.mark.rule("CPE11", "CPE12")


def checked(content: bytes, folder: Path) -> list[str]:
    file = folder / "dossier.zip"
    file.write_bytes(content)
    return verify(file)


def test_untouched_dossier_verifies_and_is_reproducible(dossier: bytes, tmp_path: Path) -> None:
    assert checked(dossier, tmp_path) == []
    files = opened(dossier)
    assert files["letters/Lm3x9Q.pdf"] == PDF
    assert json.loads(files["versions.json"]) == {CLAIM: VERSIONS}
    assert len(files["records.jsonl"].splitlines()) == 5
    assert b"engagement/other" not in files["records.jsonl"]


def test_dossier_contains_only_text_about_claims(dossier: bytes) -> None:
    records = [json.loads(line) for line in opened(dossier)["records.jsonl"].splitlines()]
    assert [record["subject"] for record in records if "veiled" in record] == [CLAIM]


def test_changed_byte_anywhere_is_found(dossier: bytes, tmp_path: Path) -> None:
    unnoticed = [
        place
        for place in range(0, len(dossier), 7)
        if not checked(dossier[:place] + bytes([dossier[place] ^ 1]) + dossier[place + 1 :], tmp_path)
    ]
    assert unnoticed == []
    assert checked(dossier + b" ", tmp_path)
    assert checked(dossier[:-1], tmp_path)


def test_changed_record_is_named(dossier: bytes, tmp_path: Path) -> None:
    found = checked(
        with_lines(dossier, lambda lines: [line.replace(b'"earned":9', b'"earned":8') for line in lines]),
        tmp_path,
    )
    assert found == ["records.jsonl line 4, record 4: changed after it was written"]


def test_record_with_a_recomputed_hash_breaks_the_next_link(dossier: bytes, tmp_path: Path) -> None:
    def change(lines: list[bytes]) -> list[bytes]:
        return [*lines[:3], rewritten(lines[3], data={"status": "ready", "earned": 90}), lines[4]]

    found = checked(with_lines(dossier, change), tmp_path)
    assert found == ["records.jsonl line 5, record 5: does not follow the record before it"]


def test_removed_record_is_noticed(dossier: bytes, tmp_path: Path) -> None:
    found = checked(with_lines(dossier, lambda lines: [*lines[:3], lines[4]]), tmp_path)
    assert found[:2] == [
        "records.jsonl line 4, record 5: record 4 should stand here; one was removed, added or moved",
        "records.jsonl line 4, record 5: does not follow the record before it",
    ]


def test_removed_last_record_is_noticed_by_the_manifest(dossier: bytes, tmp_path: Path) -> None:
    files = opened(dossier)
    files["records.jsonl"] = b"\n".join(files["records.jsonl"].splitlines()[:-1]) + b"\n"
    found = checked(pack(files), tmp_path)
    assert any("the last ones may be missing" in fault for fault in found)


def test_swapped_records_are_found(dossier: bytes, tmp_path: Path) -> None:
    found = checked(with_lines(dossier, lambda lines: [lines[0], lines[2], lines[1], *lines[3:]]), tmp_path)
    assert any(
        fault.startswith("records.jsonl line 2, record 3: record 2 should stand here") for fault in found
    )


def test_fork_is_found(dossier: bytes, tmp_path: Path) -> None:
    def change(lines: list[bytes]) -> list[bytes]:
        return [*lines[:4], rewritten(lines[3], data={"status": "revoked"}), lines[4]]

    found = checked(with_lines(dossier, change), tmp_path)
    assert "records.jsonl line 5, record 4: forks the chain, as the record of line 4" in found


def test_changed_text_is_found_and_erased_text_is_accepted(dossier: bytes, tmp_path: Path) -> None:
    renamed = with_lines(dossier, lambda lines: [line.replace("Pérez".encode(), b"Suarez") for line in lines])
    assert checked(renamed, tmp_path) == [
        "records.jsonl line 3, record 3: its words were changed after they were written"
    ]

    def erase(line: bytes) -> bytes:
        record = json.loads(line)
        return canonical({name: record[name] for name in record if name not in ("veiled", "salt")})

    assert checked(with_lines(dossier, lambda lines: [erase(line) for line in lines]), tmp_path) == []


def test_replaced_missing_and_extra_letters_are_found(dossier: bytes, tmp_path: Path) -> None:
    def found(change: Callable[[Files], Files]) -> list[str]:
        return checked(covered(change(opened(dossier))), tmp_path)

    name = "letters/Lm3x9Q.pdf"
    assert found(lambda files: {**files, name: PDF + b"\n"}) == [
        f"{name}: is not the letter that is on record"
    ]
    assert found(lambda files: {key: files[key] for key in files if key != name}) == [
        f"{name}: is missing, though it is on record"
    ]
    assert found(lambda files: {**files, "letters/other.pdf": PDF}) == ["letters/other.pdf: is not on record"]
    assert found(lambda files: {**files, "versions.json": b"{}"}) == [
        "versions.json: differs from the versions that the records name"
    ]


def packed_by_hand(entries: list[tuple[str, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Files as the tools that people have pack them."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name, (2029, 1, 2, 3, 4, 6)), content, compression)
    return packed.getvalue()


def test_changed_file_is_named_after_repacking(dossier: bytes, tmp_path: Path) -> None:
    for name in opened(dossier):
        for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            files = opened(dossier)
            files[name] += b" "
            found = checked(packed_by_hand(list(files.items()), compression), tmp_path)
            assert [fault for fault in found if fault.startswith(f"{name}: changed after")], name


def test_repacked_dossier_is_reported_as_repacked_only(dossier: bytes, tmp_path: Path) -> None:
    (fault,) = checked(packed_by_hand(list(opened(dossier).items())), tmp_path)
    assert fault.startswith("the archive itself is not the one that was made: it was repacked")


def test_data_hidden_in_the_archive_is_found(dossier: bytes, tmp_path: Path) -> None:
    files = list(opened(dossier).items())

    def found(*more: tuple[str, bytes]) -> list[str]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return checked(packed_by_hand([*files, *more]), tmp_path)

    assert found(("../../etc/passwd", b"")) == ["../../etc/passwd: does not belong to this dossier"]
    assert "letters/Lm3x9Q.pdf is in it twice" in found(("letters/Lm3x9Q.pdf", PDF))[0]
    assert "a name that cannot be shown" in found(("x\nThe dossier holds.\x1b[1A", b""))[0]
    assert "it is too large" in found(("more.txt", b"\0" * (MOST_BYTES + 1)))[0]
    squeezed = bytearray(packed_by_hand(files))
    squeezed[squeezed.index(b"manifest.json") + 20] ^= 255
    assert checked(bytes(squeezed), tmp_path)[0].startswith("the file cannot be read as a dossier")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + b"\0" * 40])
def test_file_that_is_no_dossier_is_one_clear_line(content: bytes, tmp_path: Path) -> None:
    (fault,) = checked(content, tmp_path)
    assert fault.startswith("the file cannot be read as a dossier")


async def test_unknown_engagement_has_no_dossier(database: Database) -> None:
    async with database.reading() as session:
        with pytest.raises(LookupError, match="nothing is on record of engagement/r-9"):
            await export(session, "r-9")


def test_bundled_verifier_runs_alone_with_plain_python(dossier: bytes, tmp_path: Path) -> None:
    def run(content: bytes) -> subprocess.CompletedProcess[str]:
        (tmp_path / "verify.py").write_bytes(opened(dossier)["verify.py"])
        (tmp_path / "dossier.zip").write_bytes(content)
        return subprocess.run(
            [sys.executable, "-I", "-S", "verify.py", "dossier.zip"],
            cwd=tmp_path,
            env={},
            capture_output=True,
            text=True,
            check=False,
        )

    good = run(dossier)
    assert (good.returncode, good.stderr) == (0, "")
    bad = run(with_lines(dossier, lambda lines: [*lines[:3], lines[4]]))
    assert bad.returncode == 1
    assert "records.jsonl line 4" in bad.stderr
    assert "Traceback" not in bad.stderr


def test_record_of_a_million_empty_lines_is_refused_at_once(tmp_path: Path) -> None:
    """Each fault is named, up to a limit: the rest of such a file is not worth a reader's time."""
    found = checked(pack({"manifest.json": b"{}", "records.jsonl": b"\n" * 1_000_000}), tmp_path)
    assert len(found) < MOST_FAULTS + 20
    assert any("not checked, after so many faults" in fault for fault in found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    name=st.sampled_from(["records.jsonl", "manifest.json", "checkpoints.json", "versions.json"]),
    key=st.sampled_from(
        [*_HASHED, "hash", "salt", "veiled", "files", "records", "head", "engagement", "number", "root"]
    ),
    value=JSON | st.sampled_from(["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59-23:59", 10**4000]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_crafted_value_anywhere_is_named_as_a_fault(
    dossier: bytes, tmp_path_factory: pytest.TempPathFactory, name: str, key: str, value: object
) -> None:
    """A forger can put any JSON value in any place; the check answers, and never fails itself."""
    files = opened(dossier)
    lines = [json.loads(line) for line in files[name].splitlines()] or [{}]
    changed = [{**line, key: value} if isinstance(line, dict) else [{key: value}] for line in lines]
    assume(changed != lines)
    files[name] = b"".join(
        json.dumps(line, sort_keys=True, separators=(",", ":")).encode() + b"\n" for line in changed
    )
    assert checked(pack(files), tmp_path_factory.mktemp("crafted"))


CHECKPOINT = {
    "number": 1,
    "at": "2028-09-14T13:00:00+00:00",
    "chains": 1,
    "root": "0" * 64,
    "previous": "0" * 64,
}


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00+00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]
)
def test_checkpoint_of_an_impossible_day_is_named_as_a_fault(dossier: bytes, tmp_path: Path, at: str) -> None:
    checkpoint: dict[str, object] = {**CHECKPOINT, "at": at}
    checkpoint["hash"] = sha256(canonical(checkpoint))
    files = {**opened(dossier), "checkpoints.json": canonical([checkpoint])}
    found = checked(covered(files), tmp_path)
    assert found


@pytest.mark.parametrize(
    "changes", [{"data": {"sha256": "0"}, "kind": "letter"}, {"previous": []}, {"chain": {}}]
)
def test_record_with_values_of_the_wrong_type_is_a_fault(
    dossier: bytes, tmp_path: Path, changes: dict[str, object]
) -> None:
    crafted = with_lines(dossier, lambda lines: [rewritten(lines[0], **changes), *lines[1:]])
    assert checked(crafted, tmp_path)
