"""A lifecycle with all that its plans and mails read of it, in one statement: its pair's lifecycles, and its people.

What is read is in the session then, where the functions that ask for a part of it find it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit, ledger
from database.models import (
    Claim,
    Engagement,
    Lifecycle,
    Member,
    Message,
    Onboarding,
    Profile,
    Request,
    Survey,
)
from database.session import held

_WORKFLOW: ColumnElement[str] = bindparam("workflow")
_PAIR = Profile.id.in_([Engagement.mentee_id, Engagement.mentor_id])


class _Kind:
    """The tables of a kind of lifecycle, each with how it is joined to those before it; the kind's own first."""

    def __init__(self, table: Any, joined: Sequence[tuple[Any, ColumnElement[bool]]]) -> None:
        self.table = table
        joined = [*joined, (Member, Member.id == Profile.member_id)]
        tables = [table, *(each for each, _ in joined)]
        own: Any = select(*tables).select_from(table)
        of_messages: Any = select(Message, *tables).outerjoin(table, table.workflow == Message.workflow)
        for each, condition in joined:
            own, of_messages = own.outerjoin(each, condition), of_messages.outerjoin(each, condition)
        self.read = own.where(table.workflow == _WORKFLOW)
        self.locked = self.read.with_for_update(of=table)
        self.messages = of_messages.where(ledger.OF_KEYS).order_by(Message.id).with_for_update(of=Message)


# Built once: these statements run for each plan and each mail.
_KINDS = {
    "onboarding": _Kind(Onboarding, [(Profile, Profile.id == Onboarding.profile_id)]),
    "request": _Kind(Request, [(Profile, Profile.id.in_([Request.mentee_id, Request.mentor_id]))]),
    "engagement": _Kind(Engagement, [(Request, Request.id == Engagement.id), (Profile, _PAIR)]),
    **{
        kind: _Kind(
            table,
            [
                (Engagement, Engagement.id == table.engagement_id),
                (Request, Request.id == table.engagement_id),
                (Profile, _PAIR),
            ],
        )
        for kind, table in (("claim", Claim), ("survey", Survey))
    },
}


async def read_together(session: AsyncSession, workflow: str, *, lock: bool = False) -> Lifecycle | None:
    """Read a lifecycle with its people, and return its row; None where there is none yet, or its kind has no people.

    `lock` locks the row until the transaction ends. A row that the session has already is not read again.
    """
    kind = _KINDS.get(workflow.partition("/")[0])
    if kind is None:
        return None
    known: Lifecycle | None = held(session, kind.table, workflow)
    if known is not None and not lock:
        return known
    statement = kind.locked if lock else kind.read
    found: list[Lifecycle] = [row[0] for row in await session.execute(statement, {"workflow": workflow})]
    return found[0] if found else None


async def locked_messages(session: AsyncSession, workflow: str, keys: Sequence[str]) -> dict[str, Message]:
    """Return messages as `ledger.locked_rows` does, and read their lifecycle with them."""
    kind = _KINDS.get(workflow.partition("/")[0])
    if kind is None:
        return await ledger.locked_rows(session, workflow, keys)
    await audit.lock(session, workflow)
    rows = await session.execute(kind.messages, ledger.named(workflow, keys))
    return {message.key: message for message, *_ in rows}
