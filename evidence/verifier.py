"""Check a dossier offline, with nothing but Python's standard library: `python3 -I verify.py DOSSIER.zip [HASH]`.

With the hash of a checkpoint that the program mailed, it also checks that the record was not rewritten since.

A copy of this file is in every dossier, as verify.py. Use one from a source that you trust: anybody who could change a
dossier could change the copy in it, too.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
import zipfile
import zlib
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

ERASED_LETTER = "erase letter"
"""The act of the record that says why a document is missing (STA5)."""

FORMAT = 1
GENESIS = "0" * 64
EPOCH = (1980, 1, 1, 0, 0, 0)
MOST_BYTES = 100_000_000
MOST_FAULTS = 100
"""Most faults of a record that are listed: what comes after so many is no record at all."""
_LETTER = re.compile(r"letters/([A-Za-z0-9_-]+)\.pdf")
_HASHED = ("chain", "sequence", "subject", "at", "kind", "data", "actor", "veil", "previous")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TYPED = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{8}\s*){8}(?![0-9a-f])")
_CHECKPOINT = ("number", "at", "chains", "root", "previous")
_MADE_LATE = timedelta(days=1)
_VERSIONS = ("policy_version", "policy_fingerprint", "catalogue_version", "catalogue_fingerprint")


def canonical(value: object) -> bytes:
    """Return the canonical JSON of a value without fractions (RFC 8785)."""
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    ).encode()


def sha256(content: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def pack(files: dict[str, bytes]) -> bytes:
    """Return files as a ZIP archive: the same files always give the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, content)
    return packed.getvalue()


def leaf(chain: str, sequence: int, head: str) -> str:
    """Return the leaf of a chain in the tree of a checkpoint."""
    return hashlib.sha256(b"\x00" + canonical([chain, sequence, head])).hexdigest()


def joined(left: str, right: str) -> str:
    """Return the node above two neighbours in the tree of a checkpoint."""
    return hashlib.sha256(b"\x01" + bytes.fromhex(left) + bytes.fromhex(right)).hexdigest()


def hash_in(text: str) -> str:
    """Return the one hash in a text, such as the mail of a checkpoint. Raises ValueError unless there is one."""
    found = {re.sub(r"\s", "", match[0]) for match in _TYPED.finditer(text.lower())}
    if len(found) != 1:
        raise ValueError("a checkpoint is named by its hash, of 64 digits from 0 to 9 and a to f")
    return found.pop()


def verify(path: str | Path, checkpoint: str = "") -> list[str]:
    """Return what is wrong with a dossier, each with its place; empty if it verifies. Raises OSError.

    `checkpoint` is the hash of one that was kept elsewhere, to compare the record with.
    """
    return examine(path, checkpoint)[0]


def examine(path: str | Path, checkpoint: str = "") -> tuple[list[str], str]:
    """Do as `verify`; return also how much of the record the checkpoint covers, in words. Raises OSError."""
    raw = Path(path).read_bytes()
    try:
        files = _unpack(raw)
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OverflowError,
        EOFError,
        zlib.error,
    ) as error:
        return [f"the file cannot be read as a dossier: {error}"], ""
    found: list[str] = []
    manifest = _manifest(files, found)
    records = _records(files.get("records.jsonl", b""), found)
    if manifest is not None:
        _check_manifest(manifest, files, records, found)
    _check_letters(files, records, found)
    _check_versions(files, records, found)
    covered = _check_checkpoints(files, records, checkpoint, found)
    if not found and pack(files) != raw:
        found.append(
            "the archive itself is not the one that was made: it was repacked, or holds more than its files"
        )
    return found, covered


