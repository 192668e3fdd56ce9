"""The messages of cohort programs: what they say, and what they leave out where it is not known."""

from __future__ import annotations

from typing import Any

import pytest

from mail.mime import Composed
from mail.samples import sample_context
from rules.messages import CATALOGUE
from tests.support.mail_html import COMPOSER

LANGUAGES = pytest.mark.parametrize("language", ["en", "es"])

pytestmark = pytest.mark.rule("MAIL5")


def in_cohort(message: str, language: str, without: tuple[str, ...] = (), **changes: Any) -> Composed:
    """A message of a cohort program, without some of its dates."""
    context = sample_context(message, 1 if CATALOGUE[message].numbers else None, language)
    program, dates = dict(context["program"]), dict(context["dates"])  # type: ignore[call-overload]
    for name in without:
        del dates[name]
    context |= {"program": {**program, "is_cohort": True}, "dates": dates, **changes}
    return COMPOSER.compose(message, 1 if CATALOGUE[message].numbers else None, language, context)


def said(mail: Composed) -> str:
    return " ".join(f"{mail.subject} {mail.text}".split())


@pytest.mark.rule("COH1")
def test_closed_window_names_the_next_one_on_the_readers_clock() -> None:
    """The window opens at midnight in Mexico City; the reader lives in Bogotá."""
    english, spanish = (said(in_cohort("member.window_closed", language)) for language in ("en", "es"))
    assert "Registration opens on April 21, 2029" in english
    assert "Opens: Saturday, April 21, 1:00 AM (Bogota time)" in english
    assert "La inscripción abre el 21 de abril de 2029" in spanish
    assert "Abre: sábado 21 de abril, 01:00 (hora de Bogotá)" in spanish
    assert "Cierra: lunes 7 de mayo, 00:59 (hora de Bogotá)" in spanish


@pytest.mark.rule("COH1")
@LANGUAGES
@pytest.mark.parametrize("message", ["member.window_closed", "member.unpaired"])
def test_unknown_next_window_is_left_out(message: str, language: str) -> None:
    unknown = said(in_cohort(message, language, ("opens_on", "window_opens", "window_closes")))
    assert "2029" not in unknown
    assert unknown != said(in_cohort(message, language))


@pytest.mark.rule("COH2")
@LANGUAGES
@pytest.mark.parametrize("message", ["mentor.paired", "mentee.paired"])
def test_paired_mail_says_who_what_in_common_and_when(message: str, language: str) -> None:
    other = {"mentor": "Ana Pérez Castillo", "mentee": "Marcus Oyelaran"}[CATALOGUE[message].audience]
    start = {"en": "May 23, 2028", "es": "23 de mayo de 2028"}[language]
    common = {"en": "Physical security", "es": "Seguridad física"}[language]
    text = said(in_cohort(message, language))
    assert all(part in text for part in (other, start, common, "@example.org"))
    alone = said(in_cohort(message, language, pair={"in_common": []}))
    assert ("in common" in alone, "en común" in alone) == (False, False)


@pytest.mark.rule("COH3")
@LANGUAGES
def test_graduation_has_its_day_and_link(language: str) -> None:
    text = said(in_cohort("member.graduation", language))
    assert {"en": "September 14, 2028", "es": "14 de septiembre de 2028"}[language] in text
    assert "https://mentoring.example.org/l/graduation/4fJ2" in text


@pytest.mark.rule("COH3")
@LANGUAGES
@pytest.mark.parametrize(
    "message",
    [name for name in CATALOGUE if name.partition(".")[2] in ("match", "discovery", "ended", "completed")],
)
def test_nobody_of_a_cohort_is_sent_to_the_directory(message: str, language: str) -> None:
    mail = in_cohort(message, language)
    assert "/mentoring/directory" not in mail.text + mail.html
    for word in ("directory", "directorio", "request", "solicitud", "said yes", "dijo que sí"):
        assert word not in said(mail)
    evergreen = COMPOSER.compose(
        message,
        1 if CATALOGUE[message].numbers else None,
        language,
        sample_context(message, 1 if CATALOGUE[message].numbers else None, language),
    )
    assert evergreen.text != mail.text
