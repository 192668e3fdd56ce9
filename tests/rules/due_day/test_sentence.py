"""How the day of each message is explained to staff."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from rules import engagement as rules_of_engagement
from rules import onboarding, request
from rules.calendar import calendar_for
from rules.due_day import DERIVATIONS, Case, derive, sentence
from rules.due_day.counting import CalendarOwner
from rules.engagement import EngagementFacts
from rules.messages import CATALOGUE
from rules.onboarding import OnboardingFacts
from rules.pauses import Pause
from rules.program import load_program, program_calendar
from rules.request import RequestFacts
from rules.survey import SurveyFacts
from tests.support.cli import BUNDLED

PROGRAM = load_program(BUNDLED)
NEW_YORK = "America/New_York"


def at(text: str, zone: str = NEW_YORK) -> datetime:
    """An instant on the clock of a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def reader(name: str = "Jo", zone: str = NEW_YORK, country: str = "US") -> CalendarOwner:
    """A person with the calendar of a country."""
    return CalendarOwner(name, calendar_for(PROGRAM.hours, zone, country, None))


def explained(
    message: str, facts: Any, due: datetime | None, number: int | None = None, **who: CalendarOwner
) -> str:
    """The sentence about one message."""
    recipient = who.get("recipient", reader())
    case = Case(
        message,
        facts,
        PROGRAM,
        program_calendar(PROGRAM),
        recipient,
        who.get("acting", recipient),
        due,
        number,
    )
    return sentence(case, derive(case))


def test_every_message_has_a_derivation() -> None:
    assert set(DERIVATIONS) == set(CATALOGUE)


MENTEE = OnboardingFacts("p-jo", "mentee", at("2026-11-30T10:00"))


@pytest.mark.rule("MAIL1", "ONB2", "T4")
@pytest.mark.parametrize(
    ("number", "due", "words"),
    [
        (1, "2026-12-07T09:00", "ONB2: 0 days after 7 December is Mon 7 December"),
        (
            4,
            "2027-01-19T09:00",
            "ONB2: 42 days after 7 December is Mon 18 January, a holiday for Jo (US), so Tue 19",
        ),
    ],
)
def test_a_check_in_names_rule_arithmetic_and_holiday(number: int, due: str, words: str) -> None:
    assert explained("mentee.checkin", MENTEE, at(due), number) == words


@pytest.mark.rule("MAIL1", "ONB5")
def test_an_added_check_in_counts_from_the_anchor() -> None:
    words = explained("mentee.checkin", MENTEE, at("2027-02-01T09:00"), 5)
    assert words == "ONB5: 56 days after 7 December is Mon 1 February"


@pytest.mark.rule("MAIL1", "T1", "T4")
def test_a_weekend_and_the_holiday_behind_it_are_both_named() -> None:
    """26 December 2026 is a Saturday; in London Monday 28 is the substitute for Boxing Day."""
    who = reader("Amy", "Europe/London", "GB")
    facts = replace(MENTEE, created_at=at("2026-11-21T10:00", "Europe/London"))
    due = at("2026-12-29T09:00", "Europe/London")
    words = explained("mentee.checkin", facts, due, 3, recipient=who)
    assert words == (
        "ONB2: 28 days after 28 November is Sat 26 December, a holiday for Amy (GB), "
        "and Mon 28 a holiday for Amy (GB), so Tue 29"
    )


@pytest.mark.rule("MAIL1", "ONB5")
def test_paused_days_are_counted_in_the_sentence() -> None:
    pauses = [Pause(at("2026-12-10T12:00"), at("2026-12-15T12:00"))]
    facts = replace(MENTEE, pauses=pauses)
    agenda = onboarding.agenda(facts, PROGRAM.onboarding, reader().calendar)
    due = agenda.mails[1].due
    assert due == at("2026-12-28T09:00")
    words = explained("mentee.checkin", facts, due, 2)
    assert words == (
        "ONB2: 14 days after 7 December is Mon 21 December, moved by 5 paused days to Sat 26 December, "
        "a weekend day for Jo (US), so Mon 28"
    )


@pytest.mark.rule("MAIL1", "T9")
def test_a_sign_up_heard_of_late_counts_from_the_hearing() -> None:
    facts = replace(MENTEE, heard_at=at("2026-12-20T10:00"))
    planned = onboarding.agenda(facts, PROGRAM.onboarding, reader().calendar).mails
    assert explained("mentee.checkin", facts, planned[0].due, 1) == (
        "ONB2: 0 days after 20 December is Sun 20 December, a weekend day for Jo (US), so Mon 21"
    )
    mentor = replace(facts, role="mentor")
    (welcome,) = onboarding.agenda(mentor, PROGRAM.onboarding, reader().calendar).mails
    assert explained("mentor.welcome", mentor, welcome.due) == (
        "T9: the day on which the profile was heard of is Sun 20 December, a weekend day for Jo (US), so Mon 21"
    )


