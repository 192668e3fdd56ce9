"""What staff decide about single pairs of a cohort: kept together, kept apart, exchanged (COH2, STA3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit
from database.models import Cohort, CohortMember, CohortPair
from lifecycles.cohorts.pool import LIVE, USUAL_PLACES, candidate_of
from lifecycles.participants import Participant, participants
from rules import pairing
from rules.agenda import Refused
from rules.cohort import CohortFacts
from rules.pairing import Candidate, PairingUnavailableError, PairKey, Reason
from rules.pairing.reasons import reasons_for
from rules.program import PairingPolicy, Program

LOCKED, FORBIDDEN = "locked", "forbidden"
MARKS = (LOCKED, FORBIDDEN)


@dataclass(frozen=True, slots=True)
class StaffDecision:
    """What staff decide about two profiles of a cohort."""

    mentee: str
    mentor: str
    actor: str
    reason: str
    id: str
    """It counts once for each id: that of an event, or of a command."""

    @property
    def key(self) -> PairKey:
        """The two."""
        return self.mentee, self.mentor


async def mark_pair(
    session: AsyncSession, row: Cohort, decision: StaffDecision, mark: str | None, at: datetime
) -> None:
    """Lock two people together or forbid them; without a mark take that back. It counts from the next proposal on.

    A forbidden pair that is proposed stays so until then. Raises Refused.
    """
    await audit.lock(session, row.workflow)
    if await _is_known(session, row, decision):
        return
    await _refuse_others(session, row, decision)
    pair = await _pair(session, row, decision.key)
    if pair.state in LIVE:
        raise Refused("the pair is confirmed: staff end or cancel its mentorship instead")
    pair.mark = mark
    if pair.state == "none" and mark is None:
        await session.delete(pair)
    await _record(session, row, decision, mark or "unmarked", at)


async def change_pair(
    session: AsyncSession,
    row: Cohort,
    facts: CohortFacts,
    program: Program,
    decision: StaffDecision,
    at: datetime,
) -> list[PairKey]:
    """Put a mentee with another mentor in the proposal, locked; return the pairs that are new.

    If the mentor is full, the mentee of them who fits least gets the first one's mentor in exchange, where the two may
    be a pair, or is without one until the next proposal. Raises Refused.
    """
    await audit.lock(session, row.workflow)
    if await _is_known(session, row, decision):
        return []
    await _refuse_others(session, row, decision)
    if row.proposal == 0:
        raise Refused("there is no proposal to change yet")
    ours = await _proposed(session, row, decision.mentee)
    if any(pair.state in LIVE for pair in ours):
        raise Refused("the mentee's pair is confirmed: staff end or cancel its mentorship first")
    people = await participants(session, await _around(session, row, decision))
    if people[decision.mentee].member.id == people[decision.mentor].member.id:
        raise Refused("the two profiles are of the same member")
    displaced = await _displaced(session, row, decision, people)
    left = next((pair.mentor_id for pair in ours if pair.mentor_id != decision.mentor), None)
    for pair in (*ours, *([displaced] if displaced else [])):
        await _take_out(session, pair)
    made = [decision.key]
    await _put_in(session, row, (facts, program), people, decision.key, mark=LOCKED)
    if displaced is not None:
        exchanged = (displaced.mentee_id, left or "")
        if left and await _may_pair(session, row, exchanged, people):
            await _put_in(session, row, (facts, program), people, exchanged, mark=None)
            made.append(exchanged)
        else:
            await _without(session, row, displaced.mentee_id, "staff gave the mentor to somebody else")
    await _record(session, row, decision, "exchanged", at)
    return made


async def _is_known(session: AsyncSession, row: Cohort, decision: StaffDecision) -> bool:
    acts = await audit.records_of(session, row.workflow, "act")
    return any(act.get("id") == decision.id for act in acts)


async def _refuse_others(session: AsyncSession, row: Cohort, decision: StaffDecision) -> None:
    """Raise Refused unless the two take part in an open cohort, each in the right role."""
    if row.closed_at is not None:
        raise Refused(f"the cohort is over: it is {row.state}")
    for role, profile in (("mentee", decision.mentee), ("mentor", decision.mentor)):
        member = await session.get(CohortMember, (row.id, profile))
        if member is None or member.left_at is not None or member.role != role:
            raise Refused(f"{profile} takes no part in {row.id} as a {role}")


async def _pair(session: AsyncSession, row: Cohort, key: PairKey) -> CohortPair:
    mentee, mentor = key
    found = await session.scalar(
        select(CohortPair).where(
            CohortPair.cohort_id == row.id, CohortPair.mentee_id == mentee, CohortPair.mentor_id == mentor
        )
    )
    if found is None:
        found = CohortPair(
            cohort_id=row.id, mentee_id=mentee, mentor_id=mentor, state="none", run=row.proposal
        )
        session.add(found)
        await session.flush()
    return found


async def _proposed(session: AsyncSession, row: Cohort, profile: str) -> list[CohortPair]:
    """Return the pairs of a profile that are proposed or confirmed, whose mentorship is not over."""
    found = await session.scalars(
        select(CohortPair)
        .where(
            CohortPair.cohort_id == row.id,
            or_(CohortPair.mentee_id == profile, CohortPair.mentor_id == profile),
            CohortPair.state.in_(("proposed", "confirmed", "starting")),
        )
        .order_by(CohortPair.fit, CohortPair.mentee_id)
    )
    return list(found)


async def _around(session: AsyncSession, row: Cohort, decision: StaffDecision) -> set[str]:
    pairs = [
        *await _proposed(session, row, decision.mentee),
        *await _proposed(session, row, decision.mentor),
    ]
    return {*decision.key, *(each for pair in pairs for each in (pair.mentee_id, pair.mentor_id))}


async def _displaced(
    session: AsyncSession, row: Cohort, decision: StaffDecision, people: dict[str, Participant]
) -> CohortPair | None:
    """Return the proposed pair that the mentor's other mentee gives up; None where there is a place."""
    others = [
        pair for pair in await _proposed(session, row, decision.mentor) if pair.mentee_id != decision.mentee
    ]
    places = people[decision.mentor].profile.mentees_at_a_time
    if len(others) < (USUAL_PLACES if places is None else places):
        return None
    given_up = [pair for pair in others if pair.state == "proposed" and pair.mark != LOCKED]
    if not given_up:
        raise Refused("the mentor has no place: all their pairs are locked or confirmed")
    return given_up[0]


