"""Plans of surveys (SUR1–SUR3)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from database.events import PERSONAL_PAGES, get_event
from database.models import Event, Survey
from database.session import Database
from lifecycles.facts import facts_to_row
from lifecycles.participants import Participant, Programs, participant, program_of
from lifecycles.recording import Planned, record, record_refusal
from rules import survey
from rules.acts import Act
from rules.agenda import Refused
from rules.program import Program
from rules.survey import SurveyFacts


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


class SurveyActivities:
    """The planning activity of surveys."""

    def __init__(self, database: Database, programs: Programs) -> None:
        self._database = database
        self._programs = programs

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
    event = await get_event(session, act.event)
    if event is not None:
        clean, faults = survey.check_answers(program.survey, facts.role, event.data["answers"])
        if not clean and event.source != PERSONAL_PAGES:
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
