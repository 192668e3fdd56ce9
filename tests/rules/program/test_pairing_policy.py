"""The table `[pairing]` of a program file."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules.program import PairingPolicy, parse_program
from rules.program.pairing_policy import CRITERIA
from rules.program.toml_schema import ProgramError

TEXT = (Path(__file__).resolve().parents[3] / "programs" / "asis-global.toml").read_text(encoding="utf-8")

pytestmark = pytest.mark.rule("COH2", "COH5")


def with_pairing(lines: str) -> str:
    return TEXT.replace("[events]", f"[pairing]\n{lines}\n\n[events]", 1)


def mistakes(lines: str) -> dict[str, str]:
    with pytest.raises(ProgramError) as refused:
        parse_program(with_pairing(lines), "wrong.toml")
    return {mistake.key: mistake.reason for mistake in refused.value.mistakes}


def test_program_without_the_table_has_no_pairing() -> None:
    program = parse_program(TEXT, "p.toml")
    assert program.pairing is None
    assert not [each for each in program.describe() if each.section == "pairing"]


def test_table_is_read_and_described() -> None:
    program = parse_program(with_pairing('style = "different"\nareas = 30\nage = 5'), "p.toml")
    assert program.pairing == PairingPolicy(style="different", areas=30, age=5)
    described = {each.key: each.value for each in program.describe() if each.section == "pairing"}
    assert described == {
        "style": "different",
        **dict.fromkeys(CRITERIA, "0"),
        "areas": "30",
        "age": "5",
    }


def test_pairing_stays_as_it_was_when_a_lifecycle_began() -> None:
    before = parse_program(with_pairing('style = "different"\nareas = 30'), "p.toml")
    today = parse_program(with_pairing('style = "similar"\nage = 5'), "p.toml")
    assert today.governed_by(before).pairing == before.pairing


@pytest.mark.parametrize(
    ("lines", "key", "reason"),
    [
        ("areas = 1", "pairing.style", "is missing"),
        ('style = "other"\nareas = 1', "pairing.style", "must be one of"),
        ('style = "similar"\nareas = -1', "pairing.areas", "must be"),
        ('style = "similar"\nareas = 101', "pairing.areas", "must be"),
        ('style = "similar"\nareas = 1.5', "pairing.areas", "must be"),
        ('style = "similar"\nareas = 1\narea = 1', "pairing.area", "did you mean areas?"),
        ('style = "similar"', "pairing", "must give a weight above 0"),
        ('style = "similar"\nage = 0', "pairing", "must give a weight above 0"),
    ],
)
def test_wrong_table_is_refused_with_key_and_reason(lines: str, key: str, reason: str) -> None:
    found = mistakes(lines)
    assert list(found) == [key]
    assert reason in found[key]
