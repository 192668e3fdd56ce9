"""Claims of an engagement: which are due, and what they take over from it (CPE1, CPE3, CPE7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from pydantic import TypeAdapter
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Claim, Engagement, Lifecycle, Profile, Survey
from lifecycles.engagements import EngagementContext, load_engagement
from lifecycles.facts import facts_to_row
from lifecycles.participants import Participant, Programs
from lifecycles.situation import in_send_window
from lifecycles.workflow_commands import WorkflowCommand, start
from rules import credit, engagement
from rules.acts import Act
from rules.agenda import Agenda, StateChange, recorded_at
from rules.calendar import Calendar
from rules.credit import ClaimFacts, Credit, Cycle, GateDays, Record
from rules.engagement import ROLES, EngagementFacts
from rules.program import Program
from rules.program.catalogue import Catalogue, Certification
from rules.survey import SurveyFacts

_CLAIM_FACTS = TypeAdapter(ClaimFacts)


def cycle_on_record(who: Participant, certification: str, gate: date) -> Cycle | None:
    """Return the cycle of a certification that a member holds: the one that covers the gate, else the last (CPE4)."""
    cycles = [
        Cycle(str(held["cycle_start"]), str(held["cycle_end"]))
        for held in who.member.certifications
        if held["code"] == certification
    ]
    covering = [cycle for cycle in cycles if cycle.covers(gate)]
    return next(iter(covering or cycles[-1:]), None)


def up_to_date(facts: ClaimFacts, situation: ClaimSituation, at: datetime) -> ClaimFacts:
    """Return a claim's facts with what the record of its owner and its engagement have come to by now."""
    who, context = situation.people[facts.profile], situation.context
    cycle = cycle_on_record(who, facts.certification, context.gate.earliest)
    facts = credit.record_changed(facts, who.good_standing, cycle, at)
    return sync_with_engagement(facts, context, situation.state(facts, at), at)


def sync_with_engagement(
    facts: ClaimFacts, context: EngagementContext, state: str, at: datetime
) -> ClaimFacts:
    """Return a claim's facts with its engagement's pauses and end as they are now (CPE1, ENG6, ENG11)."""
    if context.closing and context.closing.state == "canceled":
        actor = context.facts.ended.actor if context.facts.ended else ""
        return credit.engagement_canceled(facts, at, state, "the engagement was cancelled", actor)
    return credit.engagement_changed(
        facts, context.pauses, at, context.closing.due if context.closing else None
    )


def claims_due(
    context: EngagementContext, catalogue: Catalogue, at: datetime
) -> tuple[list[ClaimFacts], tuple[datetime, ...]]:
    """Return the claims that should be open by now, and the instants at which to check again (CPE3, CPE7)."""
    policy, days = context.program.credit, context.gate
    if days.precheck is None or (context.closing and context.closing.state == "canceled"):
        return [], ()
    until = min(at, context.closing.due) if context.closing else at
    found, later = [], []
    for role in ROLES:
        opens = credit.opens_at(days.precheck, context.calendar, context.who(role).calendar(context.program))
        if not policy.amount(role) or opens > until:
            later += [opens] if opens > at and context.closing is None and policy.amount(role) else []
            continue
        held = [str(each["code"]) for each in context.who(role).member.certifications]
        on = context.calendar.date_of(until)
        found += [
            _claim(context, role, code, days, _opened_at(context, days, opens, at))
            for code in credit.claimable(held, policy, catalogue, days.gate, on)
        ]
    return found, tuple(later)


def upcoming_claims(
    context: EngagementContext, catalogue: Catalogue, role: str, at: datetime
) -> tuple[tuple[str, ...], datetime | None]:
    """Return the certifications for which a role's claims will open as things stand, and when (CPE3, CPE7).

    The instant is None while a pause holds that day.
    """
    policy, days, who = context.program.credit, context.gate, context.who(role)
    if context.closing is not None or not policy.amount(role):
        return (), None
    held = [str(each["code"]) for each in who.member.certifications]
    codes = credit.claimable(held, policy, catalogue, days.gate, context.calendar.date_of(at))
    if days.precheck is None:
        return codes, None
    return codes, credit.opens_at(days.precheck, context.calendar, who.calendar(context.program))


