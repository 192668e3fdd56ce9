"""The fit of two people, against the same rules written for one pair, and with hostile text."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.pairing import Candidate, propose
from rules.pairing.fit import BEST_FIT, fit_matrix
from rules.pairing.topics import topics, words
from rules.program import PairingPolicy
from rules.program.pairing_policy import CRITERIA

pytestmark = pytest.mark.rule("COH2")

TOPICS = st.lists(st.sampled_from(["Alarms", "alárms", "Fraud", "Ports ", "Crisis"]), max_size=4).map(tuple)


def person(role: str, **known: Any) -> Candidate:
    return Candidate(profile=role, member=role, role=role, **known)


def fit(ours: dict[str, Any], theirs: dict[str, Any], style: str = "similar", **weights: int) -> int:
    policy = PairingPolicy(style=style, **weights)
    return int(fit_matrix([person("mentee", **ours)], [person("mentor", **theirs)], policy)[0, 0])


@st.composite
def traits(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "languages": draw(st.sampled_from([(), ("es",), ("es-CO", "es-MX"), ("en", "es", "pt")])),
        "areas": draw(TOPICS),
        "interests": draw(TOPICS),
        "goals": draw(st.sampled_from(["", "Alarms, and the crisis.", "Frauds: más puertos"])),
        "nationality": draw(st.sampled_from([None, "CO", "MX"])),
        "country": draw(st.sampled_from([None, "CO", "MX"])),
        "birth_year": draw(st.none() | st.integers(1900, 2100)),
        "years_management": draw(st.none() | st.integers(0, 80)),
        "utc_offset": draw(st.none() | st.integers(-720, 840)),
    }


def points_of(name: str, a: Candidate, b: Candidate, style: str) -> int:
    """The points of a criterion for one pair, written out."""

    def enough(ours: Any, theirs: Any) -> int:
        most = min(max(len(ours), 1), 3)
        return 100 * min(len(set(ours) & set(theirs)), most) // most

    def styled(similar: int) -> int:
        return similar if style == "similar" else 100 - similar

    match name:
        case "areas":
            return enough(a.area_topics, b.area_topics)
        case "interests":
            return enough(a.interest_topics, b.interest_topics)
        case "common":
            languages = max(len(set(a.spoken) & set(b.spoken)) - 1, 0)
            crossing = len(set(a.area_topics) & set(b.interest_topics))
            crossing += len(set(a.interest_topics) & set(b.area_topics))
            return min(50 * (languages + crossing), 100)
        case "goals":
            return enough(a.goal_words, b.all_words)
        case "time_zone":
            if a.utc_offset is None or b.utc_offset is None:
                return 0
            apart = min((a.utc_offset - b.utc_offset) % 1440, (b.utc_offset - a.utc_offset) % 1440)
            return max(100 - 100 * apart // 480, 0)
        case "nationality":
            return styled(100 * (a.origin == b.origin)) if a.origin and b.origin else 0
        case "background":
            known = []
            if a.areas and b.areas:
                union = set(a.area_topics) | set(b.area_topics)
                known.append(100 * len(set(a.area_topics) & set(b.area_topics)) // len(union))
            if a.years_management is not None and b.years_management is not None:
                known.append(max(100 - 5 * abs(a.years_management - b.years_management), 0))
            return styled(sum(known) // len(known)) if known else 0
        case _:
            if a.birth_year is None or b.birth_year is None:
                return 0
            return styled(max(100 - 4 * abs(a.birth_year - b.birth_year), 0))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(traits(), min_size=1, max_size=4),
    st.lists(traits(), min_size=1, max_size=4),
    st.sampled_from(["similar", "different"]),
    st.lists(st.integers(0, 100), min_size=len(CRITERIA), max_size=len(CRITERIA)).filter(any),
)
def test_all_pairs_at_once_fit_as_each_pair_alone(
    ours: list[dict[str, Any]], theirs: list[dict[str, Any]], style: str, weights: list[int]
) -> None:
    by_name = dict(zip(CRITERIA, weights, strict=True))
    mentees = [person("mentee", **each) for each in ours]
    mentors = [person("mentor", **each) for each in theirs]
    found = fit_matrix(mentees, mentors, PairingPolicy(style=style, **by_name))
    assert found.dtype == np.int32
    for row, mentee in enumerate(mentees):
        for column, mentor in enumerate(mentors):
            total = sum(weight * points_of(name, mentee, mentor, style) for name, weight in by_name.items())
            assert found[row, column] == 10 * total // sum(weights)
            assert 0 <= found[row, column] <= BEST_FIT


def test_best_fit_is_a_thousand() -> None:
    alike = {
        "languages": ("es", "en", "pt"),
        "areas": ("Ports",),
        "interests": ("Ports",),
        "goals": "Ports",
        "nationality": "CO",
        "birth_year": 1980,
        "years_management": 4,
        "utc_offset": -300,
    }
    weights: dict[str, Any] = dict.fromkeys(CRITERIA, 7)
    assert fit(alike, alike, **weights) == 1000


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ({"utc_offset": -300}, {"utc_offset": -300}, 1000),
        ({"utc_offset": -300}, {"utc_offset": -180}, 750),
        ({"utc_offset": -300}, {"utc_offset": 180}, 0),
        ({"utc_offset": -720}, {"utc_offset": 720}, 1000),
        ({"utc_offset": -660}, {"utc_offset": 840}, 880),
        ({"utc_offset": None}, {"utc_offset": 0}, 0),
    ],
)
def test_time_zones_lie_apart_around_the_date_line(
    ours: dict[str, Any], theirs: dict[str, Any], expected: int
) -> None:
    assert fit(ours, theirs, time_zone=1) == expected


def test_country_stands_in_for_an_unknown_nationality() -> None:
    abroad = {"nationality": "VE", "country": "CO"}
    assert fit(abroad, {"country": "CO"}, "different", nationality=1) == 1000
    assert fit(abroad, {"country": "VE"}, "different", nationality=1) == 0
    assert fit(abroad, {}, "different", nationality=1) == 0


@pytest.mark.parametrize("style", ["similar", "different"])
@pytest.mark.parametrize("name", ["nationality", "background", "age", "time_zone"])
def test_unknown_earns_nothing_in_either_style(style: str, name: str) -> None:
    assert fit({}, {"birth_year": 1980, "areas": ("Ports",)}, style, **{name: 1}) == 0


def test_topics_compare_without_case_accents_and_spaces() -> None:
    ours = {"areas": ("Seguridad  Física", " seguridad fisica", "\u00a0SEGURIDAD\tFI\u0301SICA")}
    assert list(topics(ours["areas"]).values()) == ["Seguridad Física"]
    assert fit(ours, {"areas": ("seguridad física",)}, areas=1) == 1000


def test_words_of_goals_compare_in_singular_and_without_fillers() -> None:
    ours = "Quiero obtener CERTIFICACIONES; liderar equipos, y más."
    theirs = "I would like to have: certificación (líderar) equipo"
    assert sorted(words(ours)) == ["certificacion", "equipo", "liderar", "obtener"]
    assert fit({"goals": ours}, {"goals": theirs}, goals=1) == 1000
    assert words(ours)["certificacion"] == "certificaciones"


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "\u0301", "\x00\x1b[2J", "\ud800", "\u202eabc", "ﷺ" * 200, "🏳️‍🌈" * 100, "a" * 100_000),
        *("a\u0301" * 50_000, "<script>alert('x')</script>", "ß" * 10_000, "İ" * 300, "\u200b"),
    ],
    ids=ascii,
)
def test_hostile_text_neither_crashes_nor_slows_nor_shows(text: str) -> None:
    policy = PairingPolicy(style="different", areas=1, interests=1, goals=1, common=1)
    propose([], policy)  # loads SciPy
    began = time.process_time()
    both = {"areas": (text, text), "interests": (text,), "goals": text, "employer": text or None}
    mentee = person("mentee", languages=("es",), **both)
    mentor = person("mentor", languages=("es",), **{**both, "employer": "Acme"})
    proposal = propose([mentee, mentor], policy)
    shown = [value for pair in proposal.pairs for reason in pair.why for value in reason.values]
    assert len(proposal.pairs) == 1
    assert all(len(value) <= 60 and "\n" not in value for value in shown)
    assert not any(character in value for value in shown for character in "\x00\x1b\u202e\ud800")
    assert time.process_time() - began < 2
