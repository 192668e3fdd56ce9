"""A cohort on a real database, and its activities run as its workflow runs them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from activities.cohorts import (
    PROPOSE,
    START,
    CohortActivities,
    PlanCohort,
    PlannedCohort,
    ProposePairs,
)
from database.models import CohortMember, CohortPair, Member, Message, Profile
from database.session import Database
from lifecycles.cohorts.membership import keep_cohort, yearly_facts
from lifecycles.workflow_commands import WorkflowCommand
from rules.acts import Act
from rules.cohort import CohortFacts
from rules.program import Program, load_program, program_calendar
from tests.support.delivery import environment

COHORT = "asis-laac-2028"
WORKFLOW = f"cohort/{COHORT}"


@cache
def laac() -> Program:
    """The bundled cohort program with a yearly window."""
    return load_program(Path("programs/asis-laac.toml"))


def at(text: str) -> datetime:
    """The instant of a local time of the program, like `2028-05-08T09:00`."""
    local = datetime.fromisoformat(text)
    return program_calendar(laac()).instant(local.date(), local.time())


SIGN_UP = at("2028-04-25T10:00")
REVIEW = at("2028-05-08T09:00")
KICK_OFF = at("2028-05-23T09:00")


async def sign_up(
    database: Database, mentees: Iterable[str], mentors: Iterable[str], **profile: Any
) -> CohortFacts:
    """Members of the cohort of 2028, whose profiles are their names with `p-`; its facts."""
    facts = yearly_facts(laac(), 2028, at("2028-04-01T09:00"))
    assert facts is not None
    people = [*((name, "mentee") for name in mentees), *((name, "mentor") for name in mentors)]
    async with database.begin() as session:
        await keep_cohort(session, facts, laac())
        when = {"created_at": SIGN_UP, "updated_at": SIGN_UP}
        await session.execute(insert(Member), [_member(name) for name, _ in people])
        profiles = [
            {"id": f"p-{name}", "member_id": name, "role": role, "program": "asis-laac", **when, **profile}
            for name, role in people
        ]
        await session.execute(insert(Profile), profiles)
        members = [
            {"cohort_id": COHORT, "profile_id": f"p-{name}", "role": role, "joined_at": SIGN_UP}
            for name, role in people
        ]
        await session.execute(insert(CohortMember), members)
    return facts


def _member(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "name": f"{name.capitalize()} Vega",
        "email": f"{name}@example.org",
        "standing": "good",
        "standing_since": SIGN_UP,
        "updated_at": SIGN_UP,
        "time_zone": "America/Bogota",
        "country": "CO",
        "languages": ["es"],
    }


class CohortRun:
    """A cohort that lives: its facts, the time, and what it has started."""

    def __init__(self, database: Database, facts: CohortFacts) -> None:
        self.database, self.facts = database, facts
        self.started: list[WorkflowCommand] = []
        self.announced: list[WorkflowCommand] = []
        self.refused: dict[str, str] = {}
        self.plans = 0
        self.activities = CohortActivities(database, {"asis-laac": laac()}, self._perform)

    async def _perform(self, commands: list[WorkflowCommand]) -> None:
        self.started += commands

    async def plan(self, now: datetime, *acts: Act) -> PlannedCohort:
        """One plan, as the workflow asks for it."""
        self.plans += 1
        order = PlanCohort(WORKFLOW, self.facts, now, list(acts))
        result: PlannedCohort = await environment(now).run(self.activities.plan_cohort, order)
        self.facts = result.facts
        self.refused |= result.planned.refused
        self.announced += result.effects
        return result

    async def live(self, now: datetime, *acts: Act) -> PlannedCohort:
        """Plan, and do all that is to be done by now."""
        result = await self.plan(now, *acts)
        while True:
            again: list[Act] = []
            if PROPOSE in result.work:
                again.append(await self.propose(now))
            if START in result.work:
                while await self.start(now):
                    pass
            wakes = result.planned.wake_at is not None and result.planned.wake_at < now
            if not again and START not in result.work and not wakes:
                return result
            result = await self.plan(now, *again)

    async def propose(self, now: datetime) -> Act:
        """Have the pairs proposed; the act that reports it."""
        order = ProposePairs(WORKFLOW, self.facts.asked + 1)
        number = await environment(now).run(self.activities.propose_pairs, order)
        return Act(f"proposal {number}", "proposed", "program", details={"number": str(number)}, at=now)

    async def start(self, now: datetime) -> bool:
        """Have the next engagements started; whether pairs are left."""
        more: bool = await environment(now).run(self.activities.start_pairs, WORKFLOW)
        return more

    async def reviewed(self) -> None:
        """Live until the pairs are proposed."""
        await self.live(REVIEW)

    async def confirmed(self, now: datetime | None = None) -> None:
        """Live until staff have confirmed the pairs."""
        await self.reviewed()
        await self.live(now or REVIEW + timedelta(days=1), confirm("first"))

    async def pairs(self) -> dict[tuple[str, str], str]:
        """The state of each pair, by the two names."""
        async with self.database.reading() as session:
            rows = await session.scalars(select(CohortPair).order_by(CohortPair.mentee_id))
            return {(row.mentee_id[2:], row.mentor_id[2:]): row.state for row in rows}

    async def mails(self) -> list[tuple[str, str]]:
        """The messages of the cohort with their readers' names."""
        async with self.database.reading() as session:
            rows = await session.execute(
                select(Message.message, Message.to_profile)
                .where(Message.workflow == WORKFLOW)
                .order_by(Message.message, Message.to_profile)
            )
            return [(message, profile[2:]) for message, profile in rows]


def confirm(key: str) -> Act:
    """A confirmation by staff."""
    return Act(key, "confirm", "lina")
