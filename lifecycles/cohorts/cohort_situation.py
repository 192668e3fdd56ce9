"""Cohorts: their agenda from rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Cohort, Lifecycle
from lifecycles.facts import facts_to_row
from lifecycles.participants import Participant, Programs, program_of
from lifecycles.situation import pinned_program
from rules import cohort
from rules.acts import Act
from rules.agenda import Agenda
from rules.calendar import Calendar
from rules.cohort import CohortFacts
from rules.program import Program, program_calendar


@dataclass(frozen=True, slots=True)
class CohortSituation:
    """The program of a cohort. Its people are rows: no mail of the agenda goes to one of them."""

    program: Program

    @property
    def people(self) -> Mapping[str, Participant]:
        """Nobody."""
        return {}

    @property
    def calendar(self) -> Calendar:
        """The program's own: the days of a window are its days (COH1)."""
        return program_calendar(self.program)

    def agenda(self, facts: CohortFacts) -> Agenda:
        """Return the cohort's agenda (COH1–COH3)."""
        return cohort.agenda(facts, self.calendar)

    def apply(self, facts: CohortFacts, act: Act, now: datetime) -> CohortFacts:
        """Return the facts after an act. Raises Refused."""
        return cohort.apply(facts, act, now, self.calendar)

    def closed_because(self, facts: CohortFacts, state: str, on: date) -> str:
        """Return how the cohort is over."""
        return cohort.closed_because(facts, state, on)


async def load_cohort(
    session: AsyncSession, programs: Programs, facts: CohortFacts, at: datetime, row: Lifecycle | None
) -> CohortSituation:
    """Return the situation of a cohort. Until it opens it follows the newest program file. Raises NotOnRecord."""
    if row is None or row.state == "announced":
        return CohortSituation(program_of(programs, facts.program))
    return CohortSituation(await pinned_program(session, programs, row))


def cohorts_of(member: str) -> list[Select[str, str]]:
    """Return no query: a change of one member, of thousands, plans no cohort again. Its steps read the rows."""
    return []


def cohort_row(facts: CohortFacts, program: Program) -> Cohort:
    """Return the row of a cohort that is announced."""
    row = Cohort(
        workflow=f"cohort/{facts.cohort}",
        id=facts.cohort,
        partners=[],
        proposal=0,
        program=program.id,
        policy_version=program.policy_version,
        program_version=program.fingerprint,
        state="announced",
        state_since=facts.announced_at,
        facts=facts_to_row(facts),
    )
    write_days(row, facts)
    return row


def write_days(row: Cohort, facts: CohortFacts) -> None:
    """Keep the days of a cohort in the columns of its row, which sign-ups are compared with."""
    row.opens_on, row.closes_on, row.kick_off_on = facts.opens, facts.closes, facts.kick_off
    row.months, row.partners = facts.months, list(facts.partners)
