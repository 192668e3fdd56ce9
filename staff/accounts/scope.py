"""What somebody of the staff sees: conditions for queries, the same for lists, pages, search and files.

A viewer and a manager see everybody. A coordinator sees the members who are assigned, one by one, by program or by a
partner of a program (COH4). Of lifecycles a coordinator sees those in which everybody who takes part is assigned: a
page about a pair shows both.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import (
    Claim,
    CohortMember,
    Engagement,
    Lifecycle,
    Member,
    Message,
    Profile,
    StaffAssignment,
    Task,
)
from database.tasks import DUE_AT_ONCE
from lifecycles.registry import LIFECYCLES, find_lifecycle
from rules.engagement.confidentiality import SUSPENDED
from staff.accounts.directory import StaffMember
from staff.views.lifecycles import parties_of

MISCONDUCT_TASKS: Final = DUE_AT_ONCE
"""The kinds of tasks that only managers see."""

_PARTIES: Final = ("profile_id", "mentee_id", "mentor_id")


class Scope:
    """What one person sees."""

    def __init__(self, member: StaffMember) -> None:
        self.member = member

    def members(self) -> ColumnElement[bool]:
        """Return the condition of members."""
        if self.member.sees_all:
            return true()
        return or_(
            Member.id.in_(self._assigned("member")),
            Member.id.in_(select(Profile.member_id).where(self._of_program_or_partner())),
        )

    def profiles(self) -> Select[str]:
        """Return the ids of the profiles."""
        if self.member.sees_all:
            return select(Profile.id)
        return select(Profile.id).where(
            or_(
                Profile.member_id.in_(self._assigned("member")),
                self._of_program_or_partner(),
            )
        )

    def rows(self, table: Any) -> ColumnElement[bool]:
        """Return the condition of the rows of a kind of lifecycle."""
        if self.member.sees_all:
            return true()
        if "engagement_id" in table.__table__.columns:
            # A claim or survey is about a pair: it is seen where its engagement is.
            pairs = select(Engagement.id).where(self.rows(Engagement))
            seen: ColumnElement[bool] = table.engagement_id.in_(pairs)
            return seen
        columns = [getattr(table, name) for name in _PARTIES if hasattr(table, name)]
        if not columns:
            # What is about a whole program is for those to whom that is assigned.
            of_program: ColumnElement[bool] = table.program.in_(self._assigned("program"))
            return of_program
        return and_(*(column.in_(self.profiles()) for column in columns))

    def pairs(self) -> ColumnElement[bool]:
        """Return the condition of engagements in which somebody is seen; the other person may not be."""
        if self.member.sees_all:
            return true()
        return or_(Engagement.mentee_id.in_(self.profiles()), Engagement.mentor_id.in_(self.profiles()))

    def messages(self) -> ColumnElement[bool]:
        """Return the condition of messages: those to people and about lifecycles that are seen."""
        if self.member.sees_all:
            return true() if self.member.is_manager else Message.message != "staff.misconduct"
        return and_(Message.to_profile.in_(self.profiles()), or_(*self._lifecycles(Message.workflow)))

    def tasks(self) -> ColumnElement[bool]:
        """Return the condition of tasks. Those about misconduct are for managers."""
        if self.member.is_manager:
            return true()
        ordinary = Task.kind.not_in(MISCONDUCT_TASKS)
        if self.member.sees_all:
            return ordinary
        return and_(ordinary, self.subject(Task.subject))

    def subject(self, column: Any) -> ColumnElement[bool]:
        """Return the condition of what tasks and events are about: a lifecycle, a member or a profile, as `kind/id`."""
        if self.member.sees_all:
            return true()
        members = select(Member.id).where(self.members())
        return or_(
            and_(column.startswith("member/"), func.substr(column, 8).in_(members)),
            and_(column.startswith("profile/"), func.substr(column, 9).in_(self.profiles())),
            *self._lifecycles(column),
        )

    async def sees(self, session: AsyncSession, subject: str) -> bool:
        """Return whether there is a subject, such as `member/ana` or `engagement/r-1`, that the person sees."""
        kind, _, name = subject.partition("/")
        if kind == "member":
            found = select(Member.id).where(Member.id == name, self.members())
        elif kind == "profile":
            found = select(Profile.id).where(Profile.id == name, Profile.id.in_(self.profiles()))
        elif kind in LIFECYCLES:
            table = LIFECYCLES[kind].table
            found = select(table.workflow).where(table.workflow == subject, self.rows(table))
        else:
            return self.member.sees_all
        return await session.scalar(found) is not None

    async def seen(self, session: AsyncSession, rows: list[Lifecycle]) -> list[Lifecycle]:
        """Return those of some lifecycles that the person sees."""
        if self.member.sees_all:
            return rows
        return [row for row in rows if await self.sees(session, row.workflow)]

    async def people_of(self, session: AsyncSession, subjects: Collection[str]) -> dict[str, str]:
        """Return the profile or member whom each subject is first of all about; none for what is about nobody."""
        found: dict[str, str] = {}
        for subject in set(subjects):
            kind = subject.partition("/")[0]
            if kind in ("member", "profile"):
                found[subject] = subject
            elif (row := await find_lifecycle(session, subject)) and (first := _first_of(row)):
                found[subject] = f"profile/{first}"
        return found

    def state(self, row: Lifecycle) -> str:
        """Return the state of a lifecycle as the person may know it: a suspension looks like a pause (ENG8)."""
        return shown_state(row.state, self.member)

    def _assigned(self, kind: str) -> Select[str]:
        return select(func.substr(StaffAssignment.subject, len(kind) + 2)).where(
            StaffAssignment.account_id == self.member.id, StaffAssignment.subject.startswith(f"{kind}/")
        )

    def _of_program_or_partner(self) -> ColumnElement[bool]:
        """Return the condition of profiles of a program, of a partner in a program, or of a partner in one cohort."""
        partners = self._assigned("partner")
        in_cohort = select(CohortMember.profile_id).where(
            (CohortMember.cohort_id + "/" + CohortMember.partner).in_(partners)
        )
        return or_(
            Profile.program.in_(self._assigned("program")),
            (Profile.program + "/" + Profile.partner).in_(partners),
            Profile.id.in_(in_cohort),
        )

    def _lifecycles(self, column: Any) -> list[ColumnElement[bool]]:
        """Return, for each kind, the condition that a column names a lifecycle of it that is seen.

        One look-up by key for each row: to list all lifecycles that are seen would take longer than the page.
        """
        return [
            select(kind.table.workflow).where(kind.table.workflow == column, self.rows(kind.table)).exists()
            for kind in LIFECYCLES.values()
        ]


def shown_state(state: str, member: StaffMember) -> str:
    """Return a state as somebody may know it: only managers learn of a suspension (ENG8)."""
    return "paused" if state == SUSPENDED and not member.is_manager else state


def _first_of(row: Lifecycle) -> str:
    """Return the person whom a lifecycle is first of all about: the mentee of a pair, the claimant of a claim.

    Empty for one that is about nobody alone.
    """
    if isinstance(row, Claim):
        return row.profile_id
    return next(iter(parties_of(row).values()), "")
