"""The events that come in: what each carries, what it is about, and what has to be known before it (MEM6).

Nothing that comes from outside is believed: `check_envelope` and `check_event` name every field that is wrong, by a
JSON pointer into the event, and raise nothing, whatever they are given. What comes out is plain JSON: dates and
times are ISO 8601 text, instants in UTC. Fields that nobody knows are dropped, so that senders may add their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from rules.durations import parse_duration
from rules.validation import (
    Issue,
    Issues,
    ValidationError,
    Validator,
    certification_code,
    choice,
    country_code,
    day,
    email,
    identifier,
    instant,
    integer,
    kind_of,
    language_code,
    link,
    list_of,
    local_or_instant,
    mapping,
    matching,
    multi_line,
    nearest,
    single_line,
    text_of,
    without_repeats,
    zone_name,
)

MOST_ANSWERS = 100
_LONGEST_MEETUP_MINUTES = 7 * 24 * 60
_ID = r"[A-Za-z0-9._-]{1,64}"
_TARGET = re.compile(
    rf"(?:onboarding|request|engagement)/{_ID}|claim/{_ID}/(?:mentor|mentee)/[A-Z0-9-]{{2,10}}"
    rf"|survey/{_ID}/(?:mentor|mentee)"
)
_SUBDIVISION = re.compile(r"(?:[A-Z]{2}-)?[A-Za-z0-9]{1,7}")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_QUESTION = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_SOURCE = re.compile(r"[!-~]{1,200}")
_JSON_TYPE = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json(?: *;.*)?", re.IGNORECASE)
_HANGS_ON = {
    "onboarding": "profile",
    "request": "request",
    "engagement": "engagement",
    "claim": "engagement",
    "survey": "engagement",
}
_UNITS = {"onboarding": ("check_ins",), "request": ("business_days",), "engagement": ("months", "end")}


class Problem(NamedTuple):
    """What is wrong with an event: a JSON pointer (RFC 6901) to the field, and the reason in words."""

    pointer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an event's data.

    An optional one that comes as null counts as absent, unless it `clears`: then null takes back what was known, and
    comes out as None, or as an empty list if it `lists`.
    """

    name: str
    read: Validator[object]
    required: bool = False
    clears: bool = False
    lists: bool = False


@dataclass(frozen=True, slots=True)
class EventType:
    """A type of event: its fields, what it is about and what it refers to, as patterns like `request/{request}`."""

    name: str
    about: str
    refers_to: tuple[str, ...]
    fields: tuple[Field, ...]
    conflicts: Callable[[Mapping[str, Any]], Iterator[Issue]]


@dataclass(frozen=True, slots=True)
class Envelope:
    """A CloudEvent 1.0: `source` and `id` together name it for ever, `time` is the instant it tells, in UTC.

    `data` is as it came until `check_event` has read it.
    """

    id: str
    source: str
    type: str
    time: datetime | None
    data: dict[str, Any]


def check_event(type: str, data: object) -> tuple[dict[str, Any], list[Problem]]:
    """An event's data as the rest works with them, or what is wrong with them; with problems the data are empty.

    Dates and times may come as text or as `date` and `datetime`, and come out as text.
    """
    event = EVENT_TYPES.get(type) if isinstance(type, str) else None
    if event is None:
        hint = nearest(type, EVENT_TYPES) if isinstance(type, str) else ""
        return {}, [Problem("/type", f"is no type of event{hint}")]
    try:
        return _read(event, data), []
    except ValidationError as wrong:
        return {}, [_problem(fault, "data") for fault in wrong.faults]


def subject(type: str, data: Mapping[str, Any]) -> str:
    """What an event is about: `onboarding/p-1`, `request/r-1`, `engagement/r-1`, `member/ana`, `meetup/m-1`,
    `mail/…`, or the target of a staff act. For data that `check_event` has passed; raises KeyError for others.
    """
    if type == "mail.bounced":
        return f"mail/{data.get('delivery') or data['message_id']}"
    return EVENT_TYPES[type].about.format_map(data)


def references(type: str, data: Mapping[str, Any]) -> tuple[str, ...]:
    """What has to be known before an event can be applied: `member/ana`, `profile/p-1`, `request/r-1`,
    `engagement/r-1`, `meetup/m-1`. For data that `check_event` has passed; raises KeyError for others.
    """
    if type.startswith("staff."):
        kind, name = str(data["target"]).split("/")[:2]
        return (f"{_HANGS_ON[kind]}/{name}",)
    return tuple(pattern.format_map(data) for pattern in EVENT_TYPES[type].refers_to)


