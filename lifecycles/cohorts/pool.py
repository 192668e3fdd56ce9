"""Those of a cohort who may be paired now, with what staff decided about pairs (COH2)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing import get_context

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Cohort, CohortMember, CohortPair, Engagement, Member, Profile
from lifecycles.participants import Participant
from rules import pairing
from rules.calendar import local_in
from rules.cohort import CohortFacts
from rules.pairing import Candidate, PairKey, Proposal
from rules.program import PairingPolicy, Program, program_calendar

USUAL_PLACES = 1
"""How many mentees a mentor takes who has named no number: of the central pairing nobody expects more."""

LIVE = ("confirmed", "starting", "running")
"""The states of pairs that staff have confirmed and that are not broken."""

LARGE = 400
"""People from which on a pairing is computed in a process of its own.

It holds the interpreter for seconds: workflow tasks would seem to hang, which Temporal assumes after two of them.
"""

BUSY = "has a mentorship that goes on"
"""Why a mentee is not paired who has a mentor already."""


@dataclass(frozen=True, slots=True)
class Pool:
    """What a proposal is computed from."""

    people: list[Candidate]
    policy: PairingPolicy
    locked: list[PairKey] = field(default_factory=list)
    forbidden: list[PairKey] = field(default_factory=list)
    earlier: list[PairKey] = field(default_factory=list)
    set_aside: dict[str, str] = field(default_factory=dict)
    """Members of the cohort who cannot be paired now, each with the reason."""


async def pool_of(session: AsyncSession, row: Cohort, facts: CohortFacts, program: Program) -> Pool:
    """Return those whom the next proposal pairs: everybody before the confirmation, later those with a place.

    Raises ValueError for a program without `[pairing]`.
    """
    if program.pairing is None:
        raise ValueError(f"program {program.id} has no [pairing]")
    enrolled = await _enrolled(session, row)
    pairs = list(await session.scalars(select(CohortPair).where(CohortPair.cohort_id == row.id)))
    taken = await _taken(session, row, pairs)
    at = facts.days.kick_off_at(program_calendar(program))
    people, set_aside = [], {}
    for each in enrolled:
        profile = each.profile
        if profile.role == "mentee" and taken[profile.id]:
            set_aside[profile.id] = BUSY
            continue
        people.append(_candidate(each, program, at, taken[profile.id]))
    present = {each.profile for each in people}
    over = {(pair.mentee_id, pair.mentor_id) for pair in pairs if pair.state == "running"}
    return Pool(
        people,
        program.pairing,
        locked=[key for key in _marked(pairs, "locked") if present.issuperset(key) and key not in over],
        forbidden=sorted({*_marked(pairs, "forbidden"), *over}),
        earlier=[(pair.mentee_id, pair.mentor_id) for pair in pairs if pair.state == "proposed"],
        set_aside=set_aside,
    )


async def compute(pool: Pool) -> Proposal:
    """Return the best proposal. Raises PairingUnavailableError, and ValueError for too many people."""
    if len(pool.people) < LARGE:
        return await asyncio.to_thread(_propose, pool)
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return await asyncio.get_running_loop().run_in_executor(process, _propose, pool)


def candidate_of(each: Participant, program: Program, facts: CohortFacts) -> Candidate:
    """Return somebody as the pairing takes them, for the fit of one pair."""
    return _candidate(each, program, facts.days.kick_off_at(program_calendar(program)), 0)


def _propose(pool: Pool) -> Proposal:
    return pairing.propose(
        pool.people, pool.policy, locked=pool.locked, forbidden=pool.forbidden, earlier=pool.earlier
    )


async def _enrolled(session: AsyncSession, row: Cohort) -> list[Participant]:
    found = await session.execute(
        select(Profile, Member)
        .join(Member, Member.id == Profile.member_id)
        .join(CohortMember, CohortMember.profile_id == Profile.id)
        .where(
            CohortMember.cohort_id == row.id, CohortMember.left_at.is_(None), Profile.withdrawn_at.is_(None)
        )
        .order_by(Profile.id)
    )
    return [Participant(profile, member) for profile, member in found]


async def _taken(session: AsyncSession, row: Cohort, pairs: Iterable[CohortPair]) -> Counter[str]:
    """Return how many mentorships each profile has or is about to begin, in any cohort of the program."""
    begun = await session.execute(
        select(Engagement.mentee_id, Engagement.mentor_id).where(
            Engagement.program == row.program, Engagement.closed_at.is_(None)
        )
    )
    ahead = [(pair.mentee_id, pair.mentor_id) for pair in pairs if pair.state == "confirmed"]
    return Counter(profile for key in (*(tuple(each) for each in begun), *ahead) for profile in key)


def _marked(pairs: Iterable[CohortPair], mark: str) -> list[PairKey]:
    return [(pair.mentee_id, pair.mentor_id) for pair in pairs if pair.mark == mark]


def _candidate(each: Participant, program: Program, at: datetime, taken: int) -> Candidate:
    profile, member = each.profile, each.member
    places = USUAL_PLACES if profile.mentees_at_a_time is None else profile.mentees_at_a_time
    languages = dict.fromkeys(map(str, (*profile.languages, *member.languages)))
    return Candidate(
        profile=profile.id,
        member=member.id,
        role=profile.role,
        places=max(places - taken, 0),
        good_standing=each.good_standing,
        languages=tuple(languages) or (program.languages[0],),
        areas=tuple(map(str, profile.areas)),
        interests=tuple(map(str, profile.interests)),
        goals=profile.goals or "",
        nationality=member.nationality,
        country=member.country,
        birth_year=member.birth_year,
        years_management=member.years_management,
        employer=member.employer,
        utc_offset=_minutes(member.time_zone or program.hours.zone, at),
    )


def _minutes(zone: str, at: datetime) -> int:
    return (local_in(zone, at).utcoffset() or timedelta()) // timedelta(minutes=1)
