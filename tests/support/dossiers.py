"""A dossier with records and a letter, as a fixture (a plugin of pytest), and ways to change one."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from database import audit
from database.models import Letter
from database.session import Database
from evidence.dossier import export
from evidence.verifier import canonical, pack, sha256

AT = datetime(2028, 9, 14, 13, 0, tzinfo=UTC)
CLAIM = "claim/r-1/mentor/CPP"
PDF = b"%PDF-1.7 a letter\n%%EOF\n"
VERSIONS = {
    "policy_version": "2024-11",
    "policy_fingerprint": "a" * 64,
    "catalogue_version": "2024-11",
    "catalogue_fingerprint": "b" * 64,
}
Files = dict[str, bytes]


@pytest.fixture
async def dossier(database: Database) -> bytes:
    """The dossier of an engagement with five records and one letter."""
    async with database.begin() as session:
        steps: list[tuple[str, str, dict[str, Any]]] = [
            ("request/r-1", "state", {"state": "accepted"}),
            ("engagement/r-1", "state", {"state": "active"}),
            (CLAIM, "letter", {"letter": "Lm3x9Q", "sha256": hashlib.sha256(PDF).hexdigest()}),
            (CLAIM, "credit", {"status": "ready", "earned": 9, "countable": 9}),
            (CLAIM, "decision", {"inputs": VERSIONS, "domains": ["gestión", "日本"]}),
        ]
        for number, (subject, kind, data) in enumerate(steps):
            words = {"name": "Ana Pérez"} if kind in ("letter", "state") else None
            await audit.append(session, subject, kind, AT + timedelta(hours=number), data, veiled=words)
        session.add(
            Letter(
                id="Lm3x9Q",
                engagement_id="r-1",
                claim=CLAIM,
                kind="confirmation",
                role="mentor",
                locale="en",
                statement="I confirm.",
                document=PDF,
                sha256=hashlib.sha256(PDF).hexdigest(),
                signed_at=AT,
            )
        )
        await audit.append(session, "engagement/other", "state", AT, {"state": "active"})
    async with database.reading() as session:
        return await export(session, "r-1")


def opened(content: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def covered(files: Files) -> bytes:
    """Return the files repacked with a matching manifest, as a forger would."""
    lines = files["records.jsonl"].splitlines()
    manifest = json.loads(files.pop("manifest.json"))
    manifest |= {"records": len(lines), "head": json.loads(lines[-1])["hash"]}
    manifest["files"] = {name: sha256(data) for name, data in files.items()}
    return pack({"manifest.json": canonical(manifest), **files})


def with_lines(content: bytes, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    """The dossier with other records, and a manifest that fits."""
    files = opened(content)
    lines = change(files["records.jsonl"].splitlines())
    return covered({**files, "records.jsonl": b"".join(line + b"\n" for line in lines)})


def rewritten(line: bytes, **changes: object) -> bytes:
    """A record changed, with a hash that fits."""
    record = {**json.loads(line), **changes}
    hashed = {name: record[name] for name in record if name not in ("hash", "salt", "veiled")}
    return canonical({**record, "hash": sha256(canonical(hashed))})
