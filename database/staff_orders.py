"""Orders of staff about one planned message: skip it, hold it, send it now (MAIL1, STA3).

An order stands in the message's row, beside what its lifecycle plans, so that a new plan neither loses it nor needs to
know of it. It takes effect at the claim of the delivery. Until then staff can release it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, or_
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit
from database.models import DECISIONS, Message

SKIP: Final = "skip"
"""When it is due, the message is decided as skipped."""

HOLD: Final = "hold"
"""The message waits, whatever its due instant, until staff release it."""

SEND: Final = "send"
"""The message goes out at once; `postponed_from` keeps the instant that its lifecycle plans."""

RELEASE: Final = "release"
"""What takes an order back: the message goes by its plan again."""

SKIPPED: Final = "skipped by staff"
"""The reason of the decision. Who and why stand in the row and, veiled, in the record of the act."""


class OrderRefused(ValueError):
    """An order that makes no sense for a message now; the text says why, for the person who gave it."""


@dataclass(frozen=True, slots=True)
class OrderEffect:
    """What an order makes of a message's row."""

    order: str | None
    due: datetime | None
    postponed_from: datetime | None


def is_on_hold(row: Message) -> bool:
    """Return whether staff hold a message."""
    return row.staff_order == HOLD


def not_on_hold() -> ColumnElement[bool]:
    """Return the condition of the messages that staff do not hold."""
    return or_(Message.staff_order.is_(None), Message.staff_order != HOLD)


def without_order() -> ColumnElement[bool]:
    """Return the condition of the messages that go out as planned: neither held nor to be skipped."""
    return or_(Message.staff_order.is_(None), Message.staff_order == SEND)


def is_sent_early(row: Message) -> bool:
    """Return whether staff ordered that a message goes out before its planned instant."""
    return row.staff_order == SEND


def effect_of(row: Message, order: str, at: datetime) -> OrderEffect:
    """Return what an order at an instant of program time makes of a message. Raises OrderRefused."""
    if row.state in DECISIONS:
        again = "; mail resend sends it again" if row.state in ("skipped", "failed", "ambiguous") else ""
        raise OrderRefused(f"it is {row.state} already{again}")
    if row.state == "handed_over":
        raise OrderRefused("the mail server is taking it at this moment")
    if order == RELEASE and row.staff_order is None:
        raise OrderRefused("there is no order to release")
    if order == row.staff_order:
        raise OrderRefused(f"the order {order} is given already, by {row.ordered_by}")
    # Under SEND the planned instant stands in `postponed_from`, and nothing else waits for another morning.
    planned = row.postponed_from if is_sent_early(row) else row.due_at
    before = None if is_sent_early(row) else row.postponed_from
    if order != SEND:
        return OrderEffect(None if order == RELEASE else order, planned, before)
    if planned is None:
        raise OrderRefused("a pause holds it: resume its lifecycle first")
    if planned <= at and row.staff_order is None:
        raise OrderRefused("it is due already, and goes out as soon as the mail server takes it")
    return OrderEffect(SEND, at.replace(microsecond=0), before or planned)


# long: an order, who gave it, why and when
async def give(
    session: AsyncSession, row: Message, order: str, actor: str, reason: str, at: datetime
) -> None:
    """Write an order into the locked row of a message, with the act on record (STA3). Raises OrderRefused.

    A claim that has not handed over is taken back, as by a new plan (MAIL4). What was rendered before is rendered
    again: its date and links may be old by then.
    """
    effect = effect_of(row, order, at)
    row.staff_order, row.due_at, row.postponed_from = effect.order, effect.due, effect.postponed_from
    row.ordered_at = at.replace(microsecond=0)
    given = effect.order is not None
    row.ordered_by, row.order_reason = (actor, reason) if given else (None, None)
    row.state, row.claimed_by, row.content = "planned", None, None
    data: dict[str, Any] = {"act": f"{order} message", "delivery": row.delivery, "message": row.message}
    if row.number is not None:
        data["number"] = row.number
    await audit.append(
        session,
        row.workflow,
        "act",
        row.ordered_at,
        data,
        actor=actor,
        veiled={"reason": reason} if reason else None,
    )
