"""Proposals of pairs, written down: who with whom, why, and who is without (COH2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit
from database.models import Cohort, CohortMember, CohortPair
from lifecycles.cohorts.pool import LIVE, Pool
from rules.pairing import Proposal, cause_worded
from rules.pairing.vocabulary import CAUSES


@dataclass(frozen=True, slots=True)
class ProposalFigures:
    """What a proposal came to."""

    pairs: int
    unpaired_mentees: int
    unpaired_mentors: int
    lowest_fit: int | None
    mean_fit: float | None
    rather_each_other: int
    """How many possible pairs would both rather have each other than whom they have."""
    changed: int
    """How many pairs of the proposal before are no more."""
    broken_locks: int


def figures_of(proposal: Proposal) -> ProposalFigures:
    """Return the figures of a proposal."""
    return ProposalFigures(
        pairs=len(proposal.pairs),
        unpaired_mentees=len(proposal.unpaired_mentees),
        unpaired_mentors=len(proposal.unpaired_mentors),
        lowest_fit=proposal.lowest_fit,
        mean_fit=proposal.mean_fit,
        rather_each_other=proposal.blocking_pairs,
        changed=len(proposal.changed),
        broken_locks=len(proposal.broken_locks),
    )


def unpaired_of(proposal: Proposal, pool: Pool) -> dict[str, str]:
    """Return who has no pair, each with the cause as rows keep it."""
    found = {each.profile: each.cause for each in (*proposal.unpaired_mentees, *proposal.unpaired_mentors)}
    return {**found, **pool.set_aside}


def unpaired_words(because: str | None, language: str = "en") -> str:
    """Return a cause that a row keeps, in words for staff."""
    if because and because in CAUSES["en"]:
        return cause_worded(because, language)
    return because or ""


async def store_proposal(
    session: AsyncSession, row: Cohort, proposal: Proposal, pool: Pool, number: int, at: datetime
) -> None:
    """Make a proposal the one that staff look at. One of an earlier number, or of the same, changes nothing."""
    await audit.lock(session, row.workflow)
    await session.refresh(row, with_for_update=True)
    if row.proposal >= number:
        return
    await _write_pairs(session, row, proposal, number)
    await _write_unpaired(session, row, unpaired_of(proposal, pool))
    figures = asdict(figures_of(proposal))
    row.proposal, row.proposed_at, row.figures = number, at, figures
    await audit.append(
        session, row.workflow, "proposal", at.replace(microsecond=0), {"number": number, **_whole(figures)}
    )


def _whole(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return figures without fractions: the hash of a record covers whole numbers and text."""
    return {name: str(value) if isinstance(value, float) else value for name, value in figures.items()}


async def _write_pairs(session: AsyncSession, row: Cohort, proposal: Proposal, number: int) -> None:
    known = {
        (pair.mentee_id, pair.mentor_id): pair
        for pair in await session.scalars(
            select(CohortPair).where(CohortPair.cohort_id == row.id, CohortPair.state.not_in(LIVE))
        )
    }
    for each in proposal.pairs:
        pair = known.pop(each.key, None)
        if pair is None:
            pair = CohortPair(cohort_id=row.id, mentee_id=each.mentee, mentor_id=each.mentor)
            session.add(pair)
        if pair.state != "proposed":
            pair.run = number
        pair.state, pair.fit = "proposed", each.fit
        pair.why = [reason.plain() for reason in each.why]
        pair.told_at = pair.broken_because = None
    for pair in known.values():
        if pair.state == "proposed" and pair.mark is None:
            await session.delete(pair)
        elif pair.state == "proposed":
            pair.state = "none"
    await session.flush()


async def _write_unpaired(session: AsyncSession, row: Cohort, unpaired: Mapping[str, str]) -> None:
    of_cohort = CohortMember.cohort_id == row.id
    await session.execute(
        update(CohortMember)
        .where(of_cohort, CohortMember.unpaired_because.is_not(None))
        .values(unpaired_because=None)
        .execution_options(synchronize_session=False)
    )
    by_cause: dict[str, list[str]] = {}
    for profile, cause in sorted(unpaired.items()):
        by_cause.setdefault(cause, []).append(profile)
    for cause, profiles in by_cause.items():
        for start in range(0, len(profiles), 500):
            chunk = profiles[start : start + 500]
            await session.execute(
                update(CohortMember)
                .where(of_cohort, CohortMember.profile_id.in_(chunk))
                .values(unpaired_because=cause)
                .execution_options(synchronize_session=False)
            )
