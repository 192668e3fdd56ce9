"""Plans of claims and surveys: what is due in them, and what of it is decided, into the database (T7, CPE9–CPE12)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.agenda import (
    Act,
    Planned,
    engagement_agenda,
    facts_from_row,
    facts_to_row,
    record,
    record_refusal,
    resolve_reason,
    settle_lapses,
)
from activities.documents import DocumentFailed, printable
from activities.evidence import (
    MADE_AGAIN,
    Match,
    Paper,
    closing_turn,
    cycle_on_record,
    follow,
    report_failed,
)
from activities.people import Participant, Programs, participant, participants, program_of
from database import audit
from database.events import numbered
from database.models import AuditRecord, Claim, Engagement, Event, Letter, Member, Request, Survey
from database.session import Database
from rules import credit, survey
from rules.agenda import Agenda, Refused
from rules.credit import EARNED, ClaimFacts, Credit, Cycle, Decision, Signature, Signing
from rules.engagement import EngagementFacts
from rules.program import Program
from rules.survey import SurveyFacts

LINKS = "/links"
"""The source of events that a personal page told."""


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


@dataclass(frozen=True, slots=True)
class PlanSurvey:
    """The facts of a survey, and the acts that the rules are to apply to them."""

    workflow: str
    facts: SurveyFacts
    at: datetime
    acts: list[Act] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PlannedSurvey:
    """A survey's new facts and agenda."""

    planned: Planned
    facts: SurveyFacts


