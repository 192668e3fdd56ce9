"""Letters in other scripts and languages, of hostile length, and with a code that can be typed from paper."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import typefaces
from evidence.letter_codes import ALPHABET, as_written, new_code
from rules.text import LONGEST_CLUSTER, for_pdf
from tests.evidence.test_renderer import DOCUMENTS, data, fonts, one_line, read, text_of

TRANSLATED: dict[str, Any] = {
    "translations": {
        "es": {
            "certification": {"code": "PSP", "name": "Profesional en Seguridad Física"},
            "domains": ["Evaluación de la seguridad física"],
        }
    }
}
"""What differs in the Spanish translation of a letter."""


@pytest.mark.rule("CPE8")
def test_translation_stands_unsigned_behind_the_letter() -> None:
    pdf = DOCUMENTS.render("mentor_letter", "en", data("mentor_letter", **TRANSLATED)).content
    first, second = (one_line(page.extract_text()) for page in read(pdf).pages)
    assert "It aligns with these domains" in first
    assert "Physical Security Assessment" in first
    assert "Traducción" not in first
    assert "Traducción sin firma" in second
    assert "Corresponde a este dominio de la certificación Profesional en Seguridad Física (PSP)" in second
    assert "Evaluación de la seguridad física" in second
    assert "09:42:07" not in second, "nobody signed the translation"


@pytest.mark.rule("CPE8")
def test_translation_leaves_the_signed_text_and_its_fingerprint() -> None:
    plain = text_of(DOCUMENTS.render("mentor_letter", "en", data("mentor_letter")).content)
    both = text_of(DOCUMENTS.render("mentor_letter", "en", data("mentor_letter", **TRANSLATED)).content)
    printed = plain.replace("Page 1 of 1", "")
    assert both.replace("Page 1 of 2", "").startswith(printed[: printed.index("09:42:07")])


@pytest.mark.rule("CPE8")
def test_han_is_drawn_as_the_names_language_draws_it() -> None:
    """Chinese, Japanese and Korean share code points: kana and Hangul decide whose typeface draws them."""
    for name, family in (("山田たろう", "NotoSansJP"), ("王小明", "NotoSansSC"), ("金 철수", "NotoSansKR")):
        changes = {"mentor": {"name": name, "profile": "p-1"}}
        pdf = DOCUMENTS.render("confirmation", "en", data("confirmation", **changes)).content
        used = {str(font["/BaseFont"]) for font in fonts(read(pdf))}
        assert any(family in font for font in used), used


@pytest.mark.rule("CPE8")
def test_only_the_needed_glyphs_are_embedded() -> None:
    changes = {"mentor": {"name": "王小明", "profile": "p-1"}}
    assert len(DOCUMENTS.render("confirmation", "en", data("confirmation", **changes)).content) < 200_000


@pytest.mark.rule("CPE8", "STA2")
def test_character_without_a_typeface_is_reported() -> None:
    changes = {"mentor": {"name": "ༀ Marcus", "profile": "p-1"}}
    assert DOCUMENTS.render("confirmation", "en", data("confirmation", **changes)).lacking == "ༀ"


@pytest.mark.rule("CPE8")
def test_mark_without_a_typeface_leaves_the_letter_before_it() -> None:
    changes = {"mentor": {"name": "Ana\U0001f3fb", "profile": "p-1"}}
    made = DOCUMENTS.render("confirmation", "en", data("confirmation", **changes))
    assert made.lacking == "\U0001f3fb"
    assert "Ana[U+1F3FB]" in text_of(made.content)


def test_absent_package_of_typefaces_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typefaces, "_PACKAGES", ("no_such_package_of_typefaces",))
    assert typefaces.folders() == []
    assert typefaces.installed(["Noto Sans JP", "Libertinus Serif"], ["Libertinus Serif"]) == [
        "Libertinus Serif"
    ]


HOSTILE = {
    "marks": "a" + "\u0301" * 9_999,
    "family emoji": "\U0001f468\u200d" * 4_900,
    "conjuncts": "\u0915\u094d" * 4_999,
    "jamo": "\u1100" * 9_999,
    "one word": "a" * 9_999,
    "hyphens": "a-b " * 2_500,
    "no typeface": "\u0f40" * 9_999,
    "flags": "\U0001f1e6" * 9_999,
    "lines": "a\n\n" * 3_333,
    "han": "漢" * 9_999,
}
"""Purposes of 10,000 characters, the most that an event may carry."""


@pytest.mark.rule("CPE8")
@pytest.mark.parametrize("purpose", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_purpose_makes_a_letter_in_bounded_time(purpose: str) -> None:
    """Some of these took half a minute, ended the text shaper with a panic, or could not be laid out."""
    began = time.process_time()
    made = DOCUMENTS.render("mentor_letter", "en", data("mentor_letter", purpose=purpose))
    assert len(made.content) < 2_000_000
    assert time.process_time() - began < 8


@pytest.mark.rule("CPE8")
def test_cluster_is_cut_and_real_names_are_kept() -> None:
    for name in ("Nguyễn", "ஶ்ரீநிவாஸ்", "क्ष्म्य", "👩🏽‍🤝‍👨🏿", "👨‍👩‍👧‍👦", "각", "각"):
        assert for_pdf(name) == name
    assert len(for_pdf("a" + "\u0301" * 500 + "b")) == LONGEST_CLUSTER + 1


@pytest.mark.rule("CPE11")
@given(st.data())
def test_code_is_found_however_it_is_typed(drawn: st.DataObject) -> None:
    code = new_code()
    assert len(code.replace("-", "")) == 16
    assert set(code) <= {*ALPHABET, "-"}
    typed = code.replace("-", drawn.draw(st.sampled_from(["", " ", "-", " - ", "\u00a0"])))
    assert as_written(drawn.draw(st.sampled_from([typed, typed.lower(), f" {typed}\n"]))) == code


@pytest.mark.rule("CPE11")
def test_alphabet_of_codes_has_no_look_alikes() -> None:
    assert not set("01ILOU") & set(ALPHABET)
    assert as_written("Lm3x9QkT2vB7") == "Lm3x9QkT2vB7", "an older number stays as it is"
