"""Suppressed addresses, which are not mailed, and why (MAIL3, MAIL7, MAIL10).

`take_in` alone decides what a refusal, a bounce or a complaint means for an address.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, literal, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Bounce, ChannelStop, Message, Suppression
from database.tasks import open_task, settle_tasks
from rules.text import ERASED

SUPPRESSING = ("hard", "complaint")
"""The kinds that count against the address. What is temporary, and what speaks of us or of the text, does not."""


CHANNEL_IS_OPEN: Final = "channel_is_open"
"""What a session's `info` has under this where `read_obstacles` found the channel to the mail server open."""

_CLEAR: Final = "addresses_not_suppressed"

_ONE = select(literal(1).label("one")).subquery()
_OBSTACLES = (
    select(Suppression, ChannelStop.stopped_at)
    .select_from(_ONE)
    .outerjoin(Suppression, Suppression.address.in_(bindparam("addresses", expanding=True)))
    .outerjoin(ChannelStop, true())
)


async def read_obstacles(session: AsyncSession, addresses: Iterable[str]) -> None:
    """Read which of these addresses are suppressed, and whether the channel is stopped, for a transaction that claims.

    `reason_for` and `channel_stop.wait_for` then ask for neither again.
    """
    clear: set[str] = session.info.setdefault(_CLEAR, set())
    wanted = {address.lower() for address in addresses} - clear
    if not wanted:
        return
    # It concerns nothing that the transaction changes: its rows are written once, at its end.
    with session.no_autoflush:
        found = (await session.execute(_OBSTACLES, {"addresses": sorted(wanted)})).all()
    clear |= wanted - {row.address for row, _ in found if row is not None}
    session.info[CHANNEL_IS_OPEN] = all(stopped_at is None for _, stopped_at in found)


async def reason_for(session: AsyncSession, address: str) -> str | None:
    """Return why an address is suppressed; None if it is mailed."""
    if address.lower() in session.info.get(_CLEAR, ()):
        return None
    row = await session.get(Suppression, address.lower())
    if row is None or row.since is None:
        return None
    return f"the address is suppressed since {row.since:%Y-%m-%d}: {row.reason}"


async def take_in(session: AsyncSession, row: Message, kind: str, reason: str, at: datetime) -> bool:
    """Record what came back for a delivery, and return whether it suppresses the address (MAIL3, MAIL7, MAIL10).

    `kind` is `hard`, `soft`, `refused` or `complaint`. The first hard bounce or complaint suppresses the address that
    was mailed, even if the member has another one by now. Each suppression opens one staff task (STA2).

    Each kind counts once per delivery. A relay may report the same bounce by webhook and by mail, or at each of its own
    attempts; a late report must not undo what staff lifted since. The caller holds the row's lock. Raises ValueError
    if nothing was mailed yet.
    """
    if row.recipient is None:
        raise ValueError(f"nothing was mailed for delivery {row.delivery}")
    if await is_known(session, row, kind):
        return False
    session.add(Bounce(delivery=row.delivery, kind=kind, at=at))
    if kind not in SUPPRESSING or row.recipient == ERASED:
        return False
    fresh = await suppress(session, row.recipient, kind, reason, at)
    if fresh:
        await open_task(
            session,
            "address_suppressed",
            f"member/{row.member_id}" if row.member_id else row.workflow,
            f"{kind}: delivery {row.delivery}",
            _ACTIONS[kind],
            at,
        )
    return fresh


async def is_known(session: AsyncSession, row: Message, kind: str) -> bool:
    """Whether this kind came back for a delivery before."""
    return await session.get(Bounce, (row.delivery, kind)) is not None


_ACTIONS = {
    "hard": "Ask the member for an address that works; nothing is mailed to the old one.",
    "complaint": "The member reported our mail as unwanted: nothing is mailed to this address. Ask in another way "
    "whether they still want to take part.",
}


async def suppress(session: AsyncSession, address: str, kind: str, reason: str, at: datetime) -> bool:
    """Suppress an address after a hard bounce or a complaint, and return whether that is new."""
    row = await session.get(Suppression, address.lower(), with_for_update=True)
    if row is None:
        row = Suppression(address=address.lower(), kind=kind, last_at=at)
        session.add(row)
    fresh = row.since is None
    row.kind, row.reason, row.last_at = kind, reason, at
    row.since = row.since or at
    return fresh


async def lift(session: AsyncSession, address: str) -> bool:
    """Lift a suppression for staff, and return whether there was one."""
    row = await session.get(Suppression, address.lower(), with_for_update=True)
    if row is None or row.since is None:
        return False
    row.since = None
    return True


async def settle_address_tasks(session: AsyncSession, member: str, why: str, at: datetime) -> None:
    """Close the tasks about a member's address: it gets mail again, or is another one by now (STA2)."""
    await settle_tasks(session, f"member/{member}", "address_suppressed", (), why, at)


async def listed(session: AsyncSession) -> list[Suppression]:
    """Return all suppressed addresses, the newest first."""
    return list(
        await session.scalars(
            select(Suppression).where(Suppression.since.is_not(None)).order_by(Suppression.since.desc())
        )
    )
