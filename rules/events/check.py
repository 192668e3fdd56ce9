"""The check of an event's data: every wrong field by its JSON pointer, in our own words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import pydantic

from rules.events.data import EVENT_TYPES
from rules.events.schema import MOST_KEYS, EventData, EventPart, keys_of
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


def check_event(type: str, data: object) -> tuple[dict[str, Any], list[FieldError]]:
    """Return an event's data as the rest works with them, or what is wrong with them; then the data are empty.

    Dates and times may come as text or as `date` and `datetime`, and come out as text. A key that nobody knows is
    left out, unless it is one edit away from a known key that is absent. Nothing is raised.
    """
    model = EVENT_TYPES.get(type) if isinstance(type, str) else None
    if model is None:
        meant = nearest_type(type, EVENT_TYPES) if isinstance(type, str) else None
        hint = f"; did you mean {meant}?" if meant else ""
        return {}, [FieldError("/type", f"{quote(type)} is no type of event{hint}")]
    if not isinstance(data, Mapping):
        reason = "is missing" if data is None else f"must be an object, not {kind_of(data)}"
        return {}, [FieldError("/data", reason)]
    read, errors = read_model(model, data, "data")
    if len(data) <= MOST_KEYS:
        errors += [FieldError(pointer(("data", *path)), reason) for path, reason in _misspelt(model, data)]
    if read is None or errors:
        return {}, errors
    return read.model_dump(by_alias=True, exclude_unset=True), []


def ignored_fields(type: str, data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return JSON pointers to what a check leaves out of an event's data, at most MOST_IGNORED of them."""
    unknown = _unknown_keys(EVENT_TYPES[type], data)
    return tuple(pointer(("data", *path, key)) for path, key, _ in islice(unknown, MOST_IGNORED))


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


Unknown = tuple[tuple[str | int, ...], str, tuple[str, ...]]


def _unknown_keys(model: type[EventPart], data: Mapping[str, Any]) -> Iterator[Unknown]:
    """Yield each key that no model knows: the path to its object, the key, and known keys that the object lacks."""
    known = keys_of(model)
    if not data.keys() <= known.keys():
        absent = tuple(key for key in known if data.get(key) is None)
        for key in data:
            if isinstance(key, str) and key not in known:
                yield (), key, absent
    for key, part in known.items():
        if part is None:
            continue
        listed = data.get(key)
        parts = islice(listed, MOST_KEYS) if isinstance(listed, list | tuple) else ()
        for position, each in enumerate(parts):
            if isinstance(each, Mapping) and len(each) <= MOST_KEYS:
                for path, inner, absent in _unknown_keys(part, each):
                    yield (key, position, *path), inner, absent


def _misspelt(model: type[EventData], data: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for path, key, absent in _unknown_keys(model, data):
        if meant := near_miss(key, absent):
            where = "here" if path else f"of {model.event_type}"
            yield (*path, key), f"is no field {where}; did you mean {meant}?"
