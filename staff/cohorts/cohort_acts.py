"""What staff do to a cohort: look at a pairing, run it, decide on single pairs, confirm (COH2, STA3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

from temporalio.client import Client

from database import audit
from database.models import Cohort
from database.session import Database
from lifecycles.cohorts.cohort_situation import load_cohort
from lifecycles.cohorts.pair_marks import FORBIDDEN, LOCKED, StaffDecision, change_pair, mark_pair
from lifecycles.cohorts.pool import compute, pool_of
from lifecycles.cohorts.proposals import ProposalFigures, figures_of, unpaired_of, unpaired_words
from lifecycles.facts import facts_from_row
from lifecycles.participants import Programs, participants
from rules.agenda import Refused
from rules.cohort import CohortFacts
from rules.pairing import PairingUnavailableError, worded
from staff.acts import update
from staff.cohorts.cohort_views import CohortPairView, UnpairedView, find_cohort
from workflows.messages import Answer

MARKS: Final = {"lock": LOCKED, "forbid": FORBIDDEN, "free": None}
"""The mark that each act on a pair leaves."""

EXCHANGE: Final = "exchange"


class CohortRefused(ValueError):
    """An act on a cohort that the rules refuse; the text says why."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """A proposal that is computed and not kept."""

    figures: ProposalFigures
    pairs: tuple[CohortPairView, ...]
    unpaired: tuple[UnpairedView, ...]


async def dry_run(
    database: Database, programs: Programs, cohort: str, at: datetime, language: str = "en"
) -> Proposed:
    """Return the pairs that would be proposed now, and change nothing. Raises NotFound, CohortRefused."""
    async with database.reading() as session:
        row = await find_cohort(session, cohort)
        facts = facts_from_row(CohortFacts, row.facts)
        situation = await load_cohort(session, programs, facts, at, row)
        try:
            pool = await pool_of(session, row, facts, situation.program)
            found = await compute(pool)
        except (PairingUnavailableError, ValueError) as error:
            raise CohortRefused(str(error)) from None
        people = await participants(session, [each.profile for each in pool.people] + list(pool.set_aside))
    names = {profile: who.member.name for profile, who in people.items()}
    pairs = tuple(
        CohortPairView(
            each.mentee,
            names[each.mentee],
            each.mentor,
            names[each.mentor],
            "proposed",
            LOCKED if each.locked else "",
            each.fit,
            worded(each.why, language),
            "",
        )
        for each in found.pairs
    )
    without = tuple(
        UnpairedView(profile, names[profile], people[profile].profile.role, unpaired_words(cause, language))
        for profile, cause in sorted(unpaired_of(found, pool).items())
    )
    return Proposed(figures_of(found), pairs, without)


async def decide_pair(
    database: Database, programs: Programs, cohort: str, act: str, decision: StaffDecision, at: datetime
) -> list[tuple[str, str]]:
    """Lock, forbid or free two people, or exchange a mentor; return the pairs that are new in the proposal.

    Raises NotFound, and CohortRefused where the rules refuse it.
    """
    async with database.begin() as session:
        workflow = (await find_cohort(session, cohort)).workflow
        await audit.lock(session, workflow)
        row = await session.get_one(Cohort, workflow, with_for_update=True, populate_existing=True)
        try:
            if act != EXCHANGE:
                await mark_pair(session, row, decision, MARKS[act], at)
                return []
            facts = facts_from_row(CohortFacts, row.facts)
            situation = await load_cohort(session, programs, facts, at, row)
            return await change_pair(session, row, facts, situation.program, decision, at)
        except (Refused, PairingUnavailableError) as refused:
            raise CohortRefused(str(refused)) from None


async def pair_again(client: Client, database: Database, cohort: str, actor: str, reason: str) -> int:
    """Ask for another proposal; return its number.

    Raises NotFound, CohortRefused where the cohort is over, and ActRefused where the rules refuse it.
    """
    async with database.reading() as session:
        row = await find_cohort(session, cohort)
    await _order(client, row, "pair", actor, reason)
    async with database.reading() as session:
        row = await find_cohort(session, cohort)
        return facts_from_row(CohortFacts, row.facts).asked + 1


async def confirm_cohort(client: Client, database: Database, cohort: str, actor: str, reason: str) -> Answer:
    """Confirm the proposed pairs; return the answer. Raises as `pair_again` does."""
    async with database.reading() as session:
        row = await find_cohort(session, cohort)
    return await _order(client, row, "confirm", actor, reason)


async def _order(client: Client, row: Cohort, name: str, actor: str, reason: str) -> Answer:
    if row.closed_at is not None:
        raise CohortRefused(f"the cohort is over: {row.state}")
    given = {"actor": actor, "reason": reason}
    return await update(client, row.workflow, name, given, f"staff {uuid4()}")
