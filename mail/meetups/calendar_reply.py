"""An answer that a calendar program sends by mail: METHOD:REPLY (RFC 5546, 3.2.3, MEE1).

The file comes from anywhere. Only the lines that make an answer are read, within bounds; recurrence rules are not.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from mail.reports.parts import Part, walk

SOURCE = "/calendar"
"""The source of events that were made from replies of calendars."""

LARGEST_FILE = 64 * 1024
"""Octets of a calendar file that are read. A reply has one."""

_MOST_LINES = 1_000
_LONGEST_VALUE = 1_000
_TYPES = ("text/calendar", "application/ics")
_FOLDED = re.compile(r"\r?\n[ \t]")
_LINE = re.compile(
    r"(?P<name>[A-Za-z-]{1,40})(?P<parameters>(?:;[^:\"]*(?:\"[^\"]*\"[^:\"]*)*)?):(?P<value>.*)"
)
_PARTSTAT = re.compile(r";PARTSTAT=\"?([A-Za-z-]{1,40})", re.IGNORECASE)
_METHOD = re.compile(r"method\s*=\s*\"?([A-Za-z-]{1,20})", re.IGNORECASE)
_INSTANT = re.compile(r"(\d{8})T(\d{6})Z")
_IS_REPLY = re.compile(r"(?mi)^[> ]*METHOD:REPLY[ \t]*\r?$")
_AWAY = re.compile(r"auto-?_?repl(?:y|ied)|auto-?generated \(?vacation", re.IGNORECASE)
_SYSTEM = re.compile(r"^(?:[^<]*<)?\s*(?:mailer-daemon|postmaster)@", re.IGNORECASE)

ANSWERS: Mapping[str, str] = MappingProxyType({"ACCEPTED": "yes", "DECLINED": "no", "TENTATIVE": "maybe"})
"""The answer that a PARTSTAT is; all others are none."""


@dataclass(frozen=True, slots=True)
class CalendarReply:
    """An answer in a reply: whose it is, by the entry's UID and the attendee's address."""

    id: str
    """The same each time the same reply is read, by any way."""
    uid: str
    attendee: str
    answer: str
    at: str = ""
    """When the calendar made it, in ISO 8601 with an offset; empty where it does not say so."""


def reply_in(content: bytes) -> CalendarReply | None:
    """Return the answer that a mail carries; None for one without, also for an automatic reply or a report.

    An invitation that a report quotes is no answer, and neither is a reply that came back to its sender.
    Raises nothing, for any bytes.
    """
    parts = list(walk(content))
    head = parts[0]
    if head.content_type == "multipart/report" or _SYSTEM.search(head.get("from")) or _is_automatic(head):
        return None
    for part in parts:
        if part.quoted or part.content_type not in _TYPES:
            continue
        if (found := _read(part)) is not None:
            uid, attendee, answer, at = found
            known = head.get("message-id") or at
            digest = hashlib.sha256("|".join((uid, attendee, answer, at, known)).encode()).hexdigest()
            return CalendarReply(digest[:32], uid, attendee, answer, at)
    return None


def _is_automatic(head: Part) -> bool:
    """Return whether a mail answers by itself, as one that says its sender is away (RFC 3834).

    The subject says nothing here: it repeats the title of the meetup.
    """
    if any(head.get(name) for name in ("x-autoreply", "x-autorespond", "x-autoresponder")):
        return True
    return bool(_AWAY.search(head.get("auto-submitted")) or _AWAY.search(head.get("precedence")))


def is_about_reply(parts: Sequence[Part]) -> bool:
    """Return whether a mail carries or quotes the reply of a calendar: what it reports is not about our mail."""
    return any(
        _IS_REPLY.search(part.text[:LARGEST_FILE])
        for part in parts
        if part.content_type in _TYPES or part.content_type.startswith("text/plain")
    )


def _read(part: Part) -> tuple[str, str, str, str] | None:
    """Return UID, attendee, answer and instant of a reply; None for any other file."""
    named = _METHOD.search(part.get("content-type"))
    if named and named[1].upper() != "REPLY":
        return None
    lines = list(_lines(part.text[:LARGEST_FILE]))
    if [value.upper() for name, _, value in _outside(lines) if name == "METHOD"] != ["REPLY"]:
        return None
    event = _first_event(lines)
    uids = [value for name, _, value in event if name == "UID"]
    attendees = [(parameters, value) for name, parameters, value in event if name == "ATTENDEE"]
    if len(uids) != 1 or len(attendees) != 1:
        return None
    parameters, value = attendees[0]
    stated = _PARTSTAT.search(parameters)
    answer = ANSWERS.get(stated[1].upper()) if stated else None
    if answer is None or not value.lower().startswith("mailto:"):
        return None
    stamps = [value for name, _, value in event if name == "DTSTAMP"]
    return uids[0], value[len("mailto:") :].strip(), answer, _instant(stamps)


Line = tuple[str, str, str]


def _lines(text: str) -> Iterator[Line]:
    """Yield name, parameters and value of each content line (RFC 5545, 3.1), within bounds."""
    for line in _FOLDED.sub("", text).splitlines()[:_MOST_LINES]:
        if len(line) <= _LONGEST_VALUE and (found := _LINE.fullmatch(line)):
            yield found["name"].upper(), found["parameters"], found["value"].strip()


def _outside(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines of the calendar itself, before its first component."""
    for name, parameters, value in lines:
        if name == "BEGIN" and value.upper() != "VCALENDAR":
            return
        yield name, parameters, value


def _first_event(lines: Iterable[Line]) -> list[Line]:
    """Return the lines of the first event, without those of components within it, such as alarms."""
    found: list[Line] = []
    depth = 0
    for name, parameters, value in lines:
        if name == "BEGIN" and (depth or value.upper() == "VEVENT"):
            depth += 1
        elif name == "END" and depth:
            depth -= 1
            if not depth:
                return found
        elif depth == 1:
            found.append((name, parameters, value))
    return []


def _instant(stamps: Sequence[str]) -> str:
    found = _INSTANT.fullmatch(stamps[0]) if len(stamps) == 1 else None
    if found is None:
        return ""
    try:
        at = datetime.strptime(f"{found[1]}{found[2]}", "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return ""
    return at.isoformat()
