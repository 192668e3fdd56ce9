"""Plans: from facts to an agenda, and what of it is due into the database (T7, MAIL1, STA1–STA3).

One activity per kind of lifecycle; each reads members, calendars and policy, asks the rules, and records the
answer in one transaction. Running it twice records nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from temporalio import activity

from database.models import Engagement, Onboarding, Request
from database.session import Database
from evidence.letters import RENDER_RETRY_INTERVAL, LetterService
from lifecycles.capacity import refuse_without_place, without_place
from lifecycles.claims import claims_due, pending_commands
from lifecycles.engagements import EngagementContext, engagement_agenda, engagement_row
from lifecycles.facts import facts_to_row
from lifecycles.onboardings import onboarding_agenda, open_onboardings
from lifecycles.participants import Programs, participant, participants, program_of
from lifecycles.recording import Planned, record, record_refusal, settle_lapses
from lifecycles.workflow_commands import WorkflowCommand
from rules import request
from rules.acts import Act
from rules.agenda import Refused, closing_change
from rules.engagement import EngagementFacts, apply_to_engagement
from rules.onboarding import OnboardingFacts
from rules.request import RequestFacts, apply_to_request, by_its_party, request_state


@dataclass(frozen=True, slots=True)
class PlanOnboarding:
    """The facts of an onboarding at an instant of the workflow's clock, with the acts that led to them."""

    workflow: str
    facts: OnboardingFacts
    at: datetime
    acts: list[Act] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """The facts of a request, and the acts that the rules are to apply to them."""

    workflow: str
    facts: RequestFacts
    at: datetime
    acts: list[Act] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """A request's new facts and agenda. On acceptance: the engagement to start, the onboardings that it ends,
    and other requests whose mentor has no place left (REQ5, ONB3, MEM4)."""

    planned: Planned
    facts: RequestFacts
    engagement: EngagementFacts | None = None
    matched: list[str] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PlanEngagement:
    """The facts of an engagement, and the acts that the rules are to apply to them."""

    workflow: str
    facts: EngagementFacts
    at: datetime
    acts: list[Act] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PlannedEngagement:
    """An engagement's new facts and agenda, and what it has to start or to tell by now: claims, surveys."""

    planned: Planned
    facts: EngagementFacts
    effects: list[WorkflowCommand] = field(default_factory=list)


class AgendaActivities:
    """The planning activities; `programs` are those of this deployment, `paper` makes certificates."""

    def __init__(self, database: Database, programs: Programs, paper: LetterService) -> None:
        self._database = database
        self._programs = programs
        self._paper = paper

    @activity.defn
    async def plan_onboarding(self, order: PlanOnboarding) -> Planned:
        """Compute and record the agenda of an onboarding (ONB1–ONB6, MEM1–MEM3)."""
        async with self._database.begin() as session:
            who = await participant(session, order.facts.profile)
            program = program_of(self._programs, who.profile.program)
            row = await session.get(Onboarding, order.workflow, with_for_update=True)
            if row is None:
                row = Onboarding(
                    workflow=order.workflow,
                    profile_id=who.profile.id,
                    program=program.id,
                    policy_version=program.policy_version,
                    state="blocked" if order.facts.blocked else "waiting",
                    state_since=order.facts.created_at,
                    facts=facts_to_row(order.facts),
                )
                session.add(row)
            agenda = onboarding_agenda(order.facts, who, program)
            people = {who.profile.id: who}
            planned = await record(
                session, row, agenda, program, order.workflow, order.facts, order.at, order.acts, people
            )
            if order.facts.unblocked_at:
                await settle_lapses(session, order.workflow, agenda, order.at)
            return planned

    @activity.defn
    async def plan_request(self, order: PlanRequest) -> PlannedRequest:
        """Apply what was done to a request, and record its agenda (REQ1–REQ10, MEM2, MEM4)."""
        facts, at = order.facts, order.at
        async with self._database.begin() as session:
            people = await participants(session, [facts.mentee, facts.mentor])
            mentor, mentee = people[facts.mentor], people[facts.mentee]
            program = program_of(self._programs, mentor.profile.program)
            row = await session.get_one(Request, order.workflow, with_for_update=True)
            calendar = mentor.calendar(program)
            refused: dict[str, str] = {}
            done: list[Act] = []
            for act in order.acts:
                try:
                    state = request_state(facts, act, program, calendar, at)
                    if act.name == "accept":
                        await refuse_without_place(session, mentor, mentee, facts.request)
                    facts = apply_to_request(facts, act, state, at)
                    done.append(by_its_party(act))
                except Refused as reason:
                    refused[act.id] = str(reason)
                    await record_refusal(session, order.workflow, act, str(reason), at)
            agenda = request.agenda(facts, program.request, calendar)
            planned = await record(session, row, agenda, program, order.workflow, facts, at, done, people)
            planned = replace(planned, refused=refused)
            if any(act.name == "standing" for act in done):
                await settle_lapses(session, order.workflow, agenda, at)
            if facts.ended is None or facts.ended.state != "accepted":
                return PlannedRequest(planned, facts)
            started = EngagementFacts(
                facts.request, facts.mentee, facts.mentor, facts.ended.at, months=row.months
            )
            if await session.get(Engagement, f"engagement/{facts.request}") is None:
                session.add(engagement_row(started, program))
                await session.flush()
            return PlannedRequest(
                planned,
                facts,
                started,
                await open_onboardings(session, mentee, program),
                await without_place(session, mentor),
            )

    @activity.defn
    async def plan_engagement(self, order: PlanEngagement) -> PlannedEngagement:
        """Apply what was done to an engagement, and record its agenda (ENG1–ENG11, MEM2)."""
        facts, at = order.facts, order.at
        async with self._database.begin() as session:
            people = await participants(session, [facts.mentee, facts.mentor])
            program = program_of(self._programs, people[facts.mentor].profile.program)
            row = await session.get(Engagement, order.workflow, with_for_update=True)
            if row is None:
                row = engagement_row(facts, program)
                session.add(row)
            refused: dict[str, str] = {}
            done: list[Act] = []
            for act in order.acts:
                try:
                    state = engagement_agenda(facts, people, program).state_at(act.at or at)
                    facts = apply_to_engagement(facts, act, state, at, program)
                    done.append(act)
                except Refused as reason:
                    refused[act.id] = str(reason)
                    await record_refusal(session, order.workflow, act, str(reason), at)
            agenda = engagement_agenda(facts, people, program)
            match = EngagementContext(facts, people, program, closing_change(agenda, at))
            certificates, waiting = await self._paper.certificates(session, match, at)
            agenda = replace(
                agenda,
                mails=(*agenda.mails, *certificates),
                recheck_at=claims_due(match, self._paper.catalogue, at)[1],
            )
            planned = await record(session, row, agenda, program, order.workflow, facts, at, done, people)
            if any(act.name == "standing" for act in done):
                await settle_lapses(session, order.workflow, agenda, at)
            if facts.end_reason:
                row.end_reason = facts.end_reason
            if waiting:
                # The workflow stays until the last certificate is made and mailed.
                planned = replace(planned, closed=False, wake_at=at + RENDER_RETRY_INTERVAL)
            effects = await pending_commands(session, match, self._paper.catalogue, at)
            return PlannedEngagement(replace(planned, refused=refused), facts, effects)
