"""A lifecycle with all that its plans and mails read of it, in one statement: its pair's lifecycles, and its people.

What is read is in the session then, where the functions that ask for a part of it find it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Claim, Engagement, Lifecycle, Member, Onboarding, Profile, Request, Survey
from database.session import held


def _with_people(read: Any, people: ColumnElement[bool], is_it: ColumnElement[bool]) -> Any:
    return (
        read.add_columns(Profile, Member)
        .join(Profile, people)
        .join(Member, Member.id == Profile.member_id)
        .where(is_it)
    )


def _of_pair(table: type[Claim | Survey]) -> Any:
    read = (
        select(table, Engagement, Request)
        .join(Engagement, Engagement.id == table.engagement_id)
        .outerjoin(Request, Request.id == table.engagement_id)
    )
    pair = Profile.id.in_([Engagement.mentee_id, Engagement.mentor_id])
    return _with_people(read, pair, table.workflow == bindparam("workflow"))


# Built once: these statements run for each plan and each mail.
_STATEMENTS: dict[str, Any] = {
    "onboarding": _with_people(
        select(Onboarding), Profile.id == Onboarding.profile_id, Onboarding.workflow == bindparam("workflow")
    ),
    "request": _with_people(
        select(Request),
        Profile.id.in_([Request.mentee_id, Request.mentor_id]),
        Request.workflow == bindparam("workflow"),
    ),
    "engagement": _with_people(
        select(Engagement, Request).outerjoin(Request, Request.id == Engagement.id),
        Profile.id.in_([Engagement.mentee_id, Engagement.mentor_id]),
        Engagement.workflow == bindparam("workflow"),
    ),
    "claim": _of_pair(Claim),
    "survey": _of_pair(Survey),
}
_LOCKED = {
    kind: read.with_for_update(of=read.column_descriptions[0]["entity"]) for kind, read in _STATEMENTS.items()
}


async def read_together(session: AsyncSession, workflow: str, *, lock: bool = False) -> Lifecycle | None:
    """Read a lifecycle with its people, and return its row; None where there is none yet, or its kind has no people.

    `lock` locks the row until the transaction ends. A row that the session has already is not read again.
    """
    kind = workflow.partition("/")[0]
    statement = (_LOCKED if lock else _STATEMENTS).get(kind)
    if statement is None:
        return None
    known: Lifecycle | None = held(session, statement.column_descriptions[0]["entity"], workflow)
    if known is not None and not lock:
        return known
    found: list[Lifecycle] = [row[0] for row in await session.execute(statement, {"workflow": workflow})]
    return found[0] if found else None
