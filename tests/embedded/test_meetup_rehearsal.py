"""Meetups played through the real parts: who gets what, when, and what their calendars would show."""

from __future__ import annotations

from email.message import EmailMessage

import pytest
import vobject

from embedded.mailbox import Mail
from tests.support.rehearsals import BOGOTA, MADRID, NEW_YORK, Play, Played

pytestmark = pytest.mark.rule("MEE1")

PLAY = Play("2035-03-27T10:00", "2035-06-20T12:00")

ANA = PLAY.mentee("ana", **BOGOTA)
BEN = PLAY.mentor("ben")
CAI = PLAY.mentee("cai", **MADRID)
OFF = PLAY.mentee("off", standing="lapsed")
GONE = PLAY.mentee("gone")
PLAY.at("2035-03-28T10:00", "profile.withdrawn", profile=GONE)
PLAY.at(PLAY.start, "profile.created", profile="second-ben", member="ben", role="mentee")
"""Ben is mentor and mentee: one person, invited once."""


@pytest.fixture(scope="module")
async def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The play of this module."""
    return await PLAY.rehearse(tmp_path_factory.mktemp("mail"))


def schedule(meetup: str, starts: str, when: str = "2035-03-29T12:00", **data: object) -> None:
    given = {"program": "asis-global", "title": f"Meetup {meetup}", "time_zone": "America/New_York"}
    PLAY.at(when, "meetup.scheduled", meetup=meetup, starts_at=starts, **{**given, **data})


def received(played: Played, meetup: str, message: str) -> dict[str, str]:
    """Who got a message of a meetup, and when on the program's clock."""
    rows = played._of("mail", workflow=f"meetup/{meetup}", message=message, decision="sent")
    return {row["to"]: row["at"][:16] for row in rows}


def letters(played: Played, person: str, meetup: str) -> list[Mail]:
    address = played.people[person]["email"]
    return [mail for mail in played.letters if mail.address == address and f"Meetup {meetup}" in mail.subject]


def calendars(mail: Mail) -> list[tuple[str, object]]:
    """The method in the header and the file of each calendar part of a mail."""
    found = []
    message: EmailMessage = mail.message
    for part in message.walk():
        if part.get_content_type() == "text/calendar":
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            found.append((str(part.get_param("method")), vobject.readOne(payload.decode())))
    return found


schedule("plain", "2035-04-24T12:00:00", link="https://meet.example.org/1")
PLAY.at("2035-04-30T12:00", "meetup.changed", meetup="plain", resources={"Slides": "https://f.example.org/s"})


def test_each_active_participant_is_invited_once_and_at_once(played: Played) -> None:
    invited = received(played, "plain", "member.meetup_invitation")
    assert {to: at for to, at in invited.items() if to != "mentee-dan"} == {
        ANA: "2035-03-29T12:00",
        BEN: "2035-03-29T12:00",
        CAI: "2035-03-29T12:00",
    }


DAN = PLAY.mentee("dan", when="2035-04-03T10:00", **NEW_YORK)


def test_who_joins_before_it_takes_place_is_invited_too(played: Played) -> None:
    assert received(played, "plain", "member.meetup_invitation")[DAN] == "2035-04-03T10:00"


@pytest.mark.rule("T4")
def test_reminder_leaves_at_nine_on_the_readers_clock(played: Played) -> None:
    # Monday, 23 April 2035, in Madrid, New York and Bogotá.
    assert received(played, "plain", "member.meetup_reminder") == {
        CAI: "2035-04-23T03:00",
        BEN: "2035-04-23T09:00",
        DAN: "2035-04-23T09:00",
        ANA: "2035-04-23T10:00",
    }


@pytest.mark.rule("MEE2")
def test_resources_that_come_later_leave_at_once_and_close_it(played: Played) -> None:
    sent = received(played, "plain", "member.meetup_resources")
    assert sent == dict.fromkeys((ANA, BEN, CAI, DAN), "2035-04-30T12:00")
    assert played.states("meetup/plain") == [
        ("2035-03-29T12:00", "scheduled"),
        ("2035-04-24T13:00", "held"),
    ]
    mail = letters(played, "ben", "plain")[-1]
    assert "https://f.example.org/s" in mail.text


def test_mail_alone_says_when_where_and_how_to_answer(played: Played) -> None:
    mail = letters(played, "ana", "plain")[0]
    assert "11:00 (hora de Bogotá)" in mail.text
    assert "https://meet.example.org/1" in mail.text
    links = [line for line in mail.text.splitlines() if "/l/" in line]
    assert len(links) >= 3
    methods = [method for method, _ in calendars(mail)]
    assert methods == ["REQUEST", "REQUEST"]


