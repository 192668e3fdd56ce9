"""The audit record: an append-only chain of hashes per subject (STA3, CPE11)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain as chained
from typing import Any

import rfc8785
from sqlalchemy import and_, bindparam, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, object_session

from database import outbox
from database.models import AuditRecord
from rules.engagement.confidentiality import is_confidential
from rules.kinds import kind_of, parts_of
from rules.text import ERASED

GENESIS = "0" * 64

_APPENDED = "appended"
"""What a session's `info` has the records under that it appended, by chain."""

_HEADS = "heads"
"""What a session's `info` has the last record of a chain under as it was read under the chain's lock."""

_ABSENT = "absent"
"""What a session's `info` has the subjects and kinds under of which there was no record."""

CONFIDENTIAL = "misconduct/"
"""The chains of what the parties of an engagement must not learn begin with this; its id follows (ENG8)."""


def chain_of(subject: str) -> str:
    """Return the chain of a subject's records: its engagement, for everything that belongs to one request."""
    kind = kind_of(subject)
    return f"engagement/{parts_of(subject)[0]}" if kind and kind.of_engagement else subject


def confidential_chain(engagement: str) -> str:
    """Return the chain that no dossier for outsiders has, of an engagement by its workflow id (ENG8)."""
    return f"{CONFIDENTIAL}{parts_of(engagement)[0]}"


def _chain_for(subject: str, kind: str, data: Mapping[str, Any]) -> str:
    apart = is_confidential(subject, kind, data)
    return confidential_chain(subject) if apart else chain_of(subject)


def digest(value: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a value's canonical JSON (RFC 8785), in hexadecimal digits."""
    return hashlib.sha256(rfc8785.dumps(dict(value))).hexdigest()


class _ErasedWords(dict[str, Any]):
    """Words that are gone, whatever they were."""

    def get(self, key: str, default: Any = None) -> Any:
        return ERASED


def words_of(record: AuditRecord) -> Mapping[str, Any]:
    """Return the words of a record; `erased` for each of them once they are (STA5)."""
    if record.veil is not None and record.veiled is None:
        return _ErasedWords()
    return record.veiled or {}


def content(record: AuditRecord) -> dict[str, Any]:
    """Return the part of a record that its hash covers; an exported dossier holds the same."""
    return {
        "chain": record.chain,
        "sequence": record.sequence,
        "subject": record.subject,
        "at": record.at.astimezone(UTC).isoformat(),
        "kind": record.kind,
        "data": record.data,
        "actor": record.actor,
        "veil": record.veil,
        "previous": record.previous,
    }


# Built once: these statements run for each append or look-up, many thousand times.
_LAST = (
    select(AuditRecord)
    .where(AuditRecord.chain == bindparam("chain"))
    .order_by(AuditRecord.sequence.desc())
    .limit(1)
)
_OTHER = aliased(AuditRecord)
IS_LAST = and_(
    AuditRecord.chain == bindparam("chain"),
    AuditRecord.sequence
    == select(func.max(_OTHER.sequence)).where(_OTHER.chain == bindparam("chain")).scalar_subquery(),
)
"""The condition of the last record of a chain, for a statement that reads it with something else."""
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:chain, 0))")
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:chain, 0))")
_OF_KINDS = and_(
    AuditRecord.subject == bindparam("subject"), AuditRecord.kind.in_(bindparam("kinds", expanding=True))
)
_RECORDS = select(AuditRecord.kind, AuditRecord.data).where(_OF_KINDS)
_WITH_HEAD = select(
    AuditRecord.kind, AuditRecord.data, AuditRecord.subject, IS_LAST, AuditRecord.sequence, AuditRecord.hash
).where(or_(_OF_KINDS, IS_LAST))


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """The last record of a chain, as the one after it needs it."""

    sequence: int
    hash: str


async def records_of(session: AsyncSession, subject: str, kind: str) -> Sequence[dict[str, Any]]:
    """Return the data of a subject's records of one kind."""
    return (await records_by_kind(session, subject, kind))[kind]


async def records_by_kind(
    session: AsyncSession, subject: str, *kinds: str
) -> Mapping[str, Sequence[dict[str, Any]]]:
    """Return the data of a subject's records of some kinds, by kind."""
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    for kind, data in await session.execute(_RECORDS, {"subject": subject, "kinds": kinds}):
        found[kind].append(data)
    return found


async def records_with_head(
    session: AsyncSession, subject: str, *kinds: str
) -> dict[str, list[dict[str, Any]]]:
    """Return what `records_by_kind` does, and read the head of the subject's chain with it: `append` needs it next.

    The transaction has the chain's lock.
    """
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    chain = chain_of(subject)
    values = {"subject": subject, "kinds": kinds, "chain": chain}
    for kind, data, about, is_last, sequence, hash in await session.execute(_WITH_HEAD, values):
        if is_last:
            know_head(session, chain, ChainEnd(sequence, hash))
        if about == subject and kind in found:
            found[kind].append(data)
    absent = {(subject, kind) for kind, data in found.items() if not data}
    session.info.setdefault(_ABSENT, set()).update(absent)
    return found


