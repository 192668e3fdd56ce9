"""Plans of claims: acts applied, agenda and decision written to the database (T7, CPE9–CPE12)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from database import audit
from database.events import PERSONAL_PAGES, get_event
from database.models import AuditRecord, Claim, Engagement, Member, Request
from database.session import Database
from evidence.letters import RENDER_RETRY_INTERVAL, LetterService, report_failed, revoke_letters
from evidence.renderer import DocumentFailed
from lifecycles.claims import ClaimSituation, claim_row, credit_of, load_claim, shares, up_to_date
from lifecycles.participants import Programs, program_of
from lifecycles.recording import Planned, record, settle_lapses
from lifecycles.situation import apply_acts
from rules import credit
from rules.acts import Act
from rules.agenda import Refused
from rules.credit import EARNED, ClaimFacts, Credit, Decision, Signature, Signing
from rules.text import for_pdf


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

    @activity.defn
    async def plan_claim(self, order: PlanClaim) -> PlannedClaim:
        """Bring a claim up to its engagement and its owner's record, apply acts, record agenda and decision.

        CPE1–CPE12, MEM2.
        """
        facts, at = order.facts, order.at
        async with self._database.begin() as session:
            situation = await self._situation(session, facts, at)
            who = situation.people[facts.profile]
            # Claims that share a cap are decided one after the other.
            await session.execute(select(Member.id).where(Member.id == who.member.id).with_for_update())
            row = await session.get(Claim, order.workflow, with_for_update=True)
            before = (row.state, row.earned, row.countable) if row else None
            if row is None:
                row = claim_row(facts, who, situation.program)
                session.add(row)
            facts = up_to_date(facts, situation, at)
            facts = await self._finish(session, facts, situation, at)

            async def apply(facts: ClaimFacts, act: Act) -> ClaimFacts:
                if act.name == "sign":
                    return await self._sign(session, facts, act, situation, at)
                return situation.apply(facts, act, at)

            applied = await apply_acts(facts, order.acts, apply)
            facts, agenda = applied.facts, situation.agenda(applied.facts)
            known = await _last_of_chain(session, order.workflow)
            planned = await record(session, row, situation, agenda, applied, at)
            if who.good_standing:
                await settle_lapses(session, order.workflow, agenda, at)
            passed = (await _changed_since(session, order.workflow, known))[:-1]
            await self._decide(session, row, facts, situation, before, passed, at)
            if not planned.closed and await self._letters.unfinished(session, facts.claim):
                retry_at = at + RENDER_RETRY_INTERVAL
                planned = replace(planned, wake_at=min(retry_at, planned.wake_at or retry_at))
            return PlannedClaim(planned, facts)

    async def _situation(self, session: AsyncSession, facts: ClaimFacts, at: datetime) -> ClaimSituation:
        situation = await load_claim(session, self._programs, facts, at)
        gate = situation.context.gate.earliest
        certification = self._letters.catalogue.certification(facts.certification, gate)
        return replace(situation, certification=certification)

    async def _sign(
        self,
        session: AsyncSession,
        facts: ClaimFacts,
        act: Act,
        situation: ClaimSituation,
        now: datetime,
    ) -> ClaimFacts:
        """A letter is signed as an event told: its words are in the event and in the letter alone (CPE8, MEM6)."""
        event = await get_event(session, act.event)
        if event is None or event.type != "letter.signed":
            raise Refused("a letter is signed on its page, or by the event letter.signed")
        told, at = event.data, act.at or now
        row = await session.get_one(Engagement, f"engagement/{facts.engagement}")
        asked = await session.get_one(Request, f"request/{facts.engagement}")
        stated = [told.get("purpose"), row.goals, asked.message, ", ".join(map(str, asked.areas))]
        said = [for_pdf(str(text or "")) for text in stated]
        purpose = next(filter(None, said), "") if facts.role == "mentee" else ""
        words = [str(word) for word in told.get("domains") or facts.domains]
        context, certification = situation.context, situation.certification
        state = situation.state(facts, at)
        found = [certification.domain(word) for word in words] if certification else []
        known = [domain.id for domain in found if domain] if facts.role == "mentee" else []
        signer = context.people[facts.counterpart]
        sayable = facts.role == "mentor" or (purpose and known)
        locale = self._letters.locale(signer, context.program)
        try:
            statement = (
                self._letters.statement(facts, context, locale, at, purpose=purpose, domains=known)
                if sayable
                else ""
            )
        except DocumentFailed as failed:
            await report_failed(session, facts.claim, f"the letter of event {act.event}", failed, now)
            raise Refused("the letter cannot be written just now; staff have been told") from None
        domains = credit.check_signature(
            facts,
            Signing(
                by=str(told["by"]),
                role=str(told["for"]),
                name=str(told["name"]),
                consent=True,
                shown=told.get("shown") if sayable else None,
                purpose=purpose,
                domains=words,
            ),
            signer_name=signer.member.name,
            statement=statement,
            certification=certification,
        )
        credit.sign(facts, Signature("", at, facts.counterpart, domains), state)
        if any(
            each.data["event"] != act.event for each in await self._letters.unfinished(session, facts.claim)
        ):
            raise Refused("this letter has already been signed")
        letter = await self._letters.sign(
            session,
            facts,
            context,
            statement,
            name=str(told["name"]),
            event=act.event,
            method="page" if event.source == PERSONAL_PAGES else "event",
            purpose=purpose,
            domains=domains,
            at=at,
        )
        if letter.sha256 is None:
            # It counts once it is made, as signed now.
            return facts
        return credit.sign(facts, Signature(letter.id, at, facts.counterpart, domains), state)

    async def _finish(
        self, session: AsyncSession, facts: ClaimFacts, situation: ClaimSituation, at: datetime
    ) -> ClaimFacts:
        """The facts with the letters that were signed before, and could not be made until now (CPE8)."""
        for letter in await self._letters.unfinished(session, facts.claim):
            if await self._letters.finish(session, letter, at):
                signature = Signature(
                    letter.id, letter.signed_at, facts.counterpart, letter.data["domain_ids"]
                )
                state = situation.state(facts, letter.signed_at)
                with suppress(Refused):
                    facts = credit.sign(facts, signature, state)
        return facts

    async def _decide(
        self,
        session: AsyncSession,
        row: Claim,
        facts: ClaimFacts,
        situation: ClaimSituation,
        before: tuple[str, int, int] | None,
        passed: Sequence[tuple[str, datetime, datetime]],
        at: datetime,
    ) -> None:
        """Write a claim's decision down, and what it changes for others under the same cap (CPE9, CPE11, CPE12).

        `passed` are the changes that the claim went through before the one that holds now, each with its state and its
        instants: when it was due and when it was done. Each has its place in the record, also where one plan finds
        several.
        """
        catalogue, certification = self._letters.catalogue, situation.certification
        others = list(
            await session.scalars(
                select(Claim)
                .where(
                    Claim.member_id == row.member_id,
                    Claim.certification == row.certification,
                    Claim.workflow != row.workflow,
                )
                .order_by(Claim.workflow)
            )
        )
        sharing = [credit_of(other, self._programs) for other in others if other.credit_date]
        decision = credit.decide(facts, situation.program, situation.calendar, catalogue, sharing, at)
        cycle = decision.inputs["cycle"]
        row.credit_date = decision.credit_date
        row.cycle_start, row.cycle_end = (cycle["start"], cycle["end"]) if cycle else (None, None)
        row.earned, row.countable = decision.earned, decision.countable
        row.domains = decision.inputs["domains_of_letter"] or facts.domains
        names = {domain.id: dict(domain.name) for domain in certification.domains} if certification else {}
        row.decision = {
            **decision.as_json(),
            "domain_names": {id: names[id] for id in row.domains if id in names},
        }
        for state, due, done in passed:
            then = credit.decide(facts, situation.program, situation.calendar, catalogue, sharing, due)
            if state not in EARNED:
                # Of two changes at one instant the decision knows the second.
                then = replace(then, state=state, earned=0, countable=0)
            await _record_credit(session, row.workflow, then, done)
            await _record_decision(session, then, done)
        if not passed and before == (row.state, row.earned, row.countable):
            return
        when = row.state_since if before is None or before[0] != row.state else at.replace(microsecond=0)
        await _record_credit(session, row.workflow, row, when)
        await _record_decision(session, decision, when)
        if row.state == "revoked":
            await revoke_letters(session, row, facts, when)
        own = Credit(
            row.workflow,
            row.engagement_id,
            row.certification,
            situation.context.gate.earliest.isoformat(),
            row.state,
            situation.program.credit.amount(row.role),
        )
        for other in others:
            if other.state in EARNED and other.credit_date and other.cycle_start and other.cycle_end:
                policy = program_of(self._programs, other.program).credit
                cap = credit.cap_on(policy, catalogue, date.fromisoformat(other.credit_date))
                count = shares([*sharing, own], other, cap)[other.workflow]
                if count != other.countable:
                    other.countable = count
                    await _record_credit(session, other.workflow, other, when)


async def _last_of_chain(session: AsyncSession, workflow: str) -> int:
    """The number of the last record of a workflow's chain."""
    chain = audit.chain_of(workflow)
    return await session.scalar(select(func.max(AuditRecord.sequence)).where(AuditRecord.chain == chain)) or 0


async def _changed_since(
    session: AsyncSession, workflow: str, known: int
) -> list[tuple[str, datetime, datetime]]:
    """The changes of a workflow recorded after a record of its chain: state, when it was due, when it was done."""
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
        (str(record.data["state"]), datetime.fromisoformat(record.data["due"]), record.at) for record in found
    ]


async def _record_credit(
    session: AsyncSession, workflow: str, decided: Claim | Decision, at: datetime
) -> None:
    data = {"status": decided.state, "earned": decided.earned, "countable": decided.countable}
    await audit.append(session, workflow, "credit", at, data)


async def _record_decision(session: AsyncSession, decision: Decision, at: datetime) -> None:
    """The decision with all its inputs. What staff wrote as a reason is veiled, so that it can be erased (STA5)."""
    data: dict[str, Any] = decision.as_json()
    inputs = data["inputs"]
    reasons = [step.pop("reason") for step in inputs["steps"]]
    checks = [{"rule": check["rule"], "holds": check["holds"]} for check in data["checks"]]
    words = {"why": [check["why"] for check in data["checks"]], "reasons": reasons}
    await audit.append(
        session,
        decision.claim,
        "decision",
        at,
        {**data, "checks": checks},
        veiled=words,
    )
