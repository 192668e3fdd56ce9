"""Plans of claims: acts applied, agenda and decision written to the database (T7, CPE9–CPE12)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.plan_faults import GuardedPlan
from database import audit
from database.models import Claim, Member, Profile
from database.session import Database, held
from evidence.decisions import DecisionRecorder, RecordedChange, Standing
from evidence.letters import RENDER_RETRY_INTERVAL, LetterService
from evidence.signing import finish_letters, sign_letter
from lifecycles.claims import ClaimSituation, claim_row, load_claim, up_to_date
from lifecycles.participants import Programs
from lifecycles.recording import Planned, record, settle_lapses
from lifecycles.situation import apply_acts
from lifecycles.together import read_together
from rules.acts import Act
from rules.credit import EARNED, ClaimFacts


@dataclass(frozen=True, slots=True)
class PlanClaim:
    """The facts of a claim, and the acts that the rules are to apply to them."""

    workflow: str
    facts: ClaimFacts
    at: datetime
    acts: list[Act] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PlannedClaim:
    """A claim's new facts and agenda."""

    planned: Planned
    facts: ClaimFacts


class ClaimActivities:
    """The planning activity of claims; `letters` makes the letters."""

    def __init__(self, database: Database, programs: Programs, letters: LetterService) -> None:
        self._database = database
        self._programs = programs
        self._letters = letters
        self._claims = GuardedPlan(
            database, self._plan_claim, lambda order, planned: PlannedClaim(planned, order.facts)
        )

    @activity.defn
    async def plan_claim(self, order: PlanClaim) -> PlannedClaim:
        """Bring a claim up to its engagement and its owner's record, apply acts, record agenda and decision.

        CPE1–CPE12, CPE14, MEM2.
        """
        return await self._claims.make(order)

    async def _plan_claim(self, order: PlanClaim) -> PlannedClaim:
        facts, at = order.facts, order.at
        async with self._database.begin() as session:
            await _lock_member(session, facts.profile)
            await audit.lock(session, order.workflow)
            if await read_together(session, order.workflow, lock=True) is None:
                await read_together(session, f"engagement/{facts.engagement}")
            situation = await self._situation(session, facts, at)
            who, row = situation.people[facts.profile], held(session, Claim, order.workflow)
            before = Standing(row.state, row.earned, row.countable) if row else None
            if row is None:
                row = claim_row(facts, who, situation.program)
                session.add(row)
            facts = up_to_date(facts, situation, at)
            unfinished = await self._letters.unfinished(session, facts.claim)
            facts = await finish_letters(session, self._letters, situation, facts, unfinished, at)

            async def apply(facts: ClaimFacts, act: Act) -> ClaimFacts:
                if act.name == "sign":
                    return await sign_letter(session, self._letters, situation, facts, act, at)
                return situation.apply(facts, act, at)

            applied = await apply_acts(facts, order.acts, apply)
            facts, agenda = applied.facts, situation.agenda(applied.facts)
            planned = await record(session, row, situation, agenda, applied, at)
            # What these read is not what the plan has changed so far: that is written once, at the end.
            with session.no_autoflush:
                if who.good_standing:
                    await settle_lapses(session, order.workflow, agenda, at)
                decisions = DecisionRecorder(session, self._programs, self._letters.catalogue, situation)
                await decisions.record(row, facts, before, _changes(session, order.workflow)[:-1], at)
            if row.state in EARNED:
                letter = row.decision["inputs"]["letter"]
                await self._letters.badges.issue(session, situation.program, letter, at)
            may_wait = unfinished or any(act.name == "sign" for act in order.acts)
            if may_wait and not planned.closed and await self._letters.unfinished(session, facts.claim):
                retry_at = at + RENDER_RETRY_INTERVAL
                planned = replace(planned, wake_at=min(retry_at, planned.wake_at or retry_at))
            return PlannedClaim(planned, facts)

    async def _situation(self, session: AsyncSession, facts: ClaimFacts, at: datetime) -> ClaimSituation:
        situation = await load_claim(session, self._programs, facts, at, None)
        gate = situation.context.gate.earliest
        certification = self._letters.catalogue.certification(facts.certification, gate)
        return replace(situation, certification=certification)


async def _lock_member(session: AsyncSession, profile: str) -> None:
    """Lock the member of a profile: claims that share a cap are decided one after the other.

    SQLite has one writer at a time, and needs no lock.
    """
    if session.get_bind().dialect.name == "postgresql":
        member = select(Member.id).join(Profile, Profile.member_id == Member.id).where(Profile.id == profile)
        await session.execute(member.with_for_update(of=Member))


def _changes(session: AsyncSession, workflow: str) -> list[RecordedChange]:
    """Return the state changes of a workflow that a plan has recorded, in order."""
    return [
        RecordedChange(str(record.data["state"]), datetime.fromisoformat(record.data["due"]), record.at)
        for record in audit.appended(session, workflow, "state")
    ]