def has_none(session: AsyncSession, subject: str, kind: str) -> bool:
    """Return whether a transaction knows, by `records_with_head`, that a subject has no record of a kind."""
    return (subject, kind) in session.info.get(_ABSENT, ()) and not appended(session, subject, kind)


async def lock(session: AsyncSession, subject: str) -> None:
    """Take the lock of a subject's chain, until the transaction ends.

    A transaction that appends takes it before it locks rows of the lifecycle: lifecycle, messages, tasks. Who took
    rows first would wait for the chain while another has the chain and waits for the rows. SQLite has one writer at a
    time, and needs none.
    """
    if session.get_bind().dialect.name == "postgresql":
        # Changes that wait in the session would lock their rows before the chain.
        with session.no_autoflush:
            await session.execute(_LOCK, {"chain": chain_of(subject)})


async def try_lock(session: AsyncSession, subject: str) -> bool:
    """Take the lock of a subject's chain if nobody has it, and return whether it was free."""
    if session.get_bind().dialect.name != "postgresql":
        return True
    return bool(await session.scalar(_TRY_LOCK, {"chain": chain_of(subject)}))


# long: the columns of a record
async def append(
    session: AsyncSession,
    subject: str,
    kind: str,
    at: datetime,
    data: Mapping[str, Any],
    *,
    actor: str | None = None,
    veiled: Mapping[str, Any] | None = None,
    also: Mapping[str, Any] | None = None,
) -> AuditRecord:
    """Append a record to the chain of `subject`, or to the confidential one of its engagement (ENG8).

    `at` is program time. `veiled` holds personal words: the hash covers only their salted digest, so that they can be
    erased. `also` has ids for the event that goes out, where an endpoint wants one.
    """
    chain = _chain_for(subject, kind, data)
    await lock(session, subject)
    last = await _last(session, chain)
    salt = secrets.token_hex(16) if veiled else None
    record = AuditRecord(
        chain=chain,
        sequence=last.sequence + 1 if last else 1,
        subject=subject,
        at=at,
        kind=kind,
        data=dict(data),
        actor=actor,
        veiled=dict(veiled) if veiled else None,
        salt=salt,
        veil=digest({"salt": salt, "veiled": dict(veiled)}) if veiled else None,
        previous=last.hash if last else GENESIS,
    )
    record.hash = digest(content(record))
    session.add(record)
    session.info.setdefault(_APPENDED, {}).setdefault(chain, []).append(record)
    if not chain.startswith(CONFIDENTIAL):
        await outbox.put(session, record, also or {})
    return record


def know_head(session: AsyncSession, chain: str, head: ChainEnd) -> None:
    """Note the last record of a chain, read by a transaction that has its lock: it is not read again."""
    session.info.setdefault(_HEADS, {}).setdefault(chain, head)


def appended(session: AsyncSession, subject: str, kind: str) -> list[AuditRecord]:
    """Return the records of a subject that a transaction has appended so far, in their order within each chain."""
    chains: dict[str, list[AuditRecord]] = session.info.get(_APPENDED, {})
    records = chained.from_iterable(chains.values())
    return [each for each in records if each.subject == subject and each.kind == kind]


async def _last(session: AsyncSession, chain: str) -> AuditRecord | ChainEnd | None:
    """Return the last record of a chain, whose lock the transaction has.

    What this transaction has appended is the last, unless a savepoint took it back: that leaves it in no session.
    """
    own: list[AuditRecord] = session.info.get(_APPENDED, {}).get(chain, [])
    if own and object_session(own[-1]) is session.sync_session:
        return own[-1]
    if not own and (head := session.info.get(_HEADS, {}).get(chain)):
        known: ChainEnd = head
        return known
    return await session.scalar(_LAST, {"chain": chain})


def without_stand_ins(records: Iterable[AuditRecord]) -> Iterator[AuditRecord]:
    """Yield records in order, without the pauses that stand for a suspension where the parties may read (ENG8)."""
    suspended: set[tuple[str, str]] = set()
    for record in records:
        if record.kind == "state":
            place = record.subject, str(record.data.get("due"))
            if record.chain.startswith(CONFIDENTIAL):
                suspended.add(place)
            elif record.data.get("state") == "paused" and place in suspended:
                continue
        yield record


def breaks(records: Iterable[AuditRecord]) -> list[str]:
    """Return what is wrong with a chain, record by record; empty if the chain is intact."""
    found: list[str] = []
    previous, expected = GENESIS, 1
    for record in records:
        where = f"{record.chain} record {record.sequence}"
        if record.sequence != expected:
            found.append(f"{where}: record {expected} should stand here")
        if record.previous != previous:
            found.append(f"{where}: does not follow the record before it")
        if record.hash != digest(content(record)):
            found.append(f"{where}: changed after it was written")
        if record.veiled is not None and record.veil != digest(
            {"salt": record.salt, "veiled": record.veiled}
        ):
            found.append(f"{where}: its words were changed after it was written")
        previous, expected = record.hash, record.sequence + 1
    return found
