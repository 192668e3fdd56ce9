"""Keys and types of events that nobody knows: ignored and named, or refused where a known one was meant."""

from __future__ import annotations

import json
import string
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.events import (
    EVENT_TYPES,
    MOST_IGNORED,
    Envelope,
    FieldError,
    check_event,
    read_event,
)
from rules.events.description import example
from rules.events.schema import MOST_KEYS, keys_of
from rules.events.spelling import one_edit_apart

PROFILE = {"profile": "p-1", "member": "ana", "role": "mentee"}


def misspellings(key: str) -> Iterator[str]:
    """Some words one edit away from a key, of each kind of edit."""
    yield key[:-1]
    yield key[1:]
    yield key + "x"
    yield "x" + key
    yield "x" + key[1:]
    yield key[:-1] + "X"
    swapped = key[1] + key[0] + key[2:]
    if swapped != key:
        yield swapped


KEYS = [(type, key) for type, model in EVENT_TYPES.items() for key in keys_of(model)]


def with_data(type: str, data: dict[str, Any]) -> dict[str, Any]:
    """A whole event with other data."""
    return {**example(type), "data": data}


def accepted(event: object) -> Envelope:
    """The envelope of an event that is accepted."""
    envelope, errors = read_event(event)
    assert errors == []
    assert envelope is not None
    return envelope


@pytest.mark.parametrize(("type", "key"), KEYS)
def test_near_miss_of_each_key_is_refused_while_it_is_absent(type: str, key: str) -> None:
    full = {**EVENT_TYPES[type].example}
    full.pop(key, None)
    for wrong in misspellings(key):
        if wrong in keys_of(EVENT_TYPES[type]):
            continue
        data, errors = check_event(type, {**full, wrong: "x"})
        assert data == {}
        reasons = {error.pointer: error.reason for error in errors}
        assert reasons[f"/data/{wrong}"].startswith(f"is no field of {type}; did you mean "), wrong
        others = [k for k in keys_of(EVENT_TYPES[type]) if k not in full and one_edit_apart(wrong, k)]
        assert reasons[f"/data/{wrong}"].endswith(f"did you mean {others[0]}?"), wrong


@pytest.mark.parametrize(("type", "key"), KEYS)
def test_same_key_is_ignored_beside_the_known_one(type: str, key: str) -> None:
    full = {**EVENT_TYPES[type].example}
    if key in full and full[key] is not None:
        wrong = key + "x"
        envelope = accepted(with_data(type, {**full, wrong: "x"}))
        assert envelope.ignored == (f"/data/{wrong}",)
        assert wrong not in envelope.data


def test_near_miss_of_a_required_key_names_both_places() -> None:
    _, errors = check_event("profile.created", {"profile": "p-1", "member": "ana", "rol": "mentee"})
    assert errors == [
        FieldError("/data/role", "is missing"),
        FieldError("/data/rol", "is no field of profile.created; did you mean role?"),
    ]


def test_near_miss_of_an_optional_key_is_not_taken_silently() -> None:
    _, errors = check_event("profile.created", {**PROFILE, "area": ["Career"]})
    assert errors == [FieldError("/data/area", "is no field of profile.created; did you mean areas?")]


def test_null_under_a_key_leaves_it_absent() -> None:
    _, errors = check_event("request.accepted", {"request": "r-1", "reason": None, "reson": "x"})
    assert errors == [FieldError("/data/reson", "is no field of request.accepted; did you mean reason?")]


def test_near_miss_in_a_certification_is_refused_in_its_place() -> None:
    member = dict(EVENT_TYPES["member.updated"].example)
    cycle = {"code": "PSP", "cycle_start": "2027-01-01", "cycle_ends": "2029-12-31"}
    _, errors = check_event("member.updated", {**member, "certifications": [cycle]})
    assert errors == [
        FieldError("/data/certifications/0/cycle_end", "is missing"),
        FieldError("/data/certifications/0/cycle_ends", "is no field here; did you mean cycle_end?"),
    ]


def test_unknown_keys_are_named_wherever_they_stand() -> None:
    member = dict(EVENT_TYPES["member.updated"].example)
    cycle = {"code": "PSP", "cycle_start": "2027-01-01", "cycle_end": "2029-12-31"}
    envelope = accepted(
        with_data(
            "member.updated",
            {**member, "nickname": {"deep": [1]}, "a/b~c": 1, "certifications": [cycle, {**cycle, "no": 7}]},
        )
    )
    assert envelope.ignored == ("/data/nickname", "/data/a~1b~0c", "/data/certifications/1/no")
    assert envelope.data["certifications"] == [cycle, cycle]


