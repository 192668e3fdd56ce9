"""Events about requests of mentees to mentors."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from rules.events.fields import Id, Months, Text, Topics
from rules.events.schema import EventData


class RequestCreated(EventData):
    """A mentee asks a mentor."""

    event_type = "request.created"
    about = "request/{request}"
    waits_for = ("profile/{mentee}", "profile/{mentor}")
    example: ClassVar[dict[str, Any]] = {
        "request": "r-1",
        "mentee": "p-ana",
        "mentor": "p-marcus",
        "message": "Hello, I am Ana.",
        "months": 6,
    }

    request: Id = Field(description="The request's id.")
    mentee: Id = Field(description="The profile that asks.")
    mentor: Id = Field(description="The profile that is asked.")
    message: Text | None = Field(None, description="The mentee's words to the mentor.")
    areas: Topics | None = Field(None, description="Areas that the mentee wishes to work on.")
    months: Months | None = Field(None, description="Months that the mentee has in mind.")


class _Answer(EventData):
    about = "request/{request}"
    waits_for = ("request/{request}",)

    request: Id = Field(description="The request's id.")
    reason: Text | None = Field(None, description="Why, in free text.")


class RequestAccepted(_Answer):
    """The mentor accepts, which begins an engagement."""

    event_type = "request.accepted"
    example: ClassVar[dict[str, Any]] = {"request": "r-1"}


class RequestDeclined(_Answer):
    """The mentor declines."""

    event_type = "request.declined"
    example: ClassVar[dict[str, Any]] = {"request": "r-1", "reason": "My calendar is full."}


class RequestCanceled(_Answer):
    """The mentee takes the request back."""

    event_type = "request.canceled"
    example: ClassVar[dict[str, Any]] = {"request": "r-1", "reason": "I asked by mistake."}
