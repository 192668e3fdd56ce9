"""The planning activities of a worker that has started with a program, and people who live by them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import select

from activities.claims import ClaimActivities
from activities.planning import AgendaActivities, PlanOnboarding
from activities.surveys import SurveyActivities
from database.links import Links
from database.models import Member, Message, Profile, Request
from database.session import Database
from lifecycles.facts import facts_to_row
from rules.acts import Act
from rules.onboarding import OnboardingFacts
from rules.program import Program
from rules.program.catalogue import load_catalogue
from rules.request import RequestFacts
from tests.support.delivery import environment
from worker.assembly import keep_program_versions, letter_service

AT = datetime(2035, 3, 5, 15, tzinfo=UTC)
"""Monday 5 March 2035, 10:00 in New York."""
CPP = {"code": "CPP", "cycle_start": "2035-01-01", "cycle_end": "2037-12-31"}


class Deployment:
    """The planning activities of a worker that has started with a program."""

    def __init__(self, database: Database, program: Program) -> None:
        self.database, self.programs = database, {program.id: program}
        letters = letter_service(load_catalogue(), Links("http://127.0.0.1:8080", "a test needs no secret"))
        self.agenda = AgendaActivities(database, self.programs, letters)
        self.claims = ClaimActivities(database, self.programs, letters)
        self.surveys = SurveyActivities(database, self.programs)

    async def start(self) -> Deployment:
        """Keep the version, as a worker does."""
        await keep_program_versions(self.database, self.programs)
        return self

    async def plan(self, activity: Any, order: Any) -> Any:
        """Run an activity at the instant of its order."""
        return await environment(order.at).run(activity, order)

    async def onboarding(self, profile: str, at: datetime, *acts: Act) -> list[date]:
        """Plan an onboarding; the days of its check-ins in New York."""
        facts, workflow = OnboardingFacts(profile, "mentee", AT), f"onboarding/{profile}"
        await self.plan(self.agenda.plan_onboarding, PlanOnboarding(workflow, facts, at, list(acts)))
        async with self.database.reading() as session:
            due = await session.scalars(
                select(Message.due_at).where(Message.workflow == workflow).order_by(Message.occurrence)
            )
            return [each.date() for each in due if each]


async def people(database: Database) -> None:
    """Two mentees and a mentor with a certification, in New York."""
    place = {"time_zone": "America/New_York", "country": "US", "standing": "good"}
    async with database.begin() as session:
        for name, role in (("ana", "mentee"), ("ben", "mentee"), ("mia", "mentor")):
            held = {"certifications": [CPP] if role == "mentor" else [], "years_management": 9}
            person = {"id": name, "name": name.title(), "email": f"{name}@example.org", **place, **held}
            session.add(Member(**person, standing_since=AT, updated_at=AT))
            await session.flush()
            profile = {"id": f"p-{name}", "member_id": name, "role": role, "program": "asis-global"}
            session.add(Profile(**profile, created_at=AT, updated_at=AT))


async def with_request(database: Database, program: Program) -> RequestFacts:
    """A request that was made under a program; its facts."""
    facts = RequestFacts("r-1", "p-ana", "p-mia", AT)
    async with database.begin() as session:
        session.add(
            Request(
                workflow="request/r-1",
                id="r-1",
                mentee_id="p-ana",
                mentor_id="p-mia",
                created_at=AT,
                program=program.id,
                policy_version=program.policy_version,
                program_version=program.fingerprint,
                state="open",
                state_since=AT,
                facts=facts_to_row(facts),
            )
        )
    return facts
