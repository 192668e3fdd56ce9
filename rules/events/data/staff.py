"""Events by which staff act on a lifecycle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from rules.engagement.facts import END_REASONS
from rules.events.fields import Day, Months, Name, NeededText, whole_number, words
from rules.events.schema import EventData, OneOf
from rules.kinds import KINDS, TARGET, Kind, acting_on, parts_of
from rules.validation import Issue, ValidationError

Target = Annotated[str, words(TARGET, "the id of a workflow, like onboarding/p-1 or claim/r-1/mentor/CPP")]


Revocation = Literal["mistake", "untrue", "withdrawn", "other"]

_UNITS = tuple(unit for kind in KINDS.values() for unit in kind.units)


class StaffEvent(EventData):
    """An act of staff on the lifecycle `target`."""

    about = "{target}"

    target: Target = Field(description="The workflow id of the lifecycle, like onboarding/p-1.")
    actor: Name = Field(description="Who acts, as the record shows it.")
    reason: NeededText = Field(description="Why, in free text.")

    @classmethod
    def references_of(cls, data: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what the target hangs on: its profile, request or engagement."""
        target = str(data["target"])
        return (f"{_kind(target).subject}/{parts_of(target)[0]}",)


class StaffCancel(StaffEvent):
    """Staff cancel a lifecycle."""

    event_type = "staff.cancel"
    example: ClassVar[dict[str, Any]] = {
        "target": "request/r-1",
        "actor": "lina",
        "reason": "The mentee asked.",
    }


class StaffExtend(StaffEvent):
    """Staff extend an onboarding by check-ins, a request by business days, an engagement by months or to an end."""

    event_type = "staff.extend"
    example: ClassVar[dict[str, Any]] = {
        "target": "onboarding/p-ana",
        "actor": "lina",
        "reason": "She was ill.",
        "check_ins": 2,
    }

    check_ins: Annotated[int, whole_number(1, 26)] | None = Field(None, description="For an onboarding.")
    business_days: Annotated[int, whole_number(1, 60)] | None = Field(None, description="For a request.")
    months: Months | None = Field(None, description="For an engagement.")
    end: Day | None = Field(None, description="For an engagement: the new last day.")

    @model_validator(mode="after")
    def _in_the_unit_of_the_target(self) -> Self:
        units = _kind(self.target).units
        given = [unit for unit in _UNITS if getattr(self, unit) is not None]
        if not units:
            raise _wrong("target", f"must be {_one_of('extend')}: nothing else is extended")
        if not given:
            raise _wrong(units[0], f"is missing: this target is extended by {' or '.join(units)}")
        if len(given) > 1:
            raise _wrong(given[1], f"must not stand together with {given[0]}")
        if given[0] not in units:
            raise _wrong(given[0], f"does not extend this target: give {' or '.join(units)}")
        return self


class _Pausing(StaffEvent):
    @model_validator(mode="after")
    def _pauses(self) -> Self:
        if _kind(self.target).name not in acting_on("pause"):
            raise _wrong("target", f"must be {_one_of('pause')}: nothing else pauses")
        return self


class StaffPause(_Pausing):
    """Staff pause an onboarding or an engagement."""

    event_type = "staff.pause"
    example: ClassVar[dict[str, Any]] = {
        "target": "engagement/r-1",
        "actor": "lina",
        "reason": "The mentor is on leave.",
    }


class StaffResume(_Pausing):
    """Staff let a paused onboarding or engagement go on."""

    event_type = "staff.resume"
    example: ClassVar[dict[str, Any]] = {
        "target": "engagement/r-1",
        "actor": "lina",
        "reason": "The mentor is back.",
    }


class StaffEnd(StaffEvent):
    """Staff end an engagement for a reason of ENG7: one of its words, or free text, which counts as `other`."""

    event_type = "staff.end"
    example: ClassVar[dict[str, Any]] = {
        "target": "engagement/r-1",
        "actor": "lina",
        "reason": "no_time",
    }

    reason: NeededText = Field(description=f"One of {', '.join(END_REASONS)}; other words count as other.")

    @model_validator(mode="after")
    def _ends(self) -> Self:
        _refuse_other_kinds("end", self.target)
        return self


class _OnClaim(StaffEvent):
    @model_validator(mode="after")
    def _decides_a_claim(self) -> Self:
        _refuse_other_kinds("accept", self.target)
        return self


_CLAIM = "claim/r-1/mentor/CPP"


class StaffAccept(_OnClaim):
    """Staff record that a claim was accepted."""

    event_type = "staff.accept"
    example: ClassVar[dict[str, Any]] = {
        "target": _CLAIM,
        "actor": "lina",
        "reason": "On the recertification list.",
    }


class StaffReject(_OnClaim):
    """Staff record that a claim was rejected."""

    event_type = "staff.reject"
    example: ClassVar[dict[str, Any]] = {
        "target": _CLAIM,
        "actor": "lina",
        "reason": "The letter names no domain.",
    }


class StaffReopen(_OnClaim):
    """Staff ask for the evidence of a claim once more."""

    event_type = "staff.reopen"
    example: ClassVar[dict[str, Any]] = {
        "target": _CLAIM,
        "actor": "lina",
        "reason": "The mentee was travelling.",
    }


class StaffRevoke(_OnClaim):
    """Staff revoke credit that was earned."""

    event_type = "staff.revoke"
    example: ClassVar[dict[str, Any]] = {
        "target": _CLAIM,
        "actor": "lina",
        "reason": "The mentee withdrew the letter.",
        "because": "withdrawn",
    }

    because: Annotated[Revocation, OneOf()] | None = Field(
        None, description="What the public page of the letter says; other by default."
    )


def _refuse_other_kinds(act: str, target: str) -> None:
    if _kind(target).name not in acting_on(act):
        raise _wrong("target", f"must be {_one_of(act)}, for {act}")


def _wrong(field: str, reason: str) -> ValidationError:
    return ValidationError(faults=[Issue((field,), reason)])


def _kind(target: str) -> Kind:
    return KINDS[target.partition("/")[0]]


def _one_of(act: str) -> str:
    *others, last = (f"an {name}" if name[0] in "aeiou" else f"a {name}" for name in acting_on(act))
    return f"{', '.join(others)} or {last}" if others else last
