"""Late events and take-overs by the pure rules: odd dates by hand (T9, T10)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from rules import engagement, onboarding, request
from rules.acts import Act
from rules.agenda import Agenda
from rules.calendar import Calendar, calendar_for
from rules.engagement import EngagementFacts
from rules.onboarding import OnboardingFacts
from rules.program import load_program
from rules.request import RequestFacts

PROGRAM = load_program(Path("programs/asis-global.toml"))
NEW_YORK = calendar_for(PROGRAM.hours, "America/New_York", "US", None)
BERLIN = calendar_for(PROGRAM.hours, "Europe/Berlin", "DE", "BE")
RIYADH = calendar_for(PROGRAM.hours, "Asia/Riyadh", "SA", None)


def at(text: str, calendar: Calendar = NEW_YORK) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(calendar.zone)).astimezone(UTC)


def check_ins(created: str, heard: str, calendar: Calendar = NEW_YORK) -> list[str]:
    facts = OnboardingFacts("p-1", "mentee", at(created, calendar), heard_at=at(heard, calendar))
    course = onboarding.agenda(facts, PROGRAM.onboarding, calendar)
    assert course.state_changes[0].due == at(created, calendar)
    dues = [mail.due for mail in course.mails]
    return [calendar.local(due).strftime("%m-%dT%H:%M") for due in dues if due]


@pytest.mark.rule("T9", "T4", "ONB2")
@pytest.mark.parametrize(
    ("created", "heard", "dues"),
    [
        ("2028-03-06T10:00", "2028-03-08T10:00", ["03-13T09:00", "03-27T09:00", "04-10T09:00"]),
        ("2028-03-06T10:00", "2028-03-13T08:59", ["03-13T09:00", "03-27T09:00", "04-10T09:00"]),
        ("2028-03-06T10:00", "2028-03-13T09:01", ["03-14T09:00", "03-27T09:00", "04-10T09:00"]),
        ("2028-03-06T10:00", "2028-03-14T00:00", ["03-14T09:00", "03-28T09:00", "04-11T09:00"]),
        ("2028-01-10T10:00", "2028-02-29T08:00", ["02-29T09:00", "03-14T09:00", "03-28T09:00"]),
        ("2028-01-10T10:00", "2028-01-31T12:00", ["02-01T09:00", "02-14T09:00", "02-28T09:00"]),
        ("2028-03-04T10:00", "2028-03-12T10:00", ["03-13T09:00", "03-27T09:00", "04-10T09:00"]),
        ("2028-06-20T10:00", "2028-07-04T10:00", ["07-05T09:00", "07-18T09:00", "08-01T09:00"]),
        ("2028-03-04T10:00", "2028-03-18T10:00", ["03-20T09:00", "04-03T09:00", "04-17T09:00"]),
    ],
    ids=[
        "before the first mail",
        "a minute before it",
        "a minute after it, on its day",
        "the midnight after it",
        "leap day",
        "month's end",
        "day of the clock change, a Sunday; the first mail moved to Monday",
        "a holiday",
        "a Saturday",
    ],
)
def test_late_onboarding_counts_from_its_own_day_or_the_hearing(
    created: str, heard: str, dues: list[str]
) -> None:
    found = check_ins(created, heard)
    assert found[:3] == dues
    assert len(found) == 4


@pytest.mark.rule("T9", "ONB5")
def test_late_onboarding_moves_by_a_pause_like_any_other() -> None:
    facts = OnboardingFacts("p-1", "mentee", at("2028-01-10T10:00"), heard_at=at("2028-03-06T08:00"))
    facts = onboarding.pause(facts, "staff", at("2028-03-07T10:00"))
    facts = onboarding.resume(facts, "staff", at("2028-03-14T10:00"))
    dues = [mail.due for mail in onboarding.agenda(facts, PROGRAM.onboarding, NEW_YORK).mails]
    assert dues[:2] == [at("2028-03-06T09:00"), at("2028-03-27T09:00")]


@pytest.mark.rule("T9", "ONB5")
def test_late_onboarding_can_be_extended() -> None:
    facts = OnboardingFacts("p-1", "mentee", at("2028-01-10T10:00"), heard_at=at("2028-03-06T08:00"))
    facts = onboarding.extend(facts, 1, at("2028-03-07T10:00"))
    dues = [mail.due for mail in onboarding.agenda(facts, PROGRAM.onboarding, NEW_YORK).mails]
    assert dues[-1] == at("2028-05-01T09:00")


@pytest.mark.rule("T9", "ONB1")
def test_late_mentor_is_welcomed_on_the_next_business_morning() -> None:
    facts = OnboardingFacts("p-1", "mentor", at("2028-01-10T10:00"), heard_at=at("2028-03-03T12:00"))
    (welcome,) = onboarding.agenda(facts, PROGRAM.onboarding, NEW_YORK).mails
    assert welcome.due == at("2028-03-06T09:00")


@pytest.mark.rule("T9", "MEM1")
def test_late_sign_up_while_lapsed_has_sixty_days_from_the_mail() -> None:
    heard = at("2028-03-06T12:00")
    facts = OnboardingFacts("p-1", "mentee", at("2028-01-10T10:00"), blocked=True, heard_at=heard)
    course = onboarding.agenda(facts, PROGRAM.onboarding, NEW_YORK)
    assert [mail.due for mail in course.mails] == [heard]
    assert course.mails[0].context == {"closes": "2028-05-05"}
    assert course.state_changes[-1].due == at("2028-05-05T12:00")


def course_of(created: str, heard: str, calendar: Calendar, mentee: Calendar = NEW_YORK) -> Agenda:
    facts = RequestFacts("r-1", "p-mentee", "p-mentor", at(created, calendar), heard_at=at(heard, calendar))
    return request.agenda(facts, PROGRAM.request, calendar, mentee)


@pytest.mark.rule("T1", "T2", "T9", "REQ2", "REQ8")
@pytest.mark.parametrize(
    ("heard", "calendar", "due"),
    [
        ("2028-03-10T16:59", NEW_YORK, "2028-03-14T17:00"),
        ("2028-03-11T10:00", NEW_YORK, "2028-03-14T17:00"),
        ("2028-02-28T23:59", NEW_YORK, "2028-03-01T17:00"),
        ("2028-02-29T00:00", NEW_YORK, "2028-03-02T17:00"),
        ("2028-07-12T10:00", RIYADH, "2028-07-16T17:00"),
        ("2028-03-24T10:00", BERLIN, "2028-03-28T17:00"),
    ],
    ids=["Friday", "Saturday", "before midnight", "leap day", "eastern week", "clock change"],
)
def test_deadlines_of_a_late_request_count_from_the_hearing(heard: str, calendar: Calendar, due: str) -> None:
    course = course_of("2028-02-01T09:00", heard, calendar)
    assert course.state_changes[0].due == at("2028-02-01T09:00", calendar)
    assert course.state_changes[1].due == at(due, calendar)
    assert all(mail.due is None or mail.due >= at(heard, calendar) for mail in course.mails)


@pytest.mark.rule("T9", "ENG1", "ENG2", "ENG4")
def test_late_acceptance_asks_nothing_twice_and_no_month_that_is_over() -> None:
    """It is heard of 75 days later: the first question is asked next morning, the second in two weeks."""
    started, heard = at("2028-01-31T10:00"), at("2028-04-15T10:00")
    facts = EngagementFacts("r-1", "p-mentee", "p-mentor", started, heard_at=heard)
    course = engagement.agenda(facts, PROGRAM.engagement, NEW_YORK, NEW_YORK, NEW_YORK)
    due = {mail.key: mail.due for mail in course.mails if mail.to == "p-mentee"}
    assert due["mentee.match/1"] == heard
    assert due["mentee.discovery/1"] == at("2028-04-17T09:00")
    assert due["mentee.discovery/2"] == at("2028-05-01T09:00")
    assert "mentee.pulse/1" not in due
    assert due["mentee.pulse/2"] == at("2028-05-01T09:00")
    assert course.state_changes[0].due == started


@pytest.mark.rule("T10")
def test_history_keeps_dates_and_drops_what_was_due_before() -> None:
    taken_over = at("2028-03-10T12:00")
    facts = RequestFacts(
        "r-1", "p-mentee", "p-mentor", at("2028-03-06T10:00"), heard_at=taken_over, taken_over_at=taken_over
    )
    course = request.agenda(facts, PROGRAM.request, NEW_YORK, NEW_YORK)
    assert [(turn.state, turn.due) for turn in course.state_changes] == [
        ("open", at("2028-03-06T10:00")),
        ("past_due", at("2028-03-08T17:00")),
        ("expired", at("2028-03-20T17:00")),
    ]
    assert {mail.message for mail in course.mails} == {"mentor.request_expired", "mentee.request_expired"}
    assert course.tasks == ()


@pytest.mark.rule("T10", "REQ5")
def test_act_of_history_counts_in_the_state_of_its_own_time() -> None:
    taken_over = at("2028-11-06T12:00")
    facts = RequestFacts(
        "r-1", "p-mentee", "p-mentor", at("2028-05-02T10:00"), heard_at=taken_over, taken_over_at=taken_over
    )
    told = Act("a", "accept", "mentor", at=at("2028-05-04T10:00"), heard_at=taken_over, history=True)
    accepted = request.apply(facts, told, taken_over + timedelta(seconds=1), PROGRAM.request, NEW_YORK)
    assert accepted.ended is not None
    assert (accepted.ended.state, accepted.ended.at) == ("accepted", at("2028-05-04T10:00"))
