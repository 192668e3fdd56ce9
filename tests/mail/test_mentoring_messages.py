"""The messages about requests and engagements, with no more data than they get and where some of it is empty."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from mail.mime import Composed
from mail.samples import sample_context
from rules.messages import CATALOGUE
from tests.support.mail_html import COMPOSER, parsed

LANGUAGES = ("en", "es")

LINKS = {
    "request_received": {"accept", "decline"},
    "request_sent": {"withdraw"},
    "request_reminder": {"accept", "decline"},
    "request_past_due": {"accept", "decline"},
    "request_unanswered": {"withdraw"},
    "match": {"plan", "report"},
    "discovery": {"discovery", "plan", "report"},
    "pulse": {"met", "plan", "end", "report"},
    "wrap_up": {"extend", "end"},
    "extended": {"plan"},
    "graduation": {"graduation"},
}
"""The personal links of each message, beside those of every mail."""

DATES = {
    "request_received": {"asked", "due", "expires"},
    "request_sent": {"asked", "due", "expires"},
    "request_reminder": {"asked", "due", "expires"},
    "request_past_due": {"asked", "due", "expires"},
    "request_unanswered": {"asked", "due", "expires"},
    "request_declined": {"asked"},
    "declined_checkin": {"asked"},
    "request_canceled": {"asked"},
    "request_expired": {"asked", "due", "expires"},
    "mentor_unavailable": {"asked"},
    "match": {"started", "ends", "meet_by"},
    "discovery": {"started"},
    "pulse": {"since"},
    "wrap_up": {"started", "ends"},
    "extended": {"started", "ends", "new_end"},
    "completed": {"started", "ends"},
    "ended": {"started", "ends"},
    "canceled": {"started", "ends"},
    "window_closed": {"opens_on", "window_opens", "window_closes"},
    "paired": {"kick_off", "ends"},
    "unpaired": {"opens_on"},
    "graduation": {"started", "ends"},
}
"""The dates that the rules give to each message."""

AFTER_ACCEPTANCE = {"match", "discovery", "pulse", "wrap_up", "extended", "paired"}
"""The messages that show the other's address."""

NOTHING_SAID = {"request": {"message": "", "areas": [], "months": None}, "engagement": {"goals": ""}}


def what(message: str) -> str:
    return message.partition(".")[2]


def mails(*kinds: str) -> Iterator[tuple[str, int | None, str]]:
    for entry in CATALOGUE.values():
        if what(entry.name) in kinds and entry.audience != "staff":
            for number in entry.occurrences:
                for language in LANGUAGES:
                    yield entry.name, number, language


def about(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("message", "number", "language"), list(mails(*kinds)))


every_message = about(*DATES)


def composed(message: str, number: int | None = None, language: str = "en", **changes: Any) -> Composed:
    """With the links, dates and contact data that the message gets; `request={"message": ""}` changes a key."""
    context: dict[str, Any] = dict(sample_context(message, number, language))
    kind = what(message)
    links = LINKS.get(kind, set()) | {"feedback"}
    if CATALOGUE[message].message_class.stoppable:
        links |= {"preferences"}
    context["links"] = {name: link for name, link in context["links"].items() if name in links}
    context["dates"] = {name: day for name, day in context["dates"].items() if name in DATES[kind]}
    if kind not in AFTER_ACCEPTANCE:
        context["other"] = {name: value for name, value in context["other"].items() if name != "email"}
    for key, change in changes.items():
        context[key] = {**context[key], **change} if isinstance(change, Mapping) else change
    return COMPOSER.compose(message, number, language, context)


def whole(mail: Composed) -> str:
    return mail.subject + mail.text + mail.html


def links_of(mail: Composed) -> set[str]:
    links = {one.attributes["href"] for one in parsed(mail.html).all("a")}
    return {name for link in links for name in re.findall(r"^https://mentoring\.example\.org/l/(\w+)/", link)}


@pytest.mark.rule("MAIL5")
@every_message
def test_message_uses_every_link_and_only_the_given_data(
    message: str, number: int | None, language: str
) -> None:
    used = links_of(composed(message, number, language)) - {"feedback", "preferences"}
    expected = LINKS.get(what(message), set())
    if what(message) == "discovery" and number != 1:
        expected = expected - {"plan"}
    assert used == expected


