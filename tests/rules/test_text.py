"""Text of others, sanitized for each place that it goes to."""

from __future__ import annotations

import sqlite3
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.text import (
    LONGEST_KEPT_REPLY,
    LONGEST_TEXT,
    folded,
    for_database,
    for_header,
    for_mail,
    for_pdf,
    for_terminal,
    from_form,
    from_mail_server,
)

HOSTILE = "a\x00b\x1b[2J\u202ec\r\nd\te\ud800 \u200bf\x85g"
ANY_TEXT = st.text(st.characters(), max_size=60)


@pytest.mark.parametrize(
    ("sanitize", "expected"),
    [
        (for_database, "a b [2J\u202ec\nd\te  \u200bf g"),
        (for_mail, "ab[2Jc\r\nd\te \u200bf\x85g"),
        (lambda text: for_header(text, 40), "ab[2Jc d e \u200bf g"),
        (for_pdf, "ab[2Jc\nd e f\ng"),
        (for_terminal, "a\\u0000b\\u001b[2J\\u202ec\\u000d\nd\te\\ud800 \u200bf\\u0085g"),
        (from_form, "ab[2J\u202ec\nd\te \u200bfg"),
        (from_mail_server, "a�b�[2J�c�\nd�e� �f�g"),
    ],
    ids=["database", "mail", "header", "pdf", "terminal", "form", "mail server"],
)
def test_each_target_removes_what_breaks_it(sanitize, expected: str) -> None:  # type: ignore[no-untyped-def]
    assert sanitize(HOSTILE) == expected


@given(ANY_TEXT)
def test_sanitized_text_can_be_encoded_and_stored(text: str) -> None:
    for sanitized in (
        for_database(text),
        for_mail(text),
        for_pdf(text),
        from_form(text),
        from_mail_server(text),
    ):
        assert sanitized.encode("utf-8").decode("utf-8") == sanitized
    kept = for_database(text)
    with sqlite3.connect(":memory:") as connection:
        assert connection.execute("select ?", (kept,)).fetchone() == (kept,)


@given(ANY_TEXT, st.integers(1, 40))
def test_header_text_is_one_line_of_limited_length(text: str, longest: int) -> None:
    line = for_header(text, longest)
    assert len(line) <= longest
    assert len(line.splitlines()) <= 1


@given(ANY_TEXT)
def test_sanitizing_twice_changes_nothing(text: str) -> None:
    for sanitize in (for_database, for_mail, for_pdf, for_terminal, from_form, from_mail_server):
        assert sanitize(sanitize(text)) == sanitize(text)


def test_long_text_is_cut() -> None:
    assert len(for_database("x" * LONGEST_TEXT + "y")) == LONGEST_TEXT
    assert len(from_mail_server("x" * LONGEST_KEPT_REPLY + "y")) == LONGEST_KEPT_REPLY
    assert for_header("word " * 9, 12) == "word word w…"


@pytest.mark.parametrize(
    "text", ["  Physical\tSecurity \x0b\x1c A ", "Física\u00a0 Cuántica", "ÑANDÚ", "", " "]
)
def test_folded_text_is_lower_case_without_accents_and_doubled_spaces(text: str) -> None:
    plain = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    assert folded(text) == " ".join(plain.casefold().split())
