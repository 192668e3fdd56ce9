"""The week of a coordinator's people: whom the weekly digest goes to beside managers, and what it says (STA4, COH4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Claim, Engagement, Profile, Request, StaffAccount, StaffAssignment, Task
from database.tasks import OPEN
from mail.digest import DigestReader, Week, open_tasks
from rules.engagement.curriculum import LAGGING
from rules.program import Program
from staff.accounts.directory import staff_member
from staff.accounts.scope import Scope


class CoordinatorWeeks:
    """What the activity of the digest asks about coordinators: ambassadors, and coordinators of partners."""

    async def readers(self, session: AsyncSession) -> Sequence[DigestReader]:
        """Return the coordinators with an open account to whom somebody is assigned, in the order of their ids."""
        found = await session.execute(
            select(StaffAccount.id, StaffAccount.zone, func.min(StaffAssignment.since))
            .join(StaffAssignment, StaffAssignment.account_id == StaffAccount.id)
            .where(StaffAccount.role == "coordinator", StaffAccount.closed_at.is_(None))
            .group_by(StaffAccount.id, StaffAccount.zone)
            .order_by(StaffAccount.id)
        )
        return [DigestReader(*row) for row in found]

    async def counts(
        self, session: AsyncSession, reader: DigestReader, program: Program, week: Week
    ) -> dict[str, str]:
        """Return the counts of a coordinator's people in a program, as text; none where they have nobody there.

        A pair counts where both people are theirs, a lagging one where somebody of it is: as the console shows them.
        """
        account = await session.get_one(StaffAccount, reader.account)
        scope = Scope(staff_member(account))
        theirs = Profile.id.in_(scope.profiles())
        people = await session.scalar(
            select(func.count(Profile.member_id.distinct())).where(Profile.program == program.id, theirs)
        )
        if not people:
            return {}
        since = (Profile.created_at >= week.since, Profile.created_at < week.begins)
        matched = (Engagement.started_at >= week.since, Engagement.started_at < week.begins)
        tasks = await open_tasks(session, program, scope.tasks(), Task.kind != LAGGING)
        behind = select(Task.subject).where(Task.kind == LAGGING, Task.state.in_(OPEN))
        counts = {
            "people": people,
            "mentors": await _count(session, Profile, program, theirs, Profile.role == "mentor", *since),
            "mentees": await _count(session, Profile, program, theirs, Profile.role == "mentee", *since),
            "matches": await _count(session, Engagement, program, scope.rows(Engagement), *matched),
            "past_due": await _count(
                session, Request, program, scope.rows(Request), Request.state == "past_due"
            ),
            "claims": await _count(
                session, Claim, program, scope.rows(Claim), Claim.state == "awaiting_evidence"
            ),
            "lagging": await _count(
                session,
                Engagement,
                program,
                scope.pairs(),
                Engagement.closed_at.is_(None),
                Engagement.workflow.in_(behind),
            ),
        }
        shown = " ".join(f"{kind}:{count}" for kind, count in sorted(tasks.items()))
        return {**{name: str(count) for name, count in counts.items()}, "tasks": shown}


async def _count(
    session: AsyncSession, table: Any, program: Program, *conditions: ColumnElement[bool]
) -> int:
    wanted = select(func.count()).select_from(table).where(table.program == program.id, *conditions)
    return await session.scalar(wanted) or 0
