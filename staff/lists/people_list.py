"""The list of people: found by name, address or id, with the lists that managers ask for most."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, and_, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Engagement, Member, Profile
from rules.text import ERASED
from staff.accounts.scope import Scope
from staff.lists.lifecycle_lists import ROWS_A_PAGE, members_found

SPECIAL: Final = ("mentors", "mentees", "unmatched", "places")
"""All mentors, all mentees, mentees without a mentor, mentors with places left."""


@dataclass(frozen=True, slots=True)
class PeopleFilter:
    """What the list of people shows."""

    special: str = ""
    program: str = ""
    search: str = ""


@dataclass(frozen=True, slots=True)
class PersonEntry:
    """A member with one of their profiles; a member without a profile has a row, too."""

    member: str
    name: str
    email: str
    standing: str
    profile: str
    role: str
    program: str
    since: datetime | None
    withdrawn: datetime | None
    running: int
    """Engagements that are open."""
    places: int | None
    """How many mentees at a time a mentor takes; None for any number."""


@dataclass(frozen=True, slots=True)
class PeoplePage:
    """A page of the list, and the cursor of the next one; empty on the last."""

    entries: tuple[PersonEntry, ...]
    following: str


async def people_page(
    session: AsyncSession, scope: Scope, chosen: PeopleFilter, cursor: str = "", limit: int = ROWS_A_PAGE
) -> PeoplePage:
    """Return a page of people in the order of their names. `cursor` is that of the page before."""
    profile_id = func.coalesce(Profile.id, "")
    joined = and_(Profile.member_id == Member.id, Profile.id.in_(scope.profiles()))
    wanted = (
        select(Member, Profile)
        .outerjoin(Profile, joined if not scope.member.sees_all else Profile.member_id == Member.id)
        .where(scope.members(), *_conditions(chosen))
        .order_by(Member.folded, Member.id, profile_id)
        .limit(limit + 1)
    )
    if place := await _place(session, cursor):
        words, after, after_profile = place
        wanted = wanted.where(
            or_(
                Member.folded > words,
                and_(Member.folded == words, Member.id > after),
                and_(Member.folded == words, Member.id == after, profile_id > after_profile),
            )
        )
    rows = [(member, profile) for member, profile in await session.execute(wanted)]
    running = await _running(session, [profile.id for _, profile in rows if profile])
    following = ""
    if len(rows) > limit:
        last, of_last = rows[limit - 1]
        following = f"{last.id}|{of_last.id if of_last else ''}"
    return PeoplePage(tuple(_entry(*row, running) for row in rows[:limit]), following)


async def _place(session: AsyncSession, cursor: str) -> tuple[str, str, str] | None:
    """Return where a page begins: behind a member's profile, in the order of names. None without a member."""
    member, _, profile = cursor.partition("|")
    words = await session.scalar(select(Member.folded).where(Member.id == member)) if member else None
    return None if words is None else (words, member, profile)


def _conditions(chosen: PeopleFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if chosen.search:
        found.append(or_(members_found(chosen.search), Profile.id == chosen.search.strip()))
    if chosen.program:
        found.append(Profile.program == chosen.program)
    if chosen.special in SPECIAL:
        found.append(_special(chosen.special))
    return found


def _special(name: str) -> ColumnElement[bool]:
    role = Profile.role == ("mentee" if name in ("mentees", "unmatched") else "mentor")
    if name == "unmatched":
        matched = select(Engagement.id).where(
            Engagement.mentee_id == Profile.id, Engagement.closed_at.is_(None)
        )
        return and_(role, Profile.withdrawn_at.is_(None), ~matched.exists())
    if name == "places":
        busy = (
            select(func.count())
            .select_from(Engagement)
            .where(Engagement.mentor_id == Profile.id, Engagement.closed_at.is_(None))
            .scalar_subquery()
        )
        free = or_(Profile.mentees_at_a_time.is_(None), Profile.mentees_at_a_time > busy)
        return and_(role, Profile.withdrawn_at.is_(None), free)
    return and_(role, true())


async def _running(session: AsyncSession, profiles: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for column in (Engagement.mentee_id, Engagement.mentor_id):
        for start in range(0, len(profiles), 500):
            rows = await session.execute(
                select(column, func.count())
                .where(column.in_(profiles[start : start + 500]), Engagement.closed_at.is_(None))
                .group_by(column)
            )
            found |= {profile: found.get(profile, 0) + count for profile, count in rows}
    return found


def _entry(member: Member, profile: Profile | None, running: dict[str, int]) -> PersonEntry:
    return PersonEntry(
        member=member.id,
        name=member.name,
        email=member.email_given or member.email or ERASED,
        standing=member.standing,
        profile=profile.id if profile else "",
        role=profile.role if profile else "",
        program=profile.program if profile else "",
        since=profile.created_at if profile else None,
        withdrawn=profile.withdrawn_at if profile else None,
        running=running.get(profile.id, 0) if profile else 0,
        places=profile.mentees_at_a_time if profile and profile.role == "mentor" else None,
    )
