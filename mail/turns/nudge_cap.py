"""At most so many nudges for a person on one day, over all lifecycles, where a program says so (MAIL11).

The most urgent go first. The others wait for the recipient's next business morning: their due instant moves there, and
`postponed_from` keeps the one that their lifecycle planned. Answers owed and notices about credit never wait.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database import mail_limits, staff_orders
from database.ledger import FIRST_RESEND_OCCURRENCE
from database.models import Message
from lifecycles.participants import Participant, participant
from mail.context import is_unsubscribed
from mail.turns.shared_mail import is_shared
from rules.agenda import MINUTE, send_offset
from rules.calendar import Calendar
from rules.kinds import parts_of
from rules.messages import MessageClass, urgency
from rules.program import Program

_WAITED_AT_MOST = timedelta(days=1)
"""How long ago a nudge may have been due that others still let go first: one that is stuck longer holds up nobody."""


def is_capped(row: Message, program: Program) -> bool:
    """Return whether a message counts: a nudge of a program with a cap, unless staff ordered it."""
    return (
        program.mail.nudges_per_day is not None
        and row.message_class == MessageClass.NUDGE
        and row.member_id is not None
        and row.occurrence < FIRST_RESEND_OCCURRENCE
        and not staff_orders.is_sent_early(row)
    )


async def postpone(session: AsyncSession, row: Message, program: Program, at: datetime) -> bool:
    """Move a message to the next business morning if the day has no place for it; return whether it did.

    A message stays whose own due date passes before that morning, such as a reminder of the day on which to answer.
    """
    cap = program.mail.nudges_per_day
    if cap is None or row.member_id is None or not is_capped(row, program):
        return False
    reader = await participant(session, row.to_profile)
    calendar = reader.calendar(program)
    places = await mail_limits.places_taken(session, row.member_id, calendar.date_of(at))
    if row.delivery in places.values() or await _is_spoken_for(session, row, list(places.values())):
        return False
    if len(places) < cap and await _ahead(session, row, reader, at) < cap - len(places):
        return False
    morning = next_morning(calendar, at) + send_offset(row.member_id, program.hours.send_window)
    due = row.context.get("due")
    if due and at < datetime.fromisoformat(due) <= morning:
        return False
    row.postponed_from = row.postponed_from or row.due_at
    row.due_at = morning
    return True


async def take_place(session: AsyncSession, row: Message, program: Program, at: datetime) -> bool:
    """Count a message that is about to go out; return False if another one took the last place just now."""
    cap = program.mail.nudges_per_day
    if cap is None or row.member_id is None or not is_capped(row, program):
        return True
    calendar = (await participant(session, row.to_profile)).calendar(program)
    day = calendar.date_of(at)
    if await mail_limits.take_place(session, row.member_id, day, row.delivery, cap):
        return True
    due = row.context.get("due")
    return bool(due and at < datetime.fromisoformat(due) <= next_morning(calendar, at))


def next_morning(calendar: Calendar, at: datetime) -> datetime:
    """Return the first send time of a business day after the local day of an instant (T4)."""
    morning = calendar.next_send_after(at)
    while calendar.date_of(morning) <= calendar.date_of(at):
        morning = calendar.next_send_after(morning)
    return morning


async def _ahead(session: AsyncSession, row: Message, reader: Participant, at: datetime) -> int:
    """Return how many of the person's nudges that are due now go before this one; claims with one mail count once."""
    waiting = await session.scalars(
        select(Message).where(
            Message.member_id == row.member_id,
            Message.state == "planned",
            Message.due_at < at + MINUTE,
            Message.due_at > at - _WAITED_AT_MOST,
            Message.message_class == MessageClass.NUDGE.value,
            Message.occurrence < FIRST_RESEND_OCCURRENCE,
            staff_orders.without_order(),
        )
    )
    stopped, own = reader.member.preferences, _rank(row)
    before = [
        other
        for other in waiting
        if not is_unsubscribed(stopped, other.message) and _group(other) != _group(row) and _rank(other) < own
    ]
    return len({_group(other) for other in before})


def _rank(row: Message) -> tuple[int, datetime, int]:
    return (urgency(row.message), row.postponed_from or row.due_at or row.planned_at, row.id)


def _group(row: Message) -> tuple[object, ...]:
    """Return what names the mail of a message: that of several claims is one (CPE7)."""
    if not is_shared(row):
        return (row.id,)
    engagement, role, _ = parts_of(row.workflow)
    return (engagement, role, row.message, row.postponed_from or row.due_at)


async def _is_spoken_for(session: AsyncSession, row: Message, deliveries: list[str]) -> bool:
    """Return whether the mail of another claim, which has a place, speaks for this message too."""
    if not is_shared(row) or not deliveries:
        return False
    others = await session.scalars(select(Message).where(Message.delivery.in_(deliveries)))
    return any(is_shared(other) and _group(other) == _group(row) for other in others)