@pytest.mark.rule("MAIL1", "T9")
def test_a_request_heard_of_late_counts_from_the_hearing() -> None:
    facts = replace(
        RequestFacts("r-1", "p-ana", "p-jo", at("2026-12-03T10:00")), heard_at=at("2026-12-08T10:00")
    )
    due = at("2026-12-10T17:00")
    words = explained("mentor.request_past_due", facts, due)
    assert words == "REQ3: 2 business days after 8 December is Thu 10 December, 17:00"


@pytest.mark.rule("MAIL1", "ONB5")
def test_held_mail_says_that_it_is_held() -> None:
    words = explained("mentee.checkin", MENTEE, None, 4)
    assert words == "ONB2: 42 days after 7 December is Mon 18 January; held until it is resumed"


@pytest.mark.rule("MAIL1", "REQ1", "REQ2", "REQ3")
def test_a_deadline_names_the_holidays_among_its_business_days() -> None:
    """26 November 2026 is Thanksgiving."""
    facts = RequestFacts("r-1", "p-ana", "p-jo", at("2026-11-24T10:00"))
    calendar = reader().calendar
    course = request.agenda(facts, PROGRAM.request, calendar, calendar)
    planned = {mail.message: mail.due for mail in course.mails}
    past_due = planned["mentor.request_past_due"]
    words = explained("mentor.request_past_due", facts, past_due)
    assert words == (
        "REQ3: 2 business days after 24 November is Fri 27 November, 17:00 "
        "(Thu 26 November is no business day for Jo (US))"
    )
    assert explained("mentor.request_reminder", facts, planned["mentor.request_reminder"]) == (
        "REQ2: 2 business days after 24 November is Fri 27 November "
        "(Thu 26 November is no business day for Jo (US))"
    )
    received = explained("mentor.request_received", facts, facts.created_at)
    assert received == "REQ1: at once, when the mentee asked"


@pytest.mark.rule("MAIL1", "REQ4", "T4")
def test_a_mentees_send_time_after_a_mentors_deadline_is_said() -> None:
    facts = RequestFacts("r-1", "p-ana", "p-jo", at("2026-12-07T10:00"))
    ana = reader("Ana", "America/Bogota", "CO")
    due = at("2026-12-11T09:00", "America/Bogota")
    words = explained("mentee.request_unanswered", facts, due, recipient=ana, acting=reader())
    assert words == (
        "REQ4: 3 business days after 7 December is Thu 10 December, 17:00, so Fri 11 December, 09:00 for Ana (CO)"
    )


@pytest.mark.rule("MAIL1", "ENG2", "ENG4", "ENG5", "T3")
def test_mail_of_an_engagement_counts_from_its_first_and_last_day() -> None:
    facts = EngagementFacts("r-1", "p-ana", "p-jo", at("2026-12-31T12:00"))
    calendar = reader().calendar
    planned = {
        (mail.message, mail.number): mail.due
        for mail in rules_of_engagement.agenda(
            facts, PROGRAM.engagement, program_calendar(PROGRAM), calendar, calendar
        ).mails
    }
    for message, number, words in (
        ("mentor.discovery", 1, "ENG2: 14 days after 31 December is Thu 14 January"),
        ("mentor.pulse", 1, "ENG4: 2 months after 31 December is Sun 28 February"),
        ("mentor.wrap_up", None, "ENG5: 14 days before 30 June is Wed 16 June"),
    ):
        assert explained(message, facts, planned[message, number], number).startswith(words)
    assert explained("mentor.match", facts, facts.started_at) == (
        "ENG1: at once, when the mentor accepted the request"
    )


@pytest.mark.rule("MAIL1", "SUR2")
def test_a_reminder_of_a_survey_counts_from_the_end() -> None:
    facts = SurveyFacts("r-1", "mentor", "p-jo", at("2026-12-07T17:00"))
    words = explained("mentor.survey", facts, at("2026-12-14T09:00"), 2)
    assert words == "SUR2: 7 days after 7 December is Mon 14 December"


def test_a_day_off_has_one_reason() -> None:
    calendar = reader().calendar
    assert calendar.day_off(date(2027, 1, 18)) == "holiday"
    assert calendar.day_off(date(2027, 1, 16)) == "weekend"
    assert calendar.day_off(date(2027, 1, 19)) == ""
