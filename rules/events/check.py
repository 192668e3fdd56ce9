"""The check of an event's data: every wrong field by its JSON pointer, in our own words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import pydantic

from rules.events.data import EVENT_TYPES
from rules.events.schema import MOST_KEYS, EventData, EventPart, keys_of, parts_of
from rules.events.spelling import near_miss, nearest_type
from rules.validation import Issue, ValidationError, kind_of, quote

M = TypeVar("M", bound=EventPart)

MOST_IGNORED = 100
"""Ignored fields of one event that are named."""

_LONGEST_STEP = 80


class FieldError(NamedTuple):
    """What is wrong with an event: a JSON pointer (RFC 6901) to the field, and the reason in words."""

    pointer: str
    reason: str


class CheckedData(NamedTuple):
    """What a check makes of an event's data."""

    data: dict[str, Any]
    """The data as the rest works with them: plain JSON, with dates and times as text. Empty where there are errors."""
    errors: list[FieldError]
    ignored: tuple[str, ...] = ()
    """JSON pointers to the data that nobody knows, at most MOST_IGNORED of them."""


def check_event(type: str, data: object) -> tuple[dict[str, Any], list[FieldError]]:
    """Return an event's data as the rest works with them, or what is wrong with them: `check_data` in short."""
    checked = check_data(type, data)
    return checked.data, checked.errors


_IRREVERSIBLE = {"member.erased"}
"""Types that no hint names: nobody should come to them by a typing error."""


def check_data(type: str, data: object) -> CheckedData:
    """Check an event's data.

    Dates and times may come as text or as `date` and `datetime`. A key that nobody knows is left out and named as
    ignored, unless it is one edit away from a known key that is absent: then it is wrong. Nothing is raised.
    """
    model = EVENT_TYPES.get(type) if isinstance(type, str) else None
    if model is None:
        meant = nearest_type(type, EVENT_TYPES.keys() - _IRREVERSIBLE) if isinstance(type, str) else None
        hint = f"; did you mean {meant}?" if meant else ""
        return CheckedData({}, [FieldError("/type", f"{quote(type)} is no type of event{hint}")])
    if not isinstance(data, Mapping):
        reason = "is missing" if data is None else f"must be an object, not {kind_of(data)}"
        return CheckedData({}, [FieldError("/data", reason)])
    read, errors = read_model(model, data, "data")
    unknown = _unknown_keys(model, data) if len(data) <= MOST_KEYS else []
    errors += _misspelt(model, unknown)
    if read is None or errors:
        return CheckedData({}, errors)
    ignored = tuple(pointer(("data", *key.path)) for key in unknown[:MOST_IGNORED])
    return CheckedData(read.model_dump(by_alias=True, exclude_unset=True), [], ignored)


def refused_at_the_door(type: str) -> FieldError | None:
    """Return why an event of a known type is not taken at all; None where this version does something with it."""
    model = EVENT_TYPES[type]
    if not model.not_kept:
        return None
    return FieldError("/type", f"{quote(type)} is not taken: nothing here keeps {model.not_kept} yet")


def subject(type: str, data: Mapping[str, Any]) -> str:
    """Return what an event is about: `onboarding/p-1`, `request/r-1`, `engagement/r-1`, `member/ana`, `meetup/m-1`,
    `mail/…`, or the target of a staff act. For data that `check_event` has passed; raises KeyError for others.
    """
    return EVENT_TYPES[type].subject_of(data)


def references(type: str, data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what has to be known before an event can be applied: `member/ana`, `profile/p-1`, `request/r-1`,
    `engagement/r-1`, `meetup/m-1`. For data that `check_event` has passed; raises KeyError for others.
    """
    return EVENT_TYPES[type].references_of(data)


def read_model(model: type[M], value: Mapping[Any, Any], *base: str) -> tuple[M | None, list[FieldError]]:
    """Return a value as its model, or what is wrong with it, in our own words and with pointers below `base`."""
    try:
        return model.model_validate(value), []
    except pydantic.ValidationError as wrong:
        errors = wrong.errors(include_url=False, include_input=False)
        return None, [
            FieldError(pointer((*base, *error["loc"], *issue.path)), issue.reason)
            for error in errors
            for issue in _issues(error)
        ]


def _issues(error: Mapping[str, Any]) -> Sequence[Issue]:
    """Return what pydantic found, in our own words. All but missing fields is found by our own validators."""
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, ValidationError):
        return cause.faults
    if error["type"] == "missing":
        return [Issue((), "is missing")]
    return [Issue((), "is not as the schema of events describes it")]


def pointer(path: Sequence[str | int]) -> str:
    """Return a JSON pointer (RFC 6901). A step that is long or unprintable is shortened or escaped."""
    return "".join(f"/{_step(step)}" for step in path)


def _step(step: str | int) -> str:
    text = str(step)
    if len(text) > _LONGEST_STEP:
        text = text[:_LONGEST_STEP] + "…"
    if not text.isprintable():
        text = "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)
    return text.replace("~", "~0").replace("/", "~1")


class _UnknownKey(NamedTuple):
    path: tuple[str | int, ...]
    """Its place in the data; the last step is the key."""
    absent: tuple[str, ...]
    """Known keys that its object lacks."""


def _unknown_keys(model: type[EventPart], data: Mapping[str, Any]) -> list[_UnknownKey]:
    known, found = keys_of(model), []
    if not data.keys() <= known.keys():
        absent = tuple(key for key in known if data.get(key) is None)
        found = [_UnknownKey((key,), absent) for key in data if isinstance(key, str) and key not in known]
    for key, part in parts_of(model).items():
        listed = data.get(key)
        parts = islice(listed, MOST_KEYS) if isinstance(listed, list | tuple) else ()
        for position, each in enumerate(parts):
            if isinstance(each, Mapping) and len(each) <= MOST_KEYS:
                inner = _unknown_keys(part, each)
                found += [_UnknownKey((key, position, *inside.path), inside.absent) for inside in inner]
    return found


def _misspelt(model: type[EventData], unknown: Iterable[_UnknownKey]) -> Iterator[FieldError]:
    for path, absent in unknown:
        if meant := near_miss(str(path[-1]), absent):
            where = f"of {model.event_type}" if len(path) == 1 else "here"
            reason = f"is no field {where}; did you mean {meant}?"
            yield FieldError(pointer(("data", *path)), reason)
