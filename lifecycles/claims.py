"""Claims of an engagement: which are due, and what they take over from it (CPE1, CPE3, CPE7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Claim, Survey
from lifecycles.engagements import EngagementContext
from lifecycles.facts import facts_to_row
from lifecycles.participants import Participant, Programs, program_of
from lifecycles.workflow_commands import WorkflowCommand, start
from rules import credit, engagement
from rules.agenda import Agenda, recorded_at
from rules.catalogue import Catalogue
from rules.credit import ClaimFacts, Credit, Cycle, GateDays, Record
from rules.engagement import ROLES
from rules.program import Program
from rules.survey import SurveyFacts

_CLAIM_FACTS = TypeAdapter(ClaimFacts)


def cycle_on_record(who: Participant, certification: str, gate: date) -> Cycle | None:
    """The cycle of a certification that a member holds: the one with the gate in it, else the last (CPE4)."""
    cycles = [
        Cycle(str(held["cycle_start"]), str(held["cycle_end"]))
        for held in who.member.certifications
        if held["code"] == certification
    ]
    covering = [cycle for cycle in cycles if cycle.covers(gate)]
    return next(iter(covering or cycles[-1:]), None)


def sync_with_engagement(facts: ClaimFacts, match: EngagementContext, state: str, at: datetime) -> ClaimFacts:
    """A claim's facts with what its engagement has come to by now (CPE1, ENG6, ENG11)."""
    if match.closing and match.closing.state == "canceled":
        actor = match.facts.ended.actor if match.facts.ended else ""
        return credit.engagement_canceled(facts, at, state, "the engagement was cancelled", actor)
    return credit.engagement_changed(facts, match.pauses, at, match.closing.due if match.closing else None)


def claims_due(
    match: EngagementContext, catalogue: Catalogue, at: datetime
) -> tuple[list[ClaimFacts], tuple[datetime, ...]]:
    """The claims that are open by now if all went well, and the instants at which to look again (CPE3, CPE7)."""
    policy, days = match.program.credit, match.gate
    if days.precheck is None or (match.closing and match.closing.state == "canceled"):
        return [], ()
    until = min(at, match.closing.due) if match.closing else at
    found, later = [], []
    for role in ROLES:
        opens = credit.opens_at(days.precheck, match.calendar, match.who(role).calendar(match.program))
        if not policy.amount(role) or opens > until:
            later += [opens] if opens > at and match.closing is None and policy.amount(role) else []
            continue
        held = [str(each["code"]) for each in match.who(role).member.certifications]
        on = match.calendar.date_of(until)
        found += [
            _claim(match, role, code, days, recorded_at(opens, at))
            for code in credit.claimable(held, policy, catalogue, days.gate, on)
        ]
    return found, tuple(later)


def upcoming_claims(
    match: EngagementContext, catalogue: Catalogue, role: str, at: datetime
) -> tuple[tuple[str, ...], datetime | None]:
    """The certifications of a role for which a claim is to be opened if all goes on as it is, and when: None while a
    pause holds that day (CPE3, CPE7)."""
    policy, days, who = match.program.credit, match.gate, match.who(role)
    if match.closing is not None or not policy.amount(role):
        return (), None
    held = [str(each["code"]) for each in who.member.certifications]
    codes = credit.claimable(held, policy, catalogue, days.gate, match.calendar.date_of(at))
    if days.precheck is None:
        return codes, None
    return codes, credit.opens_at(days.precheck, match.calendar, who.calendar(match.program))


def _claim(match: EngagementContext, role: str, code: str, days: GateDays, at: datetime) -> ClaimFacts:
    who = match.who(role)
    return ClaimFacts(
        match.facts.engagement,
        role,
        match.profile(role),
        match.profile("mentee" if role == "mentor" else "mentor"),
        code,
        engagement.start_day(match.facts, match.calendar).isoformat(),
        at,
        [Record(at, who.good_standing, cycle_on_record(who, code, days.earliest))],
    )


async def pending_commands(
    session: AsyncSession, match: EngagementContext, catalogue: Catalogue, at: datetime
) -> list[WorkflowCommand]:
    """What an engagement has still to start or to tell by now: claims and surveys (CPE1, CPE3, CPE7, SUR2)."""
    rows = await claims_of(session, match.facts.engagement)
    claims, _ = claims_due(match, catalogue, at)
    effects = [start("Claim", claim.claim, claim) for claim in claims if claim.claim not in rows]
    for row in rows.values():
        facts = _CLAIM_FACTS.validate_python(row.facts)
        if row.closed_at is None and sync_with_engagement(facts, match, row.state, at) != facts:
            effects.append(WorkflowCommand("signal", row.workflow, "engagement_changed"))
    if match.closing is None or not _asks_both(match):
        return effects
    for role in ROLES:
        workflow = f"survey/{match.facts.engagement}/{role}"
        if await session.get(Survey, workflow) is None:
            survey = SurveyFacts(match.facts.engagement, role, match.profile(role), match.closing.due)
            effects.append(start("Survey", workflow, survey))
    return effects


def _asks_both(match: EngagementContext) -> bool:
    """Whether an end is one that both look back at: completed, or ended by one of the two (SUR2)."""
    assert match.closing is not None
    ended_by_party = match.closing.state == "ended" and match.facts.ended_by in ROLES
    return match.closing.state == "completed" or ended_by_party


async def claims_of(session: AsyncSession, engagement_id: str) -> dict[str, Claim]:
    """The claims of an engagement, by workflow id."""
    rows = await session.scalars(
        select(Claim).where(Claim.engagement_id == engagement_id).order_by(Claim.workflow)
    )
    return {row.workflow: row for row in rows}


def claim_agenda(facts: ClaimFacts, match: EngagementContext) -> Agenda:
    """The agenda of a claim for these people in this program, as the database has them now."""
    return credit.agenda(
        facts,
        match.program.credit,
        match.calendar,
        match.people[facts.profile].calendar(match.program),
        match.people[facts.counterpart].calendar(match.program),
    )


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


def claim_row(facts: ClaimFacts, who: Participant, program: Program) -> Claim:
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