class CreditActivities:
    """The planning activities of claims and surveys; `paper` makes the letters."""

    def __init__(self, database: Database, programs: Programs, paper: Paper) -> None:
        self._database = database
        self._programs = programs
        self._paper = paper

    @activity.defn
    async def plan_claim(self, order: PlanClaim) -> PlannedClaim:
        """Take in what the engagement and the membership record have come to, apply what was done to a claim, and
        record its agenda and its decision (CPE1–CPE12, MEM2)."""
        facts, at = order.facts, order.at
        async with self._database.begin() as session:
            match = await match_of(session, self._programs, facts.engagement, at)
            program, who = match.program, match.people[facts.profile]
            # Claims that share a cap are decided one after the other.
            await session.execute(select(Member.id).where(Member.id == who.member.id).with_for_update())
            row = await session.get(Claim, order.workflow, with_for_update=True)
            before = (row.state, row.earned, row.countable) if row else None
            if row is None:
                row = _claim_row(facts, who, program)
                session.add(row)
            cycle = cycle_on_record(who, facts.certification, match.gate.earliest)
            facts = credit.record_changed(facts, who.good_standing, cycle, at)
            facts = follow(facts, match, claim_agenda(facts, match).state_at(at), at)
            facts = await self._finish(session, facts, match, at)
            refused: dict[str, str] = {}
            done: list[Act] = []
            for act in order.acts:
                try:
                    state = claim_agenda(facts, match).state_at(act.at or at)
                    facts = await self._apply(session, facts, act, state, match, at)
                    done.append(act)
                except Refused as reason:
                    refused[act.id] = str(reason)
                    await record_refusal(session, order.workflow, act, str(reason), at)
            agenda = claim_agenda(facts, match)
            known = await _last_of_chain(session, order.workflow)
            planned = await record(
                session, row, agenda, program, order.workflow, facts, at, done, match.people
            )
            if who.good_standing:
                await settle_lapses(session, order.workflow, agenda, at)
            turned = await _turned_since(session, order.workflow, known)
            await self._decide(session, row, facts, match, before, turned[:-1], at)
            if not planned.closed and await self._paper.unfinished(session, facts.claim):
                again = at + MADE_AGAIN
                planned = replace(planned, wake_at=min(again, planned.wake_at or again))
            return PlannedClaim(replace(planned, refused=refused), facts)

    async def _apply(
        self, session: AsyncSession, facts: ClaimFacts, act: Act, state: str, match: Match, now: datetime
    ) -> ClaimFacts:
        if act.name == "sign":
            return await self._sign(session, facts, act, state, match, now)
        certification = self._paper.catalogue.certification(facts.certification, match.gate.earliest)
        if act.name == "choose_domains":
            words = act.details.get("domains", "").split("\n")
            return credit.choose_domains(facts, act.by, words, certification, state)
        return apply_to_claim(facts, act, state, match, now)

    async def _sign(
        self, session: AsyncSession, facts: ClaimFacts, act: Act, state: str, match: Match, now: datetime
    ) -> ClaimFacts:
        """A letter is signed as an event told: its words are in the event and in the letter alone (CPE8, MEM6)."""
        event = await numbered(session, act.event)
        if event is None or event.type != "letter.signed":
            raise Refused("a letter is signed on its page, or by the event letter.signed")
        told, at = event.data, act.at or now
        row = await session.get_one(Engagement, f"engagement/{facts.engagement}")
        asked = await session.get_one(Request, f"request/{facts.engagement}")
        stated = [told.get("purpose"), row.goals, asked.message, ", ".join(map(str, asked.areas))]
        said = [printable(str(text or "")) for text in stated]
        purpose = next(filter(None, said), "") if facts.role == "mentee" else ""
        words = [str(word) for word in told.get("domains") or facts.domains]
        certification = self._paper.catalogue.certification(facts.certification, match.gate.earliest)
        found = [certification.domain(word) for word in words] if certification else []
        known = [domain.id for domain in found if domain] if facts.role == "mentee" else []
        signer = match.people[facts.counterpart]
        sayable = facts.role == "mentor" or (purpose and known)
        locale = self._paper.locale(signer, match.program)
        try:
            statement = (
                self._paper.statement(facts, match, locale, at, purpose=purpose, domains=known)
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
            each.data["event"] != act.event for each in await self._paper.unfinished(session, facts.claim)
        ):
            raise Refused("this letter has already been signed")
        letter = await self._paper.sign(
            session,
            facts,
            match,
            statement,
            name=str(told["name"]),
            event=act.event,
            method="page" if event.source == LINKS else "event",
            purpose=purpose,
            domains=domains,
            at=at,
        )
        if letter.sha256 is None:
            # It counts once it is made, as signed now.
            return facts
        return credit.sign(facts, Signature(letter.id, at, facts.counterpart, domains), state)

    async def _finish(
        self, session: AsyncSession, facts: ClaimFacts, match: Match, at: datetime
    ) -> ClaimFacts:
        """The facts with the letters that were signed before, and could not be made until now (CPE8)."""
        for letter in await self._paper.unfinished(session, facts.claim):
            if await self._paper.finish(session, letter, at):
                signature = Signature(
                    letter.id, letter.signed_at, facts.counterpart, letter.data["domain_ids"]
                )
                state = claim_agenda(facts, match).state_at(letter.signed_at)
                with suppress(Refused):
                    facts = credit.sign(facts, signature, state)
        return facts

    async def _decide(
        self,
        session: AsyncSession,
        row: Claim,
        facts: ClaimFacts,
        match: Match,
        before: tuple[str, int, int] | None,
        passed: Sequence[tuple[str, datetime, datetime]],
        at: datetime,
    ) -> None:
        """Write a claim's decision down, and what it changes for others under the same cap (CPE9, CPE11, CPE12).

        `passed` are the turns that the claim went through before the one that holds now, each with its state and its
        instants: when it was due and when it was done. Each has its place in the record, also where one plan finds
        several.
        """
        catalogue = self._paper.catalogue
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
        decision = credit.decide(facts, match.program, match.calendar, catalogue, sharing, at)
        cycle = decision.inputs["cycle"]
        row.credit_date = decision.credit_date
        row.cycle_start, row.cycle_end = (cycle["start"], cycle["end"]) if cycle else (None, None)
        row.earned, row.countable = decision.earned, decision.countable
        row.domains = decision.inputs["domains_of_letter"] or facts.domains
        certification = catalogue.certification(facts.certification, match.gate.earliest)
        names = {domain.id: dict(domain.name) for domain in certification.domains} if certification else {}
        row.decision = {
            **decision.as_json(),
            "domain_names": {id: names[id] for id in row.domains if id in names},
        }
        for state, due, done in passed:
            then = credit.decide(facts, match.program, match.calendar, catalogue, sharing, due)
            if state not in EARNED:
                # Of two turns at one instant the decision knows the second.
                then = replace(then, state=state, earned=0, countable=0)
            await _record_credit(session, row.workflow, then, done)
            await _record_decision(session, then, done)
        if not passed and before == (row.state, row.earned, row.countable):
            return
        when = row.state_since if before is None or before[0] != row.state else at.replace(microsecond=0)
        await _record_credit(session, row.workflow, row, when)
        await _record_decision(session, decision, when)
        if row.state == "revoked":
            await _revoke_letters(session, row, facts, when)
        own = Credit(
            row.workflow,
            row.engagement_id,
            row.certification,
            match.gate.earliest.isoformat(),
            row.state,
            match.program.credit.amount(row.role),
        )
        for other in others:
            if other.state in EARNED and other.credit_date and other.cycle_start and other.cycle_end:
                policy = program_of(self._programs, other.program).credit
                cap = credit.cap_on(policy, catalogue, date.fromisoformat(other.credit_date))
                count = shares([*sharing, own], other, cap)[other.workflow]
                if count != other.countable:
                    other.countable = count
                    await _record_credit(session, other.workflow, other, when)

    @activity.defn
    async def plan_survey(self, order: PlanSurvey) -> PlannedSurvey:
        """Apply what was done to a survey, keep its answers, and record its agenda (SUR1–SUR3)."""
        facts, at = order.facts, order.at
        async with self._database.begin() as session:
            who = await participant(session, facts.profile)
            program = program_of(self._programs, who.profile.program)
            row, acts = await session.get(Survey, order.workflow, with_for_update=True), order.acts
            if row is None:
                acts = [*await _answers_ahead(session, facts), *acts]
                row = Survey(
                    workflow=order.workflow,
                    engagement_id=facts.engagement,
                    role=facts.role,
                    profile_id=facts.profile,
                    program=program.id,
                    policy_version=program.policy_version,
                    state="open",
                    state_since=facts.opened_at,
                    facts=facts_to_row(facts),
                )
                session.add(row)
            refused: dict[str, str] = {}
            done: list[Act] = []
            for act in acts:
                try:
                    facts = await _apply_to_survey(session, row, facts, act, who, program, at)
                    done.append(act)
                except Refused as reason:
                    refused[act.id] = str(reason)
                    await record_refusal(session, order.workflow, act, str(reason), at)
            agenda = survey.agenda(facts, program.survey, who.calendar(program))
            people = {facts.profile: who}
            planned = await record(session, row, agenda, program, order.workflow, facts, at, done, people)
            return PlannedSurvey(replace(planned, refused=refused), facts)


