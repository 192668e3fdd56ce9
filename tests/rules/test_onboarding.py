"""The first weeks of a mentor or mentee: odd dates by hand, then every order of acts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import TypeAdapter
from temporalio.converter import DefaultPayloadConverter

from rules import acts
from rules.agenda import Agenda, Ended, Refused
from rules.calendar import Calendar, calendar_for
from rules.onboarding import (
    OnboardingFacts,
    agenda,
    end,
    extend,
    mail_decided,
    mentor_is_qualified,
    pause,
    resume,
    standing_changed,
)
from rules.onboarding.acts import apply, match_began, match_ended
from rules.pauses import Pause
from rules.program import load_program
from tests.support.limits import examples
from tests.support.model.reference_ledger import ReferenceLedger

PROGRAM = load_program(Path("programs/asis-global.toml"))
POLICY = PROGRAM.onboarding
NEW_YORK = calendar_for(PROGRAM.hours, "America/New_York", "US", None)
BOGOTA = calendar_for(PROGRAM.hours, "America/Bogota", "CO", None)
AUCKLAND = calendar_for(PROGRAM.hours, "Pacific/Auckland", "NZ", None)
TOKYO = calendar_for(PROGRAM.hours, "Asia/Tokyo", "JP", None)
CAIRO = calendar_for(PROGRAM.hours, "Africa/Cairo", "US", None)
EARLY_CAIRO = calendar_for(replace(PROGRAM.hours, send_time=time(0, 30)), "Africa/Cairo", "US", None)
CALENDARS = (NEW_YORK, BOGOTA, AUCKLAND, TOKYO, CAIRO, EARLY_CAIRO)


def at(text: str, calendar: Calendar = NEW_YORK) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(calendar.zone)).astimezone(UTC)


def mentee(text: str = "2028-03-06T10:00", calendar: Calendar = NEW_YORK) -> OnboardingFacts:
    return OnboardingFacts("p-1", "mentee", at(text, calendar))


def mentor(text: str = "2028-03-06T10:00", calendar: Calendar = NEW_YORK) -> OnboardingFacts:
    return OnboardingFacts("p-1", "mentor", at(text, calendar))


def planned(facts: OnboardingFacts, calendar: Calendar = NEW_YORK) -> Agenda:
    return agenda(facts, POLICY, calendar)


def local_dues(facts: OnboardingFacts, calendar: Calendar = NEW_YORK) -> list[str]:
    """The local times of an onboarding's welcome or check-ins, `held` for those that wait for a resume."""
    return [
        f"{calendar.local(mail.due):%Y-%m-%dT%H:%M}" if mail.due else "held"
        for mail in planned(facts, calendar).mails
        if mail.step != "standing"
    ]


def turns(facts: OnboardingFacts, calendar: Calendar = NEW_YORK) -> list[tuple[str, str]]:
    course = sorted(planned(facts, calendar).state_changes, key=lambda turn: turn.due)
    return [(turn.state, f"{calendar.local(turn.due):%Y-%m-%dT%H:%M}") for turn in course]


def tasks(facts: OnboardingFacts, calendar: Calendar = NEW_YORK) -> list[tuple[str, str]]:
    return [
        (task.kind, f"{calendar.local(task.due):%Y-%m-%dT%H:%M}") for task in planned(facts, calendar).tasks
    ]


def paused(
    facts: OnboardingFacts, since: str, until: str = "", cause: str = "staff", calendar: Calendar = NEW_YORK
) -> OnboardingFacts:
    facts = pause(facts, cause, at(since, calendar))
    return resume(facts, cause, at(until, calendar)) if until else facts


NINE = "T09:00"
USUAL = ["2028-03-13T09:00", "2028-03-27T09:00", "2028-04-10T09:00", "2028-04-24T09:00"]


# --- ONB1, ONB2: the usual course, and odd days to begin on


@pytest.mark.rule("ONB1", "T4")
def test_mentor_gets_one_welcome_a_week_after_the_profile() -> None:
    (welcome,) = planned(mentor()).mails
    assert (welcome.key, welcome.message, welcome.to) == ("welcome/1", "mentor.welcome", "p-1")
    assert welcome.due == at("2028-03-13T09:00")
    assert turns(mentor()) == [("waiting", "2028-03-06T10:00")]
    assert tasks(mentor()) == []


@pytest.mark.rule("ONB2", "ONB4", "T4", "T5")
def test_mentee_gets_four_check_ins_and_closes_unmatched() -> None:
    """The check-ins go out over six weeks; the onboarding closes two weeks after the last."""
    course = planned(mentee())
    assert [(mail.key, mail.message, mail.number, mail.to) for mail in course.mails] == [
        (f"check-in/{number}", "mentee.checkin", number, "p-1") for number in (1, 2, 3, 4)
    ]
    assert local_dues(mentee()) == USUAL
    assert turns(mentee()) == [("waiting", "2028-03-06T10:00"), ("unmatched", "2028-05-08T09:00")]
    assert [turn.closes for turn in course.state_changes] == [False, True]
    assert tasks(mentee()) == [("mentee_unmatched", "2028-05-08T09:00")]


