"""Plans: from facts to an agenda, and what of it is due into the database (T7, MAIL1, STA1–STA3).

One activity per kind of lifecycle; each reads members, calendars and policy, asks the rules, and records the
answer in one transaction. Running it twice records nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from temporalio import activity

from activities.plan_faults import GuardedPlan, planned_fields
from database import audit
from database.models import Engagement, Request
from database.session import Database, held
from database.tasks import settle_tasks
from evidence.letters import RENDER_RETRY_INTERVAL, LetterService
from lifecycles.capacity import refuse_without_place, superseded_by, without_place
from lifecycles.claims import claims_due, pending_commands
from lifecycles.engagements import (
    EngagementContext,
    engagement_row,
    keep_steps,
    situation_of,
    with_curriculum,
)
from lifecycles.onboardings import load_onboarding, match_ends, onboarding_row, open_onboardings
from lifecycles.participants import Programs
from lifecycles.recording import Planned, history_horizon, record, settle_lapses
from lifecycles.requests import load_request
from lifecycles.situation import apply_acts
from lifecycles.together import read_together
from lifecycles.workflow_commands import WorkflowCommand
from rules import request
from rules.acts import Act
from rules.agenda import closing_change
from rules.engagement import EngagementFacts
from rules.onboarding import OnboardingFacts
from rules.request import RequestFacts


@dataclass(frozen=True, slots=True)
class PlanOnboarding:
    """The facts of an onboarding, and the acts that the rules are to apply to them."""

    workflow: str
    facts: OnboardingFacts
    at: datetime
    acts: list[Act] = field(default_factory=list)
    applied: bool = False
    """Whether the workflow has applied the acts itself, as runs did that began before plans applied them."""


@dataclass(frozen=True, slots=True)
class PlannedOnboarding(Planned):
    """An onboarding's agenda and new facts. Histories of runs that applied acts themselves have no facts here."""

    facts: OnboardingFacts | None = None


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
    superseded: list[str] = field(default_factory=list)
    """Other open requests of the mentee to the mentor (REQ11)."""


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
    """The planning activities; `programs` are those of this deployment, `letters` makes certificates."""

    def __init__(self, database: Database, programs: Programs, letters: LetterService) -> None:
        self._database = database
        self._programs = programs
        self._letters = letters
        self._onboardings = GuardedPlan(
            database,
            self._plan_onboarding,
            lambda order, planned: PlannedOnboarding(**planned_fields(planned), facts=order.facts),
        )
        self._requests = GuardedPlan(
            database, self._plan_request, lambda order, planned: PlannedRequest(planned, order.facts)
        )
        self._engagements = GuardedPlan(
            database, self._plan_engagement, lambda order, planned: PlannedEngagement(planned, order.facts)
        )

    @activity.defn
    async def plan_onboarding(self, order: PlanOnboarding) -> PlannedOnboarding:
        """Apply acts to an onboarding, and record its agenda (ONB1–ONB6, MEM1–MEM3)."""
        return await self._onboardings.make(order)

    async def _plan_onboarding(self, order: PlanOnboarding) -> PlannedOnboarding:
        facts, at = order.facts, order.at
        async with self._database.begin() as session:
            await audit.lock(session, order.workflow)
            row = await read_together(session, order.workflow, lock=True)
            situation = await load_onboarding(session, self._programs, facts, at, row)
            if row is None:
                row = onboarding_row(order.workflow, facts, situation.program)
                session.add(row)

            async def apply(facts: OnboardingFacts, act: Act) -> OnboardingFacts:
                return facts if order.applied else situation.apply(facts, act, at)

            applied = await apply_acts(facts, order.acts, apply)
            agenda = situation.agenda(applied.facts)
            horizon = await history_horizon(session, row, order.acts, applied.facts.taken_over_at, at)
            planned = await record(session, row, situation, agenda, applied, at, horizon)
            if applied.facts.unblocked_at:
                await settle_lapses(session, order.workflow, agenda, at)
            return PlannedOnboarding(**planned_fields(planned), facts=applied.facts)

    @activity.defn
    async def plan_request(self, order: PlanRequest) -> PlannedRequest:
        """Apply acts to a request, and record its agenda (REQ1–REQ10, MEM2, MEM4)."""
        return await self._requests.make(order)

    async def _plan_request(self, order: PlanRequest) -> PlannedRequest:
        facts, at = order.facts, order.at
        async with self._database.begin() as session:
            await audit.lock(session, order.workflow)
            await read_together(session, order.workflow, lock=True)
            row = await session.get_one(Request, order.workflow)
            situation = await load_request(session, self._programs, facts, at, row)

            async def apply(facts: RequestFacts, act: Act) -> RequestFacts:
                after = situation.apply(facts, act, at)
                if act.name == "accept" and not act.history:
                    await refuse_without_place(session, situation, facts.request)
                return after

            applied = await apply_acts(facts, order.acts, apply)
            applied = replace(applied, done=[request.attributed(act) for act in applied.done])
            facts, agenda = applied.facts, situation.agenda(applied.facts)
            horizon = await history_horizon(session, row, order.acts, facts.taken_over_at, at)
            planned = await record(session, row, situation, agenda, applied, at, horizon)
            if any(act.name == "standing" for act in applied.done):
                await settle_lapses(session, order.workflow, agenda, at)
            if facts.ended is None or facts.ended.state != "accepted":
                return PlannedRequest(planned, facts)
            started = EngagementFacts(
                facts.request,
                facts.mentee,
                facts.mentor,
                facts.ended.at,
                months=row.months,
                heard_at=facts.ended.heard_at,
                taken_over_at=facts.taken_over_at if facts.ended.history else None,
            )
            if await session.get(Engagement, f"engagement/{facts.request}") is None:
                session.add(engagement_row(started, situation.program))
                await session.flush()
            await settle_tasks(
                session, f"onboarding/{facts.mentee}", "mentee_unmatched", (), "the mentee has a match", at
            )
            matched = await open_onboardings(session, situation.mentee, situation.program)
            superseded = await superseded_by(session, facts)
            full = await without_place(session, situation.mentor)
            full = [each for each in full if each not in superseded]
            return PlannedRequest(planned, facts, started, matched, full, superseded)

    @activity.defn
    async def plan_engagement(self, order: PlanEngagement) -> PlannedEngagement:
        """Apply acts to an engagement, and record its agenda (ENG1–ENG11, MEM2, COH4)."""
        return await self._engagements.make(order)

    # long: the steps of a plan, read in their order
    async def _plan_engagement(self, order: PlanEngagement) -> PlannedEngagement:
        facts, at, catalogue = order.facts, order.at, self._letters.catalogue
        async with self._database.begin() as session:
            await audit.lock(session, order.workflow)
            await read_together(session, order.workflow, lock=True)
            row = held(session, Engagement, order.workflow)
            situation = await situation_of(session, self._programs, facts, at, row)
            if row is None:
                row = engagement_row(facts, situation.program)
                session.add(row)
            facts = await with_curriculum(session, facts, situation.program, row, at)

            async def apply(facts: EngagementFacts, act: Act) -> EngagementFacts:
                return situation.apply(facts, act, at)

            applied = await apply_acts(facts, order.acts, apply)
            facts, agenda = applied.facts, situation.agenda(applied.facts)
            await keep_steps(session, facts, applied.done)
            horizon = await history_horizon(session, row, order.acts, facts.taken_over_at, at)
            if horizon:
                # What follows from dates waits until all history of the take-over is applied (T10).
                return PlannedEngagement(
                    await record(session, row, situation, agenda, applied, at, horizon), facts
                )
            context = EngagementContext(
                facts, situation.people, situation.program, closing_change(agenda, at)
            )
            mails, unfinished = await self._letters.with_certificates(session, agenda.mails, context, at)
            if context.is_of_the_past:
                mails = list(agenda.mails)
            _, rechecks = claims_due(context, catalogue, at)
            agenda = replace(agenda, mails=tuple(mails), recheck_at=rechecks)
            planned = await record(session, row, situation, agenda, applied, at)
            if any(act.name == "standing" for act in applied.done):
                await settle_lapses(session, order.workflow, agenda, at)
            if facts.end_reason:
                row.end_reason = facts.end_reason
            if unfinished:
                # The workflow stays until the last certificate is made and mailed.
                planned = replace(planned, closed=False, wake_at=at + RENDER_RETRY_INTERVAL)
            # Neither reads what the plan has changed: that is written once, at the end.
            with session.no_autoflush:
                commands = await pending_commands(session, context, agenda, catalogue, at)
                ends = await match_ends(session, context)
            return PlannedEngagement(planned, facts, [*commands, *ends])
