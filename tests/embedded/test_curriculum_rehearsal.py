"""A cohort of Mentors4u Colombia played through: its curriculum along a pair, in Spanish (COH4).

The kick-off is Monday, 5 March 2035. 19 March is a holiday in Colombia.
"""

from __future__ import annotations

from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest

from embedded.rehearsal import rehearse
from embedded.scenario import Scenario, ScenarioEvent
from rules.calendar import instant_in
from rules.events import check_event
from tests.support.rehearsals import Played, read_letters
from worker.assembly import load_programs

BOGOTA = "America/Bogota"
PAIR = "bog-35.p-ana.q-mia"
COHORT = "bog-35"


def at(day: str, hour: int = 10) -> datetime:
    return instant_in(BOGOTA, date.fromisoformat(day), time(hour))


def event(day: str, kind: str, hour: int = 10, **data: Any) -> ScenarioEvent:
    checked, problems = check_event(kind, data)
    assert not problems, problems
    return ScenarioEvent(at(day, hour), kind, checked)


def did(day: str, step: str, by: str = "p-ana", hour: int = 10) -> ScenarioEvent:
    return event(day, "curriculum.done", hour, engagement=PAIR, by=by, step=step)


def member(name: str, full: str) -> ScenarioEvent:
    place = {"time_zone": BOGOTA, "country": "CO", "languages": ["es"]}
    about: dict[str, Any] = {
        "member": name,
        "name": full,
        "email": f"{name}@example.org",
        "standing": "good",
        **place,
    }
    return event("2035-02-05", "member.updated", **about)


def profile(name: str, of: str, role: str, **more: Any) -> ScenarioEvent:
    about: dict[str, Any] = {
        "profile": name,
        "member": of,
        "role": role,
        "program": "mentors4u-colombia",
        "languages": ["es"],
    }
    return event("2035-02-05", "profile.created", 11, **about, interests=["Cine"], **more)


EVENTS = [
    event(
        "2035-02-05",
        "cohort.scheduled",
        9,
        cohort=COHORT,
        program="mentors4u-colombia",
        opens="2035-02-05",
        closes="2035-02-16",
        kick_off="2035-03-05",
        partners=["altavista", "horizonte"],
    ),
    member("ana", "Ana Rojas"),
    member("mia", "Mia Duarte"),
    member("tom", "Tomás Peña"),
    profile("p-ana", "ana", "mentee", partner="altavista"),
    profile("q-mia", "mia", "mentor", partner="horizonte", mentees_at_a_time=1),
    profile("p-tom", "tom", "mentee", partner="nobody"),
    event("2035-02-20", "cohort.confirmed", cohort=COHORT, actor="lina"),
    did("2035-03-07", "start_together"),
    did("2035-03-08", "energy_diary"),
    did("2035-03-09", "no_such_step"),
    did("2035-03-09", "listen_first", hour=11),
    did("2035-03-20", "start_together", by="q-mia"),
]


@pytest.fixture(scope="module")
async def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The play of this module."""
    folder = tmp_path_factory.mktemp("mail")
    scenario = Scenario("mentors4u-colombia", at("2035-02-05", 8), at("2035-05-05"), EVENTS)
    programs = load_programs(Path("programs"))
    rows = await rehearse(scenario, programs, Path("templates/mail"), Path("programs"), mail_dir=folder)
    people = {name: {"email": f"{name}@example.org"} for name in ("ana", "mia", "tom")}
    return Played(rows, read_letters(folder), people)


def steps(played: Played, to: str) -> list[tuple[str, int]]:
    """The steps mailed to somebody: local time in Bogotá, and place."""
    return [
        (row["at"][:16], row["number"])
        for row in played.rows
        if row["kind"] == "mail"
        and row["decision"] == "sent"
        and row["message"].endswith(".curriculum")
        and row["to"] == to
    ]


@pytest.mark.rule("COH4", "COH3", "T4")
def test_steps_follow_the_kick_off_week_by_week(played: Played) -> None:
    """What Ana did before its week is not mailed to her; the second week is hers alone."""
    assert steps(played, "p-ana") == [
        ("2035-03-06T09:00", 1),
        ("2035-03-26T09:00", 4),
        ("2035-04-09T09:00", 5),
        ("2035-04-23T09:00", 6),
    ]
    assert steps(played, "q-mia") == [
        ("2035-03-06T09:00", 1),
        ("2035-03-20T09:00", 3),
        ("2035-03-26T09:00", 4),
        ("2035-04-23T09:00", 6),
    ]


@pytest.mark.rule("COH4", "STA2")
def test_steps_that_are_not_theirs_are_refused_with_the_reason(played: Played) -> None:
    assert played.refusals(f"engagement/{PAIR}") == [
        ("2035-03-09T10:00", "curriculum.done", "the curriculum has no step no_such_step"),
        ("2035-03-09T11:00", "curriculum.done", "the step listen_first is for the mentor only"),
    ]
    refused = [row["reason"] for row in played.rows if row["kind"] == "refused"]
    assert "partner nobody is none of mentors4u-colombia: altavista, horizonte" in refused


@pytest.mark.rule("COH4", "STA2")
def test_pair_that_falls_behind_is_a_task(played: Played) -> None:
    lagging = [when for when, kind in played.tasks(f"engagement/{PAIR}") if kind == "curriculum_lagging"]
    assert lagging == ["2035-04-09T10:00", "2035-04-23T10:00"]  # on the clock of New York


@pytest.mark.rule("MAIL5")
def test_mail_of_a_step_is_in_spanish_with_its_link(played: Played) -> None:
    (mail,) = [
        each
        for each in played.letters
        if each.address == "ana@example.org" and "paso 4 de 12" in each.subject
    ]
    assert mail.subject == "Con Mia, paso 4 de 12: Taller: su brújula"
    for words in ("Un taller para participar", "¿Para qué trabaja uno?", "talleres/brujula", "/l/"):
        assert words in mail.text