def _opened_at(context: EngagementContext, days: GateDays, opens: datetime, at: datetime) -> datetime:
    """Return when a claim is opened: at its day, or now where the engine comes to it later.

    Of a take-over, a gate that was reached lately asks for its signatures now; an older one has had its time (T10).
    """
    taken_over_at = context.facts.taken_over_at
    if taken_over_at is None or opens >= taken_over_at or days.gate is None:
        return recorded_at(opens, at)
    passed = (context.calendar.date_of(taken_over_at) - days.gate).days
    return recorded_at(opens, at) if 0 <= passed < context.program.credit.missing_after_days else opens


def _claim(context: EngagementContext, role: str, code: str, days: GateDays, at: datetime) -> ClaimFacts:
    who = context.who(role)
    return ClaimFacts(
        context.facts.engagement,
        role,
        context.profile(role),
        context.profile("mentee" if role == "mentor" else "mentor"),
        code,
        engagement.start_day(context.facts, context.calendar).isoformat(),
        at,
        [Record(at, who.good_standing, cycle_on_record(who, code, days.earliest))],
        taken_over_at=context.facts.taken_over_at,
    )


async def pending_commands(
    session: AsyncSession, context: EngagementContext, agenda: Agenda, catalogue: Catalogue, at: datetime
) -> list[WorkflowCommand]:
    """Return what an engagement has yet to start or signal: claims and surveys (CPE1, CPE3, CPE7, SUR2).

    `agenda` is the engagement's.
    """
    rows = await claims_of(session, context.facts.engagement)
    claims, _ = claims_due(context, catalogue, at)
    effects = [start("Claim", claim.claim, claim) for claim in claims if claim.claim not in rows]
    for row, _, _ in claims_changed(rows.values(), context, at):
        effects.append(WorkflowCommand("signal", row.workflow, "engagement_changed"))
    if context.closing is None or not _opens_surveys(context.facts, context.closing):
        return effects
    for role in ROLES:
        workflow = f"survey/{context.facts.engagement}/{role}"
        if context.who(role).is_erased:
            continue
        if await session.get(Survey, workflow) is None:
            survey = SurveyFacts(
                context.facts.engagement,
                role,
                context.profile(role),
                context.closing.due,
                notified_at=context.closing.due if context.is_of_the_past else _notified_at(agenda, role, at),
                taken_over_at=context.facts.taken_over_at,
            )
            effects.append(start("Survey", workflow, survey))
    return effects


def _notified_at(agenda: Agenda, role: str, at: datetime) -> datetime:
    """Return when the mail about the end is due to a role, never before it was planned (SUR2, T9)."""
    about_the_end = (f"{role}.completed", f"{role}.ended")
    due = next((mail.due for mail in agenda.mails if mail.message in about_the_end and mail.due), at)
    return max(due, recorded_at(due, at))


def _opens_surveys(facts: EngagementFacts, closing: StateChange) -> bool:
    """Return whether an end opens surveys: completed, not a fit, or ended by a party (SUR2)."""
    by_party = closing.state == "ended" and facts.ended_by in ROLES
    return closing.state in ("completed", "no_fit") or by_party


async def claims_after(
    session: AsyncSession, context: EngagementContext, at: datetime
) -> list[tuple[Claim, ClaimFacts, ClaimFacts]]:
    """Return the open claims that an engagement in this context would change, with their facts before and after."""
    return claims_changed((await claims_of(session, context.facts.engagement)).values(), context, at)


def claims_changed(
    rows: Iterable[Claim], context: EngagementContext, at: datetime
) -> list[tuple[Claim, ClaimFacts, ClaimFacts]]:
    """Return those of an engagement's claims that are open and that it would change, as `claims_after` does."""
    changed = []
    for row in rows:
        facts = _CLAIM_FACTS.validate_python(row.facts)
        after = sync_with_engagement(facts, context, row.state, at)
        if row.closed_at is None and after != facts:
            changed.append((row, facts, after))
    return changed


