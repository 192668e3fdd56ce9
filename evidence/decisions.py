"""The decision on a claim, written down: its row, its records, its letters, and others under the same cap.

CPE9, CPE11, CPE12.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit
from database.models import Claim
from evidence.letters import revoke_letters
from lifecycles.claims import ClaimSituation, credit_of, shares
from lifecycles.participants import Programs
from lifecycles.situation import pinned_program
from rules import credit
from rules.credit import EARNED, ClaimFacts, Credit, Decision
from rules.program import Program
from rules.program.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Standing:
    """A claim's state and amounts as they were on record before a plan."""

    state: str
    earned: int
    countable: int


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """A state change on record: when it was due, and when it was recorded to have happened (UTC)."""

    state: str
    due: datetime
    at: datetime


class DecisionRecorder:
    """Records the decision on one claim in the transaction of its plan."""

    def __init__(
        self, session: AsyncSession, programs: Programs, catalogue: Catalogue, situation: ClaimSituation
    ) -> None:
        self._session = session
        self._programs = programs
        self._catalogue = catalogue
        self._situation = situation

    async def record(
        self,
        row: Claim,
        facts: ClaimFacts,
        before: Standing | None,
        passed: Sequence[RecordedChange],
        at: datetime,
    ) -> None:
        """Record the decision, if it differs from `before`, and what it changes for others under the same cap.

        `passed` are the state changes that the claim went through since then, before the one that holds now. Each
        gets its own decision on record, even where one plan finds several.
        """
        others = await self._others(row)
        sharing = [each for other in others if (each := credit_of(other, await self._program_of(other)))]
        decision = self._decide(facts, sharing, at)
        self._write(row, facts, decision)
        for change in passed:
            then = self._decide(facts, sharing, change.due)
            if change.state not in EARNED:
                # Of two changes at one instant the decision knows the second.
                then = replace(then, state=change.state, earned=0, countable=0)
            await self._record_credit(row.workflow, then, change.at)
            await self._record_decision(then, change.at)
        if not passed and before == Standing(row.state, row.earned, row.countable):
            return
        same_state = before is not None and before.state == row.state
        when = at.replace(microsecond=0) if same_state else row.state_since
        await self._record_credit(row.workflow, row, when)
        await self._record_decision(decision, when)
        if row.state == "revoked":
            await revoke_letters(self._session, row, facts, when)
        await self._share_cap(row, others, sharing, when)

    async def _others(self, row: Claim) -> list[Claim]:
        """Return the member's other claims for the same certification."""
        found = await self._session.scalars(
            select(Claim)
            .where(
                Claim.member_id == row.member_id,
                Claim.certification == row.certification,
                Claim.workflow != row.workflow,
            )
            .order_by(Claim.workflow)
        )
        return list(found)

    def _decide(self, facts: ClaimFacts, sharing: Sequence[Credit], at: datetime) -> Decision:
        situation = self._situation
        return credit.decide(facts, situation.program, situation.calendar, self._catalogue, sharing, at)

    def _write(self, row: Claim, facts: ClaimFacts, decision: Decision) -> None:
        certification, cycle = self._situation.certification, decision.inputs["cycle"]
        row.credit_date = decision.credit_date
        row.cycle_start, row.cycle_end = (cycle["start"], cycle["end"]) if cycle else (None, None)
        row.earned, row.countable = decision.earned, decision.countable
        row.domains = decision.inputs["domains_of_letter"] or facts.domains
        names = {domain.id: dict(domain.name) for domain in certification.domains} if certification else {}
        row.decision = {
            **decision.as_json(),
            "domain_names": {id: names[id] for id in row.domains if id in names},
        }

    async def _share_cap(
        self, row: Claim, others: Sequence[Claim], sharing: Sequence[Credit], at: datetime
    ) -> None:
        """Bring what counts of the other claims in line with this one (CPE9)."""
        situation = self._situation
        own = Credit(
            row.workflow,
            row.engagement_id,
            row.certification,
            situation.context.gate.earliest.isoformat(),
            row.state,
            situation.program.credit.amount(row.role),
        )
        for other in others:
            if other.state in EARNED and other.credit_date:
                policy = (await self._program_of(other)).credit
                cap = credit.cap_on(policy, self._catalogue, date.fromisoformat(other.credit_date))
                count = shares([*sharing, own], other, cap).get(other.workflow)
                if count is not None and count != other.countable:
                    other.countable = count
                    await self._record_credit(other.workflow, other, at)

    async def _program_of(self, claim: Claim) -> Program:
        return await pinned_program(self._session, self._programs, claim)

    async def _record_credit(self, workflow: str, decided: Claim | Decision, at: datetime) -> None:
        data = {"status": decided.state, "earned": decided.earned, "countable": decided.countable}
        await audit.append(self._session, workflow, "credit", at, data)

    async def _record_decision(self, decision: Decision, at: datetime) -> None:
        """Record a decision with all its inputs. Reasons that staff wrote are veiled, so they can be erased (STA5)."""
        data: dict[str, Any] = decision.as_json()
        reasons = [step.pop("reason") for step in data["inputs"]["steps"]]
        checks = [{"rule": check["rule"], "holds": check["holds"]} for check in data["checks"]]
        words = {"why": [check["why"] for check in data["checks"]], "reasons": reasons}
        data = {**data, "checks": checks}
        await audit.append(self._session, decision.claim, "decision", at, data, veiled=words)
