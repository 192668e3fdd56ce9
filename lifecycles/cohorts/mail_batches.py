"""The mails of a workflow that are too many for one agenda: so many at a time (MAIL1)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from database import ledger, staff_orders
from database.ledger import FIRST_RESEND_OCCURRENCE
from database.models import Message
from lifecycles.recording import DueMail, due_mail


async def due_mails(session: AsyncSession, workflow: str, at: datetime, most: int) -> list[DueMail]:
    """Return messages that are due, up to a number of those that nobody has tried, and of those that were tried.

    What waits for a mail server that is busy or down keeps no others from going out.
    """
    found: list[DueMail] = []
    for condition in (Message.attempts == 0, Message.attempts > 0):
        rows = await session.execute(
            select(Message.step, Message.occurrence, Message.due_at, Message.message_class)
            .where(*_waiting(workflow), Message.due_at <= at, condition)
            .order_by(Message.due_at, Message.id)
            .limit(most)
        )
        found += [due_mail(step, number, due, why) for step, number, due, why in rows if due]
    return found


async def next_due(session: AsyncSession, workflow: str, at: datetime) -> datetime | None:
    """Return the next instant after `at` at which a message is due."""
    return await session.scalar(
        select(func.min(Message.due_at)).where(*_waiting(workflow), Message.due_at > at)
    )


async def cancel_some(session: AsyncSession, workflow: str, because: str, at: datetime, most: int) -> int:
    """Cancel messages that have not left, up to a number, and return how many that were (MAIL4).

    The caller holds the lock of the workflow's chain.
    """
    rows = await session.scalars(
        select(Message)
        .where(Message.workflow == workflow, Message.state.in_(("planned", "claimed")))
        .order_by(Message.id)
        .limit(most)
        .with_for_update()
    )
    found = rows.all()
    for row in found:
        await ledger.decide(session, row, "cancelled", because, at)
    return len(found)


def _waiting(workflow: str) -> list[ColumnElement[bool]]:
    return [
        Message.workflow == workflow,
        Message.state == "planned",
        Message.occurrence < FIRST_RESEND_OCCURRENCE,
        staff_orders.not_on_hold(),
    ]
