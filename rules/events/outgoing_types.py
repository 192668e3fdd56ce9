"""The types of events that go out: what each carries (MEM6).

Each carries ids, states and numbers, and no personal data: names, addresses, reasons and free texts stay in the
database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from rules.engagement.confidentiality import SUSPENDED
from rules.events.fields import CertificationCode, Day, Id, Role, line, whole_number
from rules.events.schema import EventPart, OneOf, Shape
from rules.kinds import KINDS
from rules.validation import choice

Amount = Annotated[int, whole_number(0, 10_000)]
Count = Annotated[int, whole_number(1, 2**53)]
Moment = Annotated[str, line(40)]
Subject = Annotated[str, line(200)]
Word = Annotated[str, line(80)]

_LIFECYCLE = "The lifecycle, like claim/r-1/mentor/CPP."
_SINCE = "Since when it is in this state."
_STATUS = "The state that the decision gives the claim."
_NUMBER = "The number of the task, as `throughline task list` has it."


def _state(kind: str) -> Shape:
    """Return the shape of a state that the parties may read."""
    states = [state for state in KINDS[kind].states if state != SUSPENDED]
    return Shape(choice(*states), {"type": "string", "enum": states})


class OutgoingData(EventPart):
    """The data of a type of event that goes out; a class each, with what the type means as its docstring."""

    event_type: ClassVar[str]
    example: ClassVar[Mapping[str, Any]]


class OnboardingStateChanged(OutgoingData):
    """An onboarding is in another state."""

    event_type = "onboarding.state_changed"
    example: ClassVar[dict[str, Any]] = {
        "profile": "p-ana",
        "state": "matched",
        "since": "2028-03-06T15:00:00+00:00",
    }

    profile: Id = Field(description="The profile whose onboarding it is.")
    state: Annotated[str, _state("onboarding")] = Field(description="The state.")
    since: Moment = Field(description=_SINCE)


class RequestStateChanged(OutgoingData):
    """A request is in another state."""

    event_type = "request.state_changed"
    example: ClassVar[dict[str, Any]] = {
        "request": "r-1",
        "state": "accepted",
        "since": "2028-03-06T15:00:00+00:00",
    }

    request: Id = Field(description="The request's id.")
    state: Annotated[str, _state("request")] = Field(description="The state.")
    since: Moment = Field(description=_SINCE)


class EngagementStateChanged(OutgoingData):
    """An engagement is in another state."""

    event_type = "engagement.state_changed"
    example: ClassVar[dict[str, Any]] = {
        "engagement": "r-1",
        "state": "completed",
        "since": "2028-09-06T15:00:00+00:00",
    }

    engagement: Id = Field(description="The engagement's id, which is its request's.")
    state: Annotated[str, _state("engagement")] = Field(
        description="The state. A suspension reads as a pause."
    )
    since: Moment = Field(description=_SINCE)


class ClaimStateChanged(OutgoingData):
    """A claim is in another state."""

    event_type = "claim.state_changed"
    example: ClassVar[dict[str, Any]] = {
        "engagement": "r-1",
        "role": "mentor",
        "certification": "CPP",
        "state": "ready",
        "since": "2028-09-06T15:00:00+00:00",
    }

    engagement: Id = Field(description="The engagement that earns the credit.")
    role: Role = Field(description="Whose claim it is.")
    certification: CertificationCode = Field(description="The certification's code, like CPP.")
    state: Annotated[str, _state("claim")] = Field(description="The state.")
    since: Moment = Field(description=_SINCE)


class SurveyStateChanged(OutgoingData):
    """A survey is in another state."""

    event_type = "survey.state_changed"
    example: ClassVar[dict[str, Any]] = {
        "engagement": "r-1",
        "role": "mentee",
        "state": "answered",
        "since": "2028-09-08T15:00:00+00:00",
    }

    engagement: Id = Field(description="The engagement that is asked about.")
    role: Role = Field(description="Who is asked.")
    state: Annotated[str, _state("survey")] = Field(description="The state.")
    since: Moment = Field(description=_SINCE)


class CohortStateChanged(OutgoingData):
    """A cohort is in another state."""

    event_type = "cohort.state_changed"
    example: ClassVar[dict[str, Any]] = {
        "cohort": "asis-laac-2028",
        "state": "running",
        "since": "2028-05-23T15:00:00+00:00",
    }

    cohort: Id = Field(description="The cohort's id.")
    state: Annotated[str, _state("cohort")] = Field(description="The state.")
    since: Moment = Field(description=_SINCE)


class MeetupStateChanged(OutgoingData):
    """A meetup is in another state."""

    event_type = "meetup.state_changed"
    example: ClassVar[dict[str, Any]] = {
        "meetup": "m-1",
        "state": "held",
        "since": "2028-04-05T17:00:00+00:00",
    }

    meetup: Id = Field(description="The meetup's id.")
    state: Annotated[str, _state("meetup")] = Field(description="The state.")
    since: Moment = Field(description=_SINCE)


class LifecycleExtended(OutgoingData):
    """Staff extended an onboarding, a request or an engagement."""

    event_type = "lifecycle.extended"
    example: ClassVar[dict[str, Any]] = {"lifecycle": "engagement/r-1", "months": 2}

    lifecycle: Subject = Field(description="The lifecycle, like engagement/r-1.")
    check_ins: Count | None = Field(None, description="By how many check-ins, of an onboarding.")
    business_days: Count | None = Field(None, description="By how many business days, of a request.")
    months: Count | None = Field(None, description="By how many months, of an engagement.")
    end: Day | None = Field(None, description="To which end, of an engagement.")


class ClaimDecided(OutgoingData):
    """A claim was decided, or what counts of it under the cap of its cycle changed."""

    event_type = "claim.decided"
    example: ClassVar[dict[str, Any]] = {
        "engagement": "r-1",
        "role": "mentor",
        "certification": "CPP",
        "status": "ready",
        "earned": 6,
        "countable": 4,
    }

    engagement: Id = Field(description="The engagement that earns the credit.")
    role: Role = Field(description="Whose claim it is.")
    certification: CertificationCode = Field(description="The certification's code, like CPP.")
    status: Annotated[str, _state("claim")] = Field(description=_STATUS)
    earned: Amount | None = Field(None, description="The credits that the engagement gives.")
    countable: Amount | None = Field(None, description="How many of them count.")


class LetterMade(OutgoingData):
    """A letter or certificate was made."""

    event_type = "letter.made"
    example: ClassVar[dict[str, Any]] = {
        "lifecycle": "claim/r-1/mentee/PSP",
        "letter": "7KQ2-M9TX-4HBC-WD3R",
        "letter_kind": "letter",
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    }

    lifecycle: Subject = Field(description=_LIFECYCLE)
    letter: Word = Field(description="The letter's code: `/verify/{letter}` shows what it states.")
    letter_kind: Word = Field(description="The kind of document.")
    sha256: Word = Field(description="The SHA-256 of the document.")


class LetterRevoked(OutgoingData):
    """A letter no longer holds."""

    event_type = "letter.revoked"
    example: ClassVar[dict[str, Any]] = {"lifecycle": "claim/r-1/mentee/PSP", "letter": "7KQ2-M9TX-4HBC-WD3R"}

    lifecycle: Subject = Field(description=_LIFECYCLE)
    letter: Word = Field(description="The letter's code.")


class MailDecided(OutgoingData):
    """A message has its decision."""

    event_type = "mail.decided"
    example: ClassVar[dict[str, Any]] = {
        "lifecycle": "request/r-1",
        "message": "mentor.request_received",
        "to": "p-marcus",
        "delivery": "0d5c1a2b3c4d5e6f708192a3b4c5d6e7",
        "decision": "sent",
    }

    lifecycle: Subject = Field(description="The workflow that the message belongs to, like request/r-1.")
    message: Word = Field(description="The name of the message.")
    to: Word = Field(description="The recipient's profile, or `staff`.")
    delivery: Word = Field(description="The id of the delivery.")
    decision: Annotated[
        Literal["sent", "ambiguous", "failed", "skipped", "suppressed", "cancelled"], OneOf()
    ] = Field(description="The decision.")
    number: Count | None = Field(None, description="Its number in a series, as in the third check-in.")


class MailCameBack(OutgoingData):
    """A message that was sent came back."""

    event_type = "mail.came_back"
    example: ClassVar[dict[str, Any]] = {
        "lifecycle": "request/r-1",
        "message": "mentor.request_received",
        "to": "p-marcus",
        "delivery": "0d5c1a2b3c4d5e6f708192a3b4c5d6e7",
        "class": "hard",
    }

    lifecycle: Subject = Field(description="The workflow that the message belongs to, like request/r-1.")
    message: Word = Field(description="The name of the message.")
    to: Word = Field(description="The recipient's profile.")
    delivery: Word = Field(description="The id of the delivery.")
    class_: Annotated[Literal["soft", "refused", "hard", "complaint"], OneOf()] = Field(
        alias="class", description="What came back."
    )


class TaskOpened(OutgoingData):
    """A staff task opened."""

    event_type = "task.opened"
    example: ClassVar[dict[str, Any]] = {
        "task": "mentee_unmatched",
        "number": 12,
        "about": "onboarding/p-ana",
    }

    task: Word = Field(description="The kind of the task.")
    number: Count = Field(description=_NUMBER)
    about: Subject = Field(description="What it is about, like onboarding/p-ana.")


class TaskClosed(OutgoingData):
    """A staff task was closed, by staff or because its cause is gone."""

    event_type = "task.closed"
    example: ClassVar[dict[str, Any]] = {
        "task": "mentee_unmatched",
        "number": 12,
        "about": "onboarding/p-ana",
        "state": "done",
    }

    task: Word = Field(description="The kind of the task.")
    number: Count = Field(description=_NUMBER)
    about: Subject = Field(description="What it is about, like onboarding/p-ana.")
    state: Annotated[Literal["done", "dismissed"], OneOf()] = Field(description="How it was closed.")


class EventRefused(OutgoingData):
    """An event that came in was refused after its storage; `throughline event list --state refused` says why."""

    event_type = "event.refused"
    example: ClassVar[dict[str, Any]] = {"event": "request.accepted", "id": "e-1", "about": "request/r-1"}

    event: Word = Field(description="The type of the event.")
    id: Subject = Field(description="The id that its sender gave it.")
    about: Subject = Field(description="What it is about, like request/r-1.")


class WebhookTest(OutgoingData):
    """Somebody tries an endpoint: `throughline webhook test`. It is sent at once, and not again."""

    event_type = "webhook.test"
    example: ClassVar[dict[str, Any]] = {"endpoint": "members"}

    endpoint: Id = Field(description="The endpoint's name.")


_MODELS: tuple[type[OutgoingData], ...] = (
    OnboardingStateChanged,
    RequestStateChanged,
    EngagementStateChanged,
    ClaimStateChanged,
    SurveyStateChanged,
    CohortStateChanged,
    MeetupStateChanged,
    LifecycleExtended,
    ClaimDecided,
    LetterMade,
    LetterRevoked,
    MailDecided,
    MailCameBack,
    TaskOpened,
    TaskClosed,
    EventRefused,
    WebhookTest,
)

OUTGOING_TYPES: Mapping[str, type[OutgoingData]] = MappingProxyType(
    {model.event_type: model for model in _MODELS}
)
"""The model of each type of event that goes out, by the type's name."""

TEST = WebhookTest.event_type

SUBSCRIBABLE: Sequence[str] = tuple(name for name in OUTGOING_TYPES if name != TEST)
"""The types that an endpoint may ask for. The test goes to any endpoint."""
