"""The list of pairs with their progress in the curriculum: filtered, a page at a time (COH4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Engagement, Profile, Task
from database.tasks import OPEN
from lifecycles.participants import Programs
from rules.engagement.curriculum import LAGGING
from staff.accounts.scope import Scope
from staff.views.curriculum import PairProgress, progress_of

ROWS_A_PAGE: Final = 50

SHOWN: Final = ("lagging", "all")
"""What the list may show in place of the pairs that go on."""


@dataclass(frozen=True, slots=True)
class ProgressFilter:
    """Which pairs are shown."""

    program: str = ""
    cohort: str = ""
    partner: str = ""
    show: str = ""
    """`lagging` for pairs with an open task, `all` with those that are over; empty for all that go on."""


@dataclass(frozen=True, slots=True)
class ProgressPage:
    """A page of pairs, and the cursor of the next one; empty on the last."""

    pairs: tuple[PairProgress, ...]
    following: str


# long: whose list of which pairs, when, and which page
async def progress_page(
    session: AsyncSession,
    scope: Scope,
    programs: Programs,
    chosen: ProgressFilter,
    at: datetime,
    cursor: str = "",
    limit: int = ROWS_A_PAGE,
) -> ProgressPage:
    """Return a page of the pairs of programs with a curriculum, in the order of their ids."""
    wanted = (
        select(Engagement)
        .where(scope.pairs(), *_conditions(scope, programs, chosen), Engagement.workflow > cursor)
        .order_by(Engagement.workflow)
        .limit(limit + 1)
    )
    rows = list(await session.scalars(wanted))
    seen = await _seen(session, scope, rows)
    found = await progress_of(session, rows[:limit], programs, at, seen)
    shown = tuple(each for each in found if _is_of(each, chosen.partner))
    return ProgressPage(shown, rows[limit - 1].workflow if len(rows) > limit else "")


async def cohorts_seen(session: AsyncSession, scope: Scope) -> list[str]:
    """Return the cohorts of the pairs that are seen, in order."""
    found = await session.scalars(
        select(Engagement.cohort).where(Engagement.cohort.is_not(None), scope.pairs()).distinct()
    )
    return sorted(each for each in found if each)


async def partners_seen(session: AsyncSession, scope: Scope) -> list[str]:
    """Return the partners of the people who are seen, in order."""
    found = await session.scalars(
        select(Profile.partner)
        .where(Profile.partner.is_not(None), Profile.id.in_(scope.profiles()))
        .distinct()
    )
    return sorted(each for each in found if each)


async def _seen(session: AsyncSession, scope: Scope, rows: Sequence[Engagement]) -> frozenset[str] | None:
    """Return those of the people of some pairs who are seen; None where that is everybody."""
    if scope.member.sees_all:
        return None
    ids = {each for row in rows for each in (row.mentee_id, row.mentor_id)}
    found = await session.scalars(
        select(Profile.id).where(Profile.id.in_(ids), Profile.id.in_(scope.profiles()))
    )
    return frozenset(found)


def _conditions(scope: Scope, programs: Programs, chosen: ProgressFilter) -> list[ColumnElement[bool]]:
    led = [name for name, program in programs.items() if program.curriculum]
    found: list[ColumnElement[bool]] = [Engagement.program.in_([chosen.program] if chosen.program else led)]
    if chosen.show != "all":
        found.append(Engagement.closed_at.is_(None))
    if chosen.show == "lagging":
        open_tasks = select(Task.subject).where(Task.kind == LAGGING, Task.state.in_(OPEN))
        found.append(Engagement.workflow.in_(open_tasks))
    if chosen.cohort:
        found.append(Engagement.cohort == chosen.cohort)
    if chosen.partner:
        of_partner = select(Profile.id).where(
            Profile.partner == chosen.partner, Profile.id.in_(scope.profiles())
        )
        found.append(or_(Engagement.mentee_id.in_(of_partner), Engagement.mentor_id.in_(of_partner)))
    return found


def _is_of(pair: PairProgress, partner: str) -> bool:
    return bool(pair.sides) and (not partner or any(side.partner == partner for side in pair.sides))
