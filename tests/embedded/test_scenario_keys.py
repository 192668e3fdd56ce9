"""Scenario files and the data of their events: the same check as for events that other systems send."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedded.scenario import Scenario, ScenarioError, read_scenario
from tests.support.cli import ROOT
from worker.assembly import load_programs

PROGRAMS = load_programs(ROOT / "programs")
HEAD = """program = "asis-global"
start = 2035-03-05T10:00:00
until = "P1D"
"""
MEMBER = """[[members]]
member = "ana"
name = "Ana Vega"
email = "ana@example.org"
standing = "good"
"""
PROFILE = """[[events]]
at = "P0D"
type = "profile.created"
data = { profile = "p-ana", member = "ana", role = "mentee" }
"""


def scenario(tmp_path: Path, text: str) -> Scenario:
    """A scenario as read from a file."""
    file = tmp_path / "scenario.toml"
    file.write_text(HEAD + text, encoding="utf-8")
    return read_scenario(file, PROGRAMS)


def mistakes(tmp_path: Path, text: str) -> list[str]:
    """What is wrong with a scenario, without the name of its file."""
    with pytest.raises(ScenarioError) as refused:
        scenario(tmp_path, text)
    return [each.removeprefix(f"{tmp_path / 'scenario.toml'}: ") for each in refused.value.mistakes]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            MEMBER + 'time_zone = "Mars/Olympus"\n',
            "line 9: members[0].time_zone: 'Mars/Olympus' is no time zone of the zone database"
            " (America/Bogota is one)",
        ),
        (
            MEMBER + 'contry = "CO"\n',
            "line 9: members[0].contry: is no field of member.updated; did you mean country?",
        ),
        (
            PROFILE.replace("created", "craeted"),
            "line 6: events[0].type: 'profile.craeted' is no type of event; did you mean profile.created?",
        ),
        (
            PROFILE.replace("data", "type = 7\ndata").replace('type = "profile.created"\n', ""),
            "line 6: events[0].type: 7 is no type of event",
        ),
        (PROFILE.replace('type = "profile.created"\n', ""), "line 4: events[0].type: is missing"),
        (
            PROFILE.replace(" }", ', area = "Career" }'),
            "line 4: events[0].data.area: is no field of profile.created; did you mean areas?",
        ),
        (PROFILE.replace("mentee", "boss"), "must be one of mentor, mentee, not 'boss'"),
        (PROFILE.replace('data = { profile = "p-ana", member = "ana", role = "mentee" }', ""), "is missing"),
    ],
)
def test_mistake_names_line_key_and_value(tmp_path: Path, text: str, mistake: str) -> None:
    found = mistakes(tmp_path, text)
    assert len(found) == 1
    assert mistake in found[0]


def test_unknown_data_are_ignored_and_named_with_their_line(tmp_path: Path) -> None:
    played = scenario(tmp_path, MEMBER + 'nickname = "Ani"\n' + PROFILE.replace(" }", ", shoe_size = 38 }"))
    file = tmp_path / "scenario.toml"
    assert played.ignored == [
        f"{file}: line 9: members[0].nickname: ignored, as member.updated has no such field",
        f"{file}: line 10: events[0].data.shoe_size: ignored, as profile.created has no such field",
    ]
    assert [event.data.keys() & {"nickname", "shoe_size"} for event in played.events] == [set(), set()]


def test_scenario_of_known_keys_ignores_nothing(tmp_path: Path) -> None:
    assert scenario(tmp_path, MEMBER + PROFILE).ignored == []


@pytest.mark.rule("T9", "T10")
def test_event_has_its_own_time_and_may_be_history(tmp_path: Path) -> None:
    """The later of two events of history comes first in the file."""
    late = PROFILE + "time = 2035-03-01T09:00:00\nhistory = true\n"
    later = PROFILE.replace("p-ana", "p-2") + "time = 2035-03-02T09:00:00\nhistory = true\n"
    file = tmp_path / "scenario.toml"
    file.write_text(HEAD + MEMBER + later + late)
    played = read_scenario(file, PROGRAMS)
    assert [event.data.get("profile") for event in played.events] == [None, "p-ana", "p-2"]
    found = [event for event in played.events if event.type == "profile.created"]
    assert [event.history for event in found] == [True, True]
    assert [event.time and event.time.isoformat() for event in found] == [
        "2035-03-01T14:00:00+00:00",
        "2035-03-02T14:00:00+00:00",
    ]


@pytest.mark.rule("T10")
def test_history_is_true_or_false(tmp_path: Path) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(HEAD + MEMBER + PROFILE + 'history = "yes"\n')
    with pytest.raises(ScenarioError, match="must be true or false"):
        read_scenario(file, PROGRAMS)
