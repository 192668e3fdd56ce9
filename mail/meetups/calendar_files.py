"""The calendar file of a meetup for one invited person (RFC 5545, RFC 5546, MEE1).

Times are in UTC: readers of zone definitions were seen an hour off for half a year.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

from icalendar import Calendar, Event, vCalAddress, vText, vUri

from rules.text import for_header

Method = Literal["REQUEST", "CANCEL"]

PARTICIPATION: Mapping[str, str] = MappingProxyType(
    {"yes": "ACCEPTED", "no": "DECLINED", "maybe": "TENTATIVE"}
)
"""How calendars say an answer (PARTSTAT)."""

FILE_NAME = "invite.ics"

_PRODUCT = "-//Throughline//Mentoring meetups//EN"
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class CalendarEntry:
    """A meetup as one person's calendar shows it."""

    uid: str
    """The same for the whole life of an invitation, and for this person alone."""
    sequence: int
    """Rises for another time, another place and a cancellation, so that calendars take the file for a newer one."""
    title: str
    link: str
    starts_at: datetime
    ends_at: datetime
    organizer_name: str
    organizer: str
    """The program's mailbox, which receives the replies."""
    attendee_name: str
    attendee: str
    answer: str = ""
    """The person's answer so far: an update keeps it."""


@dataclass(frozen=True, slots=True)
class CalendarFile:
    """A calendar file, and the method that the mail's header names with it."""

    method: Method
    text: str


def calendar_file(entry: CalendarEntry, method: Method, at: datetime) -> CalendarFile:
    """Return the file, made at an instant: one event, one attendee, times in UTC."""
    event = Event()
    event.add("uid", entry.uid)
    event.add("dtstamp", at.astimezone(UTC).replace(microsecond=0))
    event.add("dtstart", entry.starts_at.astimezone(UTC))
    event.add("dtend", entry.ends_at.astimezone(UTC))
    event.add("sequence", entry.sequence)
    event.add("summary", for_header(entry.title, _LONGEST))
    event.add("status", "CANCELLED" if method == "CANCEL" else "CONFIRMED")
    if entry.link:
        event.add("location", entry.link)
        event.add("url", vUri(entry.link))
    event.add("organizer", _address(entry.organizer, entry.organizer_name), encode=False)
    event.add("attendee", _attendee(entry, method), encode=False)
    calendar = Calendar()
    calendar.add("prodid", _PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", method)
    calendar.add_component(event)
    return CalendarFile(method, calendar.to_ical().decode("utf-8"))


def _attendee(entry: CalendarEntry, method: Method) -> vCalAddress:
    attendee = _address(entry.attendee, entry.attendee_name)
    attendee.params["ROLE"] = vText("REQ-PARTICIPANT")
    attendee.params["PARTSTAT"] = vText(PARTICIPATION.get(entry.answer, "NEEDS-ACTION"))
    if method == "REQUEST":
        attendee.params["RSVP"] = vText("TRUE")
    return attendee


def _address(address: str, name: str) -> vCalAddress:
    found = vCalAddress(f"mailto:{address}")
    # A quote cannot stand in a parameter at all (RFC 5545, 3.2).
    if shown := for_header(name.replace('"', "'"), _LONGEST):
        found.params["CN"] = vText(shown)
    return found
