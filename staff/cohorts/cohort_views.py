"""Cohorts as staff read them: the days, who signed up, the pairs and who is without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from database.models import Cohort, CohortMember, CohortPair, Member, Profile
from lifecycles.cohorts.pool import LIVE
from lifecycles.cohorts.proposals import unpaired_words
from lifecycles.participants import Programs
from rules.pairing import Reason, worded
from staff.views import NotFound
from staff.views.lifecycles import program_zone


@dataclass(frozen=True, slots=True)
class CohortSummary:
    """A cohort in a list."""

    cohort: str
    program: str
    state: str
    since: datetime
    opens: str
    """The first day of the window, YYYY-MM-DD in the program's zone; the other days likewise."""
    closes: str
    kick_off: str
    months: int
    partners: tuple[str, ...]
    mentors: int
    """How many of the members are mentors, without those who left."""
    mentees: int
    proposed: int
    """How many pairs are proposed and not confirmed."""
    confirmed: int
    """How many pairs are confirmed and not broken."""
    zone: str


@dataclass(frozen=True, slots=True)
class CohortPairView:
    """A pair of a cohort."""

    mentee: str
    mentee_name: str
    mentor: str
    mentor_name: str
    state: str
    mark: str
    """`locked`, `forbidden`, or empty."""
    fit: int | None
    why: str
    """What speaks for it, in words; of a broken one what broke it."""
    engagement: str
    is_new: bool = False
    """Whether the last proposal brought it, and was not the first."""


@dataclass(frozen=True, slots=True)
class UnpairedView:
    """Somebody without a pair."""

    profile: str
    name: str
    role: str
    why: str


@dataclass(frozen=True, slots=True)
class CohortView:
    """A cohort with its pairs, and those who are without."""

    summary: CohortSummary
    proposal: int
    """The number of the last proposal; 0 before the first."""
    figures: Mapping[str, Any]
    """What the last proposal came to."""
    pairs: tuple[CohortPairView, ...]
    unpaired: tuple[UnpairedView, ...]


async def find_cohort(session: AsyncSession, cohort: str) -> Cohort:
    """Return the row of a cohort, by its id or its workflow id. Raises NotFound."""
    row = await session.get(Cohort, f"cohort/{cohort.removeprefix('cohort/')}")
    if row is None:
        raise NotFound(f"there is no cohort {cohort}")
    return row


async def cohort_list(session: AsyncSession, programs: Programs) -> tuple[CohortSummary, ...]:
    """Return all cohorts, the latest window first."""
    rows = await session.scalars(select(Cohort).order_by(Cohort.opens_on.desc(), Cohort.id))
    return await _summaries(session, rows.all(), programs)


async def cohort_view(
    session: AsyncSession, cohort: str, programs: Programs, language: str = "en"
) -> CohortView:
    """Return a cohort with its pairs, those with the lowest fit first. Raises NotFound."""
    row = await find_cohort(session, cohort)
    return CohortView(
        (await _summaries(session, [row], programs))[0],
        row.proposal,
        dict(row.figures or {}),
        await _pairs(session, row, language),
        await _unpaired(session, row, language),
    )


async def _summaries(
    session: AsyncSession, rows: Sequence[Cohort], programs: Programs
) -> tuple[CohortSummary, ...]:
    ids = [row.id for row in rows]
    members = await session.execute(
        select(CohortMember.cohort_id, CohortMember.role, func.count())
        .where(CohortMember.cohort_id.in_(ids), CohortMember.left_at.is_(None))
        .group_by(CohortMember.cohort_id, CohortMember.role)
    )
    people = {(cohort, role): count for cohort, role, count in members}
    states = await session.execute(
        select(CohortPair.cohort_id, CohortPair.state, func.count())
        .where(CohortPair.cohort_id.in_(ids))
        .group_by(CohortPair.cohort_id, CohortPair.state)
    )
    pairs = {(cohort, state): count for cohort, state, count in states}
    return tuple(
        CohortSummary(
            row.id,
            row.program,
            row.state,
            row.state_since,
            row.opens_on,
            row.closes_on,
            row.kick_off_on,
            row.months,
            tuple(map(str, row.partners)),
            people.get((row.id, "mentor"), 0),
            people.get((row.id, "mentee"), 0),
            pairs.get((row.id, "proposed"), 0),
            sum(pairs.get((row.id, state), 0) for state in LIVE),
            program_zone(row.program, programs),
        )
        for row in rows
    )


async def _pairs(session: AsyncSession, row: Cohort, language: str) -> tuple[CohortPairView, ...]:
    mentee, mentor = aliased(Profile), aliased(Profile)
    of_mentee, of_mentor = aliased(Member), aliased(Member)
    found = await session.execute(
        select(CohortPair, of_mentee.name, of_mentor.name)
        .join(mentee, mentee.id == CohortPair.mentee_id)
        .join(of_mentee, of_mentee.id == mentee.member_id)
        .join(mentor, mentor.id == CohortPair.mentor_id)
        .join(of_mentor, of_mentor.id == mentor.member_id)
        .where(CohortPair.cohort_id == row.id)
        .order_by(CohortPair.fit, CohortPair.mentee_id, CohortPair.mentor_id)
    )
    return tuple(
        CohortPairView(
            pair.mentee_id,
            mentee_name,
            pair.mentor_id,
            mentor_name,
            pair.state,
            pair.mark or "",
            pair.fit,
            pair.broken_because or why_of(pair, language),
            pair.engagement or "",
            pair.state == "proposed" and pair.run == row.proposal > 1,
        )
        for pair, mentee_name, mentor_name in found
    )


def why_of(pair: CohortPair, language: str) -> str:
    """Return what speaks for a pair, in words."""
    return worded([Reason.from_plain(each) for each in pair.why or ()], language)


async def _unpaired(session: AsyncSession, row: Cohort, language: str) -> tuple[UnpairedView, ...]:
    """Return the members whom no proposed or confirmed pair has."""
    paired = select(CohortPair.id).where(
        CohortPair.cohort_id == CohortMember.cohort_id,
        (CohortPair.mentee_id == CohortMember.profile_id) | (CohortPair.mentor_id == CohortMember.profile_id),
        CohortPair.state.in_(("proposed", *LIVE)),
    )
    found = await session.execute(
        select(CohortMember, Member.name)
        .join(Profile, Profile.id == CohortMember.profile_id)
        .join(Member, Member.id == Profile.member_id)
        .where(CohortMember.cohort_id == row.id, CohortMember.left_at.is_(None), ~paired.exists())
        .order_by(CohortMember.role, CohortMember.profile_id)
    )
    return tuple(
        UnpairedView(member.profile_id, name, member.role, unpaired_words(member.unpaired_because, language))
        for member, name in found
        if row.proposal or row.closed_at
    )
