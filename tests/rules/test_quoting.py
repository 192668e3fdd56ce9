"""The reason for a wrong value names the value, as far as it can be shown safely."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pytest

from rules.validation import (
    LONGEST_QUOTE,
    ValidationError,
    choice,
    day,
    email,
    identifier,
    instant,
    integer,
    kind_of,
    link,
    quote,
    zone_name,
)


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("Mars/Olympus", "'Mars/Olympus'"),
        ("O'Brien", '"O\'Brien"'),
        ("", "''"),
        ("Bogotá", "'Bogotá'"),
        ("x" * LONGEST_QUOTE, f"'{'x' * LONGEST_QUOTE}'"),
        ("x" * (LONGEST_QUOTE + 1), "text of 61 characters"),
        ("x" * 1_000_000, "text of 1000000 characters"),
        ("a\nb", "unprintable text"),
        ("\x1b[31mred", "unprintable text"),
        ("\u202egro.elpmaxe", "unprintable text"),
        ("\ud800", "unprintable text"),
        ("\x00", "unprintable text"),
        (7, "7"),
        (-2.5, "-2.5"),
        (float("nan"), "nan"),
        (True, "true"),
        (10**400, "a number of very many digits"),
        ([["deep"]], "a list"),
        ({"a": 1}, "a table"),
        (None, "nothing"),
        (date(2028, 3, 6), "the date 2028-03-06"),
        (datetime.fromisoformat("2028-03-06T10:00:00"), "the date 2028-03-06T10:00:00"),
        (object(), "something else"),
    ],
)
def test_value_is_quoted_only_where_short_and_printable(value: object, quoted: str) -> None:
    assert quote(value) == quoted


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (7, "the number 7"),
        ("7", "the text '7'"),
        ("\n", "unprintable text"),
        (False, "false"),
        ([], "a list"),
    ],
)
def test_wrong_kind_is_named_with_its_value(value: object, kind: str) -> None:
    assert kind_of(value) == kind


@pytest.mark.parametrize(
    ("read", "value", "reason"),
    [
        (zone_name, "Mars/Olympus", "'Mars/Olympus' is no time zone of the zone database"),
        (zone_name, "Bogota", "'Bogota' is no time zone of the zone database; did you mean America/Bogota?"),
        (zone_name, "a" * 9999, "text of 9999 characters is no time zone"),
        (choice("mentor", "mentee"), "boss", "must be one of mentor, mentee, not 'boss'"),
        (integer(1, 26), 27, "must be a whole number from 1 to 26, not 27"),
        (integer(1, 26), "3", "must be a whole number from 1 to 26, not the text '3'"),
        (identifier, "p 1", "not 'p 1'"),
        (email, "nobody", "must be one mail address alone, like name@domain.org, unlike 'nobody'"),
        (day, "2028-02-30", "must be a date that the calendar has, not '2028-02-30'"),
        (day, 20280306, "must be a date like 2028-03-06, not the number 20280306"),
        (instant, "now", "not the text 'now'"),
        (link, "http://example.org", "not 'http://example.org'"),
    ],
)
def test_reason_names_the_wrong_value(read: Callable[[object], Any], value: object, reason: str) -> None:
    with pytest.raises(ValidationError) as refused:
        read(value)
    assert reason in str(refused.value)


@pytest.mark.parametrize("address", ["https://user:secret@example.org", "http://example.org/?pwd=secret"])
def test_reason_for_a_link_repeats_no_password(address: str) -> None:
    with pytest.raises(ValidationError) as refused:
        link(address)
    assert "secret" not in str(refused.value)
