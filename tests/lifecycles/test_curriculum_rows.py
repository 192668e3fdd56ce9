"""The curriculum of an engagement in the database: begun, done, moved to another version, carried to a later pair."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from activities.planning import PlanEngagement, PlannedEngagement
from database.models import Cohort, CurriculumProgress, Engagement, Message
from database.session import Database
from lifecycles.engagements import engagement_row
from rules.acts import Act
from rules.engagement import EngagementFacts
from rules.program import Program
from staff.program_moves import VersionMove, next_batch
from tests.support.programs.curricula import STEPS, curriculum_program
from tests.support.programs.deployment import AT, Deployment, people, with_request

pytestmark = pytest.mark.rule("COH4")

PROGRAM = curriculum_program()
WEEK = timedelta(weeks=1)


@dataclass
class Pair:
    """Ana and Mia, who began on Monday 5 March 2035 in a program with a curriculum."""

    database: Database
    worker: Deployment
    facts: EngagementFacts

    async def plan(self, at: datetime, *acts: Act, program: Program | None = None) -> PlannedEngagement:
        """Plan the engagement, and keep its facts."""
        worker = await Deployment(self.database, program).start() if program else self.worker
        order = PlanEngagement("engagement/r-1", self.facts, at, list(acts))
        planned: PlannedEngagement = await worker.plan(worker.agenda.plan_engagement, order)
        self.facts = planned.facts
        return planned

    async def rows(self, table: type[Any]) -> list[Any]:
        """All rows of a table."""
        async with self.database.reading() as session:
            return list(await session.scalars(select(table).order_by(*table.__table__.primary_key.columns)))

    async def steps(self, state: str = "planned") -> list[str]:
        """The mails about steps to Ana in a state, in order."""
        mails = [mail for mail in await self.rows(Message) if mail.message == "mentee.curriculum"]
        return [
            mail.context["step"]
            for mail in sorted(mails, key=lambda mail: mail.due_at)
            if mail.state == state
        ]


@pytest.fixture
async def pair(database_url: str) -> AsyncIterator[Pair]:
    """The pair after its first plan."""
    database = Database(database_url)
    await database.upgrade()
    await people(database)
    await with_request(database, PROGRAM)
    worker = await Deployment(database, PROGRAM).start()
    made = Pair(database, worker, EngagementFacts("r-1", "p-ana", "p-mia", AT))
    await made.plan(AT)
    yield made
    await database.close()


def did(step: str, at: datetime, by: str = "p-ana") -> Act:
    return Act(f"did {step} {at}", "curriculum_done", by, details={"step": step}, at=at, by=by)


async def test_first_plan_begins_the_curriculum(pair: Pair) -> None:
    course = pair.facts.curriculum
    assert course is not None
    assert (course.starts_on, course.version) == ("2035-03-05", PROGRAM.fingerprint)
    assert await pair.steps() == ["welcome", "good_time", "odyssey", "prototype"]
    mails = {mail.step: mail.number for mail in await pair.rows(Message)}
    assert mails["mentee.curriculum.odyssey"] == 3


async def test_done_step_is_kept_once_and_its_mail_is_dropped(pair: Pair) -> None:
    at = AT + timedelta(days=2)
    await pair.plan(at, did("odyssey", at))
    await pair.plan(at + WEEK, did("odyssey", at + WEEK))
    (row,) = await pair.rows(CurriculumProgress)
    assert (row.engagement_id, row.profile_id, row.step, row.by) == ("r-1", "p-ana", "odyssey", "p-ana")
    assert row.done_at == at
    assert await pair.steps() == ["welcome", "good_time", "prototype"]
    assert await pair.steps("cancelled") == ["odyssey"]


async def test_step_that_is_not_theirs_leaves_nothing_behind(pair: Pair) -> None:
    at = AT + timedelta(days=2)
    planned = await pair.plan(at, did("review", at), did("gone", at), did("welcome", at, "p-ben"))
    assert sorted(planned.planned.refused.values()) == [
        "only the mentor and the mentee of an engagement can do this",
        "the curriculum has no step gone",
        "the step review is for the mentor only",
    ]
    assert await pair.rows(CurriculumProgress) == []


@pytest.mark.rule("CPE12", "STA1")
async def test_move_to_another_curriculum_previews_only_what_is_pending(pair: Pair) -> None:
    """`welcome` was mailed and moves no more; `good_time` is dropped, `odyssey` moves, and one step is new."""
    async with pair.database.begin() as session:
        row = await session.scalar(select(Message).where(Message.step == "mentee.curriculum.welcome"))
        assert row is not None
        row.state, row.decided_at = "sent", AT + timedelta(days=1)
    newer = curriculum_program(
        (
            ("fresh", 1, "guide", "mentee"),
            ("odyssey", 4, "workshop", "mentee"),
            ("welcome", 6, "guide", "mentee"),
        )
    )
    worker = await Deployment(pair.database, newer).start()
    now = AT + timedelta(days=3)
    move = VersionMove("asis-global", PROGRAM.fingerprint, newer.fingerprint)
    batch = await next_batch(pair.database, worker.programs, move, now)
    (preview,) = [each.result for each in batch.previews if each.workflow == "engagement/r-1"]
    assert preview is not None
    of_ana = sorted(
        (effect.change, effect.number) for effect in preview.effects if effect.message == "mentee.curriculum"
    )
    assert of_ana == [("added", 1), ("moved", 2), ("not_sent", 2), ("not_sent", 4)]
    async with pair.database.begin() as session:
        engagement = await session.get_one(Engagement, "engagement/r-1")
        engagement.program_version = newer.fingerprint
    await pair.plan(now, program=newer)
    assert await pair.steps() == ["fresh", "odyssey"]
    assert await pair.steps("sent") == ["welcome"]


async def test_step_that_a_version_drops_is_not_mailed(pair: Pair) -> None:
    newer = curriculum_program(STEPS[:2])
    now = AT + timedelta(days=3)
    async with pair.database.begin() as session:
        engagement = await session.get_one(Engagement, "engagement/r-1")
        engagement.program_version = newer.fingerprint
    await pair.plan(now, program=newer)
    assert await pair.steps() == ["welcome", "good_time"]
    assert await pair.steps("cancelled") == ["odyssey", "prototype"]


async def cohort_of(database: Database, kick_off: str) -> None:
    """A cohort whose first pair, of Ana and Mia, ended on 1 April: Ana had done two steps, Mia one."""
    ended = AT + timedelta(days=27)
    async with database.begin() as session:
        session.add(
            Cohort(
                workflow="cohort/c-1",
                id="c-1",
                program="asis-global",
                policy_version="1",
                state="running",
                state_since=AT,
                facts={},
                opens_on="2035-01-08",
                closes_on="2035-01-20",
                kick_off_on=kick_off,
                months=6,
            )
        )
        first = EngagementFacts("r-0", "p-ana", "p-mia", AT)
        row = engagement_row(first, PROGRAM)
        row.cohort, row.closed_at, row.state = "c-1", ended, "no_fit"
        session.add(row)
        await session.flush()
        for profile, step in (("p-ana", "welcome"), ("p-ana", "good_time"), ("p-mia", "welcome")):
            session.add(
                CurriculumProgress(engagement_id="r-0", profile_id=profile, step=step, done_at=AT, by=profile)
            )
        second = engagement_row(EngagementFacts("r-1", "p-ana", "p-mia", ended + WEEK), PROGRAM)
        second.cohort = "c-1"
        session.add(second)


async def begun_in_cohort(database_url: str, kick_off: str) -> tuple[Database, Pair]:
    database = Database(database_url)
    await database.upgrade()
    await people(database)
    await cohort_of(database, kick_off)
    starts = AT + timedelta(days=34)
    made = Pair(
        database,
        await Deployment(database, PROGRAM).start(),
        EngagementFacts("r-1", "p-ana", "p-mia", starts),
    )
    await made.plan(starts)
    return database, made


@pytest.mark.rule("COH3")
async def test_pair_of_the_same_cohort_goes_on_where_each_was(database_url: str) -> None:
    database, made = await begun_in_cohort(database_url, "2035-03-05")
    assert made.facts.curriculum is not None
    assert {(each.by, each.step) for each in made.facts.curriculum.carried} == {
        ("mentee", "welcome"),
        ("mentee", "good_time"),
        ("mentor", "welcome"),
    }
    assert made.facts.curriculum.starts_on == "2035-04-08"
    assert await made.steps() == ["odyssey", "prototype"]
    await database.close()


async def test_kick_off_after_the_start_begins_the_weeks(database_url: str) -> None:
    database, made = await begun_in_cohort(database_url, "2035-04-16")
    assert made.facts.curriculum is not None
    assert made.facts.curriculum.starts_on == "2035-04-16"
    await database.close()