@pytest.mark.rule("MAIL5")
@every_message
def test_request_without_a_message_reads_well(message: str, number: int | None, language: str) -> None:
    mail = composed(message, number, language, **NOTHING_SAID)
    assert not re.search(r"\bNone\b|\n\n\n|\n>|: *\n\n(Warm|Un saludo)", mail.text)
    assert not re.search(r"\n- [^:\n]+: *\n(?!  )", mail.text)
    assert "<blockquote" not in mail.html
    assert parsed(mail.html).all("h1")


@pytest.mark.rule("MAIL5")
@every_message
def test_long_name_breaks_neither_subject_nor_lines(message: str, number: int | None, language: str) -> None:
    name = "Maximiliana de los Ángeles Fernández-Villaverde y Echeverría"
    mail = composed(message, number, language, other={"name": name, "first_name": "Maximiliana"})
    assert len(mail.subject) <= 90
    assert [line for line in mail.text.splitlines() if len(line) > 76 and " " in line.strip()] == []


class TestARequest:
    @pytest.mark.rule("REQ1")
    @about("request_received")
    def test_request_mail_names_mentee_wish_duration_and_deadline(
        self, message: str, number: int | None, language: str
    ) -> None:
        mail = composed(message, number, language)
        day, length = {
            "en": ("Wednesday, March 15", "6 months"),
            "es": ("miércoles 15 de marzo", "6 meses"),
        }[language]
        assert "Ana" in mail.subject
        assert mail.subject.endswith(day)
        area = {"en": "Career transition", "es": "Transición de carrera"}[language]
        for said in ("Ana Pérez Castillo", day, length, area, "> "):
            assert said in mail.text

    @pytest.mark.rule("REQ1", "REQ2", "REQ3")
    @about("request_received", "request_reminder", "request_past_due")
    def test_every_mail_to_the_mentor_can_accept_and_decline(
        self, message: str, number: int | None, language: str
    ) -> None:
        assert links_of(composed(message, number, language)) >= {"accept", "decline"}

    @pytest.mark.rule("REQ4")
    @about("request_unanswered")
    def test_unanswered_request_offers_to_wait_or_ask_another(
        self, message: str, number: int | None, language: str
    ) -> None:
        text = " ".join(composed(message, number, language).text.split())
        assert {"en": "Tuesday, March 28", "es": "martes 28 de marzo"}[language] in text
        assert "https://members.example.org/mentoring/directory" in text

    @pytest.mark.rule("REQ5")
    @about(*(kind for kind in DATES if kind not in AFTER_ACCEPTANCE))
    def test_address_is_hidden_outside_an_active_engagement(
        self, message: str, number: int | None, language: str
    ) -> None:
        address = {"email": "hidden@example.org"}
        assert "hidden@example.org" not in whole(composed(message, number, language, other=address))

    @pytest.mark.rule("REQ6", "REQ8", "MEM4")
    @about("request_declined", "request_expired", "mentor_unavailable", "request_canceled")
    def test_failed_request_points_the_mentee_to_the_directory(
        self, message: str, number: int | None, language: str
    ) -> None:
        directory = "https://members.example.org/mentoring/directory"
        mentee_reads = CATALOGUE[message].audience == "mentee"
        assert (directory in composed(message, number, language).text) is mentee_reads

    @pytest.mark.rule("REQ6")
    @about("declined_checkin", "request_past_due", "request_expired")
    def test_mentor_without_capacity_learns_of_the_hold(
        self, message: str, number: int | None, language: str
    ) -> None:
        if CATALOGUE[message].audience == "mentor":
            text = " ".join(composed(message, number, language).text.split())
            assert re.search(r"number of mentees at a time|número de mentees a la vez", text)
            assert "https://members.example.org/mentoring/profile" in text


