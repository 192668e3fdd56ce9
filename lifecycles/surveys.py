"""Surveys: their agenda from rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Engagement, Lifecycle, Profile, Survey
from lifecycles.facts import facts_to_row
from lifecycles.participants import Participant, Programs, participant, program_of
from lifecycles.situation import in_send_window, pinned_program
from rules import survey
from rules.acts import Act
from rules.agenda import Agenda
from rules.calendar import Calendar
from rules.program import Program
from rules.survey import SurveyFacts


@dataclass(frozen=True, slots=True)
class SurveySituation:
    """The person who is asked, and the program."""

    reader: Participant
    program: Program

    @property
    def people(self) -> Mapping[str, Participant]:
        """The one person."""
        return {self.reader.profile.id: self.reader}

    @property
    def calendar(self) -> Calendar:
        """The reader's."""
        return self.reader.calendar(self.program)

    def agenda(self, facts: SurveyFacts) -> Agenda:
        """Return the survey's agenda (SUR2)."""
        return in_send_window(
            survey.agenda(facts, self.program.survey, self.calendar), self.program, self.people
        )

    def apply(self, facts: SurveyFacts, act: Act, now: datetime) -> SurveyFacts:
        """Return the facts after an act. Raises Refused."""
        return survey.apply(facts, act, now, self.program.survey, self.calendar)

    def closed_because(self, facts: SurveyFacts, state: str, on: date) -> str:
        """Return how the survey is over."""
        return survey.closed_because(facts, state, on)


async def load_survey(
    session: AsyncSession, programs: Programs, facts: SurveyFacts, at: datetime, row: Lifecycle | None
) -> SurveySituation:
    """Return the situation of a survey, by the program version of its engagement (CPE12). Raises NotOnRecord."""
    reader = await participant(session, facts.profile)
    followed = await session.get(Engagement, f"engagement/{facts.engagement}") or row
    if followed is None:
        return SurveySituation(reader, program_of(programs, reader.profile.program))
    return SurveySituation(reader, await pinned_program(session, programs, followed))


def survey_row(workflow: str, facts: SurveyFacts, program: Program) -> Survey:
    """Return the row of a survey that opens."""
    return Survey(
        workflow=workflow,
        engagement_id=facts.engagement,
        role=facts.role,
        profile_id=facts.profile,
        program=program.id,
        policy_version=program.policy_version,
        program_version=program.fingerprint,
        state="open",
        state_since=facts.opened_at,
        facts=facts_to_row(facts),
    )


def surveys_of(member: str) -> list[Select[str, str]]:
    """Return queries for the open surveys of a member: workflow id and profile."""
    return [
        select(Survey.workflow, Survey.profile_id)
        .join(Profile, Profile.id == Survey.profile_id)
        .where(Profile.member_id == member, Survey.closed_at.is_(None))
    ]