schedule("moved", "2035-05-08T12:00:00", link="https://meet.example.org/1")
PLAY.at("2035-04-02T12:00", "meetup.answered", meetup="moved", by=BEN, answer="no")
PLAY.at("2035-04-04T12:00", "meetup.changed", meetup="moved", title="Meetup moved, by a day")
PLAY.at("2035-04-05T12:00", "meetup.changed", meetup="moved", starts_at="2035-05-09T12:00:00")
PLAY.at("2035-04-06T12:00", "meetup.canceled", meetup="moved")
PLAY.at("2035-04-07T12:00", "meetup.changed", meetup="moved", starts_at="2035-05-10T12:00:00")


def test_typo_move_and_cancellation_are_one_entry_in_the_calendar(played: Played) -> None:
    seen = [calendars(mail)[0] for mail in letters(played, "ana", "moved")]
    assert [method for method, _ in seen] == ["REQUEST", "REQUEST", "REQUEST", "CANCEL"]
    events = [calendar.vevent for _, calendar in seen]  # type: ignore[attr-defined]
    assert [event.sequence.value for event in events] == ["0", "0", "1", "2"]
    assert len({event.uid.value for event in events}) == 1
    assert all(calendar.method.value == method for method, calendar in seen)  # type: ignore[attr-defined]
    assert events[-1].status.value == "CANCELLED"


def test_decline_stands_through_changes(played: Played) -> None:
    events = [calendars(mail)[0][1].vevent for mail in letters(played, "ben", "moved")]  # type: ignore[attr-defined]
    assert [event.attendee.params["PARTSTAT"] for event in events] == [
        ["NEEDS-ACTION"],
        ["DECLINED"],
        ["DECLINED"],
        ["DECLINED"],
    ]


def test_cancelled_meetup_takes_no_change_and_sends_nothing_more(played: Played) -> None:
    assert received(played, "moved", "member.meetup_reminder") == {}
    ((_, event, reason),) = played.refusals("meetup/moved")
    assert (event, reason) == ("meetup.changed", "the meetup is cancelled")
    assert played.states("meetup/moved")[-1] == ("2035-04-06T12:00", "canceled")


schedule("monday", "2035-05-29T10:00:00", when="2035-04-10T12:00")
PLAY.at("2035-04-11T12:00", "meetup.answered", meetup="monday", by=BEN, answer="no")
PLAY.at("2035-05-20T12:00", "meetup.answered", meetup="monday", by=BEN, answer="maybe")


@pytest.mark.rule("T1")
@pytest.mark.rule("T4")
def test_reminder_after_a_holiday_comes_the_friday_before(played: Played) -> None:
    """Monday, 28 May 2035, is Memorial Day in the United States, and an ordinary day in Madrid."""
    reminded = received(played, "monday", "member.meetup_reminder")
    assert reminded[DAN] == "2035-05-25T09:00"
    assert reminded[CAI] == "2035-05-28T03:00"


def test_decline_taken_back_brings_the_reminder_again(played: Played) -> None:
    assert received(played, "monday", "member.meetup_reminder")[BEN] == "2035-05-25T09:00"
    assert "the invitation was declined" in played.reasons("meetup/monday")


schedule("paused", "2035-06-12T12:00:00", when="2035-04-16T12:00", resources={"A": "https://f.example.org/a"})
PLAY.staff("2035-04-16T12:00", "pause", "meetup/paused")
PLAY.staff("2035-04-24T12:00", "resume", "meetup/paused")
PLAY.at("2035-06-14T12:00", "meetup.answered", meetup="paused", by=ANA, answer="yes")


@pytest.mark.rule("STA1")
def test_pause_holds_what_is_not_out_and_a_resume_sends_it(played: Played) -> None:
    invited = received(played, "paused", "member.meetup_invitation")
    assert set(invited) == {ANA, BEN, CAI, DAN}
    assert set(invited.values()) <= {"2035-04-16T12:00", "2035-04-24T12:00"}


@pytest.mark.rule("T4")
def test_resources_known_before_leave_on_the_morning_after(played: Played) -> None:
    assert received(played, "paused", "member.meetup_resources") == {
        CAI: "2035-06-13T03:00",
        BEN: "2035-06-13T09:00",
        DAN: "2035-06-13T09:00",
        ANA: "2035-06-13T10:00",
    }
    assert ("meetup.answered", "the meetup has taken place") in [
        (event, reason) for _, event, reason in played.refusals("meetup/paused")
    ]


def test_meetups_that_are_over_leave_no_workflow_open(played: Played) -> None:
    open_now = {row["subject"] for row in played._of("state") if row["subject"].startswith("meetup/")}
    assert open_now == {"meetup/plain", "meetup/moved", "meetup/monday", "meetup/paused"}
    counts = {name: played.mails(f"meetup/{name}") for name in ("plain", "moved", "monday", "paused")}
    assert {name: len(mails) for name, mails in counts.items()} == {
        "plain": 12,
        "moved": 16,
        "monday": 8,
        "paused": 12,
    }