def check_envelope(envelope: object) -> tuple[Envelope | None, list[Problem]]:
    """A CloudEvents 1.0 envelope in structured JSON, or what is wrong with it.

    The type only has to be text, and the data a JSON object: `check_event` judges both. Attributes that are not
    used here are let through.
    """
    if not isinstance(envelope, Mapping):
        return None, [Problem("", f"an event must be a JSON object, not {kind_of(envelope)}")]
    faults = Issues()
    given = mapping(envelope)
    values: dict[str, object] = {}
    for name, read in _ATTRIBUTES.items():
        if given.get(name) is not None:
            values[name] = faults.read(name, read, given[name])
        elif name in _REQUIRED_ATTRIBUTES:
            faults.add("is missing", name)
    if "data_base64" in given:
        faults.add("must not be used: the data have to be a JSON object under data", "data_base64")
    elif given.get("data") is None:
        faults.add("is missing", "data")
    elif not isinstance(given["data"], Mapping):
        faults.add(f"must be an object, not {kind_of(given['data'])}", "data")
    if faults.found:
        return None, [_problem(fault) for fault in faults.found]
    time = values.get("time")
    return Envelope(
        id=str(values["id"]),
        source=str(values["source"]),
        type=str(values["type"]),
        time=time if isinstance(time, datetime) else None,
        data=dict(mapping(given["data"])),
    ), []


def _read(event: EventType, data: object) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise ValidationError("is missing" if data is None else f"must be an object, not {kind_of(data)}")
    given = mapping(data)
    faults = Issues()
    kept: dict[str, Any] = {}
    for field in event.fields:
        value = given.get(field.name)
        if value is not None:
            kept[field.name] = faults.read(field.name, field.read, value)
        elif field.required:
            faults.add("is missing", field.name)
        elif field.clears and field.name in given:
            kept[field.name] = [] if field.lists else None
    faults.settle()
    faults.found += event.conflicts(kept)
    faults.settle()
    return kept


def _problem(fault: Issue, *base: str) -> Problem:
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in (*base, *fault.path))
    return Problem("".join(f"/{step}" for step in steps), fault.reason)


def _iso(read: Validator[Any]) -> Validator[str]:
    return lambda value: str(read(value).isoformat())


def _subdivision(value: object) -> str:
    code = matching(_SUBDIVISION, "a part of a country by its ISO 3166-2 code, like US-NY or NY")(value)
    return code.rpartition("-")[2]


def _certification(value: object) -> dict[str, str]:
    given, faults = mapping(value), Issues()
    readers: dict[str, Validator[str]] = {
        "code": certification_code,
        "cycle_start": _iso(day),
        "cycle_end": _iso(day),
    }
    kept: dict[str, str] = {}
    for name, read in readers.items():
        if given.get(name) is None:
            faults.add("is missing", name)
        else:
            kept[name] = faults.read(name, read, given[name]) or ""
    faults.settle()
    if kept["cycle_end"] < kept["cycle_start"]:
        raise ValidationError(faults=[Issue(("cycle_end",), "must not lie before cycle_start")])
    return kept


def _passages(value: object) -> str:
    """Free text; several texts become its lines."""
    if isinstance(value, list | tuple):
        value = "\n".join(list_of(multi_line())(value))
    return multi_line()(value)


def _answers(value: object) -> dict[str, str | int | bool]:
    given = mapping(value)
    if len(given) > MOST_ANSWERS:
        raise ValidationError(f"must have at most {MOST_ANSWERS} answers")
    if not all(_QUESTION.fullmatch(question) for question in given):
        raise ValidationError("must have ids of questions as keys, like goals_met")
    faults = Issues()
    answers = {
        question: faults.read(question, _answer, answer)
        for question, answer in given.items()
        if answer is not None
    }
    faults.settle()
    return {question: answer for question, answer in answers.items() if answer is not None}


def _answer(value: object) -> str | int | bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return integer(0, 1000)(value)
    if isinstance(value, str):
        return multi_line()(value)
    raise ValidationError(f"must be true or false, a whole number or text, not {kind_of(value)}")


def _duration(value: object) -> str:
    """How long a meetup is, as an ISO 8601 duration; a bare number is minutes."""
    if not isinstance(value, str):
        return f"PT{integer(1, _LONGEST_MEETUP_MINUTES)(value)}M"
    try:
        text = single_line(40)(value)
        minutes = parse_duration(text).timedelta().total_seconds() / 60
    except ValueError:
        raise ValidationError("must be an ISO 8601 duration, like PT1H30M") from None
    if not 1 <= minutes <= _LONGEST_MEETUP_MINUTES:
        raise ValidationError("must be between a minute and a week")
    return text


def _resources(value: object) -> list[dict[str, str]]:
    """Links with titles: `[{title, link}]`, `{title: link}`, or the links alone."""
    if isinstance(value, Mapping):
        value = [{"title": title, "link": address} for title, address in value.items()]
    return list_of(_resource)(value)


