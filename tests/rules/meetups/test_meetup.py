"""A meetup and the mail of one invited person: invitation, change, cancellation, reminder, resources."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules import meetup
from rules.acts import Act
from rules.agenda import PlannedMail, Refused
from rules.calendar import Calendar, calendar_for
from rules.meetup import InvitedPerson, MeetupFacts, MeetupPlace, PastMail
from rules.program import load_program
from tests.support.programs.program_files import BUNDLED

pytestmark = pytest.mark.rule("MEE1")

HOURS = load_program(BUNDLED).hours
SCHEDULED = datetime(2028, 3, 28, 16, tzinfo=UTC)
STARTS = datetime(2028, 4, 18, 16, tzinfo=UTC)
FACTS = MeetupFacts("m-1", "asis-global", SCHEDULED, STARTS, STARTS + timedelta(hours=1))
ANA = InvitedPerson(1, "p-ana", SCHEDULED)
SENT = PastMail("invitation", 1, "sent", 1, 0)


def calendar(zone: str = "America/New_York", country: str = "US") -> Calendar:
    return calendar_for(HOURS, zone, country, None)


def mails(
    facts: MeetupFacts, *past: PastMail, person: InvitedPerson = ANA, on: Calendar | None = None
) -> dict[str, PlannedMail]:
    return {mail.key: mail for mail in meetup.mails(facts, person, past, on or calendar())}


def place(facts: MeetupFacts, **changes: object) -> MeetupPlace:
    return replace(MeetupPlace(facts.starts_at, facts.ends_at), **changes)  # type: ignore[arg-type]


def moved(facts: MeetupFacts, by: timedelta, at: datetime) -> MeetupFacts:
    return meetup.change(facts, place(facts, starts_at=facts.starts_at + by, ends_at=facts.ends_at + by), at)


def test_invitation_goes_at_once_and_a_reminder_the_business_day_before() -> None:
    found = mails(FACTS)
    assert list(found) == ["invitation-1/1", "reminder-1/1"]
    assert found["invitation-1/1"].due == SCHEDULED
    assert found["reminder-1/1"].due == datetime(2028, 4, 17, 13, tzinfo=UTC)


@pytest.mark.rule("T4")
@pytest.mark.parametrize(
    ("zone", "country", "starts", "day"),
    [
        # Monday: the Friday before.
        ("America/New_York", "US", datetime(2028, 4, 24, 16, tzinfo=UTC), date(2028, 4, 21)),
        # The Tuesday after Memorial Day: again the Friday.
        ("America/New_York", "US", datetime(2028, 5, 30, 16, tzinfo=UTC), date(2028, 5, 26)),
        # Elsewhere that Monday is no holiday.
        ("Europe/London", "CA", datetime(2028, 5, 30, 16, tzinfo=UTC), date(2028, 5, 29)),
        # A weekend of Friday and Saturday: a meetup on Sunday has its reminder on Thursday.
        ("Asia/Riyadh", "SA", datetime(2028, 4, 30, 9, tzinfo=UTC), date(2028, 4, 27)),
        # Already Wednesday in Auckland: its business day before is Tuesday there.
        ("Pacific/Auckland", "NZ", datetime(2028, 5, 9, 22, tzinfo=UTC), date(2028, 5, 9)),
        # The day after a leap day.
        ("America/Bogota", "CO", datetime(2028, 3, 1, 16, tzinfo=UTC), date(2028, 2, 29)),
    ],
)
def test_reminder_follows_the_readers_own_week(zone: str, country: str, starts: datetime, day: date) -> None:
    early = datetime(2028, 1, 10, 12, tzinfo=UTC)
    facts = replace(FACTS, scheduled_at=early, starts_at=starts, ends_at=starts + timedelta(hours=1))
    person = replace(ANA, invited_at=early)
    due = mails(facts, person=person, on=calendar(zone, country))["reminder-1/1"].due
    assert due is not None
    local = due.astimezone(ZoneInfo(zone))
    assert (local.date(), local.hour, local.minute) == (day, 9, 0)


def test_invited_on_the_morning_of_the_reminder_gets_none() -> None:
    late = replace(ANA, invited_at=datetime(2028, 4, 17, 13, tzinfo=UTC))
    assert list(mails(FACTS, person=late)) == ["invitation-1/1"]


def test_decline_stops_the_reminder_and_a_later_yes_brings_another() -> None:
    declined = replace(ANA, answer="no")
    assert list(mails(FACTS, SENT, person=declined)) == ["invitation-1/1"][1:]
    dropped = PastMail("reminder", 1, "cancelled", 1, 0)
    assert "reminder-1/2" in mails(FACTS, SENT, dropped, person=replace(ANA, answer="yes"))
    assert meetup.dropped_because(FACTS, declined) == "the invitation was declined"


def test_change_goes_to_who_has_the_invitation_and_others_get_the_newest() -> None:
    at = SCHEDULED + timedelta(days=1)
    after = moved(FACTS, timedelta(days=1), at)
    assert mails(after, SENT)["changed-1/2"].due == at
    assert list(mails(after)) == ["invitation-1/1", "reminder-1/1"]
    assert mails(after)["invitation-1/1"].context["starts"] == after.starts_at.isoformat()
    seen = PastMail("changed", 2, "sent", 2, 1)
    assert list(mails(after, SENT, seen)) == ["reminder-1/1"]


def test_two_changes_before_a_mail_left_become_one() -> None:
    after = moved(moved(FACTS, timedelta(days=1), SCHEDULED), timedelta(days=1), SCHEDULED)
    waiting = PastMail("changed", 2, "planned", 2, 1)
    assert [key for key in mails(after, SENT, waiting) if key.startswith("changed")] == ["changed-1/3"]


def test_sequence_rises_for_time_place_and_cancellation_not_for_a_typo() -> None:
    at = SCHEDULED + timedelta(days=1)
    assert moved(FACTS, timedelta(hours=1), at).sequence == 1
    assert meetup.change(FACTS, place(FACTS, is_elsewhere=True), at).sequence == 1
    assert meetup.change(FACTS, place(FACTS, ends_at=STARTS + timedelta(hours=2)), at).sequence == 1
    typo = meetup.change(FACTS, place(FACTS, is_reworded=True), at)
    assert (typo.sequence, typo.edition) == (0, 2)
    assert meetup.cancel(typo, at).sequence == 1
    assert meetup.change(FACTS, place(FACTS), at) == FACTS


@pytest.mark.parametrize("state", ["sent", "ambiguous", "handed_over"])
def test_cancellation_goes_to_who_has_or_may_have_the_invitation(state: str) -> None:
    at = SCHEDULED + timedelta(days=2)
    found = mails(meetup.cancel(FACTS, at), replace(SENT, state=state))
    assert {key: mail.due for key, mail in found.items()} == {"canceled-1/1": at}


@pytest.mark.parametrize("state", ["planned", "claimed", "failed", "suppressed", "skipped"])
def test_cancellation_never_comes_before_its_invitation(state: str) -> None:
    assert mails(meetup.cancel(FACTS, SCHEDULED), replace(SENT, state=state)) == {}


def test_move_to_another_time_asks_for_another_reminder() -> None:
    at = datetime(2028, 4, 17, 20, tzinfo=UTC)
    reminded = PastMail("reminder", 1, "sent", 1, 0)
    later = moved(FACTS, timedelta(days=7), at)
    assert "reminder-1/2" in mails(later, SENT, reminded)
    # The change itself tells of a time that is tomorrow.
    assert "reminder-1/2" not in mails(moved(FACTS, timedelta(hours=2), at), SENT, reminded)
    elsewhere = meetup.change(FACTS, place(FACTS, is_elsewhere=True), at)
    assert "reminder-1/2" not in mails(elsewhere, SENT, reminded)


@pytest.mark.rule("T4")
@pytest.mark.rule("MEE2")
def test_resources_leave_on_the_morning_after_the_end_or_when_they_come() -> None:
    known = replace(FACTS, resources_at=SCHEDULED)
    assert mails(known, SENT)["resources-1/1"].due == datetime(2028, 4, 19, 13, tzinfo=UTC)
    late = meetup.change(
        meetup.settle(FACTS, FACTS.ends_at), place(FACTS, has_resources=True), STARTS + timedelta(days=5)
    )
    assert mails(late, SENT)["resources-1/1"].due == STARTS + timedelta(days=5)
    assert mails(late) == {}
    again = meetup.change(late, place(FACTS, has_resources=True), STARTS + timedelta(days=6))
    assert again == late


def test_meetup_waits_a_month_for_resources_and_closes_without() -> None:
    assert meetup.waits_for_resources(FACTS, FACTS.ends_at + timedelta(days=29))
    assert not meetup.waits_for_resources(FACTS, FACTS.ends_at + timedelta(days=30))
    assert FACTS.ends_at + timedelta(days=30) in meetup.agenda(FACTS).wakes_after(SCHEDULED)


@pytest.mark.rule("STA1")
def test_pause_holds_all_mail_and_a_resume_makes_it_due() -> None:
    paused = meetup.pause(FACTS, SCHEDULED)
    assert {mail.due for mail in mails(paused).values()} == {None}
    at = SCHEDULED + timedelta(days=4)
    found = mails(meetup.resume(paused, at))
    assert found["invitation-1/1"].due == at
    assert found["reminder-1/1"].due == datetime(2028, 4, 17, 13, tzinfo=UTC)
    assert meetup.pause(paused, at) == paused
    with pytest.raises(Refused, match="not paused"):
        meetup.resume(FACTS, at)


def test_after_its_end_nobody_is_invited_and_nothing_is_changed() -> None:
    held = meetup.settle(FACTS, FACTS.ends_at)
    assert mails(held) == {}
    with pytest.raises(Refused, match="has taken place"):
        moved(held, timedelta(days=9), held.ends_at)
    with pytest.raises(Refused, match="has taken place"):
        meetup.cancel(FACTS, FACTS.ends_at)
    with pytest.raises(Refused, match="has taken place"):
        meetup.change(FACTS, place(FACTS, is_reworded=True), FACTS.ends_at)
    assert meetup.settle(FACTS, FACTS.ends_at - timedelta(seconds=1)) == FACTS


def test_cancelled_meetup_stays_cancelled() -> None:
    canceled = meetup.cancel(FACTS, SCHEDULED)
    assert meetup.cancel(canceled, SCHEDULED + timedelta(days=1)) == canceled
    with pytest.raises(Refused, match="an id of its own"):
        moved(canceled, timedelta(days=1), SCHEDULED)


def test_new_time_that_is_past_is_refused() -> None:
    with pytest.raises(Refused, match="past"):
        moved(FACTS, timedelta(days=-19), SCHEDULED + timedelta(days=3))


@pytest.mark.rule("T10")
def test_take_over_mails_nobody_about_the_time_before_it() -> None:
    taken_over = SCHEDULED + timedelta(days=5)
    facts = replace(FACTS, taken_over_at=taken_over)
    assert list(mails(facts)) == ["reminder-1/1"]
    joined = replace(ANA, invited_at=taken_over + timedelta(days=1))
    assert list(mails(facts, person=joined)) == ["invitation-1/1", "reminder-1/1"]


@pytest.mark.rule("T9")
def test_act_that_is_heard_of_late_counts_from_then() -> None:
    heard = SCHEDULED + timedelta(days=3)
    act = Act("a", "cancel", "lina", at=SCHEDULED + timedelta(days=1), heard_at=heard)
    ended = meetup.apply(FACTS, act, heard).ended
    assert ended is not None
    assert ended.at == heard


@given(
    minutes=st.integers(min_value=60, max_value=60 * 24 * 400),
    zone=st.sampled_from(["America/New_York", "Asia/Kolkata", "Pacific/Apia", "Europe/Madrid"]),
    answer=st.sampled_from(["", *meetup.ANSWERS]),
)
def test_reminder_comes_on_a_business_morning_before_the_meetup(minutes: int, zone: str, answer: str) -> None:
    starts, on = SCHEDULED + timedelta(minutes=minutes), calendar(zone)
    facts = replace(FACTS, starts_at=starts, ends_at=starts + timedelta(hours=1))
    due = meetup.reminder_at(facts, replace(ANA, answer=answer), on)
    assert due is None or answer != "no"
    if due is not None:
        assert SCHEDULED < due < starts
        assert on.is_business_day(on.date_of(due))
        assert on.date_of(due) < on.date_of(starts)
