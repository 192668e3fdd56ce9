"""Checks a dossier offline, with nothing but Python's standard library: `python3 -I verify.py DOSSIER.zip`.

A copy of this file is in every dossier, as verify.py. Use one from a source that you trust: whoever could change a
dossier could change the copy in it, too.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
import zipfile
from pathlib import Path

FORMAT = 1
GENESIS = "0" * 64
EPOCH = (1980, 1, 1, 0, 0, 0)
MOST_BYTES = 500_000_000
_LETTER = re.compile(r"letters/([A-Za-z0-9_-]+)\.pdf")
_HASHED = ("chain", "sequence", "subject", "at", "kind", "data", "actor", "veil", "previous")
_VERSIONS = ("policy_version", "policy_fingerprint", "catalogue_version", "catalogue_fingerprint")


def canonical(value: object) -> bytes:
    """The canonical JSON of a value without fractions (RFC 8785)."""
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    ).encode()


def sha256(content: bytes) -> str:
    """The SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def pack(files: dict[str, bytes]) -> bytes:
    """Files as a ZIP archive: the same files always give the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, content)
    return packed.getvalue()


def verify(path: str | Path) -> list[str]:
    """What is wrong with a dossier, each with its place; empty if it holds. Raises OSError if it cannot be read."""
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
    ) as error:
        return [f"the file cannot be read as a dossier: {error}"]
    found: list[str] = []
    manifest = _manifest(files, found)
    records = _records(files.get("records.jsonl", b""), found)
    if manifest is not None:
        _check_manifest(manifest, files, records, found)
    _check_letters(files, records, found)
    _check_versions(files, records, found)
    if not found and pack(files) != raw:
        found.append("the archive itself was altered: it holds more than its files")
    return found


def _unpack(raw: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > MOST_BYTES:
            raise ValueError("it is too large")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("it is packed in another way")
        names = [entry.filename for entry in entries]
        if len(set(names)) != len(names):
            raise ValueError("a file is in it twice")
        return {entry.filename: archive.read(entry) for entry in entries}


def _manifest(files: dict[str, bytes], found: list[str]) -> dict[str, object] | None:
    content = files.get("manifest.json")
    if content is None:
        found.append("manifest.json: is missing")
        return None
    try:
        manifest = json.loads(content)
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or canonical(manifest) != content:
        found.append("manifest.json: changed after it was written")
        return None
    return manifest


def _records(content: bytes, found: list[str]) -> list[dict[str, object]]:
    """The records that can be read; what is wrong with each, and with their order, is told."""
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
        record = _record(text)
        if record is None:
            found.append(f"{where}: changed after it was written")
            before = None
            continue
        where = f"{where}, record {record['sequence']}"
        records.append(record)
        if record["previous"] in seen:
            found.append(f"{where}: forks the chain, beside the record of line {seen[record['previous']]}")
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
    try:
        record = json.loads(text)
    except ValueError:
        return None
    names = {*_HASHED, "hash"}
    if not isinstance(record, dict) or not names <= set(record) <= names | {"salt", "veiled"}:
        return None
    return record if canonical(record) == text else None


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
    told = (manifest.get("engagement"), manifest.get("records"), manifest.get("head"))
    if told != (last.get("chain"), len(records), last.get("hash")):
        found.append("manifest.json: the records are not all that it tells of; the last ones may be missing")


def _check_letters(files: dict[str, bytes], records: list[dict[str, object]], found: list[str]) -> None:
    made: dict[str, object] = {}
    for record in records:
        data = record["data"]
        if record["kind"] == "letter" and isinstance(data, dict) and "sha256" in data:
            made[str(data["letter"])] = data["sha256"]
    present = {match[1]: name for name in files if (match := _LETTER.fullmatch(name))}
    for letter, fingerprint in made.items():
        name = f"letters/{letter}.pdf"
        if letter not in present:
            found.append(f"{name}: is missing, though it is on record")
        elif sha256(files[name]) != fingerprint:
            found.append(f"{name}: is not the letter that is on record")
    found += [f"{name}: is not on record" for letter, name in present.items() if letter not in made]


def _check_versions(files: dict[str, bytes], records: list[dict[str, object]], found: list[str]) -> None:
    if files.get("versions.json") != canonical(versions(records)):
        found.append("versions.json: does not tell the versions that the records name")


def versions(records: list[dict[str, object]]) -> dict[str, dict[str, object]]:
    """The versions of policy and catalogue by which each claim was last decided, with their fingerprints."""
    known: dict[str, dict[str, object]] = {}
    for record in records:
        data = record["data"]
        if record["kind"] == "decision" and isinstance(data, dict) and isinstance(data.get("inputs"), dict):
            known[str(record["subject"])] = {name: data["inputs"].get(name) for name in _VERSIONS}
    return known


def main(arguments: list[str]) -> int:
    """The command: 0 if the dossier holds, 1 if it does not, 2 for wrong usage."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python3 -I verify.py DOSSIER.zip\n")
        return 2
    try:
        found = verify(arguments[0])
    except OSError as error:
        sys.stderr.write(f"{arguments[0]}: {error.strerror}\n")
        return 1
    for fault in found:
        sys.stderr.write(f"{fault}\n")
    if not found:
        sys.stdout.write("The dossier holds: every record and letter is as it was written.\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
