"""The envelope of an event: CloudEvents 1.0 in structured JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from rules.events.check import FieldError, check_data, read_model
from rules.events.fields import line, pattern
from rules.events.schema import EventPart, OneOf, Shape
from rules.validation import ValidationError, boolean, instant, kind_of, quote, text_of

_SOURCE = re.compile(r"[!-~]{1,200}")
_JSON_TYPE = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json(?: *;.*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event as it is stored. `source` and `id` together name it for ever."""

    id: str
    source: str
    type: str
    time: datetime | None
    """The instant of which the event reports, in UTC."""
    data: dict[str, Any]
    """The data as they came from `check_envelope`, or as `check_event` has read them."""
    ignored: tuple[str, ...] = ()
    """JSON pointers to data that nobody knows, which were left out."""
    history: bool = False
    """Whether it reports of a time before the take-over of a running program (T10)."""


def _source(value: object) -> str:
    source = text_of(value)
    if not _SOURCE.fullmatch(source):
        raise ValidationError(
            f"must be 1 to 200 visible ASCII characters, like /members, not {quote(source)}"
        )
    return source


def _json_type(value: object) -> str:
    name = text_of(value)
    if not _JSON_TYPE.fullmatch(name):
        raise ValidationError(f"must be application/json, not {quote(name)}")
    return name


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValidationError(f"must be an object, not {kind_of(value)}")
    return value


class CloudEvent(EventPart):
    """A CloudEvent 1.0. Other attributes of the envelope are let through."""

    specversion: Annotated[Literal["1.0"], OneOf()] = Field(description="The version of CloudEvents.")
    id: Annotated[str, line(200)] = Field(
        description="With the source it names the event: a repeat is known."
    )
    source: Annotated[str, Shape(_source, {"type": "string", "pattern": pattern(_SOURCE)})] = Field(
        description="The system that sends, like /members."
    )
    type: Annotated[str, line(200)] = Field(description="The type of the event.")
    time: Annotated[datetime, Shape(instant, {"type": "string", "format": "date-time"})] | None = Field(
        None, description="When it happened; else the moment at which it arrives."
    )
    history: Annotated[bool, Shape(boolean, {"type": "boolean"})] | None = Field(
        None, description="True for an event of before the take-over: it mails nobody about the past."
    )
    subject: Annotated[str, line(1000)] | None = Field(None, description="Not used.")
    datacontenttype: Annotated[str, Shape(_json_type, {"type": "string"})] | None = Field(
        None, description="Only application/json, by any of its names."
    )
    data: Annotated[Mapping[str, Any], Shape(_object, {"type": "object"})] = Field(
        description="The fields of the type."
    )


def check_envelope(event: object) -> tuple[Envelope | None, list[FieldError]]:
    """Return the envelope of an event, or what is wrong with it.

    The type only has to be text, and the data a JSON object: `check_event` reads both. Nothing is raised.
    """
    read, errors = _read_attributes(event)
    if read is None:
        return None, errors
    return Envelope(
        read.id, read.source, read.type, read.time, dict(read.data), history=bool(read.history)
    ), []


def read_event(event: object) -> tuple[Envelope | None, list[FieldError]]:
    """Return an event from outside as it is stored, data and all, or what is wrong with it. Nothing is raised."""
    read, errors = _read_attributes(event)
    if read is None:
        return None, errors
    data, errors, ignored = check_data(read.type, read.data)
    if errors:
        return None, errors
    return Envelope(read.id, read.source, read.type, read.time, data, ignored, bool(read.history)), []


def _read_attributes(event: object) -> tuple[CloudEvent | None, list[FieldError]]:
    if not isinstance(event, Mapping):
        return None, [FieldError("", f"an event must be a JSON object, not {kind_of(event)}")]
    read, errors = read_model(CloudEvent, event)
    if "data_base64" in event:
        reason = "must not be used: the data have to be a JSON object under data"
        errors = [error for error in errors if error.pointer != "/data"]
        errors.append(FieldError("/data_base64", reason))
    return (None if errors else read), errors
