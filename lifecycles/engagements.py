"""Engagements: their row, their people and calendar, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Engagement
from lifecycles.facts import facts_from_row, facts_to_row
from lifecycles.participants import Participant, Programs, participants, program_of
from rules import credit, engagement
from rules.agenda import Agenda, Pause, StateChange, closing_change
from rules.calendar import Calendar, calendar_for
from rules.credit import GateDays
from rules.engagement import EngagementFacts
from rules.program import Program, program_calendar


@dataclass(frozen=True, slots=True)
class EngagementContext:
    """An engagement with its two people, as the database has them now."""

    facts: EngagementFacts
    people: Mapping[str, Participant]
    program: Program
    closing: StateChange | None
    """Its end, if that has come."""

    @property
    def calendar(self) -> Calendar:
        """The program's own calendar."""
        return calendar_for(self.program.hours, None, None, None)

    @property
    def pauses(self) -> list[Pause]:
        """Its pauses; one that is open ends with the engagement."""
        if self.closing is None:
            return list(self.facts.pauses)
        return [
            replace(pause, until=max(self.closing.due, pause.since)) if pause.until is None else pause
            for pause in self.facts.pauses
        ]

    @property
    def gate(self) -> GateDays:
        """The days of pre-check and gate (CPE1, CPE7)."""
        started = engagement.start_day(self.facts, self.calendar)
        return credit.gate_days(started, self.pauses, self.program.credit, self.calendar)

    def profile(self, role: str) -> str:
        """The profile of a role."""
        return self.facts.mentor if role == "mentor" else self.facts.mentee

    def who(self, role: str) -> Participant:
        """The participant in a role."""
        return self.people[self.profile(role)]


async def load_engagement(
    session: AsyncSession, programs: Programs, engagement_id: str, at: datetime
) -> EngagementContext:
    """An engagement with its people, its program, and its end if that has come by `at` and is recorded."""
    row = await session.get_one(Engagement, f"engagement/{engagement_id}")
    facts = facts_from_row(EngagementFacts, row.facts)
    people = await participants(session, [facts.mentee, facts.mentor])
    program = program_of(programs, row.program)
    closing = closing_change(engagement_agenda(facts, people, program), at) if row.closed_at else None
    return EngagementContext(facts, people, program, closing)


def engagement_agenda(facts: EngagementFacts, people: Mapping[str, Participant], program: Program) -> Agenda:
    """The agenda of an engagement for these two in this program, as the database has them now."""
    return engagement.agenda(
        facts,
        program.engagement,
        program_calendar(program),
        people[facts.mentor].calendar(program),
        people[facts.mentee].calendar(program),
    )


def engagement_row(facts: EngagementFacts, program: Program) -> Engagement:
    return Engagement(
        workflow=f"engagement/{facts.engagement}",
        id=facts.engagement,
        mentee_id=facts.mentee,
        mentor_id=facts.mentor,
        program=program.id,
        policy_version=program.policy_version,
        state="active",
        state_since=facts.started_at,
        started_at=facts.started_at,
        facts=facts_to_row(facts),
    )
