"""Why two people are a pair, in the words of staff and participants."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rules.pairing import Candidate, Reason, assess, in_common, worded
from rules.pairing.vocabulary import LANGUAGE_NAMES, PHRASES
from rules.program import PairingPolicy
from rules.program.pairing_policy import CRITERIA, STYLES

pytestmark = pytest.mark.rule("COH2")

ALL: dict[str, Any] = dict.fromkeys(CRITERIA, 1)
ANA: dict[str, Any] = {
    "languages": ("es-CO", "en"),
    "areas": ("Physical security", "Fraud"),
    "interests": ("Chess", "Hiking"),
    "goals": "Pass the certification exam.",
    "nationality": "CO",
    "birth_year": 1992,
    "years_management": 2,
    "utc_offset": -300,
}
LEO: dict[str, Any] = {
    "languages": ("es",),
    "areas": ("PHYSICAL SECURITY", "Certification", "hiking"),
    "interests": ("Music",),
    "nationality": "MX",
    "birth_year": 1971,
    "years_management": 20,
    "utc_offset": -360,
}


def why(style: str = "different", **weights: int) -> tuple[Reason, ...]:
    policy = PairingPolicy(style=style, **weights)
    mentee = Candidate(profile="e", member="ana", role="mentee", **ANA)
    mentor = Candidate(profile="o", member="leo", role="mentor", **LEO)
    return assess(mentee, mentor, policy).why


def test_explanation_names_what_both_have_and_how_they_differ() -> None:
    reasons = why(areas=3, nationality=2)
    assert worded(reasons, "en") == "both: Physical security, Spanish; different countries"
    assert worded(reasons, "es") == "en común: Physical security, español; países distintos"
    assert worded(reasons, "fr") == worded(reasons, "en")


def test_every_criterion_with_a_weight_has_its_say() -> None:
    assert worded(why(**ALL), "es") == (
        "en común: Physical security, Hiking, certification, español; máximo dos horas de diferencia;"
        " países distintos; trayectorias distintas; edades distintas"
    )


def test_criterion_without_a_weight_is_not_named() -> None:
    assert [each.kind for each in why(nationality=1)] == ["languages", "different_country"]


def test_what_is_against_the_style_of_the_program_is_not_named() -> None:
    assert [each.kind for each in why("similar", nationality=1, age=1, background=1)] == ["languages"]


def test_mail_to_the_two_names_only_what_they_share() -> None:
    reasons = why(areas=1, nationality=1, age=1)
    assert in_common(reasons, "es") == ("Physical security", "español")
    assert in_common((Reason("languages", ("xx",)),), "en") == ("xx",)


def test_reasons_come_back_from_json() -> None:
    reasons = why(**ALL)
    stored = json.loads(json.dumps([each.plain() for each in reasons]))
    assert tuple(map(Reason.from_plain, stored)) == reasons


def test_every_phrase_is_there_in_both_languages() -> None:
    assert PHRASES["en"].keys() == PHRASES["es"].keys()
    assert LANGUAGE_NAMES["en"].keys() == LANGUAGE_NAMES["es"].keys()
    for style in STYLES:
        assert {f"{style}_{trait}" for trait in ("country", "background", "age")} <= PHRASES["en"].keys()


def test_pair_with_nothing_known_but_a_lock_is_still_worded() -> None:
    assert worded((Reason("locked"), Reason("no_language")), "en") == "locked by staff; no language in common"
    assert worded((), "es") == ""


def test_goal_that_a_topic_says_already_is_not_named_twice() -> None:
    shared = [Reason("areas", ("Gestión de crisis",)), Reason("goals", ("crisis", "equipo"))]
    assert in_common([*shared, Reason("languages", ("es",))], "es") == (
        "Gestión de crisis",
        "equipo",
        "español",
    )
