"""Plans of claims: acts applied, agenda and decision written to the database (T7, CPE9–CPE12)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.plan_faults import GuardedPlan
from database import audit
from database.models import AuditRecord, Claim, Member
from database.session import Database
from evidence.decisions import DecisionRecorder, RecordedChange, Standing
from evidence.letters import RENDER_RETRY_INTERVAL, LetterService
from evidence.signing import finish_letters, sign_letter
from lifecycles.claims import ClaimSituation, claim_row, load_claim, up_to_date
from lifecycles.participants import Programs
from lifecycles.recording import Planned, record, settle_lapses
from lifecycles.situation import apply_acts
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
            situation = await self._situation(session, facts, at)
            who = situation.people[facts.profile]
            # Claims that share a cap are decided one after the other.
            await session.execute(select(Member.id).where(Member.id == who.member.id).with_for_update())
            await audit.lock(session, order.workflow)
            row = await session.get(Claim, order.workflow, with_for_update=True)
            before = Standing(row.state, row.earned, row.countable) if row else None
            if row is None:
                row = claim_row(facts, who, situation.program)
                session.add(row)
            facts = up_to_date(facts, situation, at)
            facts = await finish_letters(session, self._letters, situation, facts, at)

            async def apply(facts: ClaimFacts, act: Act) -> ClaimFacts:
                if act.name == "sign":
                    return await sign_letter(session, self._letters, situation, facts, act, at)
                return situation.apply(facts, act, at)

            applied = await apply_acts(facts, order.acts, apply)
            facts, agenda = applied.facts, situation.agenda(applied.facts)
            known = await _last_of_chain(session, order.workflow)
            planned = await record(session, row, situation, agenda, applied, at)
            if who.good_standing:
                await settle_lapses(session, order.workflow, agenda, at)
            changes = await _changes_since(session, order.workflow, known)
            decisions = DecisionRecorder(session, self._programs, self._letters.catalogue, situation)
            await decisions.record(row, facts, before, changes[:-1], at)
            if row.state in EARNED:
                letter = row.decision["inputs"]["letter"]
                await self._letters.badges.issue(session, situation.program, letter, at)
            if not planned.closed and await self._letters.unfinished(session, facts.claim):
                retry_at = at + RENDER_RETRY_INTERVAL
                planned = replace(planned, wake_at=min(retry_at, planned.wake_at or retry_at))
            return PlannedClaim(planned, facts)

    async def _situation(self, session: AsyncSession, facts: ClaimFacts, at: datetime) -> ClaimSituation:
        situation = await load_claim(session, self._programs, facts, at, None)
        gate = situation.context.gate.earliest
        certification = self._letters.catalogue.certification(facts.certification, gate)
        return replace(situation, certification=certification)


async def _last_of_chain(session: AsyncSession, workflow: str) -> int:
    """Return the number of the last record of a workflow's chain."""
    chain = audit.chain_of(workflow)
    return await session.scalar(select(func.max(AuditRecord.sequence)).where(AuditRecord.chain == chain)) or 0


async def _changes_since(session: AsyncSession, workflow: str, known: int) -> list[RecordedChange]:
    """Return the state changes of a workflow recorded after a record of its chain, in order."""
    found = await session.scalars(
        select(AuditRecord)
        .where(
            AuditRecord.chain == audit.chain_of(workflow),
            AuditRecord.subject == workflow,
            AuditRecord.kind == "state",
            AuditRecord.sequence > known,
        )
        .order_by(AuditRecord.sequence)
    )
    return [
        RecordedChange(str(record.data["state"]), datetime.fromisoformat(record.data["due"]), record.at)
        for record in found
    ]
