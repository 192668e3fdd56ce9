"""Events about engagements of a mentor and a mentee."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from rules.events.fields import By, Day, Goals, Id, Months, NeededText
from rules.events.schema import EventData, OneOf
from rules.validation import Issue, ValidationError


class EngagementEvent(EventData):
    """Something in the course of an engagement."""

    about = "engagement/{engagement}"
    waits_for = ("engagement/{engagement}",)

    engagement: Id = Field(description="The engagement's id, which is its request's.")


class EngagementDiscovery(EngagementEvent):
    """A party answers how the discovery call went."""

    event_type = "engagement.discovery"
    example: ClassVar[dict[str, Any]] = {"engagement": "r-1", "by": "p-ana", "answer": "good_fit"}

    by: By
    answer: Annotated[Literal["good_fit", "not_a_fit", "not_met"], OneOf()] = Field(
        description="Whether the two fit, or have not met yet."
    )


class EngagementPlanAgreed(EngagementEvent):
    """The two agree on a plan: its end, by months or by a date, and goals."""

    event_type = "engagement.plan_agreed"
    example: ClassVar[dict[str, Any]] = {"engagement": "r-1", "months": 9, "goals": "Pass the exam."}

    months: Months | None = Field(None, description="Months from the start; not together with end.")
    end: Day | None = Field(None, description="The last day; not together with months.")
    goals: Goals | None = Field(None, description="In free text; a list of texts becomes its lines.")

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.months is not None and self.end is not None:
            raise ValidationError(faults=[Issue(("end",), "must not stand together with months")])
        return self


class EngagementMet(EngagementEvent):
    """A party answers whether the two have met."""

    event_type = "engagement.met"
    example: ClassVar[dict[str, Any]] = {
        "engagement": "r-1",
        "by": "p-ana",
        "answer": "yes",
        "date": "2028-05-01",
    }

    by: By
    answer: Annotated[Literal["yes", "no"], OneOf()] = Field(description="Whether they have met.")
    date: Day | None = Field(None, description="The day on which they met.")


class EngagementExtensionAgreed(EngagementEvent):
    """A party agrees to a later end. It holds once both agree to the same."""

    event_type = "engagement.extension_agreed"
    example: ClassVar[dict[str, Any]] = {"engagement": "r-1", "by": "p-ana", "end": "2029-03-31"}

    by: By
    end: Day = Field(description="The new last day.")


class EngagementEnded(EngagementEvent):
    """A party ends the engagement."""

    event_type = "engagement.ended"
    example: ClassVar[dict[str, Any]] = {"engagement": "r-1", "by": "p-ana", "reason": "goals_met"}

    by: By
    reason: Annotated[Literal["goals_met", "no_fit", "no_time", "unresponsive", "other"], OneOf()] = Field(
        description="Why it ends."
    )


class EngagementMisconductReported(EngagementEvent):
    """A party reports misconduct. Only those who may read reports see the text."""

    event_type = "engagement.misconduct_reported"
    example: ClassVar[dict[str, Any]] = {"engagement": "r-1", "by": "p-ana", "text": "He asked for money."}

    by: By
    text: NeededText = Field(description="What happened, in free text.")