def _resource(value: object) -> dict[str, str]:
    if isinstance(value, str):
        value = {"title": value, "link": value}
    given, faults = mapping(value), Issues()
    address = faults.read("link", link, given.get("link"))
    title = faults.read("title", single_line(500), given.get("title"))
    faults.settle()
    return {"title": title or "", "link": address or ""}


def _source(value: object) -> str:
    text = text_of(value)
    if not _SOURCE.fullmatch(text):
        raise ValidationError("must be 1 to 200 visible ASCII characters, like /members")
    return text


def _json_type(value: object) -> str:
    if not _JSON_TYPE.fullmatch(text_of(value)):
        raise ValidationError("must be application/json")
    return text_of(value)


_ATTRIBUTES: dict[str, Validator[object]] = {
    "specversion": choice("1.0"),
    "id": single_line(200),
    "source": _source,
    "type": single_line(200),
    "time": instant,
    "subject": single_line(1000),
    "datacontenttype": _json_type,
}
_REQUIRED_ATTRIBUTES = ("specversion", "id", "source", "type")


def _agree(data: Mapping[str, Any]) -> Iterator[Issue]:
    """All is well."""
    return iter(())


def _at_most_one_end(data: Mapping[str, Any]) -> Iterator[Issue]:
    if "months" in data and "end" in data:
        yield Issue(("end",), "must not be told together with months")


def _which_mail(data: Mapping[str, Any]) -> Iterator[Issue]:
    if "delivery" not in data and "message_id" not in data:
        yield Issue(("delivery",), "is missing: delivery or message_id has to be told")


def _can_be_paused(data: Mapping[str, Any]) -> Iterator[Issue]:
    if not data["target"].startswith(("onboarding/", "engagement/")):
        yield Issue(("target",), "must be an onboarding or an engagement: nothing else pauses")


def _extended_by(data: Mapping[str, Any]) -> Iterator[Issue]:
    kind = data["target"].partition("/")[0]
    units = _UNITS.get(kind)
    told = [unit for unit in ("check_ins", "business_days", "months", "end") if unit in data]
    if units is None:
        yield Issue(
            ("target",), "must be an onboarding, a request or an engagement: nothing else is extended"
        )
    elif not told:
        yield Issue((units[0],), f"is missing: an extension of this target tells {' or '.join(units)}")
    elif len(told) > 1:
        yield Issue((told[1],), f"must not be told together with {told[0]}")
    elif told[0] not in units:
        yield Issue((told[0],), f"is not how this target is extended: tell {' or '.join(units)}")


def _need(name: str, read: Validator[object]) -> Field:
    return Field(name, read, required=True)


def _may(name: str, read: Validator[object]) -> Field:
    return Field(name, read)


def _keep(name: str, read: Validator[object], *, lists: bool = False) -> Field:
    return Field(name, read, clears=True, lists=lists)


def _event(
    name: str,
    about: str,
    *fields: Field,
    refers_to: tuple[str, ...] = (),
    conflicts: Callable[[Mapping[str, Any]], Iterator[Issue]] = _agree,
) -> EventType:
    return EventType(name, about, refers_to, fields, conflicts)


_role = choice("mentor", "mentee")
_short_list = without_repeats(list_of(single_line(), most=50, alone=True))
_languages = without_repeats(list_of(language_code, most=20, alone=True))
_domains = without_repeats(list_of(single_line(), least=1, most=20, alone=True))
_date = _iso(day)

_WISHES = (
    _keep("mentees_at_a_time", integer(0, 1000)),
    _keep("areas", _short_list, lists=True),
    _keep("interests", _short_list, lists=True),
    _keep("goals", _passages),
    _keep("languages", _languages, lists=True),
)
_ENGAGEMENT = _need("engagement", identifier)
_BY = _need("by", identifier)
_REQUEST = _need("request", identifier)
_MEETUP = _need("meetup", identifier)
_STAFF = (
    _need("target", matching(_TARGET, "the id of a workflow, like onboarding/p-1 or claim/r-1/mentor/CPP")),
    _need("actor", single_line()),
    _need("reason", multi_line(blank=False)),
)
_MEETUP_DETAILS: tuple[tuple[str, Validator[object]], ...] = (
    ("program", identifier),
    ("title", single_line()),
    ("starts_at", _iso(local_or_instant)),
    ("time_zone", zone_name),
)
_MEETUP_EXTRAS = (_may("duration", _duration), _may("link", link), _may("resources", _resources))


def _of_request(name: str) -> EventType:
    return _event(
        name, "request/{request}", _REQUEST, _may("reason", multi_line()), refers_to=("request/{request}",)
    )


