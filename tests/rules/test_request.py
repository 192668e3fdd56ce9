"""A request from the question to its end: hard dates by hand, then every order of acts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import TypeAdapter
from temporalio.converter import DefaultPayloadConverter

from rules.agenda import Agenda, Ended, PlannedMail, Refused
from rules.calendar import Calendar, calendar_for
from rules.program import load_program
from rules.request import (
    MOST_EXTENDED,
    MOST_EXTENSION,
    RequestFacts,
    accept,
    agenda,
    answer_due,
    cancel,
    closed_because,
    decline,
    extend,
    make_unavailable,
    standing_changed,
    withdraw,
)
from tests.support.limits import examples
from tests.support.model.reference_ledger import ReferenceLedger

PROGRAM = load_program(Path("programs/asis-global.toml"))
POLICY = PROGRAM.request
NEW_YORK = calendar_for(PROGRAM.hours, "America/New_York", "US", None)
BOGOTA = calendar_for(PROGRAM.hours, "America/Bogota", "CO", None)
AUCKLAND = calendar_for(PROGRAM.hours, "Pacific/Auckland", "NZ", None)
APIA = calendar_for(PROGRAM.hours, "Pacific/Apia", "WS", None)
CALENDARS = (NEW_YORK, BOGOTA, AUCKLAND, APIA)


def at(text: str, zone: str = "America/New_York") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def asked(text: str = "2028-03-06T10:00", zone: str = "America/New_York") -> RequestFacts:
    return RequestFacts("r-1", "p-mentee", "p-mentor", at(text, zone))


def mails(facts: RequestFacts, calendar: Calendar = NEW_YORK) -> dict[str, datetime | None]:
    return {mail.key: mail.due for mail in agenda(facts, POLICY, calendar, calendar).mails}


def turns(facts: RequestFacts, calendar: Calendar = NEW_YORK) -> list[tuple[str, datetime]]:
    return [(turn.state, turn.due) for turn in agenda(facts, POLICY, calendar, calendar).state_changes]


def tasks(facts: RequestFacts, calendar: Calendar = NEW_YORK) -> list[tuple[str, datetime]]:
    return [(task.kind, task.due) for task in agenda(facts, POLICY, calendar, calendar).tasks]


# --- REQ1–REQ4, REQ8: the course of a request that nobody answers


@pytest.mark.rule("REQ1", "REQ2", "REQ3", "REQ4", "REQ8", "T2", "T4")
def test_unanswered_request_sends_its_mails_and_expires() -> None:
    facts = asked("2028-03-06T10:00")
    course = agenda(facts, POLICY, NEW_YORK, NEW_YORK)
    assert {(mail.key, mail.to, mail.due) for mail in course.mails} == {
        ("mentor.request_received/1", "p-mentor", facts.created_at),
        ("mentee.request_sent/1", "p-mentee", facts.created_at),
        ("mentor.request_reminder/1", "p-mentor", at("2028-03-08T09:00")),
        ("mentor.request_past_due/1", "p-mentor", at("2028-03-08T17:00")),
        ("mentee.request_unanswered/1", "p-mentee", at("2028-03-10T09:00")),
        ("mentor.request_expired/1", "p-mentor", at("2028-03-20T17:00")),
        ("mentee.request_expired/1", "p-mentee", at("2028-03-21T09:00")),
    }
    assert turns(facts) == [
        ("open", facts.created_at),
        ("past_due", at("2028-03-08T17:00")),
        ("expired", at("2028-03-20T17:00")),
    ]
    assert [turn.closes for turn in course.state_changes] == [False, False, True]
    assert tasks(facts) == [("request_unanswered", at("2028-03-09T17:00"))]


@pytest.mark.rule("REQ1", "REQ2")
def test_mails_carry_only_asked_due_and_expiry_dates() -> None:
    received = agenda(asked(), POLICY, NEW_YORK, NEW_YORK).mails[0]
    assert received.context == {
        "asked": "2028-03-06T15:00:00+00:00",
        "due": "2028-03-08T22:00:00+00:00",
        "expires": "2028-03-20T21:00:00+00:00",
    }


@pytest.mark.rule("REQ2", "T1", "T2", "T5")
@pytest.mark.parametrize(
    ("created", "calendar", "due"),
    [
        ("2028-03-17T16:59", NEW_YORK, "2028-03-21T17:00"),
        ("2028-03-18T10:00", NEW_YORK, "2028-03-21T17:00"),
        ("2028-03-17T10:00", BOGOTA, "2028-03-22T17:00"),
        ("2028-03-17T10:00", NEW_YORK, "2028-03-21T17:00"),
        ("2028-03-10T16:59", NEW_YORK, "2028-03-14T17:00"),
        ("2028-03-31T18:00", AUCKLAND, "2028-04-04T17:00"),
        ("2028-06-30T23:59", NEW_YORK, "2028-07-05T17:00"),
    ],
    ids=[
        "Friday 16:59",
        "Saturday",
        "the mentor's holiday is the Monday",
        "that Monday is a holiday of the mentee only",
        "clocks go forward between",
        "clocks go back between",
        "last minute of a local day",
    ],
)
def test_mentor_has_two_own_business_days(created: str, calendar: Calendar, due: str) -> None:
    facts = asked(created, calendar.zone)
    deadline = at(due, calendar.zone)
    assert answer_due(facts, POLICY, calendar) == deadline
    assert mails(facts, calendar)["mentor.request_past_due/1"] == deadline
    assert mails(facts, calendar)["mentor.request_reminder/1"] == deadline - timedelta(hours=8)


# --- REQ5–REQ7, REQ9, MEM4: how it ends


@pytest.mark.rule("REQ5")
@pytest.mark.parametrize(
    "moment", ["2028-03-06T10:00", "2028-03-08T17:00", "2028-03-08T17:01", "2028-03-20T16:59"]
)
def test_acceptance_counts_at_any_time_and_sends_no_mail_itself(
    moment: str,
) -> None:
    state = agenda(asked(), POLICY, NEW_YORK, NEW_YORK).state_at(at(moment))
    facts = accept(asked(), at(moment), state)
    assert mails(facts) == {}
    assert turns(facts)[-1] == ("accepted", at(moment))
    assert agenda(facts, POLICY, NEW_YORK, NEW_YORK).state_at(at("2029-01-01T00:00")) == "accepted"


@pytest.mark.rule("REQ3", "REQ5", "T2")
def test_answer_in_the_second_of_the_deadline_is_in_time() -> None:
    in_time, late = at("2028-03-08T17:00"), at("2028-03-08T17:00:01")
    assert [state for state, _ in turns(accept(asked(), in_time, "open"))] == ["open", "accepted"]
    assert [state for state, _ in turns(accept(asked(), late, "past_due"))] == [
        "open",
        "past_due",
        "accepted",
    ]


@pytest.mark.rule("REQ6")
def test_decline_notifies_the_mentee_and_checks_in_with_the_mentor() -> None:
    """The reason is in neither mail."""
    facts = decline(asked(), at("2028-03-07T12:00"), "open", "event:7")
    decided = agenda(facts, POLICY, NEW_YORK, NEW_YORK)
    assert [(mail.message, mail.to, mail.due) for mail in decided.mails] == [
        ("mentee.request_declined", "p-mentee", at("2028-03-07T12:00")),
        ("mentor.declined_checkin", "p-mentor", at("2028-03-07T12:00")),
    ]
    assert decided.state_changes[-1].cause == decided.dropped_because == "declined by the mentor: event:7"
    assert not any("event:7" in text for mail in decided.mails for text in mail.context.values())


@pytest.mark.rule("REQ7", "REQ9")
@pytest.mark.parametrize(
    ("act", "by", "cause"),
    [
        (lambda facts, when: withdraw(facts, when, "open"), "mentee", "withdrawn by the mentee"),
        (
            lambda facts, when: cancel(facts, when, "open", "wrong id", "lina"),
            "staff",
            "cancelled by staff: wrong id",
        ),
    ],
    ids=["the mentee", "staff"],
)
def test_cancel_notifies_both(
    act: Callable[[RequestFacts, datetime], RequestFacts], by: str, cause: str
) -> None:
    facts = act(asked(), at("2028-03-07T12:00"))
    assert mails(facts) == {
        "mentor.request_canceled/1": at("2028-03-07T12:00"),
        "mentee.request_canceled/1": at("2028-03-07T12:00"),
    }
    assert facts.ended_by == by
    assert agenda(facts, POLICY, NEW_YORK, NEW_YORK).state_changes[-1].cause == cause
    assert agenda(facts, POLICY, NEW_YORK, NEW_YORK).state_changes[-1].state == "canceled"


@pytest.mark.rule("MEM4")
def test_mentor_on_hold_is_unavailable_at_once_without_a_timer() -> None:
    facts = replace(asked(), unavailable_because="the mentor is on hold")
    answer = agenda(facts, POLICY, NEW_YORK, NEW_YORK)
    assert [(mail.message, mail.to, mail.due) for mail in answer.mails] == [
        ("mentee.mentor_unavailable", "p-mentee", facts.created_at)
    ]
    assert [(turn.state, turn.closes) for turn in answer.state_changes] == [("unavailable", True)]
    assert answer.wakes_after(facts.created_at) == []
    assert answer.tasks == ()


@pytest.mark.rule("MEM4")
def test_mentor_full_or_withdrawn_later_notifies_only_the_mentee() -> None:
    when = at("2028-03-07T12:00")
    facts = make_unavailable(asked(), when, "open", "the mentor's profile was withdrawn")
    assert mails(facts) == {"mentee.mentor_unavailable/1": when}
    assert turns(facts) == [("open", facts.created_at), ("unavailable", when)]


# --- REQ10: nothing twice

ANSWERS: dict[str, Callable[[RequestFacts, datetime, str], RequestFacts]] = {
    "accepted": accept,
    "declined": decline,
    "canceled": withdraw,
    "canceled by staff": cancel,
    "unavailable": lambda facts, when, state: make_unavailable(facts, when, state, "on hold"),
    "extended": lambda facts, when, state: extend(facts, 2, when, state),
}


@pytest.mark.rule("REQ10")
@pytest.mark.parametrize("second", ANSWERS)
@pytest.mark.parametrize("first", [name for name in ANSWERS if name != "extended"])
def test_first_of_crossing_ends_counts(first: str, second: str) -> None:
    ended = ANSWERS[first](asked(), at("2028-03-07T12:00"), "open")
    with pytest.raises(Refused, match="request"):
        ANSWERS[second](ended, at("2028-03-07T12:00"), "open")


@pytest.mark.rule("REQ10")
@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (accept(asked(), at("2028-03-07T12:00"), "open"), "already accepted"),
        (decline(asked(), at("2028-03-07T12:00"), "open"), "already declined"),
        (withdraw(asked(), at("2028-03-07T12:00"), "open"), "the mentee has withdrawn"),
        (cancel(asked(), at("2028-03-07T12:00"), "open"), "staff have cancelled"),
        (make_unavailable(asked(), at("2028-03-07T12:00"), "open", "on hold"), "cannot take another mentee"),
        (replace(asked(), unavailable_because="on hold"), "cannot take another mentee"),
    ],
)
def test_late_answer_is_refused_with_the_reason(ended: RequestFacts, expected: str) -> None:
    with pytest.raises(Refused, match=expected):
        accept(ended, at("2028-03-08T12:00"), "open")


@pytest.mark.rule("REQ8", "REQ10")
def test_open_request_is_not_closed_and_an_expired_one_has_a_date() -> None:
    assert closed_because(asked(), "past_due") == ""
    assert closed_because(asked(), "expired", date(2028, 3, 20)).startswith(
        "the request expired on 2028-03-20"
    )


@pytest.mark.rule("REQ8", "REQ10")
@pytest.mark.parametrize("answer", ANSWERS)
def test_expired_request_takes_no_answer(answer: str) -> None:
    expiry = at("2028-03-20T17:00")
    state = agenda(asked(), POLICY, NEW_YORK, NEW_YORK).state_at(expiry)
    with pytest.raises(Refused, match="expired"):
        ANSWERS[answer](asked(), expiry, state)


@pytest.mark.rule("REQ5", "REQ8")
def test_answer_before_the_recorded_expiry_counts() -> None:
    facts = accept(asked(), at("2028-03-20T17:00"), "past_due")
    assert [state for state, _ in turns(facts)] == ["open", "past_due", "accepted"]


# --- REQ9: staff give more time


@pytest.mark.rule("REQ9")
def test_extension_before_the_deadline_moves_everything_pending() -> None:
    facts = extend(asked("2028-03-06T10:00"), 3, at("2028-03-07T12:00"), "open")
    assert mails(facts) == {
        "mentor.request_received/1": facts.created_at,
        "mentee.request_sent/1": facts.created_at,
        "mentor.request_reminder/1": at("2028-03-13T09:00"),
        "mentor.request_past_due/1": at("2028-03-13T17:00"),
        "mentee.request_unanswered/1": at("2028-03-15T09:00"),
        "mentor.request_expired/1": at("2028-03-23T17:00"),
        "mentee.request_expired/1": at("2028-03-24T09:00"),
    }
    assert turns(facts) == [
        ("open", facts.created_at),
        ("past_due", at("2028-03-13T17:00")),
        ("expired", at("2028-03-23T17:00")),
    ]
    assert tasks(facts) == [("request_unanswered", at("2028-03-14T17:00"))]


@pytest.mark.rule("REQ3", "REQ9")
def test_extension_after_the_deadline_reopens_and_repeats_mail() -> None:
    facts = extend(asked("2028-03-06T10:00"), 3, at("2028-03-09T10:00"), "past_due")
    assert turns(facts) == [
        ("open", facts.created_at),
        ("past_due", at("2028-03-08T17:00")),
        ("open", at("2028-03-09T10:00")),
        ("past_due", at("2028-03-13T17:00")),
        ("expired", at("2028-03-23T17:00")),
    ]
    moved = mails(facts)
    assert moved["mentor.request_reminder/2"] == at("2028-03-13T09:00")
    assert moved["mentor.request_past_due/2"] == at("2028-03-13T17:00")
    assert moved["mentee.request_unanswered/1"] == at("2028-03-15T09:00")
    assert moved["mentor.request_expired/1"] == at("2028-03-23T17:00")
    assert len(moved) == 7


@pytest.mark.rule("REQ4", "REQ9")
def test_extension_after_the_mentees_offer_repeats_offer_and_task() -> None:
    once = agenda(asked("2028-03-06T10:00"), POLICY, NEW_YORK, NEW_YORK)
    again = agenda(
        extend(asked("2028-03-06T10:00"), 5, at("2028-03-10T10:00"), "past_due"), POLICY, NEW_YORK, NEW_YORK
    )
    unanswered = next(mail for mail in again.mails if mail.message == "mentee.request_unanswered")
    assert (unanswered.occurrence, unanswered.due) == (2, at("2028-03-17T09:00"))
    assert again.tasks[0].due == at("2028-03-16T17:00")
    assert again.tasks[0].cause != once.tasks[0].cause


@pytest.mark.rule("REQ2", "REQ9")
def test_extension_after_the_reminder_repeats_only_the_reminder() -> None:
    moved = mails(extend(asked("2028-03-06T10:00"), 1, at("2028-03-08T12:00"), "open"))
    assert moved["mentor.request_reminder/2"] == at("2028-03-09T09:00")
    assert moved["mentor.request_past_due/1"] == at("2028-03-09T17:00")


@pytest.mark.rule("REQ9")
def test_extension_that_ends_in_the_past_changes_no_mail() -> None:
    facts = extend(asked("2028-03-06T10:00"), 1, at("2028-03-14T10:00"), "past_due")
    assert [state for state, _ in turns(facts)] == ["open", "past_due", "expired"]
    assert turns(facts)[1:] == [("past_due", at("2028-03-08T17:00")), ("expired", at("2028-03-21T17:00"))]
    assert {key for key in mails(facts) if key.endswith("/2")} == set()


@pytest.mark.rule("REQ9")
def test_extensions_add_up_from_the_start() -> None:
    facts = extend(asked("2028-03-06T10:00"), 1, at("2028-03-09T10:00"), "past_due")
    facts = extend(facts, 4, at("2028-03-09T12:00"), "open")
    assert answer_due(facts, POLICY, NEW_YORK) == at("2028-03-15T17:00")
    assert mails(facts)["mentor.request_past_due/2"] == at("2028-03-15T17:00")


@pytest.mark.rule("REQ9", "REQ10")
def test_repeated_extension_event_counts_once_even_after_the_end() -> None:
    once = extend(asked(), 2, at("2028-03-07T10:00"), "open", event="7")
    assert extend(once, 2, at("2028-03-07T10:00"), "open", event="7") == once
    ended = accept(once, at("2028-03-07T11:00"), "open")
    assert extend(ended, 2, at("2028-03-07T12:00"), "accepted", event="7") == ended


@pytest.mark.rule("REQ9")
@pytest.mark.parametrize("days", [0, -1, MOST_EXTENSION + 1])
def test_extension_has_a_bounded_number_of_days(days: int) -> None:
    with pytest.raises(Refused, match="1 to 60"):
        extend(asked(), days, at("2028-03-07T10:00"), "open")


@pytest.mark.rule("REQ9")
def test_number_of_extensions_is_bounded() -> None:
    facts = asked()
    for _ in range(MOST_EXTENDED // MOST_EXTENSION):
        facts = extend(facts, MOST_EXTENSION, at("2028-03-07T10:00"), "open")
    with pytest.raises(Refused, match="all in all"):
        extend(facts, MOST_EXTENSION, at("2028-03-07T10:00"), "open")


# --- MEM2: standing lost meanwhile


@pytest.mark.rule("MEM2")
@pytest.mark.parametrize(("profile", "who"), [("p-mentor", "the mentor"), ("p-mentee", "the mentee")])
def test_lost_standing_opens_a_task_and_the_request_stays_open(profile: str, who: str) -> None:
    lost = at("2028-03-07T08:00")
    facts = standing_changed(asked(), profile, False, lost)
    planned = agenda(facts, POLICY, NEW_YORK, NEW_YORK)
    assert [(task.kind, task.due) for task in planned.tasks if who in task.cause] == [("member_lapsed", lost)]
    assert planned.state_changes == agenda(asked(), POLICY, NEW_YORK, NEW_YORK).state_changes
    assert planned.mails == agenda(asked(), POLICY, NEW_YORK, NEW_YORK).mails


@pytest.mark.rule("MEM2", "STA2")
def test_repeated_lapse_is_one_cause_and_a_return_clears_it() -> None:
    once = standing_changed(asked(), "p-mentor", False, at("2028-03-07T08:00"))
    assert standing_changed(once, "p-mentor", False, at("2028-03-07T09:00")) == once
    assert standing_changed(once, "p-mentor", True, at("2028-03-07T09:00")) == asked()


# --- what holds for all


@pytest.mark.rule("MEM6", "T7")
def test_facts_survive_the_workflow_history_and_the_database() -> None:
    facts = extend(asked(), 2, at("2028-03-07T10:00"), "open", event="7")
    facts = standing_changed(facts, "p-mentor", False, at("2028-03-07T11:00"))
    facts = decline(facts, at("2028-03-07T12:00"), "open", "event:9")
    converter = DefaultPayloadConverter()
    assert converter.from_payloads(converter.to_payloads([facts]), [RequestFacts]) == [facts]
    rows = TypeAdapter(RequestFacts)
    assert rows.validate_python(rows.dump_python(facts, mode="json")) == facts


moments = st.integers(0, 4 * 365 * 24 * 60).map(lambda n: at("2027-01-01T00:00") + timedelta(minutes=n))


@pytest.mark.rule("T2", "REQ2", "REQ4", "REQ8")
@given(created=moments, calendar=st.sampled_from(CALENDARS))
def test_deadlines_are_ordered_business_day_closes_of_the_mentor(
    created: datetime, calendar: Calendar
) -> None:
    facts = RequestFacts("r-1", "p-mentee", "p-mentor", created)
    due = mails(facts, calendar)
    order = [
        created,
        due["mentor.request_reminder/1"],
        due["mentor.request_past_due/1"],
        due["mentor.request_expired/1"],
    ]
    instants = [instant for instant in order if instant]
    assert instants == sorted(set(instants))
    for instant in instants[2:]:
        assert calendar.is_business_day(calendar.date_of(instant))
        assert calendar.local(instant).time() == PROGRAM.hours.close_of_business


@pytest.mark.rule("REQ4", "REQ8", "T4")
@given(created=moments, mentor=st.sampled_from(CALENDARS), mentee=st.sampled_from(CALENDARS))
def test_mentee_is_mailed_by_time_alone_at_nine_on_a_business_day(
    created: datetime, mentor: Calendar, mentee: Calendar
) -> None:
    course = agenda(RequestFacts("r-1", "p-mentee", "p-mentor", created), POLICY, mentor, mentee)
    due = {mail.message: mail.due for mail in course.mails}
    closes = {turn.state: turn.due for turn in course.state_changes}["expired"]
    for message, since in (
        ("mentee.request_unanswered", course.tasks[0].due),
        ("mentee.request_expired", closes),
    ):
        sent = due[message]
        assert sent is not None
        assert mentee.is_business_day(mentee.date_of(sent))
        assert mentee.local(sent).time() == PROGRAM.hours.send_time
        assert mentee.next_send_after(since - timedelta(microseconds=1)) == sent


@pytest.mark.rule("REQ9")
@given(
    created=moments,
    calendar=st.sampled_from(CALENDARS),
    extensions=st.lists(st.tuples(st.integers(1, 10), st.integers(0, 200)), max_size=4),
)
def test_extension_never_brings_a_deadline_forward(
    created: datetime, calendar: Calendar, extensions: list[tuple[int, int]]
) -> None:
    facts = RequestFacts("r-1", "p-mentee", "p-mentor", created)
    for days, hours in sorted(extensions, key=lambda extension: extension[1]):
        before = agenda(facts, POLICY, calendar, calendar)
        when = created + timedelta(hours=hours)
        if before.state_at(when) == "expired":
            break
        facts = extend(facts, days, when, before.state_at(when))
        after = agenda(facts, POLICY, calendar, calendar)
        assert after == agenda(facts, POLICY, calendar, calendar)
        assert after.state_changes[-1].due > before.state_changes[-1].due
        moved = {mail.message: mail.due for mail in after.mails}
        assert all(_instant(moved[mail.message]) >= _instant(mail.due) for mail in before.mails)


def _instant(due: datetime | None) -> datetime:
    assert due is not None
    return due


class RequestMachine(RuleBasedStateMachine):
    """Every order of answers, extensions, lapses and waiting, against a reference ledger."""

    @initialize(created=moments, calendar=st.sampled_from(CALENDARS))
    def ask(self, created: datetime, calendar: Calendar) -> None:
        self.calendar, self.now = calendar, created
        self.facts = RequestFacts("r-1", "p-mentee", "p-mentor", created)
        self.ledger = ReferenceLedger()
        self.ended: Ended | None = None
        self.replan()

    @property
    def state(self) -> str:
        return self.agenda.state_at(self.now)

    def replan(self) -> None:
        self.agenda: Agenda = agenda(self.facts, POLICY, self.calendar, self.calendar)
        self.ledger.plan(self.agenda, self.now)
        self.ledger.run(self.agenda, self.now)

    @property
    def is_open(self) -> bool:
        return self.ledger.closed_at is None

    @precondition(lambda self: self.is_open)
    @rule(hours=st.one_of(st.integers(1, 30), st.integers(30, 200)))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        self.ledger.run(self.agenda, self.now)

    @precondition(lambda self: self.is_open)
    @rule(
        share=st.sampled_from(
            ["mentor.request_past_due", "mentee.request_unanswered", "mentor.request_expired"]
        )
    )
    def wait_for_the_very_instant_of(self, share: str) -> None:
        due = [mail.due for mail in self.ledger.planned.values() if mail.message == share and mail.due]
        if due:
            self.now = due[0]
            self.ledger.run(self.agenda, self.now)

    @rule(days=st.integers(1, 8))
    def give_more_time(self, days: int) -> None:
        before = self.agenda
        if self.state in ("open", "past_due"):
            self.facts = extend(self.facts, days, self.now, self.state)
            self.replan()
            assert self.agenda.state_changes[-1].due > before.state_changes[-1].due
        else:
            with pytest.raises(Refused):
                extend(self.facts, days, self.now, self.state)

    @rule(name=st.sampled_from([name for name in ANSWERS if name != "extended"]))
    def answer(self, name: str) -> None:
        if self.state in ("open", "past_due"):
            self.facts = ANSWERS[name](self.facts, self.now, self.state)
            self.ended = self.facts.ended
            self.replan()
            assert self.ledger.closed_at == self.now
        else:
            with pytest.raises(Refused):
                ANSWERS[name](self.facts, self.now, self.state)

    @rule(profile=st.sampled_from(["p-mentor", "p-mentee"]), good=st.booleans())
    def standing(self, profile: str, good: bool) -> None:
        if self.is_open:
            self.facts = standing_changed(self.facts, profile, good, self.now)
            self.replan()

    @invariant()
    def the_first_ending_stands(self) -> None:
        assert self.facts.ended == self.ended

    @invariant()
    def nothing_follows_the_end_but_its_own_mail(self) -> None:
        if self.ledger.closed_at:
            late: list[PlannedMail] = [
                mail for when, mail in self.ledger.sent if when > self.ledger.closed_at
            ]
            assert {mail.message for mail in late} <= {"mentee.request_expired"}
            state = self.agenda.state_changes[-1].state
            last = {
                mail.message.partition("_")[2]
                for when, mail in self.ledger.sent
                if when >= self.ledger.closed_at
            }
            if state == "expired":
                assert last == {"expired"}

    @invariant()
    def each_party_is_mailed_the_request_once(self) -> None:
        sent = self.ledger.sent_messages()
        assert sent.count("mentor.request_received") == sent.count("mentee.request_sent") == 1

    @invariant()
    def each_round_is_mailed_once(self) -> None:
        rounds = 1 + len(self.facts.extensions)
        keys = [mail.key for _, mail in self.ledger.sent if mail.message == "mentor.request_past_due"]
        assert keys == [f"mentor.request_past_due/{number}" for number in range(1, len(keys) + 1)]
        assert len(keys) <= rounds


RequestMachine.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=20)


@pytest.mark.rule("REQ2", "REQ3", "REQ4", "REQ8", "REQ9", "REQ10", "MAIL1")
class TestEveryOrderOfActs(RequestMachine.TestCase):  # type: ignore[misc, valid-type]
    """The machine above as a test."""
