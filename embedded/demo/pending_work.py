"""What the parts of a demo still have to do at an instant: events to apply, mail to decide, pairs to notify."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from sqlalchemy import Select, bindparam, func, select

from database import staff_orders
from database.models import CohortPair, Event, Message
from embedded.stack import EmbeddedStack

SECONDS_TO_SETTLE: Final = 20.0

_EVENTS: Final = select(func.count(Event.id)).where(Event.state.in_(("stored", "applying")))
_MAILS: Final = select(func.count(Message.id)).where(
    Message.state.in_(("planned", "claimed", "handed_over")),
    Message.due_at <= bindparam("now"),
    staff_orders.not_on_hold(),
)
_PAIRS: Final = select(func.count(CohortPair.id)).where(
    CohortPair.state == "confirmed", CohortPair.told_at.is_(None)
)


async def settle(stack: EmbeddedStack) -> None:
    """Wait until what was started by now has come to rest.

    Not for ever: a mail that cannot be sent now shows among those that lie ahead. What goes at once waits for the
    clock all the same, so the clock is moved on while something remains.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(SECONDS_TO_SETTLE):
            while await _waits(stack, _EVENTS):  # noqa: ASYNC110 - a database sends no notice of a change
                await asyncio.sleep(0.02)
            await stack.wait_idle()
            while await _is_busy(stack):
                await asyncio.sleep(0.1)
                await stack.wait_idle()


async def _is_busy(stack: EmbeddedStack) -> bool:
    return any([await _waits(stack, what) for what in (_EVENTS, _MAILS, _PAIRS)])


async def _waits(stack: EmbeddedStack, what: Select[int]) -> bool:
    async with stack.database.reading() as session:
        return bool(await session.scalar(what, {"now": await stack.clock.now()}))
