"""Sessions and one-time links of staff. The database keeps hashes: who reads it cannot sign in.

Instants are those of the machine's clock: they protect a connection and are no program time.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit
from database.models import StaffAccount, StaffLink, StaffSession
from staff.accounts.directory import StaffMember, staff_member

IDLE: Final = timedelta(hours=2)
"""How long a session lasts without a request."""
ABSOLUTE: Final = timedelta(hours=12)
"""How long a session lasts at most."""
LINK_HOLDS: Final = timedelta(minutes=15)
SEEN_EVERY: Final = timedelta(minutes=1)
"""How exactly the last request is kept: a page must not wait for a write each time."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that holds."""

    member: StaffMember
    is_stale: bool
    """Whether its last request should be noted."""


async def make_link(session: AsyncSession, account: StaffAccount, at: datetime) -> str:
    """Return the token of a new link that signs in once, within 15 minutes."""
    await session.execute(delete(StaffLink).where(StaffLink.expires_at <= at))
    token = secrets.token_urlsafe(32)
    session.add(StaffLink(token=_hash(token), account_id=account.id, expires_at=at + LINK_HOLDS))
    return token


async def link_holds(session: AsyncSession, token: str, at: datetime) -> bool:
    """Return whether a link can still be used."""
    found = select(StaffLink.token).where(StaffLink.token == _hash(token), StaffLink.expires_at > at)
    return await session.scalar(found) is not None


async def use_link(session: AsyncSession, token: str, at: datetime) -> StaffAccount | None:
    """Return the account of a link, and use it up; None for one that is used, expired or unknown."""
    used = (
        delete(StaffLink)
        .where(StaffLink.token == _hash(token), StaffLink.expires_at > at)
        .returning(StaffLink.account_id)
    )
    account = await session.scalar(used)
    found: StaffAccount | None = await session.scalar(
        select(StaffAccount).where(StaffAccount.id == account, StaffAccount.closed_at.is_(None))
    )
    return found


async def begin_session(session: AsyncSession, account: StaffAccount, way: str, at: datetime) -> str:
    """Return the token of a new session, and record the sign-in. `way` is `password`, `link` or `oidc`."""
    expired = or_(StaffSession.expires_at <= at, StaffSession.seen_at <= at - IDLE)
    await session.execute(delete(StaffSession).where(expired))
    token = secrets.token_urlsafe(32)
    session.add(
        StaffSession(
            token=_hash(token), account_id=account.id, created_at=at, expires_at=at + ABSOLUTE, seen_at=at
        )
    )
    data = {"act": "signed in", "by": way}
    when = at.replace(microsecond=0)
    await audit.append(session, f"staff/{account.id}", "act", when, data, actor=account.email)
    return token


async def find_session(session: AsyncSession, token: str, at: datetime) -> SignedIn | None:
    """Return the session of a token; None for one that has ended, or whose account is closed."""
    found = (
        await session.execute(
            select(StaffSession, StaffAccount)
            .join(StaffAccount, StaffAccount.id == StaffSession.account_id)
            .where(
                StaffSession.token == _hash(token),
                StaffSession.expires_at > at,
                StaffSession.seen_at > at - IDLE,
                StaffAccount.closed_at.is_(None),
            )
        )
    ).first()
    if found is None:
        return None
    row, account = found
    return SignedIn(staff_member(account), row.seen_at <= at - SEEN_EVERY)


async def note_request(session: AsyncSession, token: str, at: datetime) -> None:
    """Keep a session from ending idle."""
    await session.execute(update(StaffSession).where(StaffSession.token == _hash(token)).values(seen_at=at))


async def end_session(session: AsyncSession, token: str) -> None:
    """End a session."""
    await session.execute(delete(StaffSession).where(StaffSession.token == _hash(token)))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