@pytest.mark.rule("ONB1", "ONB2", "T3", "T4")
@pytest.mark.parametrize(
    ("created", "calendar", "first"),
    [
        ("2028-03-06T00:00", NEW_YORK, "2028-03-13"),
        ("2028-03-06T23:59:59.999999", NEW_YORK, "2028-03-13"),
        ("2028-03-07T00:00", NEW_YORK, "2028-03-14"),
        ("2028-03-06T23:59:59", AUCKLAND, "2028-03-13"),
        ("2028-03-07T00:00", AUCKLAND, "2028-03-14"),
        ("2028-02-22T12:00", NEW_YORK, "2028-02-29"),
        ("2028-02-29T12:00", NEW_YORK, "2028-03-07"),
        ("2029-02-22T12:00", NEW_YORK, "2029-03-01"),
        ("2028-03-04T12:00", NEW_YORK, "2028-03-13"),
        ("2028-03-05T12:00", NEW_YORK, "2028-03-13"),
        ("2028-05-22T12:00", NEW_YORK, "2028-05-30"),
        ("2028-03-13T12:00", BOGOTA, "2028-03-21"),
        ("2028-03-13T12:00", NEW_YORK, "2028-03-20"),
        ("2027-12-25T12:00", NEW_YORK, "2028-01-03"),
        ("2028-04-22T12:00", TOKYO, "2028-05-01"),
        ("2028-04-26T12:00", TOKYO, "2028-05-08"),
        ("2028-03-08T02:30", NEW_YORK, "2028-03-15"),
        ("2028-04-28T00:30", CAIRO, "2028-05-05"),
    ],
    ids=[
        "the first instant of a day",
        "the last instant of a day",
        "the midnight after",
        "late on the other side of the date line",
        "past midnight on the other side of the date line",
        "a week before the leap day",
        "on the leap day",
        "the same in a year without one",
        "the week ends on a Saturday",
        "the week ends on a Sunday",
        "on Memorial Day",
        "on a Monday that is a holiday where the member lives",
        "the same day where it is none",
        "on New Year's Day, a Saturday",
        "between two holidays of Golden Week",
        "at the start of three holidays and a weekend",
        "before the clocks go forward",
        "in the hour that a clock change leaves out",
    ],
)
def test_first_mail_is_seven_local_days_after_creation(created: str, calendar: Calendar, first: str) -> None:
    """It moves to a business day."""
    assert local_dues(mentor(created, calendar), calendar) == [first + NINE]
    assert local_dues(mentee(created, calendar), calendar)[0] == first + NINE


@pytest.mark.rule("ONB2", "T4")
def test_holiday_moves_only_its_own_check_in() -> None:
    assert local_dues(mentee("2028-03-13T12:00", BOGOTA), BOGOTA) == [
        "2028-03-21T09:00",
        "2028-04-03T09:00",
        "2028-04-17T09:00",
        "2028-05-02T09:00",
    ]
    assert turns(mentee("2028-03-13T12:00", BOGOTA), BOGOTA)[-1] == ("unmatched", "2028-05-16T09:00")


@pytest.mark.rule("ONB2", "T5")
@pytest.mark.parametrize(
    ("created", "calendar", "offsets"),
    [
        ("2028-03-06T10:00", NEW_YORK, [-4, -4, -4, -4]),
        ("2028-02-28T10:00", NEW_YORK, [-5, -4, -4, -4]),
        ("2028-10-16T10:00", NEW_YORK, [-4, -5, -5, -5]),
        ("2028-03-13T10:00", AUCKLAND, [13, 12, 12, 12]),
        ("2028-03-13T10:00", BOGOTA, [-5, -5, -5, -5]),
    ],
    ids=["spring before the first", "spring between", "autumn between", "southern autumn", "none"],
)
def test_check_in_is_at_nine_on_the_clock_of_its_day(
    created: str, calendar: Calendar, offsets: list[int]
) -> None:
    dues = [mail.due for mail in planned(mentee(created, calendar), calendar).mails if mail.due]
    assert [
        (9 - due.hour) % 24 - (24 if hours < 0 else 0) for due, hours in zip(dues, offsets, strict=True)
    ] == (offsets)


@pytest.mark.rule("T5")
def test_skipped_send_time_is_the_first_minute_after_the_gap() -> None:
    assert local_dues(mentor("2028-04-21T12:00", EARLY_CAIRO), EARLY_CAIRO) == ["2028-04-28T01:00"]
    assert local_dues(mentor("2028-04-24T12:00", EARLY_CAIRO), EARLY_CAIRO) == ["2028-05-01T00:30"]


@pytest.mark.rule("T5")
def test_repeated_send_time_is_the_first_of_the_two() -> None:
    late = calendar_for(
        replace(PROGRAM.hours, send_time=time(1, 30), working_week=frozenset(range(7))),
        "America/New_York",
        "US",
        None,
    )
    (welcome,) = planned(mentor("2028-10-29T12:00"), late).mails
    assert welcome.due == datetime(2028, 11, 5, 5, 30, tzinfo=UTC)


