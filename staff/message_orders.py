"""What staff order for one planned message, previewed and done: skip, hold, send now, release (MAIL1, STA3).

For a command and a browser alike. The order stands in the ledger; the lifecycle's own plan stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client
from temporalio.service import RPCError

from activities.upkeep.message_wakeup import wake_sender
from database import ledger, staff_orders
from database.models import DECISIONS, Message
from database.session import Database
from database.staff_orders import HOLD, RELEASE, SEND, SKIP, OrderEffect, OrderRefused, effect_of
from lifecycles.participants import Programs
from mail.context import STAFF
from mail.decisions import when_late
from rules.kinds import kind_of
from staff.views.messages import message_views
from staff.views.read_model import MessageView

ORDERS: Final = (SKIP, HOLD, SEND, RELEASE)
"""What staff may order, by the names of `database/staff_orders.py`."""

WAKES: Final = (SEND, RELEASE)
"""The orders after which a message may be due at once."""


@dataclass(frozen=True, slots=True)
class MessageOrder:
    """An order that a member of staff gives about one message."""

    order: str
    """One of `ORDERS`."""
    delivery: str
    """The id of the message's delivery."""
    reason: str
    actor: str


@dataclass(frozen=True, slots=True)
class OrderResult:
    """What an order makes of a message."""

    message: MessageView
    """The message before the order, for a preview; after it, for one that is done."""
    was: datetime | None
    """When it was due (UTC); None if a pause held it."""
    due: datetime | None
    """When it is due after the order."""
    outcome: str
    """What becomes of it in the end: `skipped`, `held`, `sent_now`, `sent_when_due` or `asked`.

    `asked`: it is too late for its class, so that it is skipped and staff are asked (T8).
    """
    reached: bool = True
    """Whether the workflow that sends it knows. If not, the watchdog lets it know within an hour."""


class UnknownMessage(LookupError):
    """A delivery that the database does not have."""


class OrderChanged(Exception):
    """An order that would do something else by now than its giver agreed to; nothing was done."""


def offered(view: MessageView) -> tuple[str, ...]:
    """Return the orders to offer for a message. The rules decide in the end, as with acts on a lifecycle."""
    if view.state in DECISIONS or view.state == "handed_over":
        return ()
    if kind_of(view.workflow) is None or view.to == STAFF:
        return ()
    if view.order:
        return (RELEASE, *(SEND,) * (view.order != SEND))
    return (SKIP, HOLD, SEND) if view.due else (SKIP, HOLD)


async def preview_order(
    database: Database, programs: Programs, order: MessageOrder, at: datetime
) -> OrderResult:
    """Return what an order at an instant of program time would do, and do nothing.

    Raises UnknownMessage, and OrderRefused where it makes no sense now or has no reason.
    """
    async with database.reading() as session:
        row = await session.scalar(select(Message).where(Message.delivery == order.delivery))
        effect = _checked(row, order, at)
        return await _result(session, programs, _known(row, order), effect, at)


# long: an order, on what it is given, and when
async def give_order(
    database: Database,
    client: Client | None,
    programs: Programs,
    order: MessageOrder,
    at: datetime,
    agreed: Callable[[OrderResult], bool] | None = None,
) -> OrderResult:
    """Give an order at an instant of program time, on record with its actor, and return what it did.

    Raises as `preview_order` does, and OrderChanged if its giver has not `agreed` to what it would do, while the row is
    locked. An order of `WAKES` needs a client, or waits for the watchdog.
    """
    async with database.begin() as session:
        row = await ledger.locked_delivery(session, Message.delivery == order.delivery)
        effect, found = _checked(row, order, at), _known(row, order)
        before = await _result(session, programs, found, effect, at)
        if agreed is not None and not agreed(before):
            raise OrderChanged
        await staff_orders.give(session, found, order.order, order.actor, order.reason.strip(), at)
    reached = order.order not in WAKES
    if client is not None and not reached:
        with suppress(RPCError):
            await wake_sender(client, found, at)
            reached = True
    async with database.reading() as session:
        after = await session.get_one(Message, found.id)
        view = (await message_views(session, [after], programs))[0]
        return replace(before, message=view, reached=reached)


def _known(row: Message | None, order: MessageOrder) -> Message:
    if row is None:
        raise UnknownMessage(f"there is no delivery {order.delivery}")
    return row


def _checked(found: Message | None, order: MessageOrder, at: datetime) -> OrderEffect:
    """Return the effect of an order. Raises UnknownMessage or OrderRefused."""
    row = _known(found, order)
    if order.order not in ORDERS:
        raise OrderRefused(f"an order is one of {', '.join(ORDERS)}")
    if not order.reason.strip():
        raise OrderRefused("an order needs a reason")
    if kind_of(row.workflow) is None or row.occurrence >= ledger.FIRST_RESEND_OCCURRENCE:
        raise OrderRefused("it is no planned message of a lifecycle")
    if row.to_profile == STAFF:
        raise OrderRefused("it goes to the program's own people")
    return effect_of(row, order.order, at)


async def _result(
    session: AsyncSession, programs: Programs, row: Message, effect: OrderEffect, at: datetime
) -> OrderResult:
    view = (await message_views(session, [row], programs))[0]
    return OrderResult(view, row.due_at, effect.due, _outcome(row, programs, effect, at))


_OUTCOMES: Final[Mapping[str | None, str]] = MappingProxyType(
    {SKIP: "skipped", HOLD: "held", SEND: "sent_now", None: "sent_when_due"}
)

_WHEN_LATE: Final[Mapping[str, str]] = MappingProxyType(
    {"send": "sent_now", "skip": "skipped", "ask": "asked"}
)


def _outcome(row: Message, programs: Programs, effect: OrderEffect, at: datetime) -> str:
    if effect.order is not None:
        return _OUTCOMES[effect.order]
    if effect.due is None:
        return "held"
    if effect.due > at or row.program not in programs:
        return "sent_when_due"
    policy = programs[row.program].mail
    return _WHEN_LATE[when_late(policy, row.message_class, at - max(effect.due, row.planned_at))]
