"""Messages with their decisions, and why each was made (MAIL1)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Message
from lifecycles.participants import Programs
from staff.explanations import Explanation, explain
from staff.mail_fate import came_back_cause, fate
from staff.people import People
from staff.views.read_model import MessageView

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
        state=row.state if row.due_at or row.state != "planned" else "held",
        due=row.due_at,
        decided=row.decided_at,
        came_back=row.came_back,
        came_back_cause=came_back_cause(row),
        delivered=row.delivered_at,
        reason=row.reason,
        rule=explained.rule,
        day=explained.words,
        why="; ".join(filter(None, (_why(row, zone), explained.words))),
        subject=row.subject,
        zone=zone,
    )


def _why(row: Message, zone: str) -> str:
    if fared := fate(row, zone):
        return fared
    if row.reason:
        return row.reason
    if row.state == "sent":
        return f"the mail server took it: {row.response}" if row.response else "the mail server took it"
    if row.trouble:
        return f"tried {row.attempts} times; last: {row.trouble}"
    return _WAITING.get(row.state, "")