def test_unknown_attributes_of_the_envelope_are_let_through() -> None:
    assert accepted({**example("profile.created"), "traceparent": "00-1", "tim": 1}).ignored == ()


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("\x1b[31m\n", "\\u001b[31m\\u000a"),
        ("\ud800", "\\ud800"),
        ("\u202eevil", "\\u202eevil"),
        ("\x00", "\\u0000"),
        ("k" * 100_000, "k" * 80 + "…"),
        ("naïve clé", "naïve clé"),
        ("", ""),
    ],
)
def test_odd_keys_are_named_safely(key: str, named: str) -> None:
    envelope = accepted(with_data("profile.created", {**PROFILE, key: "x"}))
    assert envelope.ignored == (f"/data/{named}",)
    json.dumps(envelope.ignored, ensure_ascii=False).encode()


def test_of_many_ignored_keys_the_first_are_named() -> None:
    many = {f"extra-{number}": number for number in range(MOST_KEYS - len(PROFILE))}
    assert len(accepted(with_data("profile.created", {**PROFILE, **many})).ignored) == MOST_IGNORED


@pytest.mark.parametrize("length", [MOST_KEYS + 1, 10_000, 100_000])
def test_data_of_very_many_keys_are_refused_at_once(length: int) -> None:
    many = {f"rol{number}": "x" for number in range(length - 3)}
    began = time.perf_counter()
    data, errors = check_event("profile.created", {**PROFILE, **many})
    assert time.perf_counter() - began < 1
    assert (data, errors) == (
        {},
        [FieldError("/data", f"must have at most {MOST_KEYS} keys, not {length}")],
    )


def test_very_many_keys_in_a_part_are_refused_in_its_place() -> None:
    member = dict(EVENT_TYPES["member.updated"].example)
    cycle = {f"cod{number}": 1 for number in range(1000)}
    _, errors = check_event("member.updated", {**member, "certifications": [cycle]})
    assert errors == [FieldError("/data/certifications/0", f"must have at most {MOST_KEYS} keys, not 1000")]


def test_nesting_without_end_is_ignored_or_refused_without_harm() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert accepted(with_data("profile.created", {**PROFILE, "deep": deep})).ignored == ("/data/deep",)
    _, errors = check_event("profile.created", {**PROFILE, "areas": deep, "goals": deep, "role": deep})
    assert {error.pointer for error in errors} == {"/data/areas/0", "/data/goals/0", "/data/role"}
    while deep:
        deep = deep.pop()


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("rol", "role", True),
        ("role", "rol", True),
        ("roles", "role", True),
        ("rule", "role", True),
        ("rloe", "role", True),
        ("orle", "role", True),
        ("roel", "role", True),
        ("Role", "role", True),
        ("b", "by", True),
        ("y", "by", True),
        ("yb", "by", True),
        ("role", "role", False),
        ("ro", "role", False),
        ("lore", "role", False),
        ("elor", "role", False),
        ("rolle_", "role", False),
        ("", "by", False),
        ("", "a", True),
    ],
)
def test_one_edit_is_a_letter_more_less_other_or_swapped(one: str, other: str, apart: bool) -> None:
    assert one_edit_apart(one, other) is apart


@given(
    word=st.text(string.ascii_lowercase + "_", min_size=2, max_size=12),
    place=st.integers(0, 11),
    letter=st.sampled_from(string.ascii_lowercase),
)
def test_every_edit_is_found_from_both_sides(word: str, place: int, letter: str) -> None:
    place %= len(word)
    edits = {
        word[:place] + letter + word[place:],
        word[:place] + word[place + 1 :],
        word[:place] + letter + word[place + 1 :],
        word[:place] + word[place : place + 2][::-1] + word[place + 2 :],
    }
    for edited in edits - {word}:
        assert one_edit_apart(word, edited)
        assert one_edit_apart(edited, word)


@pytest.mark.parametrize(
    ("type", "meant"),
    [
        ("member.changed", "member.updated"),
        ("member.update", "member.updated"),
        ("member", "member.updated"),
        ("member.", "member.updated"),
        ("Member.updated", "member.updated"),
        ("memebr.changed", "member.updated"),
        ("members.updated", "member.updated"),
        ("profile.create", "profile.created"),
        ("profile.changed", "profile.created"),
        ("profile.withdraw", "profile.withdrawn"),
        ("request.cancelled", "request.canceled"),
        ("request.created.v2", "request.created"),
        ("engagement.extended", "engagement.ended"),
        ("engagement_met", "engagement.met"),
        ("meetup.cancelled", "meetup.canceled"),
        ("letter.sign", "letter.signed"),
        ("staff.paused", "staff.pause"),
        ("profile_created", "profile.created"),
        ("survey.done", "survey.answered"),
    ],
)
def test_unknown_type_hints_at_the_nearest_of_its_noun(type: str, meant: str) -> None:
    (error,) = check_event(type, PROFILE)[1]
    assert error.pointer == "/type"
    assert error.reason == f"{type!r} is no type of event; did you mean {meant}?"


@pytest.mark.parametrize("type", ["", "weather.changed", "x" * 100_000, "\x1b[31m", "budget.scheduled"])
def test_unknown_noun_gives_no_hint(type: str) -> None:
    (error,) = check_event(type, PROFILE)[1]
    assert "did you mean" not in error.reason
    assert len(error.reason) < 120
    assert error.reason.isprintable()
