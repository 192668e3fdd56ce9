"""The messages about credit and surveys, in the cases that the sample data does not show."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from mail.mime import Composed
from mail.samples import sample_context
from tests.support.mail_html import COMPOSER, parsed

LANGUAGES = ("en", "es")
CREDIT = [
    (message, number)
    for message, number, language in COMPOSER.written()
    if language == "en" and re.search(r"credit|sign_|letter|certificate", message)
]
LETTERS = ("mentee.sign_confirmation", "mentor.write_letter")
LATER = {"cycle_start": date(2025, 7, 1), "cycle_end": date(2028, 6, 30)}
EARLIER = {"cycle_start": date(2028, 10, 1), "cycle_end": date(2031, 9, 30)}
GATE_ON_THE_LAST_DAY = {"cycle_start": date(2025, 9, 15), "cycle_end": date(2028, 9, 14)}


def composed(message: str, number: int | None = None, language: str = "en", **changes: Any) -> Composed:
    """With sample data; `claim={"domains": []}` changes a key, and `dates={"closes": None}` removes one."""
    context: dict[str, Any] = dict(sample_context(message, number, language))
    for key, change in changes.items():
        merged = {**context[key], **change} if isinstance(change, Mapping) else change
        context[key] = {name: value for name, value in merged.items() if value is not None}
    return COMPOSER.compose(message, number, language, context)


def body(mail: Composed) -> str:
    """The plain text as one line, without greeting and signature."""
    text = re.split(r"\n(?:Warm regards|Un saludo)", mail.text)[0]
    return " ".join(text.partition("\n\n")[2].split())


def in_html(mail: Composed) -> str:
    return " ".join(parsed(mail.html).text().split())


@pytest.mark.rule("CPE7", "MAIL5")
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("message", "number"), CREDIT)
def test_claim_without_domains_reads_well(message: str, number: int | None, language: str) -> None:
    mail = composed(message, number, language, claim={"domains": []})
    labels = r"(Your domains|Domain|Sus dominios|Dominio)"
    assert not re.search(rf"{labels}: *(-|\n|$)", mail.text)
    assert "<ul></ul>" not in mail.html
    assert "Crisis Management" not in mail.text
    assert not re.search(r"\n\n\n|\bNone\b|\(\)", mail.text)


@pytest.mark.rule("CPE7")
@pytest.mark.parametrize("message", ["mentor.credit_precheck", "mentee.credit_precheck"])
class TestThePreCheck:
    def test_precheck_states_whether_the_date_fits_the_cycle(self, message: str) -> None:
        for dates, fits in [({}, True), (GATE_ON_THE_LAST_DAY, True), (LATER, False), (EARLIER, False)]:
            text = body(composed(message, dates=dates))
            assert ("The dates do not fit yet." in text) is not fits
            assert ("The dates fit" in text) is fits
            assert "September 14, 2028" in text
            spanish = body(composed(message, None, "es", dates=dates))
            assert ("Las fechas todavía no coinciden." in spanish) is not fits

    def test_precheck_mentions_the_cap_only_where_it_applies(self, message: str) -> None:
        def mentions_the_cap(**claim: Any) -> bool:
            texts = (body(composed(message, None, language, claim=claim)) for language in LANGUAGES)
            return all("would still count" in text or "todavía contarían" in text for text in texts)

        assert mentions_the_cap(credits=9, countable=3)
        assert mentions_the_cap(credits=9, countable=0)
        assert not mentions_the_cap(credits=9, countable=9)
        assert not mentions_the_cap(countable=None)

    def test_precheck_asks_to_choose_or_review_domains(self, message: str) -> None:
        for language, choose, review in [
            ("en", "Choose your domains", "Review your domains"),
            ("es", "Elegir sus dominios", "Revisar sus dominios"),
        ]:
            assert choose in in_html(composed(message, None, language, claim={"domains": []}))
            assert review in in_html(composed(message, None, language))


@pytest.mark.rule("CPE5", "CPE6", "CPE7")
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("message", LETTERS)
class TestAskingForALetter:
    def test_each_reminder_has_its_own_text_shorter_than_the_request(
        self, message: str, language: str
    ) -> None:
        mails = [composed(message, number, language) for number in (1, 2, 3, 4)]
        assert len({mail.subject for mail in mails}) == 4
        request, *reminders = (len(body(mail)) for mail in mails)
        assert max(reminders) < request / 2

    def test_letter_request_is_about_the_other_persons_credit(self, message: str, language: str) -> None:
        text = composed(message, 1, language).text
        theirs, own = ("9 ", "5 ") if message == "mentee.sign_confirmation" else ("5 ", "9 ")
        word = "CPE credits" if language == "en" else "créditos CPE"
        assert theirs + word in " ".join(text.split())
        assert own + word not in " ".join(text.split())

    def test_last_reminder_states_consequence_and_deadline(self, message: str, language: str) -> None:
        nothing = "will get no credit" if language == "en" else "no recibirá ningún crédito"
        day = "November 13, 2028" if language == "en" else "13 de noviembre de 2028"
        assert nothing in body(composed(message, 4, language))
        assert day in body(composed(message, 4, language))
        without_day = composed(message, 4, language, dates={"closes": None})
        assert nothing in body(without_day)
        assert "2028" not in body(without_day)


@pytest.mark.rule("CPE6")
def test_mentor_sees_the_domains_the_mentee_suggests() -> None:
    for language in LANGUAGES:
        mail = composed("mentor.write_letter", 1, language, claim={"domains": ["Case Presentation", "<b>"]})
        assert "- Case Presentation\n- <b>\n" in mail.text
        assert "<li" in mail.html
        assert "&lt;b&gt;" in mail.html


@pytest.mark.rule("CPE10")
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("message", ["mentor.credit_ready", "mentee.credit_ready"])
def test_ready_mail_has_every_value_of_the_self_report_form(message: str, language: str) -> None:
    mail = composed(message, None, language)
    day = "September 14, 2028" if language == "en" else "14 de septiembre de 2028"
    domain = "Crisis Management" if language == "en" else "Gestión de crisis"
    amount = "9" if message.startswith("mentor") else "5"
    sponsor = "Example Society of Security Leaders"
    for value in ("CPP", "Category 3: Instructor", "Mentoring", domain, amount, day, sponsor, "Online"):
        assert value in body(mail)
        assert value in in_html(mail)
    for link in ("claim", "verify"):
        assert f"https://mentoring.example.org/l/{link}/4fJ2" in mail.text


@pytest.mark.rule("CPE9")
@pytest.mark.parametrize("message", ["mentor.credit_ready", "mentee.credit_ready"])
def test_earned_and_countable_are_distinguished_if_they_differ(message: str) -> None:
    differ, zero, same = (
        body(composed(message, claim={"earned": 9, "countable": countable})) for countable in (3, 0, 9)
    )
    assert "Earned: 9. Countable: 3." in differ
    assert "Earned: 9. Countable: 0." in zero
    assert "Countable" not in same
    spanish = body(composed(message, None, "es", claim={"earned": 9, "countable": 3}))
    assert "Obtenidos: 9. Computables: 3." in spanish


@pytest.mark.rule("CPE4")
@pytest.mark.parametrize("message", ["mentor.credit_outside_cycle", "mentee.credit_outside_cycle"])
def test_credit_outside_the_cycle_is_explained_by_its_dates(message: str) -> None:
    after, before = (body(composed(message, dates=dates)) for dates in (LATER, EARLIER))
    for text, start, end in [
        (after, "July 1, 2025", "June 30, 2028"),
        (before, "October 1, 2028", "September 30, 2031"),
    ]:
        assert "Credit date: September 14, 2028" in text
        assert f"Cycle begins: {start}" in text
        assert f"Cycle ends: {end}" in text
    assert "after the end of that cycle" in after
    assert "grace months" in after
    assert "before the beginning of that cycle" in before
    assert "grace months" not in before


@pytest.mark.rule("CPE3")
@pytest.mark.parametrize("message", ["mentor.certificate", "mentee.certificate"])
def test_certificate_promises_no_credit(message: str) -> None:
    for language in LANGUAGES:
        mail = composed(message, None, language)
        assert not re.search(r"CPE|credit|crédito", mail.subject + mail.text)


@pytest.mark.rule("SUR2", "SUR3")
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("role", ["mentor", "mentee"])
def test_each_survey_mail_has_its_own_text_and_closing_day(role: str, language: str) -> None:
    mails = [composed(f"{role}.survey", number, language) for number in (1, 2, 3, 4)]
    assert len({mail.subject for mail in mails}) == len({body(mail) for mail in mails}) == 4
    day = "November 13, 2028" if language == "en" else "13 de noviembre de 2028"
    minutes = "three minutes" if language == "en" else "tres minutos"
    for mail in mails:
        assert day in body(mail)
        assert minutes in f"{mail.subject} {body(mail)}".lower()
        assert len(body(mail)) <= len(body(mails[0]))


@pytest.mark.rule("MAIL5")
def test_singular_numbers_read_correctly() -> None:
    english = body(composed("mentee.survey", 1, survey={"minutes": 1}))
    assert "It takes one minute." in english
    assert "1 CPE credit toward" in body(composed("mentor.credit_precheck", claim={"credits": 1}))
    assert "1 crédito CPE" in body(composed("mentor.credit_precheck", None, "es", claim={"credits": 1}))
    assert "Toma 12 minutos." in body(composed("mentee.survey", 1, "es", survey={"minutes": 12}))


@pytest.mark.rule("CPE13", "MAIL5")
@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("role", ["mentor", "mentee"])
@pytest.mark.parametrize("what", ["accepted", "rejected", "reopened", "revoked"])
def test_decision_of_staff_names_claim_pair_and_reason(what: str, role: str, language: str) -> None:
    message = f"{role}.credit_{what}"
    context: dict[str, Any] = sample_context(message, None, language)
    claim = {**context["claim"], "reason": "The audit <found> it.", "because": "untrue"}
    mail = COMPOSER.compose(message, None, language, {**context, "claim": claim})
    assert context["other"]["first_name"] in mail.subject
    assert claim["certification"] in mail.subject
    assert ("The audit <found> it." in mail.text) == (what != "accepted")
    assert ("The audit &lt;found&gt; it." in mail.html) == (what != "accepted")
    assert (("untrue" in mail.text) or ("no es cierto" in mail.text)) == (what == "revoked")
    without = COMPOSER.compose(message, None, language, {**context, "claim": {**claim, "reason": ""}})
    assert "<blockquote" not in without.html


@pytest.mark.rule("MEM2", "MAIL5")
@pytest.mark.parametrize("language", ["en", "es"])
def test_claim_that_waits_for_standing_says_so(language: str) -> None:
    sign_up: dict[str, Any] = sample_context("member.standing_lapsed", None, language)
    claim = sample_context("mentor.credit_ready", None, language)["claim"]
    mail = COMPOSER.compose("member.standing_lapsed", None, language, {**sign_up, "claim": claim})
    assert "CPP" in mail.subject
    assert sign_up["other"]["first_name"] in mail.subject
    assert "CPP" not in COMPOSER.compose("member.standing_lapsed", None, language, sign_up).text
