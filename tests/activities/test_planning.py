"""What plans cost: they grow with the acts, not with their square, and compute little on the event loop."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from types import FrameType

import pytest

from activities.planning import AgendaActivities, PlanEngagement
from database.links import Links
from database.models import Member, Profile, Request
from database.session import Database
from rules import engagement
from rules.acts import Act
from rules.agenda import Agenda
from rules.calendar import calendar_for
from rules.engagement import EngagementFacts
from rules.program import program_calendar
from rules.program.catalogue import load_catalogue
from tests.support.delivery import bundled, environment
from tests.support.long_engagement import STARTED, acted_on
from tests.support.loop_watchdog import watched_loop
from worker.assembly import letter_service

PROGRAM = bundled()
MENTOR = calendar_for(PROGRAM.hours, "America/New_York", "US", "NY")
MENTEE = calendar_for(PROGRAM.hours, "America/Bogota", "CO", None)
CEILING = 0.060
"""Seconds of processor time for a plan after 20 extensions and 20 pauses.

The bar is 20 ms on an idle machine (`benchmarks/plan.py`); a shared one takes up to three times as long.
"""


def plan(facts: EngagementFacts) -> Agenda:
    return engagement.agenda(facts, PROGRAM.engagement, program_calendar(PROGRAM), MENTOR, MENTEE)


def seconds(facts: EngagementFacts) -> float:
    """The least processor time of some plans of the same facts."""
    taken = []
    for _ in range(7):
        began = time.process_time()
        plan(facts)
        taken.append(time.process_time() - began)
    return min(taken)


@pytest.mark.rule("ENG10", "ENG11")
def test_plan_after_twenty_extensions_and_pauses_is_cheap() -> None:
    assert seconds(acted_on(20, PROGRAM)) < CEILING


def calls(facts: EngagementFacts) -> int:
    """How many functions a plan calls: the same on any machine."""
    plan(facts)
    counted = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        plan(facts)
    finally:
        sys.setprofile(before)
    return counted


@pytest.mark.rule("ENG10", "ENG11")
def test_plan_does_not_grow_with_the_square_of_its_acts() -> None:
    """Four times the acts mean four times the messages. The square of the acts would be 16 times as many calls."""
    assert calls(acted_on(60, PROGRAM)) < 8 * calls(acted_on(15, PROGRAM))


@pytest.mark.rule("ENG10", "ENG11")
def test_state_at_an_act_is_that_of_the_whole_plan() -> None:
    facts = acted_on(5, PROGRAM)
    instants = [instant for pause in facts.pauses for instant in (pause.since, pause.until) if instant]
    for at in (facts.started_at, *instants):
        state = engagement.state_at(facts, PROGRAM.engagement, program_calendar(PROGRAM), at)
        assert state == plan(facts).state_at(at)


async def the_two(database: Database) -> None:
    """A mentor, a mentee, and the request that the mentor accepted."""
    async with database.begin() as session:
        for role in ("mentee", "mentor"):
            person = {"id": role, "name": role, "email": f"{role}@example.org", "standing": "good"}
            session.add(Member(**person, standing_since=STARTED, updated_at=STARTED))
            await session.flush()
            profile = {"id": f"p-{role}", "member_id": role, "role": role, "program": "asis-global"}
            session.add(Profile(**profile, created_at=STARTED, updated_at=STARTED))
        await session.flush()
        pair = {"id": "long", "mentee_id": "p-mentee", "mentor_id": "p-mentor", "program": "asis-global"}
        state = {"state": "accepted", "created_at": STARTED, "state_since": STARTED}
        session.add(Request(workflow="request/long", policy_version="1", facts={}, **pair, **state))


@pytest.mark.rule("ENG10", "ENG11")
async def test_plan_after_many_acts_does_not_hold_the_loop(database: Database) -> None:
    """A delivery needs the loop for its heartbeats, and a workflow task has ten seconds for all of its plans."""
    await the_two(database)
    letters = letter_service(load_catalogue(), Links("http://127.0.0.1:8080", "a test needs no secret"))
    planning = AgendaActivities(database, {"asis-global": bundled()}, letters)
    facts = acted_on(20, bundled())
    at = STARTED + timedelta(days=181)
    first = PlanEngagement("engagement/long", facts, at, [])
    await environment(at).run(planning.plan_engagement, first)
    with watched_loop() as held:
        pause = Act("pause again", "pause", "lina", at=at)
        planned = await environment(at).run(
            planning.plan_engagement, PlanEngagement("engagement/long", facts, at, [pause])
        )
    assert planned.planned.state == "paused"
    assert len(planned.planned.moved) > 30
    assert held == []
