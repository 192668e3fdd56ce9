"""Plans of surveys (SUR1–SUR3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.plan_faults import GuardedPlan
from database import audit
from database.events import get_event
from database.models import DECISIONS, Event, Message, Survey
from database.session import Database, held
from lifecycles.participants import Programs
from lifecycles.recording import Planned, record
from lifecycles.situation import apply_acts
from lifecycles.surveys import load_survey, survey_row
from lifecycles.together import read_together
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
        self._surveys = GuardedPlan(
            database, self._plan_survey, lambda order, planned: PlannedSurvey(planned, order.facts)
        )

    @activity.defn
    async def plan_survey(self, order: PlanSurvey) -> PlannedSurvey:
        """Apply acts to a survey, keep its answers, and record its agenda (SUR1–SUR3)."""
        return await self._surveys.make(order)

    async def _plan_survey(self, order: PlanSurvey) -> PlannedSurvey:
        facts, at = order.facts, order.at
        async with self._database.begin() as session:
            await audit.lock(session, order.workflow)
            await read_together(session, order.workflow, lock=True)
            found, acts = held(session, Survey, order.workflow), order.acts
            situation = await load_survey(session, self._programs, facts, at, found)
            row = found or survey_row(order.workflow, facts, situation.program)
            if found is None:
                acts = [*await _answers_ahead(session, facts), *acts]
                session.add(row)

            if survey.first_mail_at(facts, situation.calendar) <= at:
                left = await _notice_left(session, facts)
                facts = survey.wait_for_notice(facts, at, situation.calendar, notice_left=left)

            async def apply(facts: SurveyFacts, act: Act) -> SurveyFacts:
                after = situation.apply(facts, act, at)
                if act.name == "answered":
                    await _keep_answers(session, row, facts, act, situation.program, at)
                return after

            applied = await apply_acts(facts, acts, apply)
            agenda = situation.agenda(applied.facts)
            planned = await record(session, row, situation, agenda, applied, at)
            return PlannedSurvey(planned, applied.facts)


async def _notice_left(session: AsyncSession, facts: SurveyFacts) -> bool:
    """Return whether the mail about the end has its decision; true where there is none (SUR2)."""
    waiting = await session.scalar(
        select(Message.id).where(
            Message.workflow == f"engagement/{facts.engagement}",
            Message.to_profile == facts.profile,
            Message.message.in_((f"{facts.role}.completed", f"{facts.role}.ended")),
            Message.state.not_in(DECISIONS),
        )
    )
    return waiting is None


async def _answers_ahead(session: AsyncSession, facts: SurveyFacts) -> list[Act]:
    """Return the answers that came before their survey and wait for it: who has answered is not asked (SUR2).

    The inbox sends each of them to the survey, too, as the same act.
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


async def _keep_answers(
    session: AsyncSession, row: Survey, facts: SurveyFacts, act: Act, program: Program, now: datetime
) -> None:
    """Keep the words of an answer, which are in the event that the act names. Raises Refused if none is valid."""
    at = act.at or now
    event = await get_event(session, act.event)
    if event is None:
        # A plain client reports that it was answered elsewhere: there are no words to keep.
        if facts.answered_at is None:
            row.answered_at = at.replace(microsecond=0)
        return
    answers, issues = survey.check_answers(program.survey, facts.role, event.data["answers"])
    if not answers:
        reasons = [": ".join((*map(str, issue.path), issue.reason)) for issue in issues]
        raise Refused("; ".join(reasons) or "there is no answer in it")
    row.answers, row.answered_at = answers, at
