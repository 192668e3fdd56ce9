"""An engagement from the match to its end: hard dates by hand, then every order of acts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import TypeAdapter
from temporalio.converter import DefaultPayloadConverter

from rules import engagement
from rules.agenda import Agenda, Refused
from rules.calendar import add_months, calendar_for
from rules.engagement import (
    END_REASONS,
    MOST_MONTHS_AHEAD,
    STAFF,
    EngagementFacts,
    NewEnd,
    agree_extension,
    agree_plan,
    answer_discovery,
    answer_pulse,
    cancel,
    end,
    end_day,
    extend,
    gate_day,
    pause,
    planned_end,
    pulse_at,
    report_misconduct,
    resume,
    standing_changed,
    start_day,
)
from rules.program import load_program
from tests.support.limits import examples
from tests.support.model.reference_ledger import ReferenceLedger

PROGRAM_FILE = load_program(Path("programs/asis-global.toml"))
POLICY = PROGRAM_FILE.engagement
HOURS = PROGRAM_FILE.hours
PROGRAM = calendar_for(PROGRAM_FILE.hours, None, None, None)
MENTOR = calendar_for(PROGRAM_FILE.hours, "America/Bogota", "CO", None)
MENTEE = calendar_for(PROGRAM_FILE.hours, "Pacific/Auckland", "NZ", None)
BOTH = ("p-mentor", "p-mentee")

Act = Callable[[EngagementFacts, datetime], EngagementFacts]


def at(text: str, zone: str = "America/New_York") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def begun(text: str = "2028-03-06T10:00", months: int | None = None) -> EngagementFacts:
    return EngagementFacts("r-1", "p-mentee", "p-mentor", at(text), months)


def agenda(facts: EngagementFacts) -> Agenda:
    return engagement.agenda(facts, POLICY, PROGRAM, MENTOR, MENTEE)


def mails(facts: EngagementFacts, *parts: str) -> dict[str, datetime | None]:
    """The mails by key, those whose key has one of the parts."""
    return {
        mail.key: mail.due for mail in agenda(facts).mails if any(part in mail.key for part in parts or [""])
    }


def turns(facts: EngagementFacts) -> list[tuple[str, datetime]]:
    return [(turn.state, turn.due) for turn in agenda(facts).state_changes]


def tasks(facts: EngagementFacts, kind: str) -> list[datetime]:
    return [task.due for task in agenda(facts).tasks if task.kind == kind]


def state(facts: EngagementFacts, when: datetime) -> str:
    return agenda(facts).state_at(when)


def ends_on(facts: EngagementFacts, when: datetime | None = None) -> date:
    return planned_end(facts, POLICY, PROGRAM, when)


def voted(facts: EngagementFacts, by: str, day: str, when: str) -> EngagementFacts:
    return agreed(facts, by, day, at(when), state(facts, at(when)))


def extended(facts: EngagementFacts, when: str, *, months: int = 0, day: str = "") -> EngagementFacts:
    return extend(facts, NewEnd(at(when), STAFF, day, months), state(facts, at(when)), POLICY, PROGRAM)


def planned(facts: EngagementFacts, when: str, *, months: int = 0, day: str = "") -> EngagementFacts:
    return agree_plan(facts, NewEnd(at(when), "plan", day, months), state(facts, at(when)), POLICY, PROGRAM)


def agreed(facts: EngagementFacts, by: str, day: str, when: datetime, state: str) -> EngagementFacts:
    return agree_extension(facts, by, NewEnd(when, "parties", day), state, POLICY, PROGRAM)


def planned_for(facts: EngagementFacts, months: int, when: datetime, state: str) -> EngagementFacts:
    return agree_plan(facts, NewEnd(when, "plan", months=months), state, POLICY, PROGRAM)


def pulse_answered(facts: EngagementFacts, by: str, met: bool, when: datetime, state: str) -> EngagementFacts:
    return answer_pulse(facts, by, met, pulse_at(facts, POLICY, PROGRAM, when), state)


def paused(facts: EngagementFacts, since: str, until: str = "") -> EngagementFacts:
    facts = pause(facts, at(since), "active")
    return resume(facts, at(until), "paused") if until else facts


# --- ENG1–ENG4, ENG9: the course of an engagement


@pytest.mark.rule("ENG9", "T4")
@pytest.mark.parametrize(
    ("zone", "country", "start", "due"),
    [
        ("America/New_York", "US", "2028-03-08T10:00", "2028-09-11T09:00"),  # ends on Friday at 17:00
        ("America/New_York", "US", "2028-03-04T10:00", "2028-09-05T09:00"),  # on Monday, Labor Day
        (
            "Pacific/Auckland",
            "NZ",
            "2028-02-15T10:00",
            "2028-08-16T09:00",
        ),  # at 09:00 of the reader: at, not after
        ("Asia/Riyadh", "SA", "2028-03-06T10:00", "2028-09-07T09:00"),
    ],
)
def test_completion_mail_waits_for_the_readers_next_business_morning(
    zone: str, country: str, start: str, due: str
) -> None:
    reader = calendar_for(HOURS, zone, country, None)
    facts = begun(start)
    course = engagement.agenda(facts, POLICY, PROGRAM, reader, reader)
    sent = {mail.due for mail in course.mails if mail.message.endswith(".completed")}
    assert sent == {at(due, zone)}
    assert course.state_changes[-1].due == PROGRAM.instant(ends_on(facts), HOURS.close_of_business)


@pytest.mark.rule("ENG1", "ENG2", "ENG3", "ENG4", "ENG5", "ENG9", "T3", "T4")
def test_six_month_engagement_sends_its_mails_and_completes() -> None:
    facts = begun("2028-03-06T10:00")
    course = agenda(facts)
    assert mails(facts, "mentor.") == {
        "mentor.match/1": at("2028-03-06T10:00"),
        "mentor.discovery/1": at("2028-03-21T09:00", "America/Bogota"),
        "mentor.discovery/2": at("2028-04-03T09:00", "America/Bogota"),
        "mentor.pulse/1": at("2028-05-08T09:00", "America/Bogota"),
        "mentor.pulse/2": at("2028-06-06T09:00", "America/Bogota"),
        "mentor.pulse/3": at("2028-07-06T09:00", "America/Bogota"),
        "mentor.pulse/4": at("2028-08-08T09:00", "America/Bogota"),
        "mentor.wrap_up/1": at("2028-08-23T09:00", "America/Bogota"),
        "mentor.completed/1": at("2028-09-07T09:00", "America/Bogota"),
    }
    assert {key: to for mail in course.mails for key, to in [(mail.message, mail.to)]} == {
        f"{role}.{what}": f"p-{role}"
        for role in ("mentor", "mentee")
        for what in ("match", "discovery", "pulse", "wrap_up", "completed")
    }
    assert [mail.number for mail in course.mails if mail.message == "mentee.pulse"] == [1, 2, 3, 4]
    assert turns(facts) == [("active", facts.started_at), ("completed", at("2028-09-06T17:00"))]
    assert course.state_changes[-1].closes


@pytest.mark.rule("T4")
def test_each_party_is_mailed_on_its_own_days_and_clock() -> None:
    due = mails(begun("2028-03-06T10:00"), "discovery/1", "pulse/4")
    assert due == {
        "mentor.discovery/1": at("2028-03-21T09:00", "America/Bogota"),  # a holiday there the day before
        "mentee.discovery/1": at("2028-03-20T09:00", "Pacific/Auckland"),
        "mentor.pulse/4": at("2028-08-08T09:00", "America/Bogota"),
        "mentee.pulse/4": at("2028-08-07T09:00", "Pacific/Auckland"),
    }


@pytest.mark.rule("COH3", "T4")
@pytest.mark.parametrize(
    ("started", "mentor", "mentee"),
    [
        # a Sunday, which is over in Auckland first
        (
            "2027-05-23T09:00",
            at("2027-05-24T09:00", "America/Bogota"),
            at("2027-05-24T09:00", "Pacific/Auckland"),
        ),
        # a holiday of both
        (
            "2027-06-07T09:00",
            at("2027-06-08T09:00", "America/Bogota"),
            at("2027-06-08T09:00", "Pacific/Auckland"),
        ),
        ("2028-05-23T09:00", at("2028-05-23T09:00", "America/Bogota"), at("2028-05-23T09:00")),
        # confirmed after the kick-off
        ("2028-05-23T15:00", at("2028-05-23T15:00"), at("2028-05-23T15:00")),
    ],
)
def test_mail_of_a_cohorts_start_waits_for_a_business_day(
    started: str, mentor: datetime, mentee: datetime
) -> None:
    facts = replace(begun(started), cohort="c-1", ends_on="2028-12-01")
    assert mails(facts, "match") == {"mentor.match/1": mentor, "mentee.match/1": mentee}


@pytest.mark.rule("ENG1")
def test_dates_follow_the_programs_zone() -> None:
    late_on_the_sixth = begun("2028-03-06T23:30")
    assert start_day(late_on_the_sixth, PROGRAM) == date(2028, 3, 6)
    assert ends_on(late_on_the_sixth) == date(2028, 9, 6)


@pytest.mark.rule("ENG3", "T3")
@pytest.mark.parametrize(
    ("start", "months", "last_day"),
    [
        ("2027-08-31T10:00", None, date(2028, 2, 29)),
        ("2028-08-31T10:00", None, date(2029, 2, 28)),
        ("2027-12-31T10:00", 2, date(2028, 2, 29)),
        ("2028-03-06T10:00", 1, date(2028, 4, 6)),
        ("2028-03-31T10:00", 26, date(2030, 5, 31)),
    ],
)
def test_planned_end_counts_calendar_months_from_the_first_day(
    start: str, months: int | None, last_day: date
) -> None:
    assert ends_on(begun(start, months)) == last_day
    assert turns(begun(start, months))[-1] == ("completed", at(f"{last_day}T17:00"))


@pytest.mark.rule("ENG4", "T3")
def test_pulses_are_anchored_on_the_first_day() -> None:
    due = mails(begun("2027-08-31T10:00", 9), "mentor.pulse")
    days = [MENTOR.date_of(when) for when in due.values() if when]
    anchors = [
        date(2027, 10, 31),
        date(2027, 11, 30),
        date(2027, 12, 31),
        date(2028, 1, 31),
        date(2028, 2, 29),
    ]
    anchors += [date(2028, 3, 31), date(2028, 4, 30)]
    assert days == [MENTOR.business_day_on_or_after(day) for day in anchors]


@pytest.mark.rule("ENG4", "ENG10")
def test_engagement_of_26_months_gets_a_pulse_every_month() -> None:
    due = mails(begun("2028-03-31T10:00", 26), "mentee.pulse")
    assert list(due) == [f"mentee.pulse/{number}" for number in range(1, 25)]


@pytest.mark.rule("ENG2", "ENG4", "ENG5")
def test_short_engagement_has_nothing_outside_its_dates() -> None:
    facts = planned(begun("2028-03-06T10:00"), "2028-03-07T10:00", day="2028-03-16")
    assert list(mails(facts, "mentor.")) == ["mentor.match/1", "mentor.completed/1"]
    assert tasks(facts, "discovery_stalled") == tasks(facts, "inactive") == []


@pytest.mark.rule("ENG1", "ENG5")
def test_mails_carry_the_dates_they_mention() -> None:
    facts = extended(begun("2028-03-06T10:00"), "2028-05-02T10:00", day="2028-12-01")
    context = {mail.key: mail.context for mail in agenda(facts).mails}
    assert context["mentor.match/1"] == {
        "started": "2028-03-06",
        "ends": "2028-09-06",
        "meet_by": "2028-03-20",
    }
    assert context["mentor.extended/1"] == {
        "started": "2028-03-06",
        "ends": "2028-09-06",
        "new_end": "2028-12-01",
    }
    assert context["mentor.wrap_up/1"] == {"started": "2028-03-06", "ends": "2028-12-01"}
    assert context["mentor.pulse/1"] == {"since": "2028-04-06"}


# --- ENG2: the discovery call


@pytest.mark.rule("ENG2")
def test_good_fit_ends_discovery_mail_and_the_staff_task() -> None:
    stalled = at("2028-04-17T09:00")
    assert tasks(begun(), "discovery_stalled") == [stalled]
    facts = answer_discovery(begun(), "p-mentor", "good_fit", at("2028-03-22T10:00"), "active")
    assert list(mails(facts, "discovery")) == ["mentee.discovery/1", "mentee.discovery/2"]
    assert tasks(facts, "discovery_stalled") == []


@pytest.mark.rule("ENG2")
def test_good_fit_after_the_task_opened_leaves_it_open() -> None:
    facts = answer_discovery(begun(), "p-mentor", "good_fit", at("2028-04-20T10:00"), "active")
    assert tasks(facts, "discovery_stalled") == [at("2028-04-17T09:00")]


@pytest.mark.rule("ENG2")
def test_not_met_yet_asks_once_more_and_then_opens_a_task() -> None:
    facts = answer_discovery(begun(), "p-mentor", "not_met", at("2028-03-22T10:00"), "active")
    assert list(mails(facts, "mentor.discovery")) == ["mentor.discovery/2"]
    again = answer_discovery(facts, "p-mentor", "not_met", at("2028-04-05T10:00"), "active")
    assert list(mails(again, "mentor.discovery")) == []
    assert tasks(again, "discovery_stalled") == [at("2028-04-17T09:00")]


@pytest.mark.rule("ENG2")
def test_not_met_before_the_question_does_not_answer_it() -> None:
    facts = answer_discovery(begun(), "p-mentor", "not_met", at("2028-03-10T10:00"), "active")
    assert list(mails(facts, "mentor.discovery")) == ["mentor.discovery/1", "mentor.discovery/2"]


@pytest.mark.rule("ENG2")
@pytest.mark.parametrize("by", BOTH)
def test_not_a_fit_from_either_ends_it_at_once(by: str) -> None:
    when = at("2028-03-22T10:00")
    facts = answer_discovery(begun(), by, "not_a_fit", when, "active")
    assert turns(facts)[-1] == ("no_fit", when)
    assert mails(facts) == {"mentor.ended/1": when, "mentee.ended/1": when}
    assert {mail.context["outcome"] for mail in agenda(facts).mails} == {"no_fit"}
    assert facts.end_reason == "no_fit"


@pytest.mark.rule("ENG2")
def test_good_fit_is_overridden_only_by_not_a_fit() -> None:
    facts = answer_discovery(begun(), "p-mentor", "good_fit", at("2028-03-22T10:00"), "active")
    assert answer_discovery(facts, "p-mentor", "good_fit", at("2028-03-23T10:00"), "active") == facts
    with pytest.raises(Refused, match="good fit"):
        answer_discovery(facts, "p-mentor", "not_met", at("2028-03-23T10:00"), "active")
    over = answer_discovery(facts, "p-mentor", "not_a_fit", at("2028-03-23T10:00"), "active")
    assert turns(over)[-1][0] == "no_fit"


# --- ENG4: did you meet?


@pytest.mark.rule("ENG4")
@pytest.mark.parametrize(
    ("when", "number"),
    [
        ("2028-03-06T10:00", 0),
        ("2028-05-05T23:59", 0),
        ("2028-05-06T00:00", 1),
        ("2028-06-05T23:59", 1),
        ("2028-06-06T00:00", 2),
        ("2028-08-30T12:00", 4),
    ],
)
def test_answer_counts_for_the_last_pulse_until_the_next(when: str, number: int) -> None:
    assert pulse_at(begun(), POLICY, PROGRAM, at(when)) == number


def met(facts: EngagementFacts, by: str, when: str, yes: bool = True) -> EngagementFacts:
    return pulse_answered(facts, by, yes, at(when), "active")


@pytest.mark.rule("ENG4")
def test_two_pulses_without_a_yes_open_one_task() -> None:
    assert tasks(begun(months=8), "inactive") == [at("2028-07-06T09:00")]
    causes = [task.cause for task in agenda(begun(months=8)).tasks if task.kind == "inactive"]
    assert causes == ["no meeting confirmed in the pulses 1, 2"]


@pytest.mark.rule("ENG4")
def test_silence_opens_another_task_only_after_a_yes() -> None:
    silent = begun(months=14)
    assert tasks(silent, "inactive") == [at("2028-07-06T09:00")]
    once = met(silent, "p-mentor", "2028-10-10T10:00")
    assert once.met == [6]
    assert tasks(once, "inactive") == [at("2028-07-06T09:00"), at("2029-01-08T09:00")]
    no = met(silent, "p-mentor", "2028-10-10T10:00", yes=False)
    assert tasks(no, "inactive") == [at("2028-07-06T09:00")]


@pytest.mark.rule("ENG4", "ENG9")
def test_silence_complete_on_a_final_weekend_opens_its_task() -> None:
    facts = met(begun("2028-03-09T10:00"), "p-mentor", "2028-06-10T10:00")
    assert ends_on(facts) == date(2028, 9, 9)
    assert facts.met == [2]
    assert tasks(facts, "inactive") == [at("2028-09-09T09:00")]
    assert turns(facts)[-1] == ("completed", at("2028-09-09T17:00"))
    assert tasks(extended(facts, "2028-09-01T10:00", months=1), "inactive") == [at("2028-09-11T09:00")]


@pytest.mark.rule("ENG4", "ENG11")
def test_silence_moved_by_a_pause_opens_its_task_after_it() -> None:
    met_once = met(begun("2028-03-09T10:00"), "p-mentor", "2028-06-10T10:00")
    facts = paused(met_once, "2028-09-07T10:00", "2028-09-16T14:00")
    assert turns(facts)[-1] == ("completed", at("2028-09-18T17:00"))
    assert tasks(facts, "inactive")[-1] == at("2028-09-18T09:00")
    facts = paused(met_once, "2028-09-09T08:00", "2028-09-16T14:00")
    assert turns(facts)[-1] == ("completed", at("2028-09-16T17:00"))
    assert tasks(facts, "inactive")[-1] == at("2028-09-16T14:00")


@pytest.mark.rule("ENG4")
@pytest.mark.parametrize("by", BOTH)
def test_yes_from_either_resets_the_count(by: str) -> None:
    facts = met(begun(months=8), by, "2028-06-07T10:00")
    assert facts.met == [2]
    assert tasks(facts, "inactive") == [at("2028-09-06T09:00")]


@pytest.mark.rule("ENG4")
def test_no_does_not_reset_and_early_answers_do_not_count() -> None:
    facts = met(begun(months=8), "p-mentor", "2028-05-10T10:00", yes=False)
    assert tasks(facts, "inactive") == tasks(begun(months=8), "inactive")
    assert met(begun(), "p-mentor", "2028-04-10T10:00") == begun()


@pytest.mark.rule("ENG4", "MAIL4")
def test_answered_question_is_not_asked_again() -> None:
    facts = met(begun(), "p-mentor", "2028-05-06T08:00")
    assert "mentor.pulse/1" not in mails(facts)
    assert "mentee.pulse/1" in mails(facts)
    assert "mentor.pulse/2" in mails(facts)


@pytest.mark.rule("ENG10")
def test_facts_stay_bounded_over_many_years_of_answers() -> None:
    facts = begun(months=240)
    for month in range(2, 120):
        when = at(f"{add_months(date(2028, 3, 7), month)}T10:00")
        for by in BOTH:
            facts = pulse_answered(facts, by, True, when, "active")
    assert len(facts.met) == 24
    assert len(facts.answered) == 2
    assert tasks(facts, "inactive")[0] == at("2038-05-06T09:00")


# --- ENG3, ENG5, ENG6: plans and extensions


@pytest.mark.rule("ENG3")
def test_plan_sets_a_length_or_an_end() -> None:
    assert ends_on(planned(begun(), "2028-03-20T10:00", months=9)) == date(2028, 12, 6)
    assert ends_on(planned(begun(), "2028-03-20T10:00", day="2028-07-01")) == date(2028, 7, 1)
    assert planned(begun(), "2028-03-20T10:00") == begun()


@pytest.mark.rule("ENG3")
def test_plan_with_a_past_end_or_after_an_extension_is_refused() -> None:
    with pytest.raises(Refused, match="past"):
        planned(begun(), "2028-05-20T10:00", months=2)
    with pytest.raises(Refused, match="past"):
        planned(begun(), "2028-05-20T17:00", day="2028-05-20")
    with pytest.raises(Refused, match="extended since"):
        planned(extended(begun(), "2028-05-20T10:00", months=1), "2028-05-21T10:00", months=12)


@pytest.mark.rule("ENG5")
def test_extension_by_the_parties_needs_both() -> None:
    half = voted(begun(), "p-mentor", "2028-12-06", "2028-08-24T10:00")
    assert ends_on(half) == date(2028, 9, 6)
    assert agenda(half) == agenda(begun())
    both = voted(half, "p-mentee", "2028-12-06", "2028-08-25T10:00")
    assert ends_on(both) == date(2028, 12, 6)
    assert both.votes == []
    assert mails(both, "extended") == {
        "mentor.extended/1": at("2028-08-25T10:00"),
        "mentee.extended/1": at("2028-08-25T10:00"),
    }


@pytest.mark.rule("ENG5")
def test_different_ends_extend_nothing_until_both_agree() -> None:
    facts = voted(begun(), "p-mentor", "2028-12-06", "2028-08-24T10:00")
    facts = voted(facts, "p-mentee", "2028-11-06", "2028-08-24T11:00")
    assert ends_on(facts) == date(2028, 9, 6)
    assert voted(facts, "p-mentee", "2028-11-06", "2028-08-24T12:00") == facts
    facts = voted(facts, "p-mentor", "2028-11-06", "2028-08-25T10:00")
    assert ends_on(facts) == date(2028, 11, 6)


@pytest.mark.rule("ENG5", "ENG9")
def test_extension_is_possible_until_close_on_the_last_day() -> None:
    facts = voted(begun(), "p-mentor", "2028-12-06", "2028-09-06T16:58")
    facts = voted(facts, "p-mentee", "2028-12-06", "2028-09-06T16:59:59")
    assert turns(facts)[-1] == ("completed", at("2028-12-06T17:00"))
    for act in (voted, lambda facts, by, day, when: extended(facts, when, day=day)):
        with pytest.raises(Refused, match="over: it was completed"):
            act(begun(), "p-mentor", "2028-12-06", "2028-09-06T17:00")


@pytest.mark.rule("ENG5", "ENG6")
@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2028-09-06", "later than the planned one, 2028-09-06"),
        ("2028-08-01", "later than the planned one"),
        ("2028-05-01", "past"),
        ("2059-01-01", "20 years"),
        ("2028-02-30", "written like"),
        ("soon", "written like"),
        ("9999-12-31", "20 years"),
    ],
)
def test_new_end_must_be_a_later_future_date(day: str, expected: str) -> None:
    with pytest.raises(Refused, match=expected):
        voted(begun(), "p-mentor", day, "2028-05-20T10:00")
    with pytest.raises(Refused, match=expected):
        extended(begun(), "2028-05-20T10:00", day=day)


@pytest.mark.rule("ENG5")
@pytest.mark.parametrize("by", ["p-other", "staff", ""])
def test_strangers_cannot_vote_answer_or_end(by: str) -> None:
    when = at("2028-05-20T10:00")
    acts: list[Act] = [
        lambda facts, when: agreed(facts, by, "2028-12-06", when, "active"),
        lambda facts, when: answer_discovery(facts, by, "good_fit", when, "active"),
        lambda facts, when: pulse_answered(facts, by, True, when, "active"),
    ]
    for act in acts:
        with pytest.raises(Refused, match="only the mentor and the mentee"):
            act(begun(), when)


@pytest.mark.rule("ENG5")
def test_party_may_be_named_by_role() -> None:
    facts = voted(begun(), "mentor", "2028-12-06", "2028-08-24T10:00")
    assert voted(facts, "p-mentee", "2028-12-06", "2028-08-24T10:00").new_ends[0].by == "parties"


@pytest.mark.rule("ENG6", "T3")
def test_staff_extend_alone_by_months_from_the_first_day() -> None:
    facts = begun("2027-08-31T10:00")
    assert ends_on(facts) == date(2028, 2, 29)
    once = extended(facts, "2028-02-01T10:00", months=1)
    assert ends_on(once) == date(2028, 3, 31)
    assert ends_on(extended(once, "2028-03-01T10:00", months=3)) == date(2028, 6, 30)
    dated = extended(facts, "2028-02-01T10:00", day="2028-05-31")
    assert ends_on(
        extended(extended(dated, "2028-03-01T10:00", months=1), "2028-03-02T10:00", months=1)
    ) == date(2028, 7, 31)


@pytest.mark.rule("ENG6")
def test_extension_is_months_or_a_day_once_per_event() -> None:
    when = at("2028-05-02T10:00")
    for months, day in ((0, ""), (1, "2028-12-01")):
        with pytest.raises(Refused, match="either"):
            extend(begun(), NewEnd(when, STAFF, day, months), "active", POLICY, PROGRAM)
    for months in (-1, MOST_MONTHS_AHEAD + 1):
        with pytest.raises(Refused, match="months"):
            extend(begun(), NewEnd(when, STAFF, months=months), "active", POLICY, PROGRAM)
    once = extend(begun(), NewEnd(when, STAFF, months=1, event="7"), "active", POLICY, PROGRAM)
    assert extend(once, NewEnd(when, STAFF, months=1, event="7"), "active", POLICY, PROGRAM) == once


@pytest.mark.rule("ENG5", "ENG6")
def test_pending_mail_moves_with_the_end_and_wrap_up_repeats() -> None:
    before = extended(begun(), "2028-08-01T10:00", months=2)
    assert mails(before, "mentor.wrap_up", "mentor.completed") == {
        "mentor.wrap_up/1": at("2028-10-23T09:00", "America/Bogota"),
        "mentor.completed/1": at("2028-11-07T09:00", "America/Bogota"),
    }
    after = extended(begun(), "2028-08-30T10:00", months=2)
    assert mails(after, "mentor.wrap_up") == {"mentor.wrap_up/2": at("2028-10-23T09:00", "America/Bogota")}
    again = extended(after, "2028-10-30T10:00", months=2)
    assert list(mails(again, "mentor.wrap_up", "mentor.extended")) == [
        "mentor.wrap_up/3",
        "mentor.extended/1",
        "mentor.extended/2",
    ]


@pytest.mark.rule("ENG5")
def test_new_end_too_near_has_no_wrap_up() -> None:
    near = extended(begun(), "2028-08-30T10:00", day="2028-09-12")
    assert mails(near, "wrap_up") == {}
    far = extended(near, "2028-08-31T10:00", months=3)
    assert list(mails(far, "mentor.wrap_up")) == ["mentor.wrap_up/2"]


@pytest.mark.rule("ENG3", "ENG5", "MAIL1")
def test_mail_dropped_and_planned_again_gets_a_new_key() -> None:
    short = planned(begun(), "2028-04-10T10:00", months=3)
    assert list(mails(short, "mentor.pulse")) == ["mentor.pulse/1"]
    longer = extended(short, "2028-05-10T10:00", months=3)
    assert list(mails(longer, "mentor.pulse")) == [
        "mentor.pulse/1",
        *(f"mentor.pulse.2/{n}" for n in (2, 3, 4)),
    ]
    assert {mail.number for mail in agenda(longer).mails if mail.message == "mentor.pulse"} == {1, 2, 3, 4}


@pytest.mark.rule("ENG4", "ENG5", "T4")
def test_pulse_added_on_its_own_day_goes_out_the_next_mail_day() -> None:
    facts = extended(begun(), "2028-09-06T15:00", months=1)
    assert mails(facts, "mentor.pulse/5") == {"mentor.pulse/5": at("2028-09-07T09:00", "America/Bogota")}


# --- ENG11: pauses


@pytest.mark.rule("ENG11")
def test_pause_holds_everything_and_prevents_completion() -> None:
    facts = paused(begun(), "2028-04-10T10:00")
    assert set(mails(facts).values()) == {None}
    assert turns(facts) == [("active", facts.started_at), ("paused", at("2028-04-10T10:00"))]
    assert tasks(facts, "discovery_stalled") == tasks(facts, "inactive") == []


@pytest.mark.rule("ENG11")
def test_pause_moves_pending_mail_by_its_days() -> None:
    facts = paused(begun(), "2028-04-10T10:00", "2028-04-24T10:00")
    assert turns(facts) == [
        ("active", facts.started_at),
        ("paused", at("2028-04-10T10:00")),
        ("active", at("2028-04-24T10:00")),
        ("completed", at("2028-09-20T17:00")),
    ]
    assert mails(facts, "mentee.discovery/2", "mentee.pulse/1", "mentee.wrap_up") == {
        "mentee.discovery/2": at("2028-04-03T09:00", "Pacific/Auckland"),
        "mentee.pulse/1": at("2028-05-22T09:00", "Pacific/Auckland"),
        "mentee.wrap_up/1": at("2028-09-06T09:00", "Pacific/Auckland"),
    }
    assert tasks(facts, "discovery_stalled") == [at("2028-05-01T09:00")]
    assert tasks(facts, "inactive") == [at("2028-07-20T09:00")]


@pytest.mark.rule("ENG11", "T8")
def test_mail_due_before_a_pause_and_unsent_goes_out_after_it() -> None:
    facts = paused(begun("2028-03-06T10:00"), "2028-03-06T10:01", "2028-04-10T12:00")
    late = {mail.key: mail.after_pause for mail in agenda(facts).mails if mail.after_pause}
    assert late == dict.fromkeys(("mentor.match/1", "mentee.match/1"), at("2028-04-10T12:00"))
    facts = paused(begun("2028-03-06T10:00"), "2028-05-08T12:00", "2028-06-05T12:00")
    late = {mail.key: mail.after_pause for mail in agenda(facts).mails if mail.after_pause}
    assert late["mentor.pulse/1"] == at("2028-06-06T09:00", "America/Bogota")
    assert late["mentee.pulse/1"] == at("2028-06-06T09:00", "Pacific/Auckland")
    assert "mentor.pulse/2" not in late
    held = pause(facts, at("2028-06-05T13:00"), "active")
    assert {(mail.due, mail.after_pause) for mail in agenda(held).mails} == {(None, None)}


@pytest.mark.rule("ENG11")
def test_paused_days_do_not_count_as_active_months() -> None:
    facts = paused(begun(), "2028-04-10T10:00", "2028-04-24T10:00")
    assert gate_day(begun(), 6, PROGRAM) == date(2028, 9, 6)
    assert gate_day(facts, 6, PROGRAM) == ends_on(facts) == date(2028, 9, 20)
    still = paused(begun(), "2028-04-10T10:00")
    assert gate_day(still, 6, PROGRAM, at("2028-04-15T10:00")) == date(2028, 9, 11)
    assert ends_on(still, at("2028-04-15T10:00")) == date(2028, 9, 11)
    assert ends_on(still) == date(2028, 9, 6)


@pytest.mark.rule("ENG9", "ENG11")
def test_pause_over_the_planned_end_moves_it() -> None:
    open_pause = paused(begun(), "2028-09-01T10:00")
    assert turns(open_pause)[-1][0] == "paused"
    facts = paused(begun(), "2028-09-01T10:00", "2028-09-21T10:00")
    assert turns(facts)[-1] == ("completed", at("2028-09-26T17:00"))
    on_the_last_day = paused(begun(), "2028-09-06T10:00", "2028-09-08T18:00")
    assert turns(on_the_last_day)[-1] == ("completed", at("2028-09-09T17:00"))


@pytest.mark.rule("ENG5", "ENG11")
def test_end_set_after_a_pause_moves_only_by_later_pauses() -> None:
    facts = paused(begun(), "2028-04-10T10:00", "2028-04-24T10:00")
    facts = extended(facts, "2028-05-02T10:00", day="2028-12-01")
    assert ends_on(facts) == date(2028, 12, 1)
    assert ends_on(paused(facts, "2028-06-01T10:00", "2028-06-08T10:00")) == date(2028, 12, 8)
    months = extended(paused(begun(), "2028-04-10T10:00", "2028-04-24T10:00"), "2028-05-02T10:00", months=1)
    assert ends_on(months) == date(2028, 10, 20)


@pytest.mark.rule("ENG5", "ENG11")
def test_extension_while_paused_must_pass_the_moved_end() -> None:
    facts = paused(begun(), "2028-08-01T10:00")
    with pytest.raises(Refused, match="later than the planned one, 2028-09-20"):
        extended(facts, "2028-08-15T10:00", day="2028-09-20")
    longer = extended(facts, "2028-08-15T10:00", day="2028-09-21")
    assert mails(longer, "mentor.extended") == {"mentor.extended/1": None}
    resumed = resume(longer, at("2028-08-16T10:00"), "paused")
    assert ends_on(resumed) == date(2028, 9, 22)
    assert mails(resumed, "mentor.extended") == {"mentor.extended/1": at("2028-08-16T10:00")}


@pytest.mark.rule("ENG6", "ENG11")
def test_end_while_paused_notifies_at_once_and_drops_held_mail() -> None:
    when = at("2028-06-01T10:00")
    facts = cancel(paused(begun(), "2028-04-10T10:00"), when, "paused")
    assert mails(facts) == {"mentor.canceled/1": when, "mentee.canceled/1": when}
    assert agenda(facts).tasks == ()


@pytest.mark.rule("ENG11")
def test_second_pause_and_resume_without_a_pause_are_refused() -> None:
    with pytest.raises(Refused, match="not paused"):
        resume(begun(), at("2028-04-10T10:00"), "active")
    with pytest.raises(Refused, match="paused already"):
        pause(paused(begun(), "2028-04-10T10:00"), at("2028-04-11T10:00"), "paused")


# --- ENG6, ENG7: how it ends


@pytest.mark.rule("ENG7")
@pytest.mark.parametrize("by", BOTH)
@pytest.mark.parametrize("reason", END_REASONS)
def test_either_party_can_end_it_at_any_time(by: str, reason: str) -> None:
    when = at("2028-05-02T10:00")
    facts = end(begun(), by, reason, when, "active")
    what = "completed" if reason == "goals_met" else "ended"
    assert mails(facts) == {f"mentor.{what}/1": when, f"mentee.{what}/1": when}
    assert turns(facts) == [("active", facts.started_at), (what, when)]
    assert (facts.end_reason, facts.ended_by) == (reason, by.removeprefix("p-"))
    assert end_day(facts, POLICY, PROGRAM) == date(2028, 5, 2)


@pytest.mark.rule("ENG7")
def test_end_reason_is_for_staff_and_not_in_the_mail() -> None:
    facts = end(begun(), "p-mentor", "unresponsive", at("2028-05-02T10:00"), "active")
    assert agenda(facts).state_changes[-1].cause == "ended by the mentor: the other did not respond"
    assert {tuple(sorted(mail.context)) for mail in agenda(facts).mails} == {
        ("by", "ends", "outcome", "started")
    }


@pytest.mark.rule("ENG7")
def test_unknown_end_reason_is_refused() -> None:
    with pytest.raises(Refused, match="goals_met"):
        end(begun(), "p-mentor", "bored", at("2028-05-02T10:00"), "active")
    with pytest.raises(Refused, match="good_fit"):
        answer_discovery(begun(), "p-mentor", "maybe", at("2028-05-02T10:00"), "active")


@pytest.mark.rule("ENG6")
def test_staff_cancel_sends_neutral_notices_and_ends_all_else() -> None:
    when = at("2028-05-02T10:00")
    facts = cancel(begun(), when, "active", "event:4", "lina")
    assert mails(facts) == {"mentor.canceled/1": when, "mentee.canceled/1": when}
    assert agenda(facts).dropped_because == "cancelled by staff: event:4"
    assert not any("event:4" in text for mail in agenda(facts).mails for text in mail.context.values())


LATE_ACTS: dict[str, Act] = {
    "end": lambda facts, when: end(facts, "p-mentee", "no_time", when, "active"),
    "cancel": lambda facts, when: cancel(facts, when, "active"),
    "not a fit": lambda facts, when: answer_discovery(facts, "p-mentee", "not_a_fit", when, "active"),
    "met": lambda facts, when: pulse_answered(facts, "p-mentee", True, when, "active"),
    "vote": lambda facts, when: agreed(facts, "p-mentee", "2029-01-01", when, "active"),
    "plan": lambda facts, when: planned_for(facts, 9, when, "active"),
    "extend": lambda facts, when: extend(facts, NewEnd(when, STAFF, months=1), "active", POLICY, PROGRAM),
    "pause": lambda facts, when: pause(facts, when, "active"),
    "resume": lambda facts, when: resume(facts, when, "active"),
    "report": lambda facts, when: report_misconduct(facts, "p-mentee", when, "active"),
}
PARTIES_ACTS = ("end", "not a fit", "met", "vote", "plan")


@pytest.mark.rule("ENG7", "REQ10")
@pytest.mark.parametrize("act", LATE_ACTS)
def test_first_of_two_ends_counts_and_nothing_follows(act: str) -> None:
    when = at("2028-05-02T10:00")
    over = end(begun(), "p-mentor", "goals_met", when, "active")
    with pytest.raises(Refused, match="over"):
        LATE_ACTS[act](over, when)


@pytest.mark.rule("ENG7", "ENG9")
@pytest.mark.parametrize("act", LATE_ACTS)
@pytest.mark.parametrize("closed", ["completed", "ended", "no_fit", "canceled"])
def test_closed_engagement_takes_no_act(act: str, closed: str) -> None:
    acts: dict[str, Act] = {
        "end": lambda facts, when: end(facts, "p-mentee", "no_time", when, closed),
        "vote": lambda facts, when: agreed(facts, "p-mentee", "2029-01-01", when, closed),
        "resume": lambda facts, when: resume(facts, when, closed),
    }
    if act in acts:
        with pytest.raises(Refused, match="engagement"):
            acts[act](begun(), at("2028-09-07T10:00"))


# --- ENG8: misconduct


@pytest.mark.rule("ENG8")
def test_misconduct_report_stops_all_mail_and_reaches_only_staff() -> None:
    when = at("2028-05-02T10:00")
    facts = report_misconduct(begun(), "p-mentee", when, "active")
    stopped = agenda(facts)
    assert [(mail.message, mail.to, mail.due) for mail in stopped.mails] == [
        ("staff.misconduct", "staff", when)
    ]
    assert stopped.mails[0].context == {"opened": "2028-05-02T14:00:00+00:00"}
    assert tasks(facts, "misconduct") == [when]
    assert turns(facts) == [("active", facts.started_at), ("suspended", when)]
    assert "misconduct" not in stopped.dropped_because
    assert tasks(facts, "inactive") == []


@pytest.mark.rule("ENG5", "ENG8")
def test_misconduct_report_voids_a_half_agreed_extension() -> None:
    half = voted(begun(), "p-mentor", "2028-12-06", "2028-08-24T10:00")
    facts = report_misconduct(half, "p-mentee", at("2028-08-25T10:00"), "active")
    with pytest.raises(Refused, match="mailbox"):
        voted(facts, "p-mentee", "2028-12-06", "2028-08-26T10:00")
    resumed = resume(facts, at("2028-08-27T10:00"), "suspended")
    assert resumed.votes == []
    assert ends_on(voted(resumed, "p-mentee", "2028-12-06", "2028-08-28T10:00")) == date(2028, 9, 8)


@pytest.mark.rule("ENG8")
@pytest.mark.parametrize("act", PARTIES_ACTS)
def test_suspension_shows_and_allows_the_parties_nothing(act: str) -> None:
    facts = report_misconduct(begun(), "p-mentor", at("2028-05-02T10:00"), "active")
    with pytest.raises(Refused) as refused:
        LATE_ACTS[act](facts, at("2028-05-03T10:00"))
    assert str(refused.value) == (
        "this engagement cannot be changed here; please write to the program's mailbox"
    )


@pytest.mark.rule("ENG8")
def test_staff_can_resume_end_or_cancel_a_suspension() -> None:
    facts = report_misconduct(begun(), "p-mentor", at("2028-05-02T10:00"), "active")
    when = at("2028-05-12T10:00")
    resumed = resume(facts, when, "suspended")
    assert turns(resumed)[1:] == [
        ("suspended", at("2028-05-02T10:00")),
        ("active", when),
        ("completed", at("2028-09-16T17:00")),
    ]
    assert turns(cancel(facts, when, "suspended"))[-1] == ("canceled", when)
    assert turns(end(facts, "staff", "other", when, "suspended", "lina"))[-1] == ("ended", when)
    assert list(mails(cancel(facts, when, "suspended"))) == [
        "mentor.canceled/1",
        "mentee.canceled/1",
        "staff.misconduct/1",
    ]


@pytest.mark.rule("ENG8", "MAIL1")
def test_mail_stopped_by_a_suspension_returns_under_a_new_key() -> None:
    facts = report_misconduct(begun(), "p-mentor", at("2028-05-10T10:00"), "active")
    resumed = resume(facts, at("2028-05-20T10:00"), "suspended")
    assert list(mails(resumed, "mentor.")) == [
        "mentor.match/1",
        "mentor.discovery/1",
        "mentor.discovery/2",
        "mentor.pulse/1",
        "mentor.pulse.2/2",
        "mentor.pulse.2/3",
        "mentor.pulse.2/4",
        "mentor.wrap_up.2/1",
        "mentor.completed.2/1",
    ]


@pytest.mark.rule("ENG8", "STA2")
def test_reports_of_one_suspension_are_one_task_and_one_mail_a_day() -> None:
    first = at("2028-05-02T10:00")
    facts = report_misconduct(begun(), "p-mentor", first, "active", event="1")
    for number in range(2, 61):
        when = first + timedelta(hours=number)
        facts = report_misconduct(facts, "p-mentor", when, "suspended", event=str(number))
    assert facts.suspended
    (task,) = [task for task in agenda(facts).tasks if task.kind == "misconduct"]
    assert task.due == first
    assert task.action.endswith("Reported 20 times.")
    assert list(mails(facts)) == ["staff.misconduct/1"]
    resumed = resume(facts, at("2028-05-12T10:00"), "suspended")
    assert len(tasks(resumed, "misconduct")) == 1


@pytest.mark.rule("ENG8", "STA2")
def test_report_after_a_resumption_and_on_a_later_day_reaches_staff_again() -> None:
    facts = report_misconduct(begun(), "p-mentor", at("2028-05-02T10:00"), "active", event="1")
    facts = report_misconduct(facts, "p-mentor", at("2028-05-03T09:59"), "suspended", event="2")
    facts = report_misconduct(facts, "p-mentor", at("2028-05-03T10:00"), "suspended", event="3")
    resumed = resume(facts, at("2028-05-04T10:00"), "suspended")
    again = report_misconduct(resumed, "p-mentor", at("2028-05-04T11:00"), "active", event="4")
    assert list(mails(again, "staff.")) == ["staff.misconduct/1", "staff.misconduct/3", "staff.misconduct/4"]
    assert tasks(again, "misconduct") == [at("2028-05-02T10:00"), at("2028-05-04T11:00")]


@pytest.mark.rule("ENG8")
def test_second_report_counts_and_a_repeated_event_does_not() -> None:
    facts = report_misconduct(begun(), "p-mentor", at("2028-05-02T10:00"), "active", event="7")
    assert report_misconduct(facts, "p-mentor", at("2028-05-02T10:00"), "suspended", event="7") == facts
    twice = report_misconduct(facts, "p-mentee", at("2028-05-03T10:00"), "suspended", event="8")
    assert list(mails(twice)) == ["staff.misconduct/1", "staff.misconduct/2"]
    assert len(tasks(twice, "misconduct")) == 2
    assert [state for state, _ in turns(twice)] == ["active", "suspended"]


@pytest.mark.rule("ENG8", "ENG11")
def test_report_while_paused_suspends_and_one_resume_ends_both() -> None:
    facts = report_misconduct(
        paused(begun(), "2028-05-02T10:00"), "p-mentor", at("2028-05-03T10:00"), "paused"
    )
    with pytest.raises(Refused, match="suspended already"):
        pause(facts, at("2028-05-04T10:00"), "suspended")
    facts = resume(facts, at("2028-05-05T10:00"), "suspended")
    assert [state for state, _ in turns(facts)] == ["active", "paused", "suspended", "active", "completed"]
    assert ends_on(facts) == date(2028, 9, 9)


# --- MEM2: standing lost meanwhile


@pytest.mark.rule("MEM2")
@pytest.mark.parametrize(("profile", "who"), [("p-mentor", "the mentor"), ("p-mentee", "the mentee")])
def test_lost_standing_opens_a_task_and_the_engagement_continues(profile: str, who: str) -> None:
    lost = at("2028-05-02T10:00")
    facts = standing_changed(begun(), profile, False, lost)
    lapses = [task for task in agenda(facts).tasks if task.kind == "member_lapsed"]
    assert [task.due for task in lapses] == [lost]
    assert who in lapses[0].cause
    assert agenda(facts).mails == agenda(begun()).mails
    assert standing_changed(facts, profile, True, at("2028-05-03T10:00")) == begun()


# --- what holds for all


@pytest.mark.rule("MEM6", "T7")
def test_facts_survive_the_workflow_history_and_the_database() -> None:
    facts = extended(paused(begun(), "2028-04-10T10:00", "2028-04-24T10:00"), "2028-05-02T10:00", months=1)
    facts = met(
        answer_discovery(facts, "p-mentor", "good_fit", at("2028-05-03T10:00"), "active"),
        "p-mentee",
        "2028-07-01T10:00",
    )
    facts = voted(
        standing_changed(facts, "p-mentor", False, at("2028-05-04T10:00")),
        "p-mentor",
        "2029-01-01",
        "2028-08-01T10:00",
    )
    facts = report_misconduct(facts, "p-mentor", at("2028-08-02T10:00"), "active", event="7")
    facts = cancel(
        replace(facts, votes=[engagement.Vote("mentor", "2029-01-01", at("2028-08-01T10:00"))]),
        at("2028-08-03T10:00"),
        "suspended",
    )
    converter = DefaultPayloadConverter()
    assert converter.from_payloads(converter.to_payloads([facts]), [EngagementFacts]) == [facts]
    rows = TypeAdapter(EngagementFacts)
    assert rows.validate_python(rows.dump_python(facts, mode="json")) == facts


starts = st.integers(0, 3 * 365 * 24).map(lambda n: at("2027-01-01T00:00") + timedelta(hours=n))


@pytest.mark.rule("ENG11", "ONB5")
@given(start=starts, months=st.integers(2, 14), after=st.integers(0, 300), days=st.integers(0, 90))
def test_pause_and_resume_move_everything_pending_by_the_pause(
    start: datetime, months: int, after: int, days: int
) -> None:
    facts = EngagementFacts("r-1", "p-mentee", "p-mentor", start, months)
    since = PROGRAM.plus_days(start, after)
    if state(facts, since) != "active":
        return
    until = PROGRAM.plus_days(since, days)
    resumed = resume(pause(facts, since, "active"), until, "paused")
    assert ends_on(resumed) == ends_on(facts) + timedelta(days=days)
    held = {mail.key: mail for mail in agenda(pause(facts, since, "active")).mails}
    before = {mail.key: mail for mail in agenda(facts).mails}
    assert {mail.key for mail in agenda(resumed).mails} == set(held) == set(before)
    for mail in agenda(resumed).mails:
        was, now = before[mail.key].due, mail.due
        assert was is not None
        assert now is not None
        assert held[mail.key].due is None
        if was <= since:
            assert now == was or was == since
        else:
            assert now > until
            assert timedelta(days=days - 7) <= now - was <= timedelta(days=days + 7)


@pytest.mark.rule("ENG5", "ENG6")
@given(
    start=starts,
    acts=st.lists(
        st.tuples(st.integers(1, 60), st.one_of(st.integers(1, 7), st.integers(200, 900)), st.booleans()),
        max_size=6,
    ),
)
def test_extension_never_shortens(start: datetime, acts: list[tuple[int, int, bool]]) -> None:
    facts, now = EngagementFacts("r-1", "p-mentee", "p-mentor", start), start
    for days, length, pausing in acts:
        now = PROGRAM.plus_days(now, days)
        current = state(facts, now)
        if current == "completed":
            break
        if pausing:
            facts = resume(facts, now, current) if facts.paused else pause(facts, now, current)
            continue
        before = ends_on(facts, now)
        try:
            if length < 10:
                facts = extend(facts, NewEnd(now, STAFF, months=length), current, POLICY, PROGRAM)
            else:
                day = start_day(facts, PROGRAM) + timedelta(days=length)
                facts = extend(facts, NewEnd(now, STAFF, day.isoformat()), current, POLICY, PROGRAM)
        except Refused:
            assert length > 10
            continue
        assert ends_on(facts, now) > before
        assert agenda(facts) == agenda(facts)


class EngagementMachine(RuleBasedStateMachine):
    """Every order of answers, votes, plans, pauses, reports, endings and waiting, against a reference ledger."""

    @initialize(start=starts, months=st.one_of(st.none(), st.integers(1, 9)))
    def match(self, start: datetime, months: int | None) -> None:
        self.now = start
        self.facts = EngagementFacts("r-1", "p-mentee", "p-mentor", start, months)
        self.ledger = ReferenceLedger()
        self.take(self.facts)

    @property
    def state(self) -> str:
        return self.agenda.state_at(self.now)

    @property
    def runs(self) -> bool:
        return self.ledger.closed_at is None

    def take(self, facts: EngagementFacts) -> None:
        self.facts, self.agenda = facts, agenda(facts)
        self.ledger.plan(self.agenda, self.now)
        self.ledger.run(self.agenda, self.now)

    def attempt(self, act: Act) -> bool:
        """Whether the rules allow an act; if so it is done."""
        try:
            facts = act(self.facts, self.now)
        except Refused:
            return False
        assert self.runs
        self.take(facts)
        return True

    @precondition(lambda self: self.runs)
    @rule(hours=st.one_of(st.integers(0, 30), st.integers(30, 1500)))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        self.ledger.run(self.agenda, self.now)

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 20))
    def wait_for_the_very_instant_of_a_mail(self, which: int) -> None:
        due = sorted(mail.due for mail in self.ledger.planned.values() if mail.due)
        if due:
            self.now = max(self.now, due[min(which, len(due) - 1)])
            self.ledger.run(self.agenda, self.now)

    @rule(by=st.sampled_from(BOTH), days=st.sampled_from([-10, 0, 1, 10, 40, 200]))
    def vote(self, by: str, days: int) -> None:
        before = ends_on(self.facts, self.now)
        day = (before + timedelta(days=days)).isoformat()
        done = self.attempt(partial(self.vote_for, by, day))
        assert ends_on(self.facts, self.now) >= before
        if done:
            assert days > 0

    def vote_for(self, by: str, day: str, facts: EngagementFacts, now: datetime) -> EngagementFacts:
        return agreed(facts, by, day, now, self.state)

    @rule(days=st.sampled_from([1, 10, 40, 200]))
    def both_agree(self, days: int) -> None:
        before, count = ends_on(self.facts, self.now), len(self.facts.new_ends)
        day = (before + timedelta(days=days)).isoformat()
        for by in BOTH:
            self.attempt(partial(self.vote_for, by, day))
        if len(self.facts.new_ends) > count:
            assert ends_on(self.facts, self.now) == before + timedelta(days=days)

    @rule(months=st.integers(0, 4), days=st.integers(1, 60))
    def staff_extend(self, months: int, days: int) -> None:
        before = ends_on(self.facts, self.now)
        day = "" if months else (before + timedelta(days=days)).isoformat()
        done = self.attempt(
            lambda facts, now: extend(facts, NewEnd(now, STAFF, day, months), self.state, POLICY, PROGRAM)
        )
        assert done == self.runs
        if done:
            assert ends_on(self.facts, self.now) > before

    @rule(months=st.integers(1, 12))
    def plan(self, months: int) -> None:
        self.attempt(lambda facts, now: planned_for(facts, months, now, self.state))

    @rule()
    def staff_pause(self) -> None:
        allowed = self.runs and not self.facts.paused
        assert self.attempt(lambda facts, now: pause(facts, now, self.state)) == allowed

    @rule()
    def staff_resume(self) -> None:
        allowed = self.runs and self.facts.paused
        assert self.attempt(lambda facts, now: resume(facts, now, self.state)) == allowed

    @rule(by=st.sampled_from(BOTH), answer=st.sampled_from(["good_fit", "not_met", "not_met"]))
    def answer_discovery_call(self, by: str, answer: str) -> None:
        self.attempt(lambda facts, now: answer_discovery(facts, by, answer, now, self.state))

    @rule(by=st.sampled_from(BOTH), yes=st.booleans())
    def answer_meeting(self, by: str, yes: bool) -> None:
        self.attempt(lambda facts, now: pulse_answered(facts, by, yes, now, self.state))

    @precondition(lambda self: self.runs)
    @rule(profile=st.sampled_from(BOTH), good=st.booleans())
    def standing(self, profile: str, good: bool) -> None:
        self.take(standing_changed(self.facts, profile, good, self.now))

    @rule(by=st.sampled_from([*BOTH, "staff"]))
    def report(self, by: str) -> None:
        assert self.attempt(lambda facts, now: report_misconduct(facts, by, now, self.state)) == self.runs

    @precondition(lambda self: len(self.ledger.sent) > 6)
    @rule(by=st.sampled_from([*BOTH, "staff"]), reason=st.sampled_from(list(END_REASONS)))
    def end_it(self, by: str, reason: str) -> None:
        suspended = self.facts.suspended
        done = self.attempt(lambda facts, now: end(facts, by, reason, now, self.state))
        assert not (done and suspended and by != "staff")

    @precondition(lambda self: len(self.ledger.sent) > 6)
    @rule()
    def staff_cancel(self) -> None:
        self.attempt(lambda facts, now: cancel(facts, now, self.state))

    @invariant()
    def nothing_follows_the_end_but_its_own_mail(self) -> None:
        closed_at = self.ledger.closed_at
        if closed_at is None:
            return
        assert all(
            when <= closed_at or mail.message.endswith(".completed") for when, mail in self.ledger.sent
        )
        self.ledger.run(self.agenda, closed_at + timedelta(days=30))
        what = {"completed": "completed", "canceled": "canceled"}.get(self.state, "ended")
        sent = self.ledger.sent_messages()
        for ending in ("completed", "canceled", "ended"):
            for role in ("mentor", "mentee"):
                assert sent.count(f"{role}.{ending}") == (ending == what)

    @invariant()
    def both_hear_of_the_match_once(self) -> None:
        sent = self.ledger.sent_messages()
        assert sent.count("mentor.match") == sent.count("mentee.match") == 1

    @invariant()
    def nobody_is_asked_twice_for_the_same_month(self) -> None:
        for message in ("mentor.pulse", "mentee.pulse", "mentor.discovery", "mentee.discovery"):
            numbers = [mail.number for _, mail in self.ledger.sent if mail.message == message]
            assert len(numbers) == len(set(numbers))

    @invariant()
    def each_extension_and_each_report_is_mailed_once(self) -> None:
        sent = self.ledger.sent_messages()
        reports = self.facts.reports
        assert len({report.by for report in reports}) <= sent.count("staff.misconduct") <= len(reports)
        assert sent.count("mentor.extended") == sent.count("mentee.extended")
        assert sent.count("mentor.extended") <= len([new for new in self.facts.new_ends if new.by != "plan"])

    @invariant()
    def an_end_is_asked_about_once(self) -> None:
        wrap_ups = self.ledger.sent_messages().count("mentor.wrap_up")
        assert wrap_ups <= 1 + len(self.facts.new_ends)


EngagementMachine.TestCase.settings = settings(max_examples=examples(40), stateful_step_count=25)


@pytest.mark.rule("ENG2", "ENG4", "ENG5", "ENG6", "ENG7", "ENG8", "ENG9", "ENG11", "MAIL1")
class TestEveryOrderOfActs(EngagementMachine.TestCase):  # type: ignore[misc, valid-type]
    """The machine above as a test."""