def _unpack(raw: bytes) -> dict[str, bytes]:
    """Return the files of an archive, even of one that other tools repacked, so that each change can be named."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > MOST_BYTES:
            raise ValueError("it is too large")
        if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
            raise ValueError("it is packed in another way")
        names = [entry.filename for entry in entries]
        if not all(name.isprintable() for name in names):
            raise ValueError("a file in it has a name that cannot be shown")
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise ValueError(f"{', '.join(twice)} is in it twice")
        return {entry.filename: archive.read(entry) for entry in entries}


def _exact(content: bytes) -> Any:
    """Return a JSON value that is written in its canonical form, None for anything else."""
    try:
        value = json.loads(content)
        return value if canonical(value) == content else None
    except (ValueError, RecursionError):
        # NaN, numbers of thousands of digits, half a surrogate pair, brackets nested by the thousand
        return None


def _manifest(files: dict[str, bytes], found: list[str]) -> dict[str, object] | None:
    content = files.get("manifest.json")
    if content is None:
        found.append("manifest.json: is missing")
        return None
    manifest = _exact(content)
    if not isinstance(manifest, dict):
        found.append("manifest.json: changed after it was written")
        return None
    return manifest


def _records(content: bytes, found: list[str]) -> list[dict[str, object]]:
    """Return the records that can be read; add to `found` what is wrong with each and with their order."""
    records: list[dict[str, object]] = []
    if not content:
        found.append("records.jsonl: is missing or empty")
        return records
    if not content.endswith(b"\n"):
        found.append("records.jsonl: its end is missing")
    seen: dict[object, int] = {}
    before: str | None = GENESIS
    for line, text in enumerate(content.removesuffix(b"\n").split(b"\n"), start=1):
        where = f"records.jsonl line {line}"
        if len(found) >= MOST_FAULTS:
            found.append(f"{where}: this line and those behind it are not checked, after so many faults")
            break
        record = _record(text)
        if record is None:
            found.append(f"{where}: changed after it was written")
            before = None
            continue
        where = f"{where}, record {record['sequence']}"
        records.append(record)
        if record["previous"] in seen:
            found.append(f"{where}: forks the chain, as the record of line {seen[record['previous']]}")
        seen[record["previous"]] = line
        if record["sequence"] != line:
            found.append(f"{where}: record {line} should stand here; one was removed, added or moved")
        if before is not None and record["previous"] != before:
            found.append(f"{where}: does not follow the record before it")
        if record["chain"] != records[0]["chain"]:
            found.append(f"{where}: belongs to another chain")
        if record["hash"] != sha256(canonical({name: record[name] for name in _HASHED})):
            found.append(f"{where}: changed after it was written")
        if "veiled" in record:
            words = {"salt": record.get("salt"), "veiled": record["veiled"]}
            if record["veil"] != sha256(canonical(words)):
                found.append(f"{where}: its words were changed after they were written")
        before = str(record["hash"])
    return records


def _record(text: bytes) -> dict[str, object] | None:
    record = _exact(text)
    names = {*_HASHED, "hash"}
    if not isinstance(record, dict) or not names <= set(record) <= names | {"salt", "veiled"}:
        return None
    texts = all(
        isinstance(record[name], str) for name in ("chain", "subject", "at", "kind", "previous", "hash")
    )
    return record if texts and type(record["sequence"]) is int else None


def _check_manifest(
    manifest: dict[str, object], files: dict[str, bytes], records: list[dict[str, object]], found: list[str]
) -> None:
    if manifest.get("format") != FORMAT:
        found.append(f"manifest.json: its format is not {FORMAT}, the one that this program reads")
    listed = manifest.get("files")
    expected = listed if isinstance(listed, dict) else {}
    for name in sorted(expected.keys() | files.keys() - {"manifest.json"}):
        if name not in files:
            found.append(f"{name}: is missing")
        elif name not in expected:
            found.append(f"{name}: does not belong to this dossier")
        elif sha256(files[name]) != expected[name]:
            found.append(f"{name}: changed after the dossier was made")
    last = records[-1] if records else {}
    claimed = (manifest.get("engagement"), manifest.get("records"), manifest.get("head"))
    if claimed != (last.get("chain"), len(records), last.get("hash")):
        found.append("manifest.json: it lists other records than these; the last ones may be missing")


def _check_letters(files: dict[str, bytes], records: list[dict[str, object]], found: list[str]) -> None:
    made: dict[str, object] = {}
    erased: set[str] = set()
    for record in records:
        data = record["data"]
        if record["kind"] == "letter" and isinstance(data, dict) and "sha256" in data:
            made[str(data.get("letter"))] = data["sha256"]
        elif record["kind"] == "act" and isinstance(data, dict) and data.get("act") == ERASED_LETTER:
            erased.add(str(data.get("letter")))
    present = {match[1]: name for name in files if (match := _LETTER.fullmatch(name))}
    for letter, fingerprint in made.items():
        name = f"letters/{letter}.pdf"
        if letter not in present:
            if letter not in erased:
                found.append(f"{name}: is missing, though it is on record")
        elif sha256(files[name]) != fingerprint:
            found.append(f"{name}: is not the letter that is on record")
    found += [f"{name}: is not on record" for letter, name in present.items() if letter not in made]


def _check_versions(files: dict[str, bytes], records: list[dict[str, object]], found: list[str]) -> None:
    if files.get("versions.json") != canonical(versions(records)):
        found.append("versions.json: differs from the versions that the records name")


def _check_checkpoints(
    files: dict[str, bytes], records: list[dict[str, object]], wanted: str, found: list[str]
) -> str:
    """Compare the record with its checkpoints, up to the wanted one or the last; return what that covers, in words."""
    name = "checkpoints.json"
    content = files.get(name)
    checkpoints = _checkpoints(content) if content is not None else []
    if checkpoints is None:
        found.append(f"{name}: changed after it was written")
        return ""
    until, covered = None, 0
    before: dict[str, object] | None = None
    for each in checkpoints:
        where = f"{name}: checkpoint {each['number']}"
        if each["hash"] != sha256(canonical({key: each[key] for key in _CHECKPOINT})):
            found.append(f"{where}: changed after it was made")
        if before is not None and each["previous"] != before["hash"]:
            found.append(f"{where}: does not follow the checkpoint before it")
        before = each
        if "proof" in each:
            seen = _check_proof(each, records, where, found)
            covered = seen if seen and until is None else covered
        else:
            found.append(f"{where}: carries no proof of this record, so it may have seen more of it")
        if each["hash"] == wanted:
            until = each
    if wanted and until is None:
        found.append(
            f"{name}: nothing leads to checkpoint {wanted}: the record is not the one that it saw, or began later"
        )
        return ""
    last = until or before
    if last is None:
        return ""
    at = datetime.fromisoformat(str(last["at"]))
    for line, record in enumerate(records, start=1):
        if line > covered and _at(record) < at - _MADE_LATE:
            found.append(
                f"records.jsonl line {line}, record {record['sequence']}: "
                f"is older than checkpoint {last['number']}, which did not see it"
            )
    return f"checkpoint {last['number']}, of {at.date()}, covers {covered} of {len(records)} records"


def _checkpoints(content: bytes) -> list[dict[str, object]] | None:
    """Return the checkpoints of a dossier, None unless they have their original form."""
    checkpoints = _exact(content)
    if not isinstance(checkpoints, list):
        return None
    return checkpoints if all(_is_checkpoint(each) for each in checkpoints) else None


def _is_checkpoint(value: object) -> bool:
    names = {*_CHECKPOINT, "hash"}
    if not isinstance(value, dict) or not names <= set(value) <= names | {"proof"}:
        return False
    if not all(_is_hash(value[name]) for name in ("root", "previous", "hash")):
        return False
    if not isinstance(value["number"], int) or _instant(value["at"]) is None:
        return False
    proof = value.get("proof", {"sequence": 1, "head": GENESIS, "path": []})
    return (
        isinstance(proof, dict)
        and set(proof) == {"sequence", "head", "path"}
        and isinstance(proof["sequence"], int)
        and _is_hash(proof["head"])
        and isinstance(proof["path"], list)
        and all(
            isinstance(step, list) and len(step) == 2 and step[0] in ("left", "right") and _is_hash(step[1])
            for step in proof["path"]
        )
    )


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _instant(value: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    # A day before the first of all days cannot be computed.
    return at if at.tzinfo and at.year > 1 else None


def _at(record: dict[str, object]) -> datetime:
    """Return when a record was made; one without a time counts as old."""
    return _instant(record["at"]) or datetime.fromisoformat("0001-01-02T00:00:00+00:00")


def _check_proof(
    checkpoint: dict[str, object], records: list[dict[str, object]], where: str, found: list[str]
) -> int:
    """Return how many records a checkpoint covers, 0 if the record is not the one that it was taken of."""
    proof: dict[str, Any] = dict(checkpoint["proof"])  # type: ignore[call-overload]
    sequence, head = int(proof["sequence"]), str(proof["head"])
    node = leaf(str(records[0]["chain"]) if records else "", sequence, head)
    for side, other in proof["path"]:
        node = joined(other, node) if side == "left" else joined(node, other)
    if node != checkpoint["root"]:
        found.append(f"{where}: its proof does not fit")
        return 0
    if head not in [record["hash"] for record in records if record["sequence"] == sequence]:
        found.append(f"{where}: saw another record {sequence}: the record was rewritten since then")
        return 0
    return sequence


def versions(records: list[dict[str, object]]) -> dict[str, dict[str, object]]:
    """Return the versions of policy and catalogue by which each claim was last decided, with their fingerprints."""
    known: dict[str, dict[str, object]] = {}
    for record in records:
        data = record["data"]
        if record["kind"] == "decision" and isinstance(data, dict) and isinstance(data.get("inputs"), dict):
            known[str(record["subject"])] = {name: data["inputs"].get(name) for name in _VERSIONS}
    return known


def main(arguments: list[str]) -> int:
    """Run the command; return 0 if the dossier verifies, 1 if not, 2 for wrong usage."""
    if len(arguments) not in (1, 2):
        sys.stderr.write("usage: python3 -I verify.py DOSSIER.zip [HASH]\n")
        return 2
    try:
        checkpoint = hash_in(arguments[1]) if len(arguments) == 2 else ""
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        found, covered = examine(arguments[0], checkpoint)
    except OSError as error:
        sys.stderr.write(f"{arguments[0]}: {error.strerror}\n")
        return 1
    for fault in found:
        sys.stderr.write(f"{fault}\n")
    if not found:
        sys.stdout.write("The dossier holds: every record and letter is as it was written.\n")
        if covered:
            sys.stdout.write(f"{covered[0].upper()}{covered[1:]}.\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
