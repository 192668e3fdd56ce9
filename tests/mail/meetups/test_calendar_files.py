"""Calendar files as other programs read them: vobject, and icalendar over the raw lines."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from zoneinfo import ZoneInfo

import icalendar
import pytest
import vobject

from lifecycles.meetups.meetup_situation import period
from mail.meetups.calendar_files import CalendarEntry, CalendarFile, Method, calendar_file
from mail.mime import Composed, MailEnvelope, build_mail

pytestmark = pytest.mark.rule("MEE1")

AT = datetime(2028, 3, 1, 15, tzinfo=UTC)
ENTRY = CalendarEntry(
    uid="5f3a@example.org",
    sequence=0,
    title="Spring meetup",
    link="https://meet.example.org/spring?a=1,2;b=3",
    starts_at=datetime(2028, 4, 5, 16, tzinfo=UTC),
    ends_at=datetime(2028, 4, 5, 17, 30, tzinfo=UTC),
    organizer_name="Mentoring Program",
    organizer="mentoring@example.org",
    attendee_name="Ana Pérez",
    attendee="ana@example.org",
)


def starts_as_read(file: CalendarFile) -> dict[str, datetime]:
    """The start of the one event, by each reader."""
    read = vobject.readOne(file.text)
    strict = icalendar.Calendar.from_ical(file.text)
    (event,) = strict.walk("VEVENT")
    assert not strict.errors
    assert not event.errors
    return {
        "vobject": read.vevent.dtstart.value,
        "icalendar": event.decoded("dtstart"),
        "lines": by_hand(file.text, "DTSTART"),
    }


def by_hand(text: str, name: str) -> datetime:
    """A UTC instant of a content line, read without a library (RFC 5545, 3.1)."""
    unfolded = text.replace("\r\n ", "")
    (line,) = [line for line in unfolded.split("\r\n") if line.startswith(f"{name}:")]
    return datetime.strptime(line.partition(":")[2], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


@pytest.mark.rule("T5")
@pytest.mark.parametrize(
    ("zone", "before", "after"),
    [
        ("America/New_York", "2028-03-11", "2028-03-13"),
        ("America/New_York", "2028-11-04", "2028-11-06"),
        ("Europe/Madrid", "2028-03-25", "2028-03-27"),
        ("Europe/London", "2028-10-28", "2028-10-30"),
        ("Australia/Sydney", "2028-03-31", "2028-04-03"),
        ("Pacific/Auckland", "2028-09-22", "2028-09-25"),
        ("America/Santiago", "2028-09-01", "2028-09-04"),
    ],
)
def test_local_time_is_right_on_both_sides_of_a_clock_change(zone: str, before: str, after: str) -> None:
    offsets = set()
    for day in (before, after):
        starts, ends = period(f"{day}T18:30:00", zone, "PT1H")
        file = calendar_file(replace(ENTRY, starts_at=starts, ends_at=ends), "REQUEST", AT)
        for reader, read in starts_as_read(file).items():
            local = read.astimezone(ZoneInfo(zone))
            assert local.replace(tzinfo=None) == datetime.fromisoformat(f"{day}T18:30:00"), reader
            offsets.add(local.utcoffset())
    assert len(offsets) == 2


@pytest.mark.rule("T5")
@pytest.mark.parametrize(
    ("local", "zone", "starts"),
    [
        # Skipped: the first minute after the gap.
        ("2028-03-12T02:30:00", "America/New_York", datetime(2028, 3, 12, 7, tzinfo=UTC)),
        # Twice: the first.
        ("2028-11-05T01:30:00", "America/New_York", datetime(2028, 11, 5, 5, 30, tzinfo=UTC)),
        ("2028-02-29T12:00:00", "America/Bogota", datetime(2028, 2, 29, 17, tzinfo=UTC)),
        # An instant with its offset stays what it is.
        ("2028-04-05T12:00:00+02:00", "America/New_York", datetime(2028, 4, 5, 10, tzinfo=UTC)),
    ],
)
def test_local_times_that_a_clock_change_skips_or_repeats(local: str, zone: str, starts: datetime) -> None:
    assert period(local, zone, "PT1H") == (starts, starts + timedelta(hours=1))


def test_request_update_and_cancellation_are_one_entry() -> None:
    moved = replace(ENTRY, sequence=1, starts_at=ENTRY.starts_at + timedelta(days=1))
    files = [
        calendar_file(ENTRY, "REQUEST", AT),
        calendar_file(moved, "REQUEST", AT + timedelta(days=1)),
        calendar_file(replace(moved, sequence=2), "CANCEL", AT + timedelta(days=2)),
    ]
    read = [vobject.readOne(file.text) for file in files]
    assert [each.method.value for each in read] == ["REQUEST", "REQUEST", "CANCEL"]
    assert {each.vevent.uid.value for each in read} == {"5f3a@example.org"}
    assert [each.vevent.sequence.value for each in read] == ["0", "1", "2"]
    assert [each.vevent.status.value for each in read] == ["CONFIRMED", "CONFIRMED", "CANCELLED"]
    stamps = [each.vevent.dtstamp.value for each in read]
    assert stamps == sorted(set(stamps))


def test_file_names_one_attendee_and_the_mailbox_that_takes_replies() -> None:
    read = vobject.readOne(calendar_file(replace(ENTRY, answer="no"), "REQUEST", AT).text)
    (attendee,) = read.vevent.attendee_list
    assert attendee.value == "mailto:ana@example.org"
    assert attendee.params["PARTSTAT"] == ["DECLINED"]
    assert attendee.params["CN"] == ["Ana Pérez"]
    assert read.vevent.organizer.value == "mailto:mentoring@example.org"
    assert read.vevent.location.value == ENTRY.link
    assert "TZID" not in calendar_file(ENTRY, "REQUEST", AT).text


@pytest.mark.parametrize(
    "words",
    [
        'Say "hi"; then, go\\home',
        "Two\r\nATTENDEE:mailto:eve@example.org",
        "Long " + "ñ" * 300,
        "\u202eright to left",
        "a:b;c=d,e",
    ],
)
def test_words_of_others_add_no_line(words: str) -> None:
    file = calendar_file(replace(ENTRY, title=words, attendee_name=words), "REQUEST", AT)
    read = vobject.readOne(file.text)
    assert len(read.vevent.attendee_list) == 1
    assert all(len(line.encode()) <= 75 for line in file.text.split("\r\n"))
    (event,) = icalendar.Calendar.from_ical(file.text).walk("VEVENT")
    assert not event.errors


def mail_with(file: CalendarFile) -> EmailMessage:
    envelope = MailEnvelope(
        message_id="<1@example.org>",
        date=AT,
        from_name="Elena Ruiz",
        from_address="program@example.org",
        reply_to="mentoring@example.org",
        to_name="Ana Pérez",
        to_address="ana@example.org",
        delivery="0" * 32,
        language="es",
        calendar=file,
    )
    content = build_mail(Composed("Invitación", "Hola", "<h1>Hola</h1>"), envelope)
    assert content == build_mail(Composed("Invitación", "Hola", "<h1>Hola</h1>"), envelope)
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


@pytest.mark.parametrize("method", ["REQUEST", "CANCEL"])
def test_method_stands_in_the_header_of_both_parts_as_in_the_file(method: Method) -> None:
    file = calendar_file(replace(ENTRY, title="Año nuevo"), method, AT)
    message = mail_with(file)
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "text/calendar",
        "text/calendar",
    ]
    part, attached = [each for each in message.walk() if each.get_content_type() == "text/calendar"]
    assert attached.get_filename() == "invite.ics"
    for each in (part, attached):
        assert each.get_param("method") == method
        assert each.get_content_charset() == "utf-8"
        text = each.get_payload(decode=True).decode("utf-8")  # type: ignore[union-attr]
        assert vobject.readOne(text).method.value == method
        assert text.replace("\r\n", "\n") == file.text.replace("\r\n", "\n")
