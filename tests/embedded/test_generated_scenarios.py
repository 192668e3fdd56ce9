"""Generated scenarios through the real workflows: the result equals the reference model and breaks no invariant.

Each example is a rehearsal of several pairs at once. They ask and answer in any order and at the very instants of
deadlines, pause, extend, quarrel and part, sign letters and answer surveys, move and lapse, by events, signals and
updates. Every state, task and message of the timeline must equal the model's.

Others are played while mail server, database and worker fail for some time each, and events come late or before what
they are about. The model does not cover those; invariants that hold whatever happens are checked.

There is time for few of them here, always the same; `make soak` plays many, new ones each time. A failure prints all
that differs, and the whole scenario.
"""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from structlog.testing import capture_logs

from activities.planning import PlanOnboarding
from database.models import AuditRecord, Onboarding
from lifecycles.facts import facts_from_row
from rules import onboarding
from rules.onboarding import OnboardingFacts
from rules.program import load_program
from rules.program.catalogue import load_catalogue
from tests.support.cli import CliFixture
from tests.support.limits import SOAK
from tests.support.model.generated_scenarios import delay, draw_faults, draw_scenario
from tests.support.model.model_check import (
    GeneratedScenario,
    broken_invariants,
    differences,
    play_scenario,
    scenario_of,
)
from tests.support.model.reference_model import ScenarioInput
from tests.support.rehearsals import MADRID, NEW_YORK, PROGRAM, instant

PAIRS = 6
REHEARSALS = 2 * SOAK
FAULTY = SOAK


@pytest.mark.rule(
    "REQ2", "REQ3", "REQ4", "REQ5", "REQ8", "REQ9", "REQ10", "MEM2", "MEM4", "ONB3", "ONB5", "T2", "T5"
)
@pytest.mark.rule(
    "ENG1", "ENG2", "ENG4", "ENG5", "ENG6", "ENG7", "ENG8", "ENG9", "ENG11", "SUR2", "SUR3", "STA1"
)
@pytest.mark.rule("CPE1", "CPE4", "CPE7", "CPE9", "CPE10", "CPE11", "MAIL1", "MAIL4", "STA2", "STA3")
@settings(derandomize=SOAK == 1, max_examples=REHEARSALS, phases=(Phase.explicit, Phase.generate))
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.timeout(600 + 120 * REHEARSALS)
async def test_generated_scenarios_match_the_reference_model(seed: int) -> None:
    program = load_program(Path(f"programs/{PROGRAM}.toml"))
    await play(draw_scenario(random.Random(seed), PAIRS, program, load_catalogue()))


@pytest.mark.rule("MAIL1", "MAIL2", "MAIL3", "REQ10", "ONB3", "ENG1", "CPE1", "CPE9", "CPE11", "STA2")
@settings(derandomize=SOAK == 1, max_examples=FAULTY, phases=(Phase.explicit, Phase.generate))
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.timeout(600 + 120 * REHEARSALS)
async def test_generated_faults_break_no_invariant(seed: int) -> None:
    chance, program = random.Random(seed), load_program(Path(f"programs/{PROGRAM}.toml"))
    scenario = draw_scenario(chance, PAIRS, program, load_catalogue(), early=True)
    delay(chance, scenario)
    faults = draw_faults(chance, scenario, 12)
    with capture_logs():
        played = await play_scenario(scenario, faults)
    broken = broken_invariants(scenario, played)
    assert not broken, "\n".join([*broken, "", *map(repr, faults), repr(scenario)])


async def play(scenario: GeneratedScenario) -> None:
    """Play a scenario for real; fail with all that differs from the model."""
    with capture_logs():
        played = await play_scenario(scenario)
    found = differences(scenario, played)
    assert not found, "\n".join([*found, "", repr(scenario)])


def event(when: str, kind: str, **data: Any) -> ScenarioInput:
    """An event at a local time of the program."""
    return ScenarioInput(instant(when), kind, data)


def signs_up(when: str, name: str, role: str, **details: Any) -> list[ScenarioInput]:
    """A member in good standing with one profile."""
    member = {"member": name, "name": f"{name.capitalize()} Vega", "email": f"{name}@example.org"}
    return [
        event(when, "member.updated", **member, standing="good", years_management=9, **details),
        event(when, "profile.created", profile=f"{role}-{name}", member=name, role=role, program=PROGRAM),
    ]


@pytest.mark.rule("T4", "T7", "CPE5", "CPE7", "ENG11")
async def test_reminder_follows_the_new_time_zone_of_a_member() -> None:
    """Also a pause that staff take back at the same instant: it is over, on record as in fact."""
    start, cycle = "2035-03-05T10:00", {"cycle_start": "2034-01-01", "cycle_end": "2036-12-31"}
    staff = {"target": "engagement/r-1", "actor": "lina", "reason": "a slip"}
    scenario = scenario_of(
        instant(start),
        instant("2035-10-20T10:00"),
        [
            *signs_up(start, "tom", "mentor", **NEW_YORK, certifications=[{"code": "CPP", **cycle}]),
            *signs_up(start, "ana", "mentee", **MADRID),
            event(
                "2035-03-06T10:00", "request.created", request="r-1", mentee="mentee-ana", mentor="mentor-tom"
            ),
            event("2035-03-06T11:00", "request.accepted", request="r-1"),
            event("2035-04-02T11:00", "staff.pause", **staff),
            event("2035-04-02T11:00", "staff.resume", **staff),
            event(
                "2035-09-07T11:00",
                "member.updated",
                **{
                    "member": "ana",
                    "name": "Ana Vega",
                    "email": "ana@example.org",
                    "standing": "good",
                    **NEW_YORK,
                },
            ),
        ],
    )
    asked = scenario.model.lifecycles["claim/r-1/mentor/CPP"].sent
    assert [asked[f"evidence/{number}"].at for number in (1, 2)] == [
        instant("2035-09-07T03:00"),
        instant("2035-09-13T09:00"),
    ]
    await play(scenario)


@pytest.mark.rule("ONB3", "STA3")
async def test_in_flight_mail_starts_no_state_after_a_match(
    cli: CliFixture,
) -> None:
    async with cli.database.reading() as session:
        row = await session.get_one(Onboarding, "onboarding/p-ana")
        facts = facts_from_row(OnboardingFacts, row.facts)
    running = onboarding.match_began(facts, "r-1", cli.now)
    matched = onboarding.match_ended(running, "r-1", cli.now, no_fit=False)
    decided = onboarding.mail_decided(matched, "check-in", cli.now)
    for ended, seconds in ((matched, 0), (decided, 1)):
        at = cli.now + timedelta(seconds=seconds)
        planned = await cli.agenda.plan_onboarding(PlanOnboarding("onboarding/p-ana", ended, at))
        assert (planned.state, planned.closed) == ("matched", True)
    async with cli.database.reading() as session:
        records = await session.scalars(
            select(AuditRecord.data)
            .where(AuditRecord.subject == "onboarding/p-ana", AuditRecord.kind == "state")
            .order_by(AuditRecord.id)
        )
        assert [data["state"] for data in records] == ["waiting", "matched"]