def letter_text(
    programs: Programs, paper: Paper
) -> Callable[[AsyncSession, str, str, Sequence[str], datetime], Awaitable[str]]:
    """What shows a claim's letter before it is signed: its text for a purpose and domains, by id (CPE8).

    Raises Refused where the letter cannot be written as things stand.
    """

    async def statement(
        session: AsyncSession, claim: str, purpose: str, domains: Sequence[str], at: datetime
    ) -> str:
        row = await session.get_one(Claim, claim)
        match = await match_of(session, programs, row.engagement_id, at)
        facts = facts_from_row(ClaimFacts, row.facts)
        locale = paper.locale(match.people[facts.counterpart], match.program)
        return paper.statement(facts, match, locale, at, purpose=purpose, domains=domains)

    return statement


async def match_of(session: AsyncSession, programs: Programs, engagement_id: str, at: datetime) -> Match:
    """An engagement with its people, its program, and its end if that has come by `at` and is recorded."""
    row = await session.get_one(Engagement, f"engagement/{engagement_id}")
    facts = facts_from_row(EngagementFacts, row.facts)
    people = await participants(session, [facts.mentee, facts.mentor])
    program = program_of(programs, row.program)
    closing = closing_turn(engagement_agenda(facts, people, program), at) if row.closed_at else None
    return Match(facts, people, program, closing)


def claim_agenda(facts: ClaimFacts, match: Match) -> Agenda:
    """The agenda of a claim for these people in this program, as the database has them now."""
    return credit.agenda(
        facts,
        match.program.credit,
        match.calendar,
        match.people[facts.profile].calendar(match.program),
        match.people[facts.counterpart].calendar(match.program),
    )


def apply_to_claim(facts: ClaimFacts, act: Act, state: str, match: Match, now: datetime) -> ClaimFacts:
    """A claim's facts after an act of the claimant or of staff in a state. Raises Refused (CPE7, CPE10, CPE11)."""
    at, by = act.at or now, act.actor
    match act.name:
        case "submit":
            return credit.submit(facts, act.by, at, state)
        case "accept":
            return credit.accept(facts, at, state, act.reason, by)
        case "reject":
            return credit.reject(facts, at, state, act.reason, by)
        case "revoke":
            return credit.revoke(facts, at, state, act.reason, by, act.details.get("answer", ""))
        case "cancel":
            return credit.cancel(facts, at, state, act.reason, by)
        case "reopen":
            policy = match.program.credit
            return credit.reopen(facts, at, state, act.reason, policy, match.calendar, by)
    raise Refused(f"a claim cannot be told to {act.name}")


