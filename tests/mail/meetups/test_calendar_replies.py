"""Answers that calendars send by mail: which count, whose they are, and what must not be taken for one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from database.models import Bounce, Event, MeetupInvitation, Member, Message, Profile, Suppression
from database.session import Database
from lifecycles.meetups.meetup_situation import meetup_row
from mail.meetups.calendar_reply import reply_in
from mail.reports.bounce_report import bounce_in
from mail.reports.bounces import store_reports
from rules.meetup import MeetupFacts
from rules.program import load_program
from tests.support.programs.many_members import person
from tests.support.programs.program_files import BUNDLED

pytestmark = pytest.mark.rule("MEE1")

AT = datetime(2028, 3, 30, 15, tzinfo=UTC)
UID = "5" * 32
DELIVERY = "a" * 32


def reply(
    partstat: str = "ACCEPTED",
    attendee: str = "n-00001@example.org",
    uid: str = f"{UID}@asisonline.org",
    *,
    method: str = "REPLY",
    stamp: str = "20280330T140000Z",
    more: str = "",
) -> str:
    return (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Other//EN\r\n"
        f"METHOD:{method}\r\nBEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:{stamp}\r\nSEQUENCE:0\r\n"
        f'ATTENDEE;CN="A: b; c";PARTSTAT={partstat};X-NUM=0:mailto:{attendee}\r\n{more}'
        "ORGANIZER:mailto:mentoring@example.org\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )


def mail(
    file: str,
    *,
    kind: str = 'text/calendar; method="REPLY"; charset="utf-8"',
    head: Sequence[str] = (),
    words: str = "Ana has accepted this invitation.",
    sender: str = "Ana <n-00001@example.org>",
) -> bytes:
    lines = [
        f"From: {sender}",
        "To: mentoring@example.org",
        "Subject: Accepted: Spring meetup",
        "Message-ID: <reply-1@example.org>",
        "Auto-Submitted: auto-generated",
        *head,
        'Content-Type: multipart/alternative; boundary="b"',
        "",
        "--b",
        "Content-Type: text/plain",
        "",
        words,
        "--b",
        f"Content-Type: {kind}",
        "",
        file,
        "--b--",
        "",
    ]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    ("partstat", "answer"), [("ACCEPTED", "yes"), ("DECLINED", "no"), ("tentative", "maybe")]
)
def test_reply_of_a_calendar_is_an_answer(partstat: str, answer: str) -> None:
    found = reply_in(mail(reply(partstat)))
    assert found is not None
    assert (found.uid, found.attendee, found.answer) == (
        f"{UID}@asisonline.org",
        "n-00001@example.org",
        answer,
    )
    assert found.at == "2028-03-30T14:00:00+00:00"


def test_folded_lines_and_a_file_that_is_attached_are_read() -> None:
    folded = reply().replace("PARTSTAT=ACCEPTED", "PARTST\r\n AT=ACCEPTED")
    assert reply_in(mail(folded, kind="application/ics; name=invite.ics")) is not None


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(mail(reply(method="REQUEST")), id="an invitation"),
        pytest.param(mail(reply("NEEDS-ACTION")), id="no answer yet"),
        pytest.param(mail(reply("DELEGATED")), id="passed on"),
        pytest.param(mail(reply(more="ATTENDEE;PARTSTAT=ACCEPTED:mailto:eve@example.org\r\n")), id="two"),
        pytest.param(mail(reply(more="UID:other\r\n")), id="two entries"),
        pytest.param(mail(reply(), kind="text/calendar; method=REQUEST"), id="header and file differ"),
        pytest.param(mail(reply()).replace(b"auto-generated", b"auto-replied"), id="out of office"),
        pytest.param(mail(reply(), head=["X-Autoreply: yes"]), id="an automatic reply"),
        pytest.param(mail(reply(), sender="MAILER-DAEMON@example.org"), id="a mail system"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\x00" * 500, id="noise"),
    ],
)
def test_what_is_no_answer_is_none(given: bytes) -> None:
    assert reply_in(given) is None


def report(original: str) -> bytes:
    """A delivery report that quotes a mail."""
    lines = [
        "From: MAILER-DAEMON@mx.example.org",
        f"To: program+{DELIVERY}@example.org",
        "Subject: Undelivered Mail Returned to Sender",
        'Content-Type: multipart/report; report-type=delivery-status; boundary="r"',
        "",
        "--r",
        "Content-Type: text/plain",
        "",
        "This is the mail system. I could not deliver your mail.",
        "--r",
        "Content-Type: message/delivery-status",
        "",
        "Reporting-MTA: dns; mx.example.org",
        "",
        "Final-Recipient: rfc822; n-00001@example.org",
        "Action: failed",
        "Status: 5.1.1",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user",
        "--r",
        "Content-Type: message/rfc822",
        "",
        original,
        "--r--",
        "",
    ]
    return "\r\n".join(lines).encode()


def test_report_about_a_reply_is_neither_an_answer_nor_a_bounce() -> None:
    bounced = report(mail(reply("DECLINED")).decode())
    assert reply_in(bounced) is None
    assert bounce_in(bounced, [f"program+{DELIVERY}@example.org"]) is None


def test_report_about_our_invitation_is_a_bounce_and_no_answer() -> None:
    ours = mail(reply("NEEDS-ACTION", method="REQUEST"), kind="text/calendar; method=REQUEST").decode()
    bounced = report(f"X-Throughline-Delivery: {DELIVERY}\r\n{ours}")
    assert reply_in(bounced) is None
    found = bounce_in(bounced)
    assert found is not None
    assert (found.kind, found.delivery) == ("hard", DELIVERY)


@pytest.mark.parametrize(
    "file",
    [
        "BEGIN:VCALENDAR\r\nMETHOD:REPLY\r\n" + "BEGIN:VEVENT\r\n" * 20_000,
        "BEGIN:VCALENDAR\r\nMETHOD:REPLY\r\nBEGIN:VEVENT\r\nATTENDEE" + ';X="a"' * 40_000,
        "BEGIN:VCALENDAR\r\nMETHOD:REPLY\r\nBEGIN:VEVENT\r\nATTENDEE" + ";X=a\r\n " * 40_000,
        "BEGIN:VCALENDAR\r\nMETHOD:REPLY\r\nBEGIN:VEVENT\r\nRRULE:FREQ=SECONDLY\r\n" + "\r\n " * 60_000,
        "X" * 200_000,
    ],
    ids=["nested", "quotes", "folds", "recurrence", "one line"],
)
def test_hostile_file_is_read_in_no_time(file: str) -> None:
    begun = time.process_time()
    assert reply_in(mail(file)) is None
    assert time.process_time() - begun < 2


async def invited(database: Database) -> None:
    """One person who is invited to a meetup, and has the invitation."""
    program = load_program(BUNDLED)
    starts = AT + timedelta(days=20)
    facts = MeetupFacts("m-1", program.id, AT - timedelta(days=2), starts, starts + timedelta(hours=1))
    data = {"title": "Spring", "starts_at": "2028-04-19T11:00:00", "time_zone": "America/New_York"}
    member, profile = person(1)
    async with database.begin() as session:
        session.add(Member(**member))
        await session.flush()
        session.add_all([Profile(**profile), meetup_row(facts, data, program)])
        await session.flush()
        session.add(
            MeetupInvitation(
                workflow="meetup/m-1",
                member_id="n-00001",
                number=1,
                profile_id="p-00001",
                uid=UID,
                invited_at=facts.scheduled_at,
                planned_for=1,
            )
        )
        session.add(
            Message(
                delivery=DELIVERY,
                workflow="meetup/m-1",
                step="invitation-1",
                occurrence=1,
                message="member.meetup_invitation",
                message_class="nudge",
                program=program.id,
                to_profile="p-00001",
                member_id="n-00001",
                context={},
                planned_at=facts.scheduled_at,
                due_at=facts.scheduled_at,
                decided_at=facts.scheduled_at,
                state="sent",
                recipient="first@example.org",
            )
        )


async def stored(database: Database, content: bytes) -> list[dict[str, str]]:
    """The data of the events after a mail has come in."""
    await store_reports(database, [(content, [f"program+{DELIVERY}@example.org"])], AT)
    async with database.reading() as session:
        return [event.data for event in await session.scalars(select(Event).order_by(Event.id))]


async def test_reply_becomes_the_event_of_an_answer_and_counts_once(database: Database) -> None:
    await invited(database)
    answer = {"meetup": "m-1", "by": "p-00001", "answer": "no"}
    assert await stored(database, mail(reply("DECLINED"))) == [answer]
    assert await stored(database, mail(reply("DECLINED"))) == [answer]
    async with database.reading() as session:
        event = (await session.scalars(select(Event))).one()
        assert (event.type, event.source) == ("meetup.answered", "/calendar")
        assert event.occurred_at == datetime(2028, 3, 30, 14, tzinfo=UTC)


async def test_reply_from_the_address_that_was_mailed_counts_after_a_change(database: Database) -> None:
    await invited(database)
    assert len(await stored(database, mail(reply(attendee="First@EXAMPLE.org")))) == 1


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(reply(attendee="eve@example.org"), id="another address"),
        pytest.param(reply(uid="m-1@asisonline.org"), id="a guessed entry"),
        pytest.param(reply(uid=""), id="no entry"),
    ],
)
async def test_reply_of_who_is_not_invited_leaves_nothing(database: Database, given: str) -> None:
    await invited(database)
    assert await stored(database, mail(given)) == []


@pytest.mark.parametrize("stamp", ["99991231T235959Z", "19700101T000000Z", "20281399T999999Z", "soon"])
async def test_time_of_a_reply_lies_between_invitation_and_receipt(database: Database, stamp: str) -> None:
    await invited(database)
    await stored(database, mail(reply(stamp=stamp)))
    async with database.reading() as session:
        event = (await session.scalars(select(Event))).one()
        assert event.occurred_at is not None
        assert AT - timedelta(days=2) <= event.occurred_at <= AT


@pytest.mark.rule("MAIL7")
async def test_bounced_reply_silences_nobody(database: Database) -> None:
    await invited(database)
    assert await stored(database, report(mail(reply("DECLINED")).decode())) == []
    async with database.reading() as session:
        assert (await session.scalars(select(Suppression))).all() == []
        assert (await session.scalars(select(Bounce))).all() == []
        invitation = (await session.scalars(select(MeetupInvitation))).one()
        assert invitation.answer is None
