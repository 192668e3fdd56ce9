"""Events about meetups of a program."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from rules.durations import parse_duration
from rules.events.fields import By, Id, Link, Name, ZoneName, iso, line, pattern
from rules.events.schema import EventData, EventPart, OneOf, Shape
from rules.validation import (
    LOCAL,
    ValidationError,
    entries,
    integer,
    local_or_instant,
    quote,
    single_line,
)

_MOMENT = re.compile(rf"{LOCAL.pattern}([Zz]|[+-][0-9]{{2}}:[0-9]{{2}})?")
_LONGEST_MINUTES = 7 * 24 * 60
_LONGEST_TITLE = 500
_MOST_RESOURCES = 50


def _duration(value: object) -> str:
    if not isinstance(value, str):
        return f"PT{integer(1, _LONGEST_MINUTES)(value)}M"
    try:
        text = single_line(40)(value)
        minutes = parse_duration(text).timedelta().total_seconds() / 60
    except ValueError:
        raise ValidationError(f"must be an ISO 8601 duration, like PT1H30M, not {quote(value)}") from None
    if not 1 <= minutes <= _LONGEST_MINUTES:
        raise ValidationError(f"must be between a minute and a week, not {text}")
    return text


def _resources(value: object) -> list[object]:
    """Return links with titles, which come as a list of both, a table from title to link, or links alone."""
    if isinstance(value, Mapping):
        value = [{"title": title, "link": address} for title, address in value.items()]
    return [
        {"title": each, "link": each} if isinstance(each, str) else each
        for each in entries(value, 0, _MOST_RESOURCES)
    ]


class Resource(EventPart):
    """A link with its title."""

    title: Annotated[str, line(_LONGEST_TITLE)] = Field(description="What the link leads to.")
    link: Link = Field(description="An https address.")


Duration = Annotated[str, Shape(_duration, {"type": "string"})]
StartsAt = Annotated[str, Shape(iso(local_or_instant), {"type": "string", "pattern": pattern(_MOMENT)})]
Resources = Annotated[list[Resource], BeforeValidator(_resources), Field(max_length=_MOST_RESOURCES)]

_PROGRAM = "The program's id."
_TITLE = "The title, as the invitation shows it."
_STARTS_AT = "Local time in time_zone, or an instant with its offset."
_TIME_ZONE = "The IANA name, like America/Bogota."


class _MeetupEvent(EventData):
    about = "meetup/{meetup}"

    meetup: Id = Field(description="The meetup's id.")
    duration: Duration | None = Field(None, description="How long it is, like PT1H30M; a number is minutes.")
    link: Link | None = Field(None, description="Where to join.")
    resources: Resources | None = Field(None, description="Links to read before or after.")


class MeetupScheduled(_MeetupEvent):
    """A meetup is planned."""

    event_type = "meetup.scheduled"
    example: ClassVar[dict[str, Any]] = {
        "meetup": "m-1",
        "program": "asis-global",
        "title": "Spring meetup",
        "starts_at": "2028-04-05T12:00:00",
        "time_zone": "America/New_York",
        "duration": "PT1H",
        "resources": [{"title": "Slides", "link": "https://files.example.org/slides"}],
    }

    program: Id = Field(description=_PROGRAM)
    cohort: Id | None = Field(
        None, description="Whom it is for: one cohort of the program; without it, everybody."
    )
    title: Name = Field(description=_TITLE)
    starts_at: StartsAt = Field(description=_STARTS_AT)
    time_zone: ZoneName = Field(description=_TIME_ZONE)


class _KnownMeetup(_MeetupEvent):
    waits_for = ("meetup/{meetup}",)

    program: Id | None = Field(None, description=_PROGRAM)
    title: Name | None = Field(None, description=_TITLE)
    starts_at: StartsAt | None = Field(None, description=_STARTS_AT)
    time_zone: ZoneName | None = Field(None, description=_TIME_ZONE)


class MeetupChanged(_KnownMeetup):
    """A meetup has changed. Fields that are absent stay as they are."""

    event_type = "meetup.changed"
    example: ClassVar[dict[str, Any]] = {"meetup": "m-1", "starts_at": "2028-04-06T12:00:00"}


class MeetupCanceled(_KnownMeetup):
    """A meetup does not take place."""

    event_type = "meetup.canceled"
    example: ClassVar[dict[str, Any]] = {"meetup": "m-1"}


class MeetupAnswered(EventData):
    """An invited person says whether they come. The latest answer counts."""

    event_type = "meetup.answered"
    about = "meetup/{meetup}"
    waits_for = ("meetup/{meetup}", "profile/{by}")
    example: ClassVar[dict[str, Any]] = {"meetup": "m-1", "by": "p-ana", "answer": "yes"}

    meetup: Id = Field(description="The meetup's id.")
    by: By
    answer: Annotated[Literal["yes", "no", "maybe"], OneOf()] = Field(description="Whether they come.")
