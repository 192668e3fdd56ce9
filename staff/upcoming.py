"""What lies ahead of a lifecycle by itself, beside its mail: states that it comes to, tasks for staff, dates.

Reckoned as the planning activities do, of the facts that its row keeps; a paused one has nothing of which the day is
known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Claim, Engagement, Lifecycle, Onboarding, Request
from lifecycles.claims import claim_agenda
from lifecycles.engagements import engagement_agenda, load_engagement
from lifecycles.facts import facts_from_row
from lifecycles.onboardings import onboarding_agenda
from lifecycles.participants import participant, participants, program_of
from rules import engagement, request, survey
from rules.agenda import Agenda
from rules.credit import ClaimFacts
from rules.engagement import EngagementFacts
from rules.onboarding import OnboardingFacts
from rules.program import Program, program_calendar
from rules.request import RequestFacts
from rules.survey import SurveyFacts


@dataclass(frozen=True, slots=True)
class UpcomingMail:
    """Something that comes at an instant (UTC) if nobody acts: its kind is `state`, `task` or `date`."""

    at: datetime
    kind: str
    what: str
    why: str


async def coming(
    session: AsyncSession, row: Lifecycle, programs: Mapping[str, Program], at: datetime
) -> list[UpcomingMail]:
    """What lies ahead of a lifecycle after an instant of program time, in order; nothing once it is closed."""
    if row.closed_at or row.program not in programs:
        return []
    agenda = await agenda_of(session, row, programs, at)
    found = [UpcomingMail(change.due, "state", change.state, change.cause) for change in agenda.state_changes]
    found += [UpcomingMail(task.due, "task", task.kind, task.action) for task in agenda.tasks]
    if agenda.closes_at:
        found.append(UpcomingMail(agenda.closes_at, "date", "closes", "answers can be changed until then"))
    return sorted((each for each in found if each.at > at), key=lambda each: (each.at, each.kind))


async def agenda_of(
    session: AsyncSession, row: Lifecycle, programs: Mapping[str, Program], at: datetime
) -> Agenda:
    """The agenda of a lifecycle, of its facts and of what the database has on its people now."""
    program = program_of(programs, row.program)
    if isinstance(row, Onboarding):
        who = await participant(session, row.profile_id)
        return onboarding_agenda(facts_from_row(OnboardingFacts, row.facts), who, program)
    if isinstance(row, Request):
        mentor = await participant(session, row.mentor_id)
        return request.agenda(
            facts_from_row(RequestFacts, row.facts), program.request, mentor.calendar(program)
        )
    if isinstance(row, Engagement):
        people = await participants(session, [row.mentee_id, row.mentor_id])
        return engagement_agenda(facts_from_row(EngagementFacts, row.facts), people, program)
    if isinstance(row, Claim):
        match = await load_engagement(session, programs, row.engagement_id, at)
        return claim_agenda(facts_from_row(ClaimFacts, row.facts), match)
    facts = facts_from_row(SurveyFacts, row.facts)
    reader = await participant(session, facts.profile)
    return survey.agenda(facts, program.survey, reader.calendar(program))


def dates_of(row: Lifecycle, programs: Mapping[str, Program], at: datetime) -> dict[str, Any]:
    """The days that decide an engagement: its first, the planned end or the last, and the gate of credit (CPE1)."""
    if not isinstance(row, Engagement) or row.program not in programs:
        return {}
    program = programs[row.program]
    calendar, facts = program_calendar(program), facts_from_row(EngagementFacts, row.facts)
    days: dict[str, Any] = {"started": engagement.start_day(facts, calendar)}
    if row.closed_at:
        days["ended"] = calendar.date_of(row.closed_at)
    else:
        days["planned_end"] = engagement.planned_end(facts, program.engagement, calendar, at)
    until = row.closed_at or at
    days["credit_gate"] = engagement.gate_day(facts, program.credit.gate_months, calendar, until)
    return {name: day.isoformat() for name, day in days.items()}
