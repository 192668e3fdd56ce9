"""Who takes part in a cohort: sign-ups inside its window, and those who leave (COH1, COH3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit
from database.models import Cohort, CohortMember, CohortPair, Profile
from database.tasks import open_task
from lifecycles.cohorts.cohort_situation import cohort_row
from lifecycles.facts import facts_from_row
from lifecycles.workflow_commands import WorkflowCommand, start
from rules.cohort import CohortDays, CohortFacts, cohort_of_year, days_of_year, next_opening, window_at
from rules.program import Program, program_calendar

_YEAR = re.compile(r"[0-9]{4}")

PAIR_BROKEN = "pair_broken"
"""The kind of the task about somebody whose partner left before the kick-off."""


def yearly_facts(program: Program, year: int, at: datetime) -> CohortFacts | None:
    """Return the facts of the cohort whose yearly window opens in a year; None for a program without one (COH1)."""
    days = days_of_year(program.cohort, year) if program.cohort else None
    if days is None:
        return None
    return CohortFacts(
        cohort_of_year(program.id, year),
        program.id,
        at,
        days.opens.isoformat(),
        days.closes.isoformat(),
        days.kick_off.isoformat(),
        days.months,
    )


def current_or_next(program: Program, at: datetime) -> CohortFacts | None:
    """Return the facts of the yearly cohort whose window is open at an instant, or opens next."""
    if program.cohort is None or not program.cohort.is_yearly:
        return None
    calendar = program_calendar(program)
    year = window_at(program.cohort, calendar, at)
    if year is None:
        opening = next_opening(program.cohort, calendar, at)
        if opening is None:
            return None
        year = opening.opens.year
    return yearly_facts(program, year, at)


def following(program: Program, facts: CohortFacts, at: datetime) -> CohortFacts | None:
    """Return the facts of the cohort after a yearly one; None for one that is not of a yearly window."""
    before, _, year = facts.cohort.rpartition("-")
    if before != program.id or not _YEAR.fullmatch(year):
        return None
    return yearly_facts(program, int(year) + 1, at)


async def keep_cohort(session: AsyncSession, facts: CohortFacts, program: Program) -> Cohort:
    """Return the row of a cohort, written if the database has none. Two at the same moment write one."""
    workflow = f"cohort/{facts.cohort}"
    if (row := await session.get(Cohort, workflow)) is not None:
        return row
    try:
        async with session.begin_nested():
            made = cohort_row(facts, program)
            session.add(made)
            await session.flush()
        return made
    except IntegrityError:
        return await session.get_one(Cohort, workflow)


async def join(
    session: AsyncSession,
    program: Program,
    profile: Profile,
    at: datetime,
    heard_at: datetime,
    *,
    history: bool = False,
) -> list[WorkflowCommand]:
    """Add a profile to the cohort whose window it signs up in, if there is one (COH1). Returns what this starts.

    `at` is when it signed up: a report that comes late counts by that, until the cohort is over. `history` of a program
    that is taken over counts until the kick-off: after that its pairs are history, too (T10).
    """
    if program.cohort is None or profile.withdrawn_at is not None:
        return []
    commands: list[WorkflowCommand] = []
    found = await _open_at(session, program, at)
    if not found and (facts := _of_this_window(program, at, heard_at)):
        row = await keep_cohort(session, facts, program)
        commands.append(start("Cohort", row.workflow, facts))
        found = [row] if row.closed_at is None else []
    if history:
        found = [row for row in found if heard_at < _kick_off_at(row, program)]
    cohort = _for_partner(found, profile.partner)
    if cohort is None:
        return commands
    if await session.get(CohortMember, (cohort.id, profile.id)) is not None:
        return commands
    joined = CohortMember(cohort_id=cohort.id, profile_id=profile.id, role=profile.role, joined_at=at)
    joined.partner = profile.partner
    session.add(joined)
    await session.flush()
    return commands


async def takes_part(session: AsyncSession, profile: Profile) -> bool:
    """Return whether a profile has joined a cohort and not left it."""
    found = select(CohortMember.cohort_id).where(
        CohortMember.profile_id == profile.id, CohortMember.left_at.is_(None)
    )
    return await session.scalar(found.limit(1)) is not None


async def next_window(session: AsyncSession, program: Program, at: datetime) -> CohortDays | None:
    """Return the cohort whose window opens next, by the yearly window or an event; None while none is known (COH1)."""
    if program.cohort is None:
        return None
    calendar = program_calendar(program)
    rows = await session.scalars(
        select(Cohort).where(
            Cohort.program == program.id,
            Cohort.closed_at.is_(None),
            Cohort.opens_on > calendar.date_of(at).isoformat(),
        )
    )
    announced = [facts_from_row(CohortFacts, row.facts).days for row in rows]
    return next_opening(program.cohort, calendar, at, announced)


async def _open_at(session: AsyncSession, program: Program, at: datetime) -> Sequence[Cohort]:
    """Return the cohorts of a program whose windows have an instant, unless they are over."""
    day = program_calendar(program).date_of(at).isoformat()
    rows = await session.scalars(
        select(Cohort)
        .where(
            Cohort.program == program.id,
            Cohort.opens_on <= day,
            Cohort.closes_on >= day,
            Cohort.closed_at.is_(None),
        )
        .order_by(Cohort.opens_on, Cohort.id)
    )
    return rows.all()


def _kick_off_at(row: Cohort, program: Program) -> datetime:
    return facts_from_row(CohortFacts, row.facts).days.kick_off_at(program_calendar(program))


def _of_this_window(program: Program, at: datetime, heard_at: datetime) -> CohortFacts | None:
    """Return the facts of the yearly cohort that should be there, such as on a new database."""
    if program.cohort is None:
        return None
    calendar = program_calendar(program)
    year = window_at(program.cohort, calendar, at)
    facts = yearly_facts(program, year, heard_at) if year is not None else None
    return facts if facts and heard_at < facts.days.kick_off_at(calendar) else None


def _for_partner(rows: Sequence[Cohort], partner: str | None) -> Cohort | None:
    """Return the cohort that somebody joins: that of their partner, else one for everybody, else the only one."""
    own = [row for row in rows if partner and partner in row.partners]
    for_all = [row for row in rows if not row.partners]
    rest = list(rows) if not partner else []
    return next(iter((*own, *for_all, *rest)), None)


async def leave(session: AsyncSession, profile: Profile, at: datetime) -> None:
    """Take a withdrawn profile out of its cohorts, and break its pairs that have not started (COH3)."""
    rows = await session.scalars(
        select(Cohort)
        .join(CohortMember, CohortMember.cohort_id == Cohort.id)
        .where(CohortMember.profile_id == profile.id, CohortMember.left_at.is_(None))
        .order_by(Cohort.id)
    )
    for row in rows:
        await audit.lock(session, row.workflow)
        member = await session.get_one(CohortMember, (row.id, profile.id))
        member.left_at = at
        part = CohortPair.mentor_id if profile.role == "mentor" else CohortPair.mentee_id
        pairs = await session.scalars(
            select(CohortPair).where(
                CohortPair.cohort_id == row.id,
                part == profile.id,
                CohortPair.state.in_(("proposed", "confirmed")),
            )
        )
        for pair in pairs.all():
            await break_pair(session, row, pair, profile.role, "withdrew the profile", at)


async def break_pair(
    session: AsyncSession, row: Cohort, pair: CohortPair, role: str, why: str, at: datetime
) -> None:
    """Break a pair that has not started, because one of the two, in a role, cannot take part.

    The other one is without a pair again. Staff get a task if the pair was confirmed: both may have been mailed.
    """
    other = pair.mentee_id if role == "mentor" else pair.mentor_id
    was_confirmed = pair.state == "confirmed"
    pair.state, pair.broken_because = "broken", f"the {role} {why}"
    left = await session.get(CohortMember, (row.id, other))
    if left is not None:
        left.unpaired_because = f"the {role} of the proposed pair {why}"
    if not was_confirmed or row.closed_at is not None:
        return
    lost = pair.mentor_id if role == "mentor" else pair.mentee_id
    action = (
        f"The {role} {why} before the start. Run the pairing again (throughline cohort pair {row.id}) and confirm the "
        "new pairs. Somebody who has none at the kick-off gets a kind mail then."
    )
    await open_task(session, PAIR_BROKEN, row.workflow, f"{other} has lost {lost}", action, at)
