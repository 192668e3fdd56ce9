"""Messages with their decisions, and why each was made (MAIL1)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from database.models import DECISIONS, Message
from database.staff_orders import HOLD, SEND, SKIP, is_on_hold
from lifecycles.participants import Programs
from staff.explanations import Explanation, explain
from staff.mail_fate import came_back_cause, fate
from staff.people import People
from staff.views.read_model import MessageView

_ORDERED = {
    SKIP: ("to be skipped, by order of", "skipped by order of"),
    HOLD: ("held by order of", "held by order of"),
    SEND: ("sent at once by order of", "sent early by order of"),
}
"""What staff ordered, for a message without a decision and with one."""

_WAITING = {
    "claimed": "being sent",
    "handed_over": "handed over, not confirmed yet",
}


async def message_views(
    session: AsyncSession, rows: Sequence[Message], programs: Programs
) -> tuple[MessageView, ...]:
    """Return the views of rows of the ledger, in the same order."""
    people = await People.of(session, {row.to_profile for row in rows}, programs)
    explained = await explain(session, rows, programs)
    return tuple(
        _view(row, people.zone(row.to_profile, row.program), explained[row.delivery]) for row in rows
    )


def _view(row: Message, zone: str, explained: Explanation) -> MessageView:
    return MessageView(
        delivery=row.delivery,
        message=row.message,
        number=row.number,
        to=row.to_profile,
        workflow=row.workflow,
        state="held" if row.state == "planned" and (row.due_at is None or is_on_hold(row)) else row.state,
        due=row.due_at,
        decided=row.decided_at,
        came_back=row.came_back,
        came_back_cause=came_back_cause(row),
        delivered=row.delivered_at,
        reason=row.reason,
        rule=explained.rule,
        day=explained.words,
        why="; ".join(filter(None, (_why(row, zone), explained.words))),
        order=row.staff_order,
        ordered_by=row.ordered_by,
        subject=row.subject,
        zone=zone,
        program=row.program,
        text_version=row.text_version,
    )


def _why(row: Message, zone: str) -> str:
    if fared := fate(row, zone):
        return fared
    if ordered := order_in_words(row):
        return ordered
    if row.reason:
        return row.reason
    if row.state == "sent":
        return f"the mail server took it: {row.response}" if row.response else "the mail server took it"
    if row.trouble:
        return f"tried {row.attempts} times; last: {row.trouble}"
    return _WAITING.get(row.state, "")


def order_in_words(row: Message) -> str:
    """Return what staff ordered for a message, who and why; empty where nothing is ordered, or it was in vain."""
    if row.staff_order is None or row.state not in ("planned", "claimed", "handed_over", "sent", "skipped"):
        return ""
    words = _ORDERED[row.staff_order][row.state in DECISIONS]
    return f"{words} {row.ordered_by}" + (f": {row.order_reason}" if row.order_reason else "")
