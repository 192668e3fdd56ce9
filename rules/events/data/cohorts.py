"""Events about cohorts: a window that is planned, and what staff decide about its pairs."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from rules.events.fields import Day, Id, Months, Name, NeededText, short_list
from rules.events.schema import EventData
from rules.validation import IDENTIFIER, Issue, ValidationError, identifier

MOST_DAYS = 366
"""The most days from the opening of a window to its end, and from there to the kick-off."""

Partners = Annotated[
    list[str], short_list(identifier, {"type": "string", "pattern": f"^{IDENTIFIER.pattern}$"}, most=50)
]

_MENTEE = "The mentee's profile."
_MENTOR = "The mentor's profile."
_ACTOR = "Who acts, as the record shows it."


class CohortScheduled(EventData):
    """A cohort is planned, or one that has not opened yet has other days. Its window is whole days."""

    event_type = "cohort.scheduled"
    about = "cohort/{cohort}"
    example: ClassVar[dict[str, Any]] = {
        "cohort": "bogota-2028",
        "program": "mentors4u-colombia",
        "opens": "2028-02-01",
        "closes": "2028-02-18",
        "kick_off": "2028-03-06",
        "months": 6,
        "partners": ["javeriana"],
    }

    cohort: Id = Field(description="The cohort's id.")
    program: Id = Field(description="The program's id.")
    opens: Day = Field(description="The first day of the window, in the program's zone.")
    closes: Day = Field(description="The last day of the window.")
    kick_off: Day = Field(description="The day on which the pairs start, after the window.")
    months: Months | None = Field(None, description="Months of each pair; by default those of the program.")
    partners: Partners | None = Field(
        None, description="The partners whose people take part; all by default."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        opens, closes, kick_off = map(date.fromisoformat, (self.opens, self.closes, self.kick_off))
        if closes < opens:
            raise _wrong("closes", f"must not lie before opens, {self.opens}")
        if kick_off <= closes:
            raise _wrong("kick_off", f"must lie after closes, {self.closes}")
        if (closes - opens).days > MOST_DAYS:
            raise _wrong("closes", f"must lie at most {MOST_DAYS} days after opens")
        if (kick_off - closes).days > MOST_DAYS:
            raise _wrong("kick_off", f"must lie at most {MOST_DAYS} days after closes")
        return self


class _OfCohort(EventData):
    about = "cohort/{cohort}"
    waits_for: ClassVar[tuple[str, ...]] = ("cohort/{cohort}",)

    cohort: Id = Field(description="The cohort's id.")


class CohortConfirmed(_OfCohort):
    """Staff confirm the proposed pairs: everybody is mailed, and the pairs start at the kick-off."""

    event_type = "cohort.confirmed"
    example: ClassVar[dict[str, Any]] = {"cohort": "bogota-2028", "actor": "lina"}

    actor: Name = Field(description=_ACTOR)


class _PairEvent(_OfCohort):
    waits_for = ("cohort/{cohort}", "profile/{mentee}", "profile/{mentor}")
    example: ClassVar[dict[str, Any]] = {
        "cohort": "bogota-2028",
        "mentee": "p-ana",
        "mentor": "p-marcus",
        "actor": "lina",
        "reason": "They have met.",
    }

    mentee: Id = Field(description=_MENTEE)
    mentor: Id = Field(description=_MENTOR)
    actor: Name = Field(description=_ACTOR)
    reason: NeededText = Field(description="Why, in free text.")


class CohortPairLocked(_PairEvent):
    """Staff keep two people together: each further proposal has this pair."""

    event_type = "cohort.pair_locked"


class CohortPairForbidden(_PairEvent):
    """Staff keep two people apart: no further proposal has this pair."""

    event_type = "cohort.pair_forbidden"


class CohortPairChanged(_PairEvent):
    """Staff put a mentee with another mentor in the proposal. If that mentor is full, the two mentees exchange."""

    event_type = "cohort.pair_changed"


def _wrong(field: str, reason: str) -> ValidationError:
    return ValidationError(faults=[Issue((field,), reason)])
