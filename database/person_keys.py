"""A key for each person, under which what is kept of their mail is encrypted.

The database has each key only wrapped: encrypted under a key derived from the deployment's key ring. Who has a copy of
the database without the ring reads nothing. With a person's key destroyed, all that it protects is unreadable.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from database.key_ring import KeyRing
from database.models import PersonKey

_PURPOSE: Final = "throughline.person-keys"
_MOST_KNOWN: Final = 100_000
"""The most people of whom a process remembers that they have a key, which takes about 10 MB."""
_NONCE: Final = 12
"""Bytes of an AES-GCM nonce (NIST SP 800-38D, 8.2.2: random ones of 96 bits)."""


def encrypt(key: bytes, plain: bytes, name: str) -> bytes:
    """Return bytes encrypted with AES-256-GCM, bound to a name that is needed to read them."""
    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plain, name.encode())


def decrypt(key: bytes, hidden: bytes, name: str) -> bytes | None:
    """Return the bytes that `encrypt` hid; None if the key, the name or the bytes are not the same."""
    try:
        return AESGCM(key).decrypt(hidden[:_NONCE], hidden[_NONCE:], name.encode())
    except InvalidTag:
        return None


async def ensure(session: AsyncSession, member: str, at: datetime) -> None:
    """Make a person's key, unless there is one, or the session has no key ring."""
    ring = _ring(session)
    known = session.info.get("people_with_keys", set[str]())
    if ring is None or member in known:
        return
    if await session.scalar(select(PersonKey.member_id).where(PersonKey.member_id == member)) is not None:
        if len(known) >= _MOST_KNOWN:
            known.clear()
        known.add(member)
        return
    wrapped = ring.seal(_PURPOSE, f"{member}|{secrets.token_hex(32)}")
    row = {
        "member_id": member,
        "wrapped": wrapped,
        "wrapped_by": ring.fingerprints[0],
        "created_at": at,
    }
    # Two deliveries to a new person may come here at the same moment: the first one's key counts.
    await session.execute(_insert(session).values(row).on_conflict_do_nothing())


async def key_of(session: AsyncSession, member: str) -> bytes | None:
    """Return a person's key; None if there is none, or the ring no longer has the key that it is wrapped with."""
    ring = _ring(session)
    row = await session.get(PersonKey, member)
    if ring is None or row is None or row.wrapped is None:
        return None
    try:
        owner, _, key = ring.unseal(_PURPOSE, row.wrapped).partition("|")
    except ValueError:
        return None
    return bytes.fromhex(key) if owner == member else None


async def destroy(session: AsyncSession, member: str, at: datetime) -> None:
    """Destroy a person's key for good: nothing that was encrypted under it can be read again.

    The row stays without a key, also for a person who had none, so that no new one is made.
    """
    row = {"member_id": member, "wrapped": None, "wrapped_by": "", "created_at": at}
    await session.execute(_insert(session).values(row).on_conflict_do_nothing())
    await session.execute(
        update(PersonKey).where(PersonKey.member_id == member).values(wrapped=None, wrapped_by="")
    )


async def is_destroyed(session: AsyncSession, member: str) -> bool:
    """Return whether a person's key was destroyed."""
    row = await session.get(PersonKey, member)
    return row is not None and row.wrapped is None


async def rewrap(session: AsyncSession, limit: int) -> int:
    """Wrap keys with the first key of the ring that another one wraps, at most `limit`; return how many."""
    ring = _ring(session)
    if ring is None:
        return 0
    first, *others = ring.fingerprints
    rows = await session.scalars(
        select(PersonKey).where(PersonKey.wrapped_by.in_(others)).limit(limit).with_for_update()
    )
    found = rows.all()
    for row in found:
        # One that no key of the ring opens stays as it is, and is not looked at again.
        with suppress(ValueError):
            row.wrapped = ring.seal(_PURPOSE, ring.unseal(_PURPOSE, row.wrapped or ""))
        row.wrapped_by = first
    return len(found)


def _insert(session: AsyncSession) -> Any:
    return (postgresql if session.get_bind().dialect.name == "postgresql" else sqlite).insert(PersonKey)


def _ring(session: AsyncSession) -> KeyRing | None:
    ring: KeyRing | None = session.info.get("keys")
    return ring