@pytest.mark.rule("T8")
@pytest.mark.parametrize("role", ["mentor", "mentee"])
def test_creation_without_a_zone_is_an_error(role: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        planned(OnboardingFacts("p-1", role, datetime(2028, 3, 6, 10)))  # noqa: DTZ001


@pytest.mark.rule("ONB1", "ONB2")
def test_first_decision_activates_a_mentee_and_completes_a_mentor() -> None:
    nine = at("2028-03-13T09:00")
    assert turns(mail_decided(mentee(), "check-in", nine))[:2] == [
        ("waiting", "2028-03-06T10:00"),
        ("active", "2028-03-13T09:00"),
    ]
    welcomed = planned(mail_decided(mentor(), "welcome", nine))
    assert (welcomed.state_changes[-1].state, welcomed.state_changes[-1].closes) == ("welcomed", True)
    later = mail_decided(mail_decided(mentee(), "check-in", nine), "check-in", at("2028-03-27T09:00"))
    assert later.first_decided_at == nine
    assert mail_decided(mentee(), "standing", nine) == mentee()


# --- MEM1: sign-up while lapsed


def lapsed(role: str = "mentee") -> OnboardingFacts:
    return OnboardingFacts("p-1", role, at("2028-03-06T10:00"), blocked=True)


@pytest.mark.rule("MEM1")
@pytest.mark.parametrize("role", ["mentor", "mentee"])
def test_lapsed_member_gets_one_notice_and_staff_one_task(role: str) -> None:
    course = planned(lapsed(role))
    assert [(mail.message, mail.due) for mail in course.mails] == [
        ("member.standing_lapsed", at("2028-03-06T10:00"))
    ]
    assert turns(lapsed(role)) == [("blocked", "2028-03-06T10:00"), ("lapsed", "2028-05-05T10:00")]
    assert course.state_changes[-1].closes
    assert tasks(lapsed(role)) == [("member_lapsed", "2028-03-06T10:00")]


@pytest.mark.rule("MEM1", "ONB2")
def test_standing_back_on_the_last_day_starts_the_onboarding() -> None:
    facts = standing_changed(lapsed(), True, at("2028-05-04T23:30"))
    assert local_dues(facts) == [
        "2028-05-11T09:00",
        "2028-05-25T09:00",
        "2028-06-08T09:00",
        "2028-06-22T09:00",
    ]
    assert turns(facts) == [
        ("blocked", "2028-03-06T10:00"),
        ("waiting", "2028-05-04T23:30"),
        ("unmatched", "2028-07-06T09:00"),
    ]
    assert [mail.key for mail in planned(facts).mails].count("standing/1") == 1
    assert [kind for kind, _ in tasks(facts)] == ["mentee_unmatched"]


@pytest.mark.rule("MEM1", "T3")
def test_sixty_days_keep_the_local_time_across_a_dst_change() -> None:
    facts = OnboardingFacts("p-1", "mentee", at("2028-09-15T10:00"), blocked=True)
    assert turns(facts)[-1] == ("lapsed", "2028-11-14T10:00")


@pytest.mark.rule("MEM1", "ONB1")
def test_renewed_mentor_is_welcomed_seven_days_later() -> None:
    facts = standing_changed(lapsed("mentor"), True, at("2028-03-20T12:00"))
    assert local_dues(facts) == ["2028-03-27T09:00"]


@pytest.mark.rule("MEM1", "MEM2")
def test_repeated_lapse_pauses_only_after_good_standing() -> None:
    assert standing_changed(lapsed(), False, at("2028-03-07T10:00")) == lapsed()
    facts = standing_changed(lapsed(), True, at("2028-03-20T12:00"))
    facts = standing_changed(facts, False, at("2028-03-21T12:00"))
    assert local_dues(facts) == ["held"] * 4
    assert planned(facts).state_at(at("2028-03-22T00:00")) == "paused"


@pytest.mark.rule("MEM1", "ONB5")
def test_pause_before_the_return_moves_only_later_mail() -> None:
    facts = paused(lapsed(), "2028-03-10T12:00", "2028-03-25T12:00")
    facts = standing_changed(facts, True, at("2028-03-20T12:00"))
    assert local_dues(facts)[0] == "2028-04-03T09:00"
    long_over = paused(lapsed(), "2028-03-10T12:00", "2028-03-15T12:00")
    assert local_dues(standing_changed(long_over, True, at("2028-03-20T12:00")))[0] == "2028-03-27T09:00"


# --- MEM2: standing lost in the middle


@pytest.mark.rule("MEM2")
def test_lost_standing_holds_mail_and_moves_it_by_the_days_lost() -> None:
    facts = standing_changed(mentee(), False, at("2028-03-20T12:00"))
    assert local_dues(facts) == ["held"] * 4
    assert turns(facts)[-1] == ("paused", "2028-03-20T12:00")
    facts = standing_changed(facts, True, at("2028-04-03T12:00"))
    assert local_dues(facts) == [USUAL[0], "2028-04-10T09:00", "2028-04-24T09:00", "2028-05-08T09:00"]
    assert turns(facts)[-1] == ("unmatched", "2028-05-22T09:00")


@pytest.mark.rule("MEM2")
def test_repeated_standing_event_counts_once() -> None:
    facts = standing_changed(mentee(), False, at("2028-03-20T12:00"))
    assert standing_changed(facts, False, at("2028-03-22T12:00")) == facts
    back = standing_changed(facts, True, at("2028-04-03T12:00"))
    assert standing_changed(back, True, at("2028-04-05T12:00")) == back
    assert standing_changed(mentee(), True, at("2028-03-20T12:00")) == mentee()


@pytest.mark.rule("MEM2", "ONB5")
@pytest.mark.parametrize(
    "order",
    [
        [("staff", "2028-03-20", "2028-04-03"), ("standing", "2028-03-27", "2028-04-10")],
        [("standing", "2028-03-20", "2028-04-03"), ("staff", "2028-03-27", "2028-04-10")],
        [("staff", "2028-03-20", "2028-04-10"), ("standing", "2028-03-27", "2028-04-03")],
        [("staff", "2028-03-20", "2028-04-03"), ("standing", "2028-04-03", "2028-04-10")],
    ],
    ids=["staff first", "standing first", "one within the other", "one right after the other"],
)
def test_overlapping_pauses_move_mail_once(order: list[tuple[str, str, str]]) -> None:
    facts = mentee()
    for cause, since, until in order:
        facts = paused(facts, f"{since}T12:00", f"{until}T12:00", cause)
    assert local_dues(facts) == [USUAL[0], "2028-04-17T09:00", "2028-05-01T09:00", "2028-05-15T09:00"]
    assert [state for state, _ in turns(facts)] == ["waiting", "paused", "waiting", "unmatched"]


@pytest.mark.rule("MEM2", "ONB5")
def test_overlapping_pauses_end_with_the_later_one() -> None:
    facts = paused(mentee(), "2028-03-20T12:00")
    facts = standing_changed(facts, False, at("2028-03-21T12:00"))
    facts = resume(facts, "staff", at("2028-03-22T12:00"))
    assert local_dues(facts) == ["held"] * 4
    assert planned(facts).state_at(at("2028-03-23T00:00")) == "paused"
    facts = standing_changed(facts, True, at("2028-03-24T12:00"))
    assert local_dues(facts)[1] == "2028-03-31T09:00"


# --- MEM3: a mentor's experience


@pytest.mark.rule("MEM3")
@pytest.mark.parametrize(
    ("years", "certifications", "qualified"),
    [
        (5, [], True),
        (4, [], False),
        (None, [], False),
        (None, ["APP"], True),
        (0, ["CPP", "APP"], True),
        (4, ["CPP", "PSP", "PCI"], False),
        (40, ["CPP"], True),
    ],
)
def test_mentor_needs_five_years_of_management_or_the_app(
    years: int | None, certifications: list[str], qualified: bool
) -> None:
    assert mentor_is_qualified(years, certifications, POLICY) is qualified


@pytest.mark.rule("MEM3")
def test_unqualified_mentor_is_welcomed_and_reviewed_by_staff() -> None:
    course = agenda(mentor(), POLICY, NEW_YORK, qualified=False)
    assert [task.kind for task in course.tasks] == ["mentor_review"]
    assert course.tasks[0].due == mentor().created_at
    assert course.mails == planned(mentor()).mails
    assert agenda(mentee(), POLICY, NEW_YORK, qualified=False).tasks == planned(mentee()).tasks
    waiting = agenda(lapsed("mentor"), POLICY, NEW_YORK, qualified=False)
    assert [task.kind for task in waiting.tasks] == ["member_lapsed"]


# --- ONB3, ONB5, ONB6: endings


@pytest.mark.rule("ONB3", "ONB5", "ONB6", "MAIL4")
@pytest.mark.parametrize("state", ["matched", "canceled", "withdrawn"])
@pytest.mark.parametrize(
    "when",
    ["2028-03-06T10:00", "2028-03-07T10:00", "2028-03-13T09:00", "2028-04-01T10:00", "2028-05-08T08:59"],
)
def test_end_drops_every_mail_and_the_later_closing(state: str, when: str) -> None:
    facts = end(mentee(), state, at(when), "the reason", "lina")
    course = planned(facts)
    assert course.mails == ()
    assert course.tasks == ()
    assert (
        course.state_changes[-1].state,
        course.state_changes[-1].due,
        course.state_changes[-1].closes,
    ) == (state, at(when), True)
    assert course.dropped_because == "the reason"
    assert course.state_at(at("2030-01-01T00:00")) == state
    assert course.wakes_after(at(when)) == []


@pytest.mark.rule("ONB3", "ONB5", "ONB6")
def test_first_of_two_ends_counts() -> None:
    facts = end(mentee(), "canceled", at("2028-03-07T10:00"), "moved", "lina")
    assert facts.ended == Ended("canceled", at("2028-03-07T10:00"), "moved", "lina")
    assert end(facts, "matched", at("2028-03-07T10:00"), "matched by request r-1") == facts


@pytest.mark.rule("ONB5")
def test_end_while_blocked_or_paused_counts() -> None:
    for facts in (lapsed(), paused(mentee(), "2028-03-07T10:00"), paused(lapsed(), "2028-03-07T10:00")):
        ended = end(facts, "canceled", at("2028-03-08T10:00"), "moved")
        assert planned(ended).mails == ()
        assert turns(ended)[-1] == ("canceled", "2028-03-08T10:00")


@pytest.mark.rule("ONB5")
def test_tasks_due_before_the_end_stay() -> None:
    facts = end(lapsed(), "canceled", at("2028-03-08T10:00"), "moved")
    assert tasks(facts) == [("member_lapsed", "2028-03-06T10:00")]


# --- ONB5: extensions


@pytest.mark.rule("ONB5", "ONB4")
@pytest.mark.parametrize("when", ["2028-03-06T10:00", "2028-04-24T09:00", "2028-05-07T12:00"])
def test_extension_adds_check_ins_after_the_last_one(when: str) -> None:
    """They are two weeks apart, and nothing else moves."""
    facts = extend(mentee(), 2, at(when))
    assert local_dues(facts) == [*USUAL, "2028-05-08T09:00", "2028-05-22T09:00"]
    assert [mail.number for mail in planned(facts).mails] == [1, 2, 3, 4, 5, 6]
    assert turns(facts)[-1] == ("unmatched", "2028-06-05T09:00")
    assert tasks(facts) == [("mentee_unmatched", "2028-06-05T09:00")]


@pytest.mark.rule("ONB5")
def test_extensions_add_up_and_a_repeated_event_counts_once() -> None:
    facts = extend(mentee(), 1, at("2028-03-07T10:00"), "7")
    assert extend(facts, 1, at("2028-03-08T10:00"), "7") == facts
    facts = extend(facts, 1, at("2028-03-08T10:00"), "8")
    assert local_dues(facts)[4:] == ["2028-05-08T09:00", "2028-05-22T09:00"]
    plain = extend(extend(mentee(), 1, at("2028-03-07T10:00")), 1, at("2028-03-08T10:00"))
    assert local_dues(plain) == local_dues(facts)


@pytest.mark.rule("ONB5", "T4")
def test_extra_check_in_in_the_past_goes_out_the_next_mail_day() -> None:
    created = "2028-03-13T12:00"
    assert local_dues(mentee(created, BOGOTA), BOGOTA)[-1] == "2028-05-02T09:00"
    facts = extend(mentee(created, BOGOTA), 2, at("2028-05-15T21:00", BOGOTA))
    assert local_dues(facts, BOGOTA)[4:] == ["2028-05-16T09:00", "2028-05-30T09:00"]
    facts = paused(facts, "2028-05-16T08:00", "2028-05-18T08:00", calendar=BOGOTA)
    assert local_dues(facts, BOGOTA)[4:] == ["2028-05-18T09:00", "2028-05-31T09:00"]


@pytest.mark.rule("ONB5")
@pytest.mark.parametrize("check_ins", [0, -1, 27, 10**9])
def test_extension_must_be_between_one_and_a_years_check_ins(check_ins: int) -> None:
    with pytest.raises(Refused, match="1 to 26"):
        extend(mentee(), check_ins, at("2028-03-07T10:00"))


@pytest.mark.rule("ONB5")
def test_mentor_has_no_check_ins_to_extend() -> None:
    with pytest.raises(Refused, match="only a mentee"):
        extend(mentor(), 1, at("2028-03-07T10:00"))


# --- ONB5: pauses


@pytest.mark.rule("ONB5")
@pytest.mark.parametrize(
    ("since", "until", "dues", "closes"),
    [
        ("2028-03-08T10:00", "2028-03-08T15:00", USUAL, "2028-05-08"),
        (
            "2028-03-13T08:00",
            "2028-03-13T10:00",
            ["2028-03-14T09:00", *USUAL[1:]],
            "2028-05-08",
        ),
        (
            "2028-03-13T08:00",
            "2028-03-13T09:00",
            ["2028-03-14T09:00", *USUAL[1:]],
            "2028-05-08",
        ),
        ("2028-03-13T08:00", "2028-03-13T08:59:59", USUAL, "2028-05-08"),
        (
            "2028-03-20T12:00",
            "2028-04-03T12:00",
            [USUAL[0], "2028-04-10T09:00", "2028-04-24T09:00", "2028-05-08T09:00"],
            "2028-05-22",
        ),
        (
            "2028-03-10T12:00",
            "2028-04-20T12:00",
            ["2028-04-24T09:00", "2028-05-08T09:00", "2028-05-22T09:00", "2028-06-05T09:00"],
            "2028-06-19",
        ),
        (
            "2028-03-17T23:59",
            "2028-03-18T00:01",
            [USUAL[0], "2028-03-28T09:00", "2028-04-11T09:00", "2028-04-25T09:00"],
            "2028-05-09",
        ),
        ("2028-04-28T12:00", "2028-05-05T12:00", USUAL, "2028-05-15"),
        ("2028-04-28T12:00", "2028-05-20T12:00", USUAL, "2028-05-30"),
        ("2028-05-08T08:00", "2028-05-08T10:00", USUAL, "2028-05-08T10:00"),
    ],
    ids=[
        "on a day without mail",
        "over the hour of a mail",
        "until the very instant of a mail",
        "until the second before a mail",
        "two weeks between two check-ins",
        "over three check-ins",
        "two minutes around midnight",
        "after the last check-in",
        "after the last check-in and beyond the close",
        "over the hour of the close",
    ],
)
def test_pause_moves_pending_mail_by_its_days(since: str, until: str, dues: list[str], closes: str) -> None:
    facts = paused(mentee(), since, until)
    assert local_dues(facts) == dues
    assert turns(facts)[-1] == ("unmatched", closes if "T" in closes else closes + NINE)
    assert tasks(facts) == [("mentee_unmatched", closes if "T" in closes else closes + NINE)]


@pytest.mark.rule("ONB5", "ONB4")
@pytest.mark.parametrize("since", ["2028-03-07T10:00", "2028-04-24T09:00", "2028-05-08T08:59"])
def test_open_pause_holds_every_mail_and_never_closes(since: str) -> None:
    facts = paused(mentee(), since)
    assert local_dues(facts) == ["held"] * 4
    assert planned(facts).wakes_after(at(since)) == []
    assert tasks(facts) == []
    assert planned(facts).state_at(at("2030-01-01T00:00")) == "paused"


@pytest.mark.rule("ONB5")
def test_pause_at_the_instant_of_a_mail_moves_it_if_unsent() -> None:
    facts = paused(mentee(), "2028-03-13T09:00", "2028-03-15T12:00")
    assert local_dues(facts)[0] == "2028-03-16T09:00"


@pytest.mark.rule("ONB5", "T8")
def test_overdue_mail_at_a_pause_goes_out_at_the_next_send_time() -> None:
    facts = paused(mentee(), "2028-03-13T09:01", "2028-04-13T12:00")
    assert local_dues(facts)[:2] == ["2028-03-13T09:00", "2028-04-27T09:00"]
    assert [mail.after_pause for mail in planned(facts).mails] == [at("2028-04-14T09:00"), None, None, None]
    again = paused(facts, "2028-04-13T15:00", "2028-04-20T12:00")
    assert planned(again).mails[0].after_pause == at("2028-04-21T09:00")
    still = pause(facts, "staff", at("2028-04-13T15:00"))
    assert [(mail.due, mail.after_pause) for mail in planned(still).mails] == [(None, None)] * 4


@pytest.mark.rule("MEM1", "ONB5", "T8")
def test_lapse_notice_kept_by_a_pause_goes_out_at_the_resume() -> None:
    lapsed = replace(mentee(), blocked=True)
    facts = paused(lapsed, "2028-03-06T10:01", "2028-03-08T21:30")
    assert planned(facts).mails[0].after_pause == at("2028-03-08T21:30")


@pytest.mark.rule("ONB5")
def test_second_pause_and_resume_without_a_pause_change_nothing() -> None:
    once = paused(mentee(), "2028-03-07T10:00")
    assert pause(once, "staff", at("2028-03-08T10:00")) == once
    assert resume(mentee(), "staff", at("2028-03-08T10:00")) == mentee()
    assert resume(once, "standing", at("2028-03-08T10:00")) == once


@pytest.mark.rule("ONB5")
def test_resume_dated_before_its_pause_ends_it_at_its_start() -> None:
    facts = resume(paused(mentee(), "2028-03-08T10:00"), "staff", at("2028-03-07T10:00"))
    assert facts.pauses == [Pause(at("2028-03-08T10:00"), at("2028-03-08T10:00"))]
    assert local_dues(facts) == USUAL


@pytest.mark.rule("ONB5")
def test_state_after_a_pause_is_the_state_before() -> None:
    early = paused(mentee(), "2028-03-07T10:00", "2028-03-08T10:00")
    assert [state for state, _ in turns(early)] == ["waiting", "paused", "waiting", "unmatched"]
    running = mail_decided(mentee(), "check-in", at("2028-03-13T09:00"))
    late = paused(running, "2028-03-20T10:00", "2028-03-21T10:00")
    assert [state for state, _ in turns(late)] == ["waiting", "active", "paused", "active", "unmatched"]


@pytest.mark.rule("ONB5", "MAIL4")
def test_mail_decided_while_paused_activates_only_at_the_resume() -> None:
    facts = mail_decided(paused(mentee(), "2028-03-13T08:59"), "check-in", at("2028-03-13T09:01"))
    assert planned(facts).state_at(at("2028-03-14T09:00")) == "paused"
    facts = resume(facts, "staff", at("2028-03-15T09:00"))
    assert [state for state, _ in turns(facts)] == ["waiting", "paused", "active", "unmatched"]


@pytest.mark.rule("ONB5")
def test_pause_holds_and_moves_a_mentors_welcome() -> None:
    assert local_dues(paused(mentor(), "2028-03-10T10:00")) == ["held"]
    assert local_dues(paused(mentor(), "2028-03-10T10:00", "2028-03-16T10:00")) == ["2028-03-20T09:00"]


@pytest.mark.rule("ONB5")
def test_extension_after_a_pause_continues_from_moved_check_ins() -> None:
    facts = paused(extend(mentee(), 1, at("2028-03-07T10:00")), "2028-03-20T12:00", "2028-04-03T12:00")
    assert local_dues(facts)[3:] == ["2028-05-08T09:00", "2028-05-22T09:00"]
    held = extend(paused(mentee(), "2028-03-20T12:00"), 1, at("2028-03-21T12:00"))
    assert local_dues(held) == ["held"] * 5


# --- MEM5, MEM6


@pytest.mark.rule("MEM5")
def test_two_onboardings_of_one_person_are_independent() -> None:
    both = [OnboardingFacts("p-a", "mentor", at("2028-03-06T10:00")), mentee()]
    before = planned(both[0])
    ended = end(both[1], "canceled", at("2028-03-07T10:00"), "moved")
    assert planned(both[0]) == before
    assert planned(ended).mails == ()
    assert {mail.to for mail in before.mails} == {"p-a"}


@pytest.mark.rule("MEM6")
def test_facts_survive_the_workflow_history_and_the_database() -> None:
    facts = extend(paused(lapsed(), "2028-03-20T12:00"), 2, at("2028-03-21T12:00"), "7")
    facts = standing_changed(facts, True, at("2028-03-22T12:00"))
    facts = mail_decided(facts, "check-in", at("2028-04-05T09:00"))
    facts = end(facts, "canceled", at("2028-04-06T12:00"), "event:9", "lina")
    converter = DefaultPayloadConverter()
    assert converter.from_payloads(converter.to_payloads([facts]), [OnboardingFacts]) == [facts]
    adapter = TypeAdapter(OnboardingFacts)
    assert adapter.validate_python(adapter.dump_python(facts, mode="json")) == facts


# --- Properties

instants = st.integers(0, 3 * 365 * 1440).map(
    lambda minutes: datetime(2027, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)
calendars = st.sampled_from(CALENDARS)
roles = st.sampled_from(["mentor", "mentee"])


@st.composite
def stretches(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Up to three pauses as minutes after the creation: when each began and ended, also overlapping."""
    found = draw(st.lists(st.tuples(st.integers(0, 100 * 1440), st.integers(0, 40 * 1440)), max_size=3))
    return [(since, since + length) for since, length in found]


def with_pauses(facts: OnboardingFacts, pauses: list[tuple[int, int]]) -> OnboardingFacts:
    return replace(
        facts,
        pauses=[
            Pause(
                facts.created_at + timedelta(minutes=since),
                facts.created_at + timedelta(minutes=until),
                "standing" if index % 2 else "staff",
            )
            for index, (since, until) in enumerate(pauses)
        ],
    )


def anchor_of(facts: OnboardingFacts, calendar: Calendar) -> date:
    return calendar.date_of(facts.created_at) + timedelta(days=7)


@pytest.mark.rule("ONB1", "ONB2", "T1", "T4", "T5")
@given(created=instants, calendar=calendars, role=roles, pauses=stretches(), extra=st.integers(0, 3))
def test_mail_is_at_the_send_time_of_a_business_day_from_its_day(
    created: datetime, calendar: Calendar, role: str, pauses: list[tuple[int, int]], extra: int
) -> None:
    facts = with_pauses(OnboardingFacts("p-1", role, created), pauses)
    if extra and role == "mentee":
        facts = extend(facts, extra, created)
    for number, mail in enumerate(planned(facts, calendar).mails):
        assert mail.due is not None
        local = calendar.local(mail.due)
        assert calendar.is_business_day(local.date())
        wall = datetime.combine(local.date(), calendar.hours.send_time)
        assert local.replace(tzinfo=None) == wall or local.time() == time(1, 0)
        assert calendar.local(mail.due - timedelta(minutes=1)).replace(tzinfo=None) < wall
        assert local.date() >= anchor_of(facts, calendar) + timedelta(days=14 * number)
        assert not any(pause.since <= mail.due <= (pause.until or mail.due) for pause in facts.pauses)


@pytest.mark.rule("ONB5", "MEM2")
@given(created=instants, calendar=calendars, pauses=stretches())
def test_check_ins_stay_four_and_in_order_through_pauses(
    created: datetime, calendar: Calendar, pauses: list[tuple[int, int]]
) -> None:
    before = planned(OnboardingFacts("p-1", "mentee", created), calendar)
    after = planned(with_pauses(OnboardingFacts("p-1", "mentee", created), pauses), calendar)
    assert [mail.key for mail in after.mails] == [mail.key for mail in before.mails]
    dues = [mail.due for mail in after.mails]
    assert dues == sorted(due for due in dues if due)
    assert all(was.due and due and due >= was.due for was, due in zip(before.mails, dues, strict=True))
    assert [turn.state for turn in after.state_changes if turn.closes] == ["unmatched"]


@pytest.mark.rule("ONB5")
@given(
    created=instants, calendar=calendars, since=st.integers(0, 70 * 1440), length=st.integers(0, 90 * 1440)
)
def test_pause_moves_all_pending_mail_and_nothing_else(
    created: datetime, calendar: Calendar, since: int, length: int
) -> None:
    facts = OnboardingFacts("p-1", "mentee", created)
    stretch = Pause(created + timedelta(minutes=since), created + timedelta(minutes=since + length))
    assert stretch.until is not None
    after = planned(replace(facts, pauses=[stretch]), calendar)
    days = calendar.date_of(stretch.until) - calendar.date_of(stretch.since)
    for number, (was, mail) in enumerate(zip(planned(facts, calendar).mails, after.mails, strict=True)):
        assert was.due is not None
        if was.due < stretch.since:
            assert mail.due == was.due
            continue
        day = anchor_of(facts, calendar) + timedelta(days=14 * number) + days
        expected = calendar.send_at(day)
        if expected <= stretch.until:
            expected = calendar.next_send_after(stretch.until)
        assert mail.due == expected


@pytest.mark.rule("ONB5")
@given(created=instants, calendar=calendars, pauses=stretches(), minutes=st.integers(0, 90 * 1440))
def test_extension_moves_no_planned_mail_and_closes_later(
    created: datetime, calendar: Calendar, pauses: list[tuple[int, int]], minutes: int
) -> None:
    facts = with_pauses(OnboardingFacts("p-1", "mentee", created), pauses)
    longer = extend(facts, 2, created + timedelta(minutes=minutes))
    before, after = planned(facts, calendar), planned(longer, calendar)
    assert after.mails[:4] == before.mails
    assert len(after.mails) == 6
    assert all(mail.due and mail.due > created + timedelta(minutes=minutes) for mail in after.mails[4:])
    closes = {
        name: max(turn.due for turn in course.state_changes) for name, course in (("a", after), ("b", before))
    }
    assert closes["a"] >= closes["b"]
    assert planned(longer, calendar) == after


@pytest.mark.rule("ONB3", "ONB5", "ONB6", "MAIL4")
@given(
    created=instants,
    calendar=calendars,
    role=roles,
    pauses=stretches(),
    minutes=st.integers(0, 120 * 1440),
    blocked=st.booleans(),
)
def test_end_leaves_no_mail_and_no_wait(
    created: datetime,
    calendar: Calendar,
    role: str,
    pauses: list[tuple[int, int]],
    minutes: int,
    blocked: bool,
) -> None:
    facts = with_pauses(OnboardingFacts("p-1", role, created, blocked=blocked), pauses)
    ended = end(facts, "canceled", created + timedelta(minutes=minutes), "moved")
    course = planned(ended, calendar)
    assert course.mails == ()
    assert course.wakes_after(created + timedelta(minutes=minutes)) == []
    assert course.state_at(created + timedelta(days=999)) == "canceled"


Act = Callable[[OnboardingFacts, datetime], OnboardingFacts]


class OnboardingMachine(RuleBasedStateMachine):
    """Every order of acts and waiting, with mail that goes out and is decided, against a reference ledger."""

    @initialize(created=instants, calendar=calendars, role=roles, blocked=st.booleans())
    def sign_up(self, created: datetime, calendar: Calendar, role: str, blocked: bool) -> None:
        self.calendar = calendar
        self.now = created
        self.ledger = ReferenceLedger()
        self.blocked_until: datetime | None = None
        self.take(OnboardingFacts("p-1", role, created, blocked=blocked))

    @property
    def runs(self) -> bool:
        return self.ledger.closed_at is None

    def take(self, facts: OnboardingFacts) -> None:
        self.facts, self.agenda = facts, planned(facts, self.calendar)
        self.ledger.plan(self.agenda, self.now)
        self.pass_time(self.now)

    def pass_time(self, until: datetime) -> None:
        """Step from instant to instant, as the workflow does, and record the first decision in the facts."""
        while self.runs:
            due = [mail.due for mail in self.ledger.planned.values() if mail.due and mail.due <= until]
            wakes = [wake for wake in self.agenda.wakes_after(self.now) if wake <= until]
            step = min([*due, *wakes], default=until)
            self.now = max(self.now, step)
            self.ledger.run(self.agenda, self.now)
            facts = self.facts
            for when, mail in self.ledger.sent:
                facts = mail_decided(facts, mail.step, when)
            if facts != self.facts:
                self.facts, self.agenda = facts, planned(facts, self.calendar)
                self.ledger.plan(self.agenda, self.now)
                self.ledger.run(self.agenda, self.now)
            if not due and not wakes:
                break
        self.now = max(self.now, until)

    @precondition(lambda self: self.runs)
    @rule(hours=st.one_of(st.integers(0, 30), st.integers(30, 900)))
    def wait(self, hours: int) -> None:
        self.pass_time(self.now + timedelta(hours=hours))

    @precondition(lambda self: self.runs)
    @rule(before=st.integers(0, 1))
    def wait_for_the_next_mail_or_the_second_before_it(self, before: int) -> None:
        due = sorted(mail.due for mail in self.ledger.planned.values() if mail.due)
        if due:
            self.pass_time(max(self.now, due[0] - timedelta(seconds=before)))

    @precondition(lambda self: self.runs)
    @rule(cause=st.sampled_from(["staff", "standing"]))
    def stop(self, cause: str) -> None:
        if cause == "standing":
            self.take(standing_changed(self.facts, False, self.now))
        else:
            self.take(pause(self.facts, "staff", self.now))

    @precondition(lambda self: self.runs)
    @rule(cause=st.sampled_from(["staff", "standing"]))
    def go_on(self, cause: str) -> None:
        if cause == "standing":
            self.take(standing_changed(self.facts, True, self.now))
        else:
            self.take(resume(self.facts, "staff", self.now))

    @precondition(lambda self: self.runs and self.facts.role == "mentee")
    @rule(check_ins=st.integers(1, 3))
    def staff_extend(self, check_ins: int) -> None:
        before = {mail.key: mail.due for mail in self.agenda.mails}
        self.take(extend(self.facts, check_ins, self.now))
        now = {mail.key: mail.due for mail in self.agenda.mails}
        assert {key: now[key] for key in before} == before
        assert len(now) == len(before) + (0 if self.waits_for_standing else check_ins)

    @property
    def waits_for_standing(self) -> bool:
        return self.facts.blocked and self.facts.unblocked_at is None

    @precondition(lambda self: self.runs and len(self.ledger.sent) > 1)
    @rule(state=st.sampled_from(["matched", "canceled", "withdrawn"]))
    def end_it(self, state: str) -> None:
        self.take(end(self.facts, state, self.now, "the reason"))
        assert not self.runs

    @precondition(lambda self: not self.runs)
    @rule(state=st.sampled_from(["matched", "canceled", "withdrawn"]))
    def end_it_again(self, state: str) -> None:
        if self.facts.ended:
            assert end(self.facts, state, self.now, "another reason") == self.facts

    @invariant()
    def every_mail_goes_out_once_in_order_and_in_daylight(self) -> None:
        keys = [mail.key for _, mail in self.ledger.sent]
        assert len(keys) == len(set(keys))
        numbers = [mail.number for _, mail in self.ledger.sent if mail.message == "mentee.checkin"]
        assert numbers == list(range(1, len(numbers) + 1))
        for when, mail in self.ledger.sent:
            if mail.step != "standing":
                assert self.calendar.is_business_day(self.calendar.date_of(when))
                assert self.calendar.send_at(self.calendar.date_of(when)) == when

    @invariant()
    def check_ins_are_a_fortnight_apart_and_begin_a_week_after_the_start(self) -> None:
        began = self.facts.unblocked_at if self.facts.blocked else self.facts.created_at
        days = [self.calendar.date_of(when) for when, mail in self.ledger.sent if mail.step != "standing"]
        for number, day in enumerate(days):
            assert began is not None
            assert day >= self.calendar.date_of(began) + timedelta(days=7 + 14 * number)

    @invariant()
    def an_unmatched_mentee_has_had_every_check_in(self) -> None:
        if not self.runs and self.agenda.state_at(self.now) == "unmatched":
            extra = sum(extension.check_ins for extension in self.facts.extensions)
            sent = [mail for _, mail in self.ledger.sent if mail.message == "mentee.checkin"]
            assert len(sent) == 4 + extra
            assert [kind for kind, _ in self.ledger.tasks].count("mentee_unmatched") == 1

    @invariant()
    def the_state_tells_whether_mail_is_held(self) -> None:
        if self.runs and not self.waits_for_standing:
            held = any(mail.due is None for mail in self.ledger.planned.values())
            assert not held or self.agenda.state_at(self.now) == "paused"


OnboardingMachine.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=30)


@pytest.mark.rule("ONB1", "ONB2", "ONB3", "ONB4", "ONB5", "ONB6", "MEM1", "MEM2", "MAIL1")
class TestEveryOrderOfActs(OnboardingMachine.TestCase):  # type: ignore[misc, valid-type]
    """The machine above as a test."""


@pytest.mark.rule("ONB8", "MAIL1")
@pytest.mark.parametrize(
    "since", ["2028-03-20", "2028-03-24"], ids=["joined to the first", "after the first"]
)
def test_check_ins_come_back_under_a_key_of_their_own_each_time(since: str) -> None:
    """A second match begins before or after the end of the first, and is heard of after it: its check-ins are dropped.

    A key that was cancelled is never planned again (MAIL1).
    """
    facts, wanted = mentee(), set[str]()
    dropped = set[str]()
    for request, day, ends in (
        ("r-1", "2028-03-14", False),
        ("r-1", "2028-03-22", True),
        ("r-2", since, False),
        ("r-2", "2028-03-29", True),
    ):
        moment, before = at(f"{day}T11:00"), wanted
        facts = (
            match_ended(facts, request, moment, no_fit=True) if ends else match_began(facts, request, moment)
        )
        wanted = {mail.key for mail in planned(facts).mails}
        dropped |= before - wanted
        assert not wanted & dropped
    assert wanted == {"check-in.3/3", "check-in.3/4"}


@pytest.mark.rule("ONB5", "T9")
@pytest.mark.parametrize(
    ("sent", "counts"), [("2028-03-06T09:59", "2028-03-06T10:00"), ("2028-03-06T10:01", "2028-03-06T10:01")]
)
def test_act_from_before_the_profile_counts_from_the_profile(sent: str, counts: str) -> None:
    cancelled = apply(
        mentee(), acts.Act("a-1", "cancel", "lina", at=at(sent, NEW_YORK)), at("2028-03-06T15:00", NEW_YORK)
    )
    assert cancelled.ended is not None
    assert cancelled.ended.at == at(counts, NEW_YORK)