def credit_of(row: Claim, programs: Programs, state: str = "") -> Credit:
    """A claim as the cap of a cycle sees it, in its own state or in another one."""
    amount = program_of(programs, row.program).credit.amount(row.role)
    assert row.credit_date is not None
    return Credit(
        row.workflow, row.engagement_id, row.certification, row.credit_date, state or row.state, amount
    )


def shares(credits: Sequence[Credit], row: Claim, cap: int) -> Mapping[str, int]:
    """How much of each credit counts among those that share the cap of a claim's cycle (CPE9)."""
    assert row.cycle_start is not None
    assert row.cycle_end is not None
    cycle = Cycle(row.cycle_start, row.cycle_end)
    return credit.countable(credit.in_cycle(credits, row.certification, cycle), cap)


def _claim_row(facts: ClaimFacts, who: Participant, program: Program) -> Claim:
    return Claim(
        workflow=facts.claim,
        engagement_id=facts.engagement,
        role=facts.role,
        profile_id=facts.profile,
        member_id=who.member.id,
        certification=facts.certification,
        program=program.id,
        policy_version=program.policy_version,
        state="precheck",
        state_since=facts.created_at,
        facts=facts_to_row(facts),
    )


async def _last_of_chain(session: AsyncSession, workflow: str) -> int:
    """The number of the last record of a workflow's chain."""
    chain = audit.chain_of(workflow)
    return await session.scalar(select(func.max(AuditRecord.sequence)).where(AuditRecord.chain == chain)) or 0


async def _turned_since(
    session: AsyncSession, workflow: str, known: int
) -> list[tuple[str, datetime, datetime]]:
    """The turns of a workflow recorded after a record of its chain: state, when it was due, when it was done."""
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


async def _revoke_letters(session: AsyncSession, row: Claim, facts: ClaimFacts, at: datetime) -> None:
    """The letters of a revoked claim say so where they are verified; their bytes stay (CPE8, CPE11)."""
    for letter in await session.scalars(
        select(Letter).where(Letter.claim == row.workflow, Letter.revoked_at.is_(None))
    ):
        step = facts.steps[-1]
        letter.revoked_at, letter.revoked_class = at, step.because
        letter.revoked_because = await resolve_reason(session, step.reason)
        told = {"letter": letter.id, "revoked": True, "because": step.because}
        await audit.append(session, row.workflow, "letter", at, told)


async def _answers_ahead(session: AsyncSession, facts: SurveyFacts) -> list[Act]:
    """The answers that came before their survey and wait for it: who has answered is not asked (SUR2).

    The inbox tells the survey of each of them too, as the same act.
    """
    events = await session.scalars(
        select(Event)
        .where(
            Event.type == "survey.answered",
            Event.subject == f"engagement/{facts.engagement}",
            Event.state.in_(("held", "stored", "applying")),
        )
        .order_by(Event.id)
    )
    return [
        Act(
            id=f"answered by event {event.id}",
            name="answered",
            actor=event.data["by"],
            at=event.occurred_at,
            by=event.data["by"],
            event=str(event.id),
        )
        for event in events
        if event.data["by"] == facts.profile
    ]


async def _apply_to_survey(
    session: AsyncSession,
    row: Survey,
    facts: SurveyFacts,
    act: Act,
    who: Participant,
    program: Program,
    now: datetime,
) -> SurveyFacts:
    at = act.at or now
    if act.name == "cancel":
        return survey.cancel(facts, at, act.reason, act.actor)
    closes = survey.closes_at(facts, program.survey, who.calendar(program))
    answered = survey.answer(facts, at, closes)
    event = await numbered(session, act.event)
    if event is not None:
        clean, faults = survey.check_answers(program.survey, facts.role, event.data["answers"])
        if not clean and event.source != LINKS:
            # An association may ask its own questions elsewhere: what was answered there is kept as it is.
            clean = dict(event.data["answers"])
        if not clean:
            wrong = [": ".join((*map(str, fault.path), fault.reason)) for fault in faults]
            raise Refused("; ".join(wrong) or "there is no answer in it")
        row.answers, row.answered_at = clean, at
    elif facts.answered_at is None:
        # A plain client tells that it was answered elsewhere: there are no words to keep.
        row.answered_at = at.replace(microsecond=0)
    return answered
