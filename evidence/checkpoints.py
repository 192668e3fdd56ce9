"""Checkpoints of all chains of the audit record, so that no chain can be rewritten unnoticed (CPE11).

A chain of hashes shows any change within it. It does not show that somebody with access to the database rewrote the
whole chain. A checkpoint is one hash over the heads of all chains, linked to the checkpoint before it. Its hash is
mailed out, and from then on binds every record that was there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from database.audit import GENESIS
from database.models import AuditRecord, Checkpoint, CheckpointHead
from evidence.verifier import canonical, joined, leaf, sha256

OF_CHECKPOINTS = "checkpoint/"
"""The chains of the mails about checkpoints begin with this. No checkpoint covers them: each would cause the next."""


# A dossier has a proof for each day, and most nodes of a day's tree are those of the day before.
_leaf = lru_cache(maxsize=65_536)(leaf)
_joined = lru_cache(maxsize=131_072)(joined)


class Head(NamedTuple):
    """The number and the hash of the last record of a chain."""

    sequence: int
    hash: str


async def newest(session: AsyncSession) -> Checkpoint | None:
    """Return the last checkpoint, if there is one."""
    return await session.scalar(select(Checkpoint).order_by(Checkpoint.number.desc()).limit(1))


async def take(session: AsyncSession, at: datetime) -> Checkpoint | None:
    """Take a checkpoint at an instant; return None if no chain has a new record since the last one."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('checkpoints', 0))"))
    last, known, now = await newest(session), await _known(session), await _heads(session)
    changed = {chain: head for chain, head in now.items() if known.get(chain) != head}
    if not changed:
        return None
    heads = {**known, **changed}
    row = Checkpoint(
        number=last.number + 1 if last else 1,
        at=at,
        chains=len(heads),
        root=_tree(heads)[-1][0],
        previous=last.hash if last else GENESIS,
    )
    row.hash = sha256(canonical(_header(row)))
    session.add(row)
    await session.flush()
    session.add_all(
        CheckpointHead(number=row.number, chain=chain, sequence=head.sequence, head=head.hash)
        for chain, head in sorted(changed.items())
    )
    await session.flush()
    return row


async def altered(session: AsyncSession) -> list[str]:
    """Return the chains, sorted, that have lost the record that the last checkpoint found at their end."""
    last = _last_seen().subquery()
    found = await session.scalars(
        select(CheckpointHead.chain)
        .join(last, and_(CheckpointHead.chain == last.c.chain, CheckpointHead.number == last.c.number))
        .outerjoin(
            AuditRecord,
            and_(AuditRecord.chain == CheckpointHead.chain, AuditRecord.sequence == CheckpointHead.sequence),
        )
        .where(or_(AuditRecord.hash.is_(None), AuditRecord.hash != CheckpointHead.head))
    )
    return sorted(found)


async def unfounded(session: AsyncSession, checkpoint: Checkpoint) -> bool:
    """Return whether the stored heads no longer give the root of the last checkpoint: somebody changed them."""
    known = await _known(session)
    return len(known) != checkpoint.chains or not known or _tree(known)[-1][0] != checkpoint.root


async def leading_to(session: AsyncSession, chain: str) -> list[dict[str, Any]]:
    """Return the checkpoints since the first that covers a chain, each with a proof of its head then, for a dossier."""
    first = await session.scalar(select(func.min(CheckpointHead.number)).where(CheckpointHead.chain == chain))
    if first is None:
        return []
    heads = await session.scalars(
        select(CheckpointHead).order_by(CheckpointHead.number, CheckpointHead.chain)
    )
    known: dict[str, Head] = {}
    proofs: dict[int, dict[str, Any]] = {}
    for number, changed in groupby(heads, key=lambda head: head.number):
        known |= {head.chain: Head(head.sequence, head.head) for head in changed}
        if number >= first:
            proofs[number] = _proof(known, chain)
    rows = await session.scalars(
        select(Checkpoint).where(Checkpoint.number >= first).order_by(Checkpoint.number)
    )
    return [
        {**_header(row), "hash": row.hash} | ({"proof": proofs[row.number]} if row.number in proofs else {})
        for row in rows
    ]


def _header(row: Checkpoint) -> dict[str, Any]:
    """Return what a checkpoint's hash covers."""
    return {
        "number": row.number,
        "at": row.at.astimezone(UTC).isoformat(),
        "chains": row.chains,
        "root": row.root,
        "previous": row.previous,
    }


def _last_seen() -> Select[str, int]:
    return select(CheckpointHead.chain, func.max(CheckpointHead.number).label("number")).group_by(
        CheckpointHead.chain
    )


async def _known(session: AsyncSession) -> dict[str, Head]:
    """Return the head of each chain at the last checkpoint."""
    last = _last_seen().subquery()
    rows = await session.scalars(
        select(CheckpointHead).join(
            last, and_(CheckpointHead.chain == last.c.chain, CheckpointHead.number == last.c.number)
        )
    )
    return {row.chain: Head(row.sequence, row.head) for row in rows}


async def _heads(session: AsyncSession) -> dict[str, Head]:
    """Return the head of each chain now."""
    last = (
        select(AuditRecord.chain, func.max(AuditRecord.sequence).label("sequence"))
        .where(AuditRecord.chain.not_like(f"{OF_CHECKPOINTS}%"))
        .group_by(AuditRecord.chain)
        .subquery()
    )
    rows = await session.execute(
        select(AuditRecord.chain, AuditRecord.sequence, AuditRecord.hash).join(
            last, and_(AuditRecord.chain == last.c.chain, AuditRecord.sequence == last.c.sequence)
        )
    )
    return {chain: Head(sequence, hash) for chain, sequence, hash in rows}


def _tree(heads: Mapping[str, Head]) -> list[list[str]]:
    """Return all levels of the hash tree over the heads in the order of their chains, the root last.

    A node without a neighbour moves up unchanged.
    """
    levels = [[_leaf(chain, *head) for chain, head in sorted(heads.items())]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        pairs = [below[place : place + 2] for place in range(0, len(below), 2)]
        levels.append([_joined(*pair) if len(pair) == 2 else pair[0] for pair in pairs])
    return levels


def _proof(heads: Mapping[str, Head], chain: str) -> dict[str, Any]:
    """Return the path from a chain's head to the root: at each level the neighbour, and its side."""
    place, path = sorted(heads).index(chain), []
    for level in _tree(heads)[:-1]:
        neighbour = place ^ 1
        if neighbour < len(level):
            path.append(["left" if neighbour < place else "right", level[neighbour]])
        place //= 2
    return {"sequence": heads[chain].sequence, "head": heads[chain].hash, "path": path}