def _of_engagement(
    name: str,
    *fields: Field,
    conflicts: Callable[[Mapping[str, Any]], Iterator[Issue]] = _agree,
) -> EventType:
    return _event(
        name,
        "engagement/{engagement}",
        _ENGAGEMENT,
        *fields,
        refers_to=("engagement/{engagement}",),
        conflicts=conflicts,
    )


def _of_meetup(name: str) -> EventType:
    details = (_may(field, read) for field, read in _MEETUP_DETAILS)
    return _event(name, "meetup/{meetup}", _MEETUP, *details, *_MEETUP_EXTRAS, refers_to=("meetup/{meetup}",))


_EVENTS = (
    _event(
        "member.updated",
        "member/{member}",
        _need("member", identifier),
        _need("name", single_line()),
        _need("email", email),
        _need("standing", choice("good", "lapsed")),
        _keep("time_zone", zone_name),
        _keep("country", country_code),
        _keep("subdivision", _subdivision),
        _keep("languages", _languages, lists=True),
        _keep("nationality", country_code),
        _keep("birth_year", integer(1900, 2100)),
        _keep("years_management", integer(0, 80)),
        _keep("certifications", list_of(_certification, most=20), lists=True),
    ),
    _event(
        "profile.created",
        "onboarding/{profile}",
        _need("profile", identifier),
        _need("member", identifier),
        _need("role", _role),
        _may("program", identifier),
        *_WISHES,
        refers_to=("member/{member}",),
    ),
    _event(
        "profile.updated",
        "onboarding/{profile}",
        _need("profile", identifier),
        *_WISHES,
        refers_to=("profile/{profile}",),
    ),
    _event(
        "profile.withdrawn",
        "onboarding/{profile}",
        _need("profile", identifier),
        refers_to=("profile/{profile}",),
    ),
    _event(
        "request.created",
        "request/{request}",
        _REQUEST,
        _need("mentee", identifier),
        _need("mentor", identifier),
        _may("message", multi_line()),
        _may("areas", _short_list),
        _may("months", integer(1, 120)),
        refers_to=("profile/{mentee}", "profile/{mentor}"),
    ),
    _of_request("request.accepted"),
    _of_request("request.declined"),
    _of_request("request.canceled"),
    _of_engagement("engagement.discovery", _BY, _need("answer", choice("good_fit", "not_a_fit", "not_met"))),
    _of_engagement(
        "engagement.plan_agreed",
        _may("months", integer(1, 120)),
        _may("end", _date),
        _may("goals", _passages),
        conflicts=_at_most_one_end,
    ),
    _of_engagement("engagement.met", _BY, _need("answer", choice("yes", "no")), _may("date", _date)),
    _of_engagement("engagement.extension_agreed", _BY, _need("end", _date)),
    _of_engagement(
        "engagement.ended",
        _BY,
        _need("reason", choice("goals_met", "no_fit", "no_time", "unresponsive", "other")),
    ),
    _of_engagement("engagement.misconduct_reported", _BY, _need("text", multi_line(blank=False))),
    _of_engagement(
        "claim.domains_chosen", _BY, _need("certification", certification_code), _need("domains", _domains)
    ),
    _of_engagement(
        "letter.signed",
        _BY,
        _need("for", _role),
        _need("name", single_line()),
        _may("certification", certification_code),
        _may("purpose", multi_line()),
        _may("domains", _domains),
        _may("shown", matching(_FINGERPRINT, "the SHA-256 of the letter's text, 64 hexadecimal digits")),
    ),
    _of_engagement("claim.submitted", _BY, _need("certification", certification_code)),
    _of_engagement("survey.answered", _BY, _need("answers", _answers)),
    _event(
        "mail.bounced",
        "mail/{delivery}",
        _may("delivery", single_line(64)),
        _may("message_id", single_line(190)),
        _need("kind", choice("hard", "soft", "complaint")),
        conflicts=_which_mail,
    ),
    _event(
        "meetup.scheduled",
        "meetup/{meetup}",
        _MEETUP,
        *(_need(name, read) for name, read in _MEETUP_DETAILS),
        *_MEETUP_EXTRAS,
    ),
    _of_meetup("meetup.changed"),
    _of_meetup("meetup.canceled"),
    _event("staff.cancel", "{target}", *_STAFF),
    _event(
        "staff.extend",
        "{target}",
        *_STAFF,
        _may("check_ins", integer(1, 26)),
        _may("business_days", integer(1, 60)),
        _may("months", integer(1, 120)),
        _may("end", _date),
        conflicts=_extended_by,
    ),
    _event("staff.pause", "{target}", *_STAFF, conflicts=_can_be_paused),
    _event("staff.resume", "{target}", *_STAFF, conflicts=_can_be_paused),
)

EVENT_TYPES: Mapping[str, EventType] = MappingProxyType({event.name: event for event in _EVENTS})
"""Every type of event that comes in, by its name."""
