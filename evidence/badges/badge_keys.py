"""The keys that sign badges: made here, sealed by the deployment's key ring, replaced by rotation (CPE14).

Programs share them. The public part of a replaced key stays published, so that what it signed can be checked for ever.
Its private part is destroyed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog
from joserfc.jwk import OKPKey
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.insertion import insert_if_new
from database.key_ring import KeyRing
from database.models import BadgeKey

log = structlog.get_logger()

_PURPOSE: Final = "throughline.badge-keys"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key that signs now. `kid` is the thumbprint of its public part (RFC 7638)."""

    kid: str
    key: OKPKey


async def signing_key(session: AsyncSession, at: datetime) -> SigningKey | None:
    """Return the key that signs, made now if it is the first; None without a key ring.

    A key that the ring can no longer open is replaced: what it signed can still be checked.
    """
    ring = _ring(session)
    if ring is None:
        return None
    row = await _newest(session) or await _add(session, ring, 1, at)
    if (opened := _opened(ring, row)) is not None:
        return opened
    log.warning("badge_key_unreadable", kid=row.kid)
    await rotate(session, at)
    return _opened(ring, await _newest(session))


async def current_key(session: AsyncSession) -> SigningKey | None:
    """Return the key that signs, if there is one that the key ring opens. Changes nothing."""
    ring = _ring(session)
    return _opened(ring, await _newest(session)) if ring else None


async def rotate(session: AsyncSession, at: datetime, *, compromised: bool = False) -> BadgeKey | None:
    """Make a new key that signs from now on, and return it; None without a key ring.

    The private part of the one before it is destroyed. If that was `compromised`, it is published no longer, and
    nothing that it signed is believed.
    """
    ring, old = _ring(session), await _newest(session, for_update=True)
    if ring is None:
        return None
    new = await _add(session, ring, old.number + 1 if old else 1, at)
    if old is not None and old.kid != new.kid:
        old.private, old.retired_at = None, at
        old.withdrawn_at = at if compromised else None
    await session.flush()
    return new


async def published(session: AsyncSession) -> Sequence[BadgeKey]:
    """Return the keys that badges may be signed with, the one that signs now first."""
    query = select(BadgeKey).where(BadgeKey.withdrawn_at.is_(None)).order_by(BadgeKey.number.desc())
    return (await session.scalars(query)).all()


async def all_keys(session: AsyncSession) -> Sequence[BadgeKey]:
    """Return all keys, the newest first."""
    return (await session.scalars(select(BadgeKey).order_by(BadgeKey.number.desc()))).all()


async def seal_again(session: AsyncSession) -> int:
    """Seal the private keys with the first key of the ring that another one seals; return how many."""
    ring = _ring(session)
    if ring is None:
        return 0
    first, *others = ring.fingerprints
    rows = await session.scalars(
        select(BadgeKey)
        .where(BadgeKey.sealed_by.in_(others), BadgeKey.private.is_not(None))
        .with_for_update()
    )
    found = rows.all()
    for row in found:
        # One that no key of the ring opens stays as it is; the next badge replaces it.
        with suppress(ValueError):
            row.private = ring.seal(_PURPOSE, ring.unseal(_PURPOSE, row.private or ""))
        row.sealed_by = first
    return len(found)


async def _newest(session: AsyncSession, *, for_update: bool = False) -> BadgeKey | None:
    query = select(BadgeKey).order_by(BadgeKey.number.desc()).limit(1)
    return await session.scalar(query.with_for_update() if for_update else query)


async def _add(session: AsyncSession, ring: KeyRing, number: int, at: datetime) -> BadgeKey:
    """Add a key under a number, and return it; or the one that somebody else added there at the same moment."""
    made = OKPKey.generate_key("Ed25519", auto_kid=False)
    row = {
        "number": number,
        "kid": made.thumbprint(),
        "public": _public(made),
        "private": ring.seal(_PURPOSE, json.dumps(made.as_dict(private=True))),
        "sealed_by": ring.fingerprints[0],
        "made_at": at,
    }
    await insert_if_new(session, BadgeKey, row)
    return await session.get_one(BadgeKey, number, populate_existing=True)


def _public(key: OKPKey) -> dict[str, Any]:
    return {**key.as_dict(private=False), "use": "sig", "alg": "EdDSA", "kid": key.thumbprint()}


def _opened(ring: KeyRing, row: BadgeKey | None) -> SigningKey | None:
    if row is None or row.private is None:
        return None
    try:
        return SigningKey(row.kid, OKPKey.import_key(json.loads(ring.unseal(_PURPOSE, row.private))))
    except ValueError:
        return None


def _ring(session: AsyncSession) -> KeyRing | None:
    ring: KeyRing | None = session.info.get("keys")
    return ring