class TestAnEngagement:
    @pytest.mark.rule("ENG1", "REQ5")
    @about(*AFTER_ACCEPTANCE)
    def test_match_mail_shows_the_others_name_and_address(
        self, message: str, number: int | None, language: str
    ) -> None:
        mail = composed(message, number, language)
        name, address = {
            "mentor": ("Ana Pérez Castillo", "ana@example.org"),
            "mentee": ("Marcus Oyelaran", "marcus@example.org"),
        }[CATALOGUE[message].audience]
        for part in (mail.text, parsed(mail.html).text()):
            assert name in part
            assert address in part
        assert f'href="mailto:{address}"' in mail.html

    @pytest.mark.rule("ENG2", "ENG4", "MAIL9")
    @about("discovery", "pulse")
    def test_question_is_one_button_that_names_no_answer(
        self, message: str, number: int | None, language: str
    ) -> None:
        document = parsed(composed(message, number, language).html)
        buttons = [one for one in document.walk() if one.tag == "td" and "button" in one.classes]
        assert len(buttons) == 1

    @pytest.mark.rule("ENG2", "ENG4")
    @pytest.mark.parametrize("language", LANGUAGES)
    @pytest.mark.parametrize(
        "message", ["mentor.discovery", "mentee.discovery", "mentor.pulse", "mentee.pulse"]
    )
    def test_repeated_question_uses_other_words(self, message: str, language: str) -> None:
        texts = [composed(message, number, language).text for number in (1, 2)]
        assert texts[0] != texts[1]
        assert composed(message, 3, language) == composed(message, 9, language)

    @pytest.mark.rule("ENG8")
    @about("match", "discovery", "pulse")
    def test_question_offers_a_confidential_channel(
        self, message: str, number: int | None, language: str
    ) -> None:
        assert "report" in links_of(composed(message, number, language))

    @pytest.mark.rule("ENG2", "ENG7")
    @about("ended")
    def test_end_mail_blames_nobody_and_names_the_directory(
        self, message: str, number: int | None, language: str
    ) -> None:
        ended = {"reason": "unresponsive", "by": "p-marcus", "outcome": "no_fit"}
        mail = composed(message, number, language, engagement=ended)
        assert mail == composed(message, number, language)
        assert re.search(r"nobody is to blame|nadie tiene la culpa", " ".join(mail.text.split()))
        directory = "https://members.example.org/mentoring/directory"
        assert (directory in mail.text) is (CATALOGUE[message].audience == "mentee")

    @pytest.mark.rule("ENG6")
    @about("canceled")
    def test_staff_cancel_sends_a_short_neutral_notice(
        self, message: str, number: int | None, language: str
    ) -> None:
        mail = composed(message, number, language, engagement={"reason": "moved"})
        assert "moved" not in whole(mail)
        assert links_of(mail) == {"feedback"}
        assert len(mail.text.split("\n\nWarm regards")[0].split("\n\nUn saludo")[0].split()) < 80

    @pytest.mark.rule("ENG7", "ENG9")
    @about("completed", "canceled")
    def test_credit_is_mentioned_only_if_the_program_gives_it(
        self, message: str, number: int | None, language: str
    ) -> None:
        context: dict[str, Any] = sample_context(message, number, language)
        without = {**context["program"]["terms"], "mentor_credits": 0, "mentee_credits": 0}
        assert "CPE" in composed(message, number, language).text
        assert "CPE" not in composed(message, number, language, program={"terms": without}).text

    @pytest.mark.rule("ENG1", "MAIL5")
    @about("match")
    def test_match_mail_has_one_task_with_a_day_and_one_link(
        self, message: str, number: int | None, language: str
    ) -> None:
        """The first block names the day; everything else is behind the link to the plan."""
        mail = composed(message, number, language)
        day = "March 28" if language == "en" else "28 de marzo"
        assert day in mail.text
        assert len(mail.text.split("\n-- \n")[0]) < 1_400
        assert "/resources/" not in mail.html
        assert links_of(mail) - {"feedback", "preferences"} == {"plan", "report"}

    @pytest.mark.rule("CPE3")
    @about("completed")
    def test_attached_certificate_can_be_checked_and_stands_for_no_credit(
        self, message: str, number: int | None, language: str
    ) -> None:
        context: dict[str, Any] = sample_context(message, number, language)
        link = {**context["links"], "verify": "https://mentoring.example.org/verify/4fJ2"}
        attached = {**context["engagement"], "certificate": True}
        mail = COMPOSER.compose(message, number, language, {**context, "links": link, "engagement": attached})
        assert link["verify"] in mail.text
        assert link["verify"] in mail.html
        assert "CPE" not in mail.text
        assert "/verify/" not in composed(message, number, language).text
