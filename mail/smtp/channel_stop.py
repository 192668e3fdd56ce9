"""The stop of the channel that reports cause: our own account is refused somewhere behind the relay (MAIL10).

The relay goes on taking mail, so its answers cannot end the stop. A probe does: one message that goes out, and has not
come back a quarter of an hour later. The row is one for all workers.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import ChannelStop, Message
from database.suppressions import CHANNEL_IS_OPEN

PROBE_AFTER = timedelta(minutes=15)
"""How long the stop lasts before a probe, and how long a report about the probe may take."""


async def stop(session: AsyncSession, row: Message, reason: str, at: datetime) -> bool:
    """Stop the channel for a report about a message; return whether it was open.

    A report about mail from before the last proof that mail arrives stops nothing. The caller holds the row's lock.
    """
    state = await session.get(ChannelStop, 1, with_for_update=True)
    if state is None:
        state = ChannelStop(id=1)
        session.add(state)
    is_old = state.proved_at is not None and row.decided_at is not None and row.decided_at < state.proved_at
    if state.stopped_at is not None or is_old:
        return False
    state.stopped_at, state.reason, state.probe, state.probed_at = at, reason, None, None
    return True


async def proved_at(session: AsyncSession) -> datetime | None:
    """Return when the last probe went out that arrived; None if there was none."""
    return await session.scalar(select(ChannelStop.proved_at))


async def wait_for(session: AsyncSession, row: Message, at: datetime) -> timedelta | None:
    """Return how long a message waits for a stopped channel; None where it may go out now, perhaps as the probe."""
    if session.info.get(CHANNEL_IS_OPEN) or await session.scalar(select(ChannelStop.stopped_at)) is None:
        return None
    state = await session.get(ChannelStop, 1, with_for_update=True, populate_existing=True)
    if state is None or state.stopped_at is None:
        return None
    if at < (next_at := (state.probed_at or state.stopped_at) + PROBE_AFTER):
        return None if state.probe == row.delivery else next_at - at
    if state.probe is not None and await _arrived(session, state.probe):
        state.stopped_at, state.proved_at = None, state.probed_at
        return None
    state.probe, state.probed_at = row.delivery, at
    return None


async def _arrived(session: AsyncSession, probe: str) -> bool:
    """Whether the mail server took a probe, and no report has come back for it."""
    sent = select(Message.id).where(
        Message.delivery == probe, Message.state == "sent", Message.came_back.is_(None)
    )
    return await session.scalar(sent) is not None
