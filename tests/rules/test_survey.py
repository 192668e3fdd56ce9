"""A survey from its first mail to its end, and what counts as an answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import TypeAdapter
from temporalio.converter import DefaultPayloadConverter

from rules.agenda import Agenda, Refused
from rules.calendar import Calendar, calendar_for
from rules.messages import CATALOGUE
from rules.program import load_program
from rules.survey import (
    SurveyFacts,
    agenda,
    answer,
    cancel,
    check_answers,
    closes_at,
    first_mail_at,
    wait_for_notice,
)
from tests.support.limits import examples
from tests.support.model.reference_ledger import ReferenceLedger

PROGRAM = load_program(Path("programs/asis-global.toml"))
POLICY = PROGRAM.survey
NEW_YORK = calendar_for(PROGRAM.hours, "America/New_York", "US", None)
BOGOTA = calendar_for(PROGRAM.hours, "America/Bogota", "CO", None)
AUCKLAND = calendar_for(PROGRAM.hours, "Pacific/Auckland", "NZ", None)
CALENDARS = (NEW_YORK, BOGOTA, AUCKLAND)


def at(text: str, zone: str = "America/New_York") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def opened(
    text: str = "2028-09-14T17:00", role: str = "mentee", notified: str = "2028-09-15T09:00"
) -> SurveyFacts:
    return SurveyFacts("r-1", role, f"p-{role}", at(text), notified_at=at(notified))


def turns(facts: SurveyFacts) -> list[tuple[str, datetime, bool]]:
    return [(turn.state, turn.due, turn.closes) for turn in agenda(facts, POLICY, NEW_YORK).state_changes]


# --- SUR2: the course of a survey


@pytest.mark.rule("SUR2", "T4")
@pytest.mark.parametrize("role", ["mentor", "mentee"])
def test_unanswered_survey_gets_three_reminders_and_closes(role: str) -> None:
    facts = opened(role=role)
    course = agenda(facts, POLICY, NEW_YORK)
    assert [(mail.key, mail.number, mail.due) for mail in course.mails] == [
        ("survey/1", 1, at("2028-09-18T09:00")),
        ("survey/2", 2, at("2028-09-21T09:00")),
        ("survey/3", 3, at("2028-09-28T09:00")),
        ("survey/4", 4, at("2028-10-05T09:00")),
    ]
    assert {(mail.message, mail.to) for mail in course.mails} == {(f"{role}.survey", f"p-{role}")}
    assert all(mail.number in CATALOGUE[mail.message].numbers for mail in course.mails)
    assert turns(facts) == [
        ("open", facts.opened_at, False),
        ("closed", at("2028-10-14T17:00"), True),
    ]


@pytest.mark.rule("SUR2", "T4")
@pytest.mark.parametrize(
    ("notified", "calendar", "due"),
    [
        ("2028-09-15T15:00", NEW_YORK, "2028-09-18T09:00"),  # on Friday afternoon, by an event
        ("2028-09-16T10:00", NEW_YORK, "2028-09-18T09:00"),  # on Saturday
        ("2028-09-18T03:00", NEW_YORK, "2028-09-19T09:00"),  # before the business hours of Monday
        ("2028-09-01T17:00", NEW_YORK, "2028-09-05T09:00"),  # before Labor Day
        (
            "2028-10-13T10:00",
            BOGOTA,
            "2028-10-17T09:00",
        ),  # before a Monday that is a holiday in Colombia only
        ("2028-09-14T23:30", AUCKLAND, "2028-09-18T09:00"),  # Friday in Auckland already
    ],
)
def test_survey_follows_the_mail_about_the_end_on_the_next_business_day(
    notified: str, calendar: Calendar, due: str
) -> None:
    facts = opened(notified, notified=notified)
    first = agenda(facts, POLICY, calendar).mails[0]
    assert first.due == at(due, calendar.zone)
    assert agenda(facts, POLICY, calendar).wakes_after(facts.opened_at)[0] == first.due


@pytest.mark.rule("SUR2")
def test_survey_waits_while_the_mail_about_the_end_has_not_left() -> None:
    facts, due = opened(), at("2028-09-18T09:00")
    assert wait_for_notice(facts, due, NEW_YORK, notice_left=True) == facts
    waiting = wait_for_notice(facts, due, NEW_YORK, notice_left=False)
    assert first_mail_at(waiting, NEW_YORK) == at("2028-09-19T09:00")
    before = due - timedelta(seconds=1)
    assert wait_for_notice(facts, before, NEW_YORK, notice_left=False) == facts
    on_friday = wait_for_notice(waiting, at("2028-09-22T09:00"), NEW_YORK, notice_left=False)
    assert [(mail.number, mail.due) for mail in agenda(on_friday, POLICY, NEW_YORK).mails] == [
        (1, at("2028-09-25T09:00")),
        (3, at("2028-09-28T09:00")),
        (4, at("2028-10-05T09:00")),
    ]
    answered = answer(facts, before)
    assert wait_for_notice(answered, due, NEW_YORK, notice_left=False) == answered


@pytest.mark.rule("SUR2")
def test_survey_begun_before_notices_keeps_its_first_mail() -> None:
    facts = SurveyFacts("r-1", "mentee", "p-mentee", at("2028-09-14T17:00"))
    assert agenda(facts, POLICY, NEW_YORK).mails[0].due == facts.opened_at


@pytest.mark.rule("SUR2")
def test_mails_carry_only_opening_and_closing_day() -> None:
    assert agenda(opened(), POLICY, NEW_YORK).mails[0].context == {
        "opened": "2028-09-14T21:00:00+00:00",
        "closes": "2028-10-14",
    }


@pytest.mark.rule("SUR2", "T4")
def test_reminders_that_coincide_or_pass_the_end_are_dropped() -> None:
    closed = frozenset(at("2028-09-15T12:00").date() + timedelta(days=n) for n in range(18))
    calendar = calendar_for(replace(PROGRAM.hours, closing_days=closed), "America/New_York", "US", None)
    mails = agenda(opened(), POLICY, calendar).mails
    assert [(mail.number, mail.due) for mail in mails] == [
        (1, at("2028-10-03T09:00")),
        (4, at("2028-10-05T09:00")),
    ]
    much_longer = frozenset(at("2028-09-15T12:00").date() + timedelta(days=n) for n in range(40))
    calendar = calendar_for(replace(PROGRAM.hours, closing_days=much_longer), None, None, None)
    assert not agenda(opened(), POLICY, calendar).mails


# --- SUR2, SUR3: answers


@pytest.mark.rule("SUR2", "SUR3")
def test_answer_stops_reminders_and_is_replaceable_until_the_end() -> None:
    facts = answer(opened(), at("2028-09-16T11:00"))
    course = agenda(facts, POLICY, NEW_YORK)
    assert course.mails == ()
    assert course.dropped_because == "the survey is answered"
    assert turns(facts) == [
        ("open", facts.opened_at, False),
        ("answered", at("2028-09-16T11:00"), False),
    ]
    assert course.closes_at == at("2028-10-14T17:00")
    assert course.wakes_after(at("2028-09-16T11:00")) == [at("2028-10-14T17:00")]


@pytest.mark.rule("SUR3")
def test_second_answer_changes_no_date() -> None:
    facts = answer(opened(), at("2028-09-16T11:00"))
    assert answer(facts, at("2028-10-14T16:59"), closes_at(facts, POLICY, NEW_YORK)) == facts


@pytest.mark.rule("SUR2", "SUR3")
@pytest.mark.parametrize("answered", [False, True])
def test_closed_survey_takes_no_answer(answered: bool) -> None:
    facts = answer(opened(), at("2028-09-16T11:00")) if answered else opened()
    closes = closes_at(facts, POLICY, NEW_YORK)
    with pytest.raises(Refused, match="closed"):
        answer(facts, closes, closes)
    assert answer(facts, closes - timedelta(seconds=1), closes).answered_at


@pytest.mark.rule("SUR2")
def test_cancelled_survey_sends_no_mail_and_takes_no_answer() -> None:
    facts = cancel(opened(), at("2028-09-20T10:00"), "a duplicate", "lina")
    assert agenda(facts, POLICY, NEW_YORK).mails == ()
    assert agenda(facts, POLICY, NEW_YORK).dropped_because == "cancelled by staff: a duplicate"
    assert turns(facts)[-1] == ("canceled", at("2028-09-20T10:00"), True)
    assert cancel(facts, at("2028-09-21T10:00")) == facts
    with pytest.raises(Refused, match="cancelled"):
        answer(facts, at("2028-09-21T10:00"))


@pytest.mark.rule("MEM6")
def test_facts_survive_the_workflow_history_and_the_database() -> None:
    facts = cancel(answer(opened(), at("2028-09-16T11:00")), at("2028-09-17T11:00"), "why", "lina")
    converter = DefaultPayloadConverter()
    assert converter.from_payloads(converter.to_payloads([facts]), [SurveyFacts]) == [facts]
    adapter = TypeAdapter(SurveyFacts)
    assert adapter.validate_python(adapter.dump_python(facts, mode="json")) == facts


# --- SUR1: what is asked, and what counts as an answer

COMPLETE = {
    "goals_met": "partly",
    "mentor_helped": True,
    "extend": False,
    "another_mentor": False,
    "expectations_met": True,
    "rating": 5,
    "comment": "Thank you.",
}


@pytest.mark.rule("SUR1")
def test_both_roles_get_the_same_question_ids_in_other_words() -> None:
    mentor, mentee = POLICY.questions("mentor"), POLICY.questions("mentee")
    assert [question.id for question in mentor] == [question.id for question in mentee] == list(COMPLETE)
    for ours, theirs in zip(mentor, mentee, strict=True):
        assert ours.text_in("en") != theirs.text_in("en")
        assert ours.text_in("es") != theirs.text_in("es")


@pytest.mark.rule("SUR1")
def test_answers_are_accepted_typed_or_as_form_text() -> None:
    page = {
        "goals_met": "partly",
        "mentor_helped": "yes",
        "extend": "No",
        "another_mentor": "false",
        "expectations_met": " true ",
        "rating": " 5 ",
        "comment": " Thank you.\r\n",
    }
    for given_answers in (COMPLETE, page):
        assert check_answers(POLICY, "mentor", given_answers) == (COMPLETE, [])


@pytest.mark.rule("SUR1")
def test_booleans_stand_for_the_choices_yes_and_no() -> None:
    assert check_answers(POLICY, "mentee", {**COMPLETE, "goals_met": True})[0]["goals_met"] == "yes"


@pytest.mark.rule("SUR1")
def test_optional_questions_may_be_left_blank() -> None:
    blank = {**COMPLETE, "comment": "  \n ", "extend": None, "another_mentor": ""}
    clean, problems = check_answers(POLICY, "mentee", blank)
    assert not problems
    assert clean.keys() == COMPLETE.keys() - {"comment", "extend", "another_mentor"}


@pytest.mark.rule("SUR1")
@pytest.mark.parametrize(
    ("question", "given_answer", "reason"),
    [
        ("goals_met", "perhaps", "must be one of yes, partly, no"),
        ("goals_met", 3, "must be text, not the number 3"),
        ("goals_met", None, "needs an answer"),
        ("mentor_helped", "  ", "needs an answer"),
        ("mentor_helped", "perhaps", "must be yes or no"),
        ("mentor_helped", 1, "must be text, not the number 1"),
        ("rating", 0, "must be a whole number from 1 to 5, not 0"),
        ("rating", "6", "must be a whole number from 1 to 5, not 6"),
        ("rating", "9" * 30, "must be a whole number from 1 to 5, not text"),
        ("rating", "²", "must be a whole number from 1 to 5, not text"),
        ("rating", True, "must be a whole number from 1 to 5, not true"),
        ("comment", "\x00", "must not hold control characters other than line breaks and tabs"),
        ("comment", ["a", "b"], "must be text, not a list"),
        ("ratting", 5, "is no question of this survey; did you mean rating?"),
    ],
)
def test_wrong_answer_is_named_by_its_question_and_others_are_kept(
    question: str, given_answer: object, reason: str
) -> None:
    clean, problems = check_answers(POLICY, "mentee", {**COMPLETE, question: given_answer})
    assert [(fault.path, fault.reason) for fault in problems] == [((question,), reason)]
    assert clean == {name: value for name, value in COMPLETE.items() if name != question}


@pytest.mark.rule("SUR1")
def test_empty_answer_is_refused() -> None:
    optional = tuple(replace(each, required=False) for each in POLICY.mentee)
    _, problems = check_answers(replace(POLICY, mentee=optional), "mentee", {})
    assert [fault.reason for fault in problems] == ["at least one question needs an answer"]


@pytest.mark.rule("SUR1")
@given(
    st.dictionaries(
        st.one_of(st.sampled_from(list(COMPLETE)), st.text(max_size=5)),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text())),
    )
)
def test_accepted_answers_always_fit_their_questions(answers: dict[str, object]) -> None:
    clean, problems = check_answers(POLICY, "mentor", answers)
    assert check_answers(POLICY, "mentor", {**COMPLETE, **clean}) == ({**COMPLETE, **clean}, [])
    assert clean or problems


# --- Every order of acts

moments = st.integers(0, 3 * 366 * 24 * 60).map(
    lambda minutes: datetime(2027, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


@pytest.mark.rule("SUR2", "T4")
@given(opened_at=moments, calendar=st.sampled_from(CALENDARS))
def test_all_mails_come_on_business_mornings_before_the_end(opened_at: datetime, calendar: Calendar) -> None:
    facts = SurveyFacts("r-1", "mentor", "p-mentor", opened_at, notified_at=opened_at)
    mails = [mail.due for mail in agenda(facts, POLICY, calendar).mails if mail.due]
    # Around New Year the first mail may come after the first reminder's day.
    assert len(mails) in (len(POLICY.reminder_days), len(POLICY.reminder_days) + 1)
    assert calendar.date_of(mails[0]) > calendar.date_of(opened_at)
    assert all(one < other for one, other in pairwise([*mails, closes_at(facts, POLICY, calendar)]))
    for due in mails:
        assert calendar.local(due).time() == PROGRAM.hours.send_time
        assert calendar.is_business_day(calendar.date_of(due))


class SurveyMachine(RuleBasedStateMachine):
    """Every order of answers, a cancel and waiting, against a reference ledger."""

    @initialize(opened_at=moments, calendar=st.sampled_from(CALENDARS))
    def open(self, opened_at: datetime, calendar: Calendar) -> None:
        self.calendar, self.now = calendar, opened_at
        self.facts = SurveyFacts("r-1", "mentee", "p-mentee", opened_at, notified_at=opened_at)
        self.ledger = ReferenceLedger()
        self.answers = 0
        self.replan()

    @property
    def agenda(self) -> Agenda:
        return agenda(self.facts, POLICY, self.calendar)

    @property
    def closes(self) -> datetime:
        return closes_at(self.facts, POLICY, self.calendar)

    @property
    def is_open(self) -> bool:
        return self.ledger.closed_at is None and self.now < self.closes

    def replan(self) -> None:
        self.ledger.plan(self.agenda, self.now)
        self.ledger.run(self.agenda, self.now)

    @rule(hours=st.integers(1, 24 * 12))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        self.ledger.run(self.agenda, self.now)

    @rule()
    def answer(self) -> None:
        if not self.is_open:
            with pytest.raises(Refused):
                answer(self.facts, self.now, self.closes)
            return
        self.facts = answer(self.facts, self.now, self.closes)
        self.answers += 1
        self.replan()

    @precondition(lambda self: self.is_open)
    @rule()
    def cancel(self) -> None:
        self.facts = cancel(self.facts, self.now, "why", "lina")
        self.replan()

    @invariant()
    def no_mail_follows_an_answer_or_the_end(self) -> None:
        stop = min(
            instant
            for instant in (
                self.facts.answered_at,
                self.facts.ended.at if self.facts.ended else None,
                self.closes,
            )
            if instant
        )
        assert all(sent <= stop for sent, _ in self.ledger.sent)
        assert not (self.answers and self.ledger.planned)

    @invariant()
    def the_state_is_what_happened(self) -> None:
        if self.facts.ended:
            expected = "canceled"
        elif self.answers:
            expected = "answered"
        else:
            expected = "open" if self.is_open else "closed"
        assert self.agenda.state_at(self.now) == expected


@pytest.mark.rule("SUR2", "SUR3", "MAIL1")
class TestEveryOrderOfActs(SurveyMachine.TestCase):  # type: ignore[misc, valid-type]
    """The machine above as a test."""

    settings = settings(max_examples=examples(40), stateful_step_count=12)