async def claims_of(session: AsyncSession, engagement_id: str) -> dict[str, Claim]:
    """Return the claims of an engagement, by workflow id."""
    rows = await session.scalars(
        select(Claim).where(Claim.engagement_id == engagement_id).order_by(Claim.workflow)
    )
    return {row.workflow: row for row in rows}


@dataclass(frozen=True, slots=True)
class ClaimSituation:
    """The engagement that a claim comes from, and what the catalogue says of the certification claimed."""

    context: EngagementContext
    certification: Certification | None = None

    @property
    def program(self) -> Program:
        """The program of the engagement."""
        return self.context.program

    @property
    def people(self) -> Mapping[str, Participant]:
        """The claimant and the one who signs."""
        return self.context.people

    @property
    def calendar(self) -> Calendar:
        """The program's own."""
        return self.context.calendar

    def agenda(self, facts: ClaimFacts) -> Agenda:
        """Return the claim's agenda (CPE7)."""
        return in_send_window(
            credit.agenda(
                facts,
                self.program.credit,
                self.calendar,
                self.people[facts.profile].calendar(self.program),
                self.people[facts.counterpart].calendar(self.program),
            ),
            self.program,
            self.people,
        )

    def state(self, facts: ClaimFacts, at: datetime) -> str:
        """Return the claim's state at an instant."""
        return self.agenda(facts).state_at(at)

    def apply(self, facts: ClaimFacts, act: Act, now: datetime) -> ClaimFacts:
        """Return the facts after an act. Raises Refused."""
        state = self.state(facts, act.at or now)
        return credit.apply(facts, act, state, now, self.program, self.certification)

    def closed_because(self, facts: ClaimFacts, state: str, on: date) -> str:
        """Return how the claim is over."""
        return f"this claim is over: it is {state} since {on.isoformat()}"


async def load_claim(
    session: AsyncSession, programs: Programs, facts: ClaimFacts, at: datetime, row: Lifecycle | None
) -> ClaimSituation:
    """Return the situation of a claim, by the program version of its engagement (CPE12).

    It is without the certification: only the claimant's own acts need that.
    """
    return ClaimSituation(await load_engagement(session, programs, facts.engagement, at))


def claims_of_member(member: str) -> list[Select[str, str]]:
    """Return queries for the open claims that depend on a member: workflow id and the member's profile.

    A claim depends on both: on the record of the one, and on the days and clock of the other, who signs (T4, CPE5).
    """
    return [
        select(Claim.workflow, Profile.id)
        .join(Engagement, Engagement.id == Claim.engagement_id)
        .join(Profile, Profile.id == part)
        .where(Profile.member_id == member, Claim.closed_at.is_(None))
        for part in (Engagement.mentee_id, Engagement.mentor_id)
    ]


def credit_of(row: Claim, program: Program) -> Credit | None:
    """Return a claim as the cap of a cycle counts it, by its program; None before its first decision."""
    if row.credit_date is None:
        return None
    amount = program.credit.amount(row.role)
    return Credit(row.workflow, row.engagement_id, row.certification, row.credit_date, row.state, amount)


def shares(credits: Sequence[Credit], row: Claim, cap: int) -> Mapping[str, int]:
    """Return how much of each credit counts among those that share the cap of a claim's cycle (CPE9).

    Empty for a claim whose cycle is not known.
    """
    if row.cycle_start is None or row.cycle_end is None:
        return {}
    cycle = Cycle(row.cycle_start, row.cycle_end)
    return credit.countable(credit.in_cycle(credits, row.certification, cycle), cap)


def claim_row(facts: ClaimFacts, who: Participant, program: Program) -> Claim:
    """Return the row of a claim that opens."""
    return Claim(
        workflow=facts.claim,
        engagement_id=facts.engagement,
        role=facts.role,
        profile_id=facts.profile,
        member_id=who.member.id,
        certification=facts.certification,
        program=program.id,
        policy_version=program.policy_version,
        program_version=program.fingerprint,
        state="precheck",
        state_since=facts.created_at,
        facts=facts_to_row(facts),
    )
