"""The notices to who signs up in a cohort program and cannot take part now."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rules import onboarding
from rules.acts import Act
from rules.agenda import Agenda, Refused
from rules.calendar import calendar_for
from rules.onboarding import OnboardingFacts
from rules.program import load_program

LAAC = load_program(Path(__file__).resolve().parents[3] / "programs" / "asis-laac.toml")
READER = calendar_for(LAAC.hours, "America/Bogota", "CO", None)
CREATED = datetime(2028, 3, 2, 16, tzinfo=UTC)
OUTSIDE = OnboardingFacts(
    "p-ana",
    "mentee",
    CREATED,
    cohort_program=True,
    outside_window=True,
    window_opens=datetime(2028, 4, 21, 6, tzinfo=UTC),
    window_closes=datetime(2028, 5, 7, 5, 59, tzinfo=UTC),
)

pytestmark = pytest.mark.rule("COH1")


def agenda(facts: OnboardingFacts) -> Agenda:
    return onboarding.agenda(facts, LAAC.onboarding, READER)


def changes(facts: OnboardingFacts) -> list[tuple[str, datetime, bool]]:
    return [(change.state, change.due, change.closes) for change in agenda(facts).state_changes]


def test_closed_window_is_one_mail_at_once_and_closes_by_it() -> None:
    (mail,) = agenda(OUTSIDE).mails
    assert (mail.message, mail.due, mail.to) == ("member.window_closed", CREATED, "p-ana")
    assert mail.context["opens_on"] == "2028-04-21"
    assert changes(OUTSIDE) == [("waiting", CREATED, False)]
    sent = onboarding.mail_decided(OUTSIDE, mail.step, CREATED + timedelta(minutes=1))
    assert changes(sent)[-1] == ("outside_window", CREATED + timedelta(minutes=1), True)


def test_day_of_the_opening_is_on_the_readers_clock() -> None:
    """Midnight in Mexico City is the afternoon of the same day in Tokyo, and the day before in Honolulu."""
    for zone, country, day in (("Asia/Tokyo", "JP", "2028-04-21"), ("Pacific/Honolulu", "US", "2028-04-20")):
        reader = calendar_for(LAAC.hours, zone, country, None)
        (mail,) = onboarding.agenda(OUTSIDE, LAAC.onboarding, reader).mails
        assert mail.context["opens_on"] == day


def test_unknown_next_window_leaves_the_dates_out() -> None:
    (mail,) = agenda(replace(OUTSIDE, window_opens=None, window_closes=None)).mails
    assert mail.context == {}


@pytest.mark.rule("T9", "T10")
def test_late_or_past_sign_up_is_mailed_when_heard_of_or_never() -> None:
    heard = CREATED + timedelta(days=3)
    (mail,) = agenda(replace(OUTSIDE, heard_at=heard)).mails
    assert mail.due == heard
    past = replace(OUTSIDE, taken_over_at=heard)
    assert agenda(past).mails == ()
    assert changes(past)[-1] == ("outside_window", CREATED, True)


@pytest.mark.rule("MEM1")
def test_lapsed_member_is_notified_and_closes_when_standing_returns() -> None:
    lapsed = replace(OUTSIDE, outside_window=False, blocked=True)
    (mail,) = agenda(lapsed).mails
    assert mail.message == "member.standing_lapsed"
    assert [task.kind for task in agenda(lapsed).tasks] == ["member_lapsed"]
    assert changes(lapsed)[-1][0::2] == ("lapsed", True)
    back = onboarding.standing_changed(lapsed, True, CREATED + timedelta(days=5))
    assert changes(back)[-1] == ("registered", CREATED + timedelta(days=5), True)


@pytest.mark.rule("MEM1")
def test_lapsed_sign_up_outside_the_window_gets_both_notices() -> None:
    both = replace(OUTSIDE, blocked=True)
    assert {mail.message for mail in agenda(both).mails} == {"member.standing_lapsed", "member.window_closed"}
    back = onboarding.standing_changed(both, True, CREATED + timedelta(days=5))
    assert changes(back)[-1][0] == "outside_window"


@pytest.mark.rule("ONB5", "ONB6")
def test_staff_and_a_withdrawal_end_it_and_there_is_nothing_to_extend() -> None:
    now = CREATED + timedelta(seconds=1)
    for name, state in (("cancel", "canceled"), ("withdrawn", "withdrawn")):
        ended = onboarding.apply(OUTSIDE, Act(name, name, "lina", at=now), now)
        assert agenda(ended).mails == ()
        assert changes(ended)[-1] == (state, now, True)
    with pytest.raises(Refused, match="no check-ins to extend"):
        onboarding.extend(OUTSIDE, 1, now)