async def _may_pair(session: AsyncSession, row: Cohort, key: PairKey, people: dict[str, Participant]) -> bool:
    """Return whether an exchange may make a pair: two members, and not kept apart by staff."""
    mentee, mentor = key
    if people[mentee].member.id == people[mentor].member.id:
        return False
    pair = await _pair(session, row, key)
    if pair.mark == FORBIDDEN or pair.state in LIVE:
        return False
    if pair.state == "none" and pair.mark is None:
        await session.delete(pair)
        await session.flush()
    return True


async def _take_out(session: AsyncSession, pair: CohortPair) -> None:
    """Take a pair out of the proposal. Its mark goes where it locked the two."""
    if pair.mark == FORBIDDEN:
        pair.state = "none"
    else:
        await session.delete(pair)
    await session.flush()


# long: where, by which rules and days, and who
async def _put_in(
    session: AsyncSession,
    row: Cohort,
    by: tuple[CohortFacts, Program],
    people: dict[str, Participant],
    key: PairKey,
    *,
    mark: str | None,
) -> None:
    facts, program = by
    if program.pairing is None:
        raise Refused(f"program {program.id} has no [pairing]")
    mentee, mentor = (candidate_of(people[each], program, facts) for each in key)
    fit, why = fit_and_reasons(mentee, mentor, program.pairing)
    pair = await _pair(session, row, key)
    pair.state, pair.mark, pair.run, pair.fit = "proposed", mark, row.proposal, fit
    pair.why = [reason.plain() for reason in why]
    pair.told_at = pair.broken_because = None
    for each in key:
        await _without(session, row, each, None)
    await session.flush()


def fit_and_reasons(
    mentee: Candidate, mentor: Candidate, policy: PairingPolicy
) -> tuple[int | None, tuple[Reason, ...]]:
    """Return the fit of an exchange and what speaks for it. A gateway computes no fit: the next proposal does."""
    try:
        pair = pairing.assess(mentee, mentor, policy)
    except PairingUnavailableError:
        return None, reasons_for(mentee, mentor, policy)
    return pair.fit, pair.why


async def _without(session: AsyncSession, row: Cohort, profile: str, because: str | None) -> None:
    member = await session.get_one(CohortMember, (row.id, profile))
    member.unpaired_because = because


async def _record(
    session: AsyncSession, row: Cohort, decision: StaffDecision, act: str, at: datetime
) -> None:
    data = {"id": decision.id, "act": f"pair {act}", "mentee": decision.mentee, "mentor": decision.mentor}
    veiled = {"reason": decision.reason} if decision.reason else None
    await audit.append(
        session, row.workflow, "act", at.replace(microsecond=0), data, actor=decision.actor, veiled=veiled
    )
