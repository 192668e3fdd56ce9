"""The lists that say which badges no longer hold: Bitstring Status Lists (W3C, version 1.0; CPE14).

A bit is set once the letter of a badge is revoked, or the key of the person is destroyed (STA5). It does not say which
of the two, and its place was drawn at random. So a list names nobody.
"""

from __future__ import annotations

import base64
import gzip
import secrets
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Badge, BadgeStatus, Letter, PersonKey
from evidence.badges.issuer_profile import CONTEXT, BadgeAddresses

ENTRIES: Final = 131_072
"""Places in a list: the least that the specification allows, so that one place hides among many."""

FULL: Final = ENTRIES // 2
"""Badges after which a program gets another list: until then two draws find a free place on average."""

VALID_FOR: Final = timedelta(days=7)
"""How long a copy of a list is believed. A longer time would let an old copy hide a revocation."""

TTL: Final = timedelta(hours=1)
"""After how long a reader should fetch a list again."""

PURPOSE: Final = "revocation"


def encode(set_places: Iterable[int]) -> str:
    """Return a list with bits set at these places: gzip, base64url, with the prefix of multibase."""
    bits = bytearray(ENTRIES // 8)
    for place in set_places:
        bits[place // 8] |= 0x80 >> (place % 8)
    packed = base64.urlsafe_b64encode(gzip.compress(bytes(bits), mtime=0)).decode().rstrip("=")
    return f"u{packed}"


def is_set(encoded: str, place: int) -> bool:
    """Return whether the bit of a place is set in a list. Raises ValueError for a list that has no such place."""
    text = encoded.removeprefix("u")
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        unpack = zlib.decompressobj(wbits=31)
        # A list of a hundred times as many places would still be read; more may be a bomb.
        bits = unpack.decompress(packed, 100 * ENTRIES // 8)
    except (ValueError, zlib.error):
        raise ValueError("the status list cannot be read") from None
    if unpack.unconsumed_tail or not unpack.eof or len(bits) * 8 < ENTRIES or not 0 <= place < len(bits) * 8:
        raise ValueError("the status list cannot be read")
    return bool(bits[place // 8] & (0x80 >> (place % 8)))


def entry(addresses: BadgeAddresses, number: int, place: int) -> dict[str, Any]:
    """Return what a credential says of its place in a list."""
    address = addresses.status(number)
    return {
        "id": f"{address}#{place}",
        "type": "BitstringStatusListEntry",
        "statusPurpose": PURPOSE,
        "statusListIndex": str(place),
        "statusListCredential": address,
    }


def credential(
    addresses: BadgeAddresses, row: BadgeStatus, places: Iterable[int], at: datetime
) -> dict[str, Any]:
    """Return a list as a credential that can be signed, valid for a week from `at`."""
    address, issuer, since = (
        addresses.status(row.number),
        addresses.did(row.program),
        at.replace(microsecond=0),
    )
    return {
        "@context": [CONTEXT[0]],
        "id": address,
        "type": ["VerifiableCredential", "BitstringStatusListCredential"],
        "issuer": issuer,
        "validFrom": instant_text(since),
        "validUntil": instant_text(since + VALID_FOR),
        "credentialSubject": {
            "id": f"{address}#list",
            "type": "BitstringStatusList",
            "statusPurpose": PURPOSE,
            "encodedList": encode(places),
            "ttl": int(TTL.total_seconds()) * 1000,
        },
        "iss": issuer,
        "jti": address,
        "nbf": int(since.timestamp()),
        "exp": int((since + VALID_FOR).timestamp()),
    }


async def no_longer_valid(session: AsyncSession, number: int) -> list[int]:
    """Return the places of a list whose badges no longer hold."""
    query = (
        select(Badge.status_index)
        .outerjoin(Letter, Letter.id == Badge.letter_id)
        .outerjoin(PersonKey, PersonKey.member_id == Badge.member_id)
        .where(
            Badge.status_list == number,
            or_(Letter.id.is_(None), Letter.revoked_at.is_not(None), PersonKey.wrapped.is_(None)),
        )
    )
    return list(await session.scalars(query))


async def free_place(session: AsyncSession, program: str, at: datetime) -> tuple[int, int]:
    """Return the number of a program's list, and a place in it drawn from those that no badge has."""
    newest = select(BadgeStatus.number).where(BadgeStatus.program == program)
    number = await session.scalar(newest.order_by(BadgeStatus.number.desc()).limit(1))
    taken = select(func.count()).select_from(Badge).where(Badge.status_list == number)
    if number is None or (await session.scalar(taken) or 0) >= FULL:
        row = BadgeStatus(program=program, opened_at=at)
        session.add(row)
        await session.flush()
        number = row.number
    while True:
        place = secrets.randbelow(ENTRIES)
        if (
            await session.scalar(
                select(Badge.id).where(Badge.status_list == number, Badge.status_index == place)
            )
            is None
        ):
            return number, place


def instant_text(at: datetime) -> str:
    """Return an instant in UTC as credentials write it, in whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
