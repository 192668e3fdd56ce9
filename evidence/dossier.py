"""The dossier of an engagement: its whole record and its letters, to be verified offline (CPE11, CPE12)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.audit import chain_of, confidential_chain, content
from database.models import AuditRecord, Letter
from evidence import verifier
from evidence.checkpoints import leading_to
from evidence.verifier import FORMAT, canonical, pack, sha256

_ABOUT_CREDIT: Final = ("act", "decision", "letter", "state")

_VERIFIER: Final = Path(verifier.__file__).read_bytes()

README: Final = """\
Dossier of {engagement}

  records.jsonl     what happened, one record a line, in order: canonical JSON (RFC 8785)
  letters/          the letters and certificates, byte for byte
  versions.json     the versions of policy and catalogue by which each claim was decided, with their SHA-256
  checkpoints.json  the checkpoints since the first that saw this record, one linked to the next, each with a proof
  manifest.json     the SHA-256 of each file, the number of records, and the hash of the last one
  verify.py         checks all this offline:  python3 -I verify.py THIS.zip

How the record holds together. Each record has a hash, the SHA-256 of its canonical JSON without the keys "hash",
"salt" and "veiled", and names the hash of the record before it ("previous"). The record of a letter names the SHA-256
of its file. So no change, removal, addition or move goes unnoticed. A document that was erased for a person's sake is
missing: a later record, with the act "erase letter", says so.

Words that may be personal, such as names and reasons, are not hashed themselves: the hash covers their digest
("veil"), the SHA-256 of the canonical JSON of salt and words. They can be erased, and the record still holds. Only
those about claims are in this dossier.

The record alone cannot show that its last records are present, or that it was not rewritten as a whole. For that the
program takes a checkpoint on each day on which something happened: one hash over the last records of all engagements
and the checkpoint before it. It is mailed to the program's staff, who keep it. Ask them for one, and run

  python3 -I verify.py THIS.zip HASH

The result says how many records the checkpoint covers. Those existed when it was taken, as they are here. A
checkpoint's hash is the SHA-256 of its canonical JSON without the keys "hash" and "proof". Its "root" is that of a
binary tree: a leaf is the SHA-256 of a byte 0 and the canonical JSON of [chain, number of its last record, hash of
that], an inner node that of a byte 1 and the two nodes below it, and a proof names the neighbors on the way up.

Compare the last hash with the one that the program gives you, and each letter with the address printed on it:

  {head}
"""


async def export(session: AsyncSession, engagement: str, *, confidential: bool = False) -> bytes:
    """Return the dossier of an engagement, by its id or its workflow id, as a ZIP archive.

    The same record gives the same bytes. With `confidential`, it is that of reports and pauses, for staff only, with
    every word (ENG8). Raises LookupError if nothing is on record.
    """
    workflow = engagement if "/" in engagement else f"engagement/{engagement}"
    chain = confidential_chain(workflow) if confidential else chain_of(workflow)
    found = await session.scalars(
        select(AuditRecord).where(AuditRecord.chain == chain).order_by(AuditRecord.sequence)
    )
    records = [_line(record, with_words=confidential) for record in found]
    if not records:
        raise LookupError(f"nothing is on record of {chain}")
    of_engagement = select(Letter).where(Letter.engagement_id == chain.partition("/")[2]).order_by(Letter.id)
    letters = () if confidential else (await session.scalars(of_engagement)).all()
    head = str(records[-1]["hash"])
    files = {
        "README.txt": README.format(engagement=chain, head=head).encode(),
        "records.jsonl": b"".join(canonical(record) + b"\n" for record in records),
        "versions.json": canonical(verifier.versions(records)),
        "checkpoints.json": canonical(await leading_to(session, chain)),
        "verify.py": _VERIFIER,
        **{f"letters/{letter.id}.pdf": letter.document for letter in letters if letter.document},
    }
    manifest = {
        "format": FORMAT,
        "engagement": chain,
        "records": len(records),
        "head": head,
        "files": {name: sha256(data) for name, data in files.items()},
    }
    return pack({"manifest.json": canonical(manifest), **files})


def _line(record: AuditRecord, *, with_words: bool = False) -> dict[str, Any]:
    line = {**content(record), "hash": record.hash}
    of_credit = record.subject.startswith("claim/") or record.kind == "letter"
    if record.veiled is not None and (with_words or (of_credit and record.kind in _ABOUT_CREDIT)):
        line |= {"veiled": record.veiled, "salt": record.salt}
    return line
