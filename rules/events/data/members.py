"""Events about members and their profiles."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from rules.events.fields import (
    CertificationCode,
    CountryCode,
    Day,
    Email,
    Goals,
    Id,
    Languages,
    Name,
    NeededText,
    Role,
    Topics,
    ZoneName,
    line,
    pattern,
    whole_number,
)
from rules.events.schema import Clearable, ClearableList, EventData, EventPart, OneOf, Shape
from rules.validation import Issue, ValidationError, entries, matching

_SUBDIVISION = re.compile(r"([A-Z]{2}-)?[A-Za-z0-9]{1,7}")
_MOST_CERTIFICATIONS = 20


def _subdivision(value: object) -> str:
    code = matching(_SUBDIVISION, "a part of a country by its ISO 3166-2 code, like US-NY or NY")(value)
    return code.rpartition("-")[2]


class HeldCertification(EventPart):
    """A certification that a member holds, with the cycle of recertification that runs."""

    code: CertificationCode = Field(description="The certification's code, like CPP.")
    cycle_start: Day = Field(description="The first day of the cycle.")
    cycle_end: Day = Field(description="The last day of the cycle.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.cycle_end < self.cycle_start:
            reason = f"must not lie before cycle_start: {self.cycle_end} is before {self.cycle_start}"
            raise ValidationError(faults=[Issue(("cycle_end",), reason)])
        return self


Certifications = Annotated[
    list[HeldCertification],
    BeforeValidator(lambda value: entries(value, 0, _MOST_CERTIFICATIONS)),
    Field(max_length=_MOST_CERTIFICATIONS),
]
Subdivision = Annotated[str, Shape(_subdivision, {"type": "string", "pattern": pattern(_SUBDIVISION)})]


class MemberUpdated(EventData):
    """A member is new, or something about them has changed."""

    event_type = "member.updated"
    about = "member/{member}"
    example: ClassVar[dict[str, Any]] = {
        "member": "ana",
        "name": "Ana Pérez",
        "email": "ana@example.org",
        "standing": "good",
        "time_zone": "America/Bogota",
        "country": "CO",
        "languages": ["es", "en"],
        "certifications": [{"code": "PSP", "cycle_start": "2027-01-01", "cycle_end": "2029-12-31"}],
    }

    member: Id = Field(description="The member's id.")
    name: Name = Field(description="The name as mails and letters show it.")
    email: Email = Field(description="One mail address, without a name; its domain may be in any script.")
    standing: Annotated[Literal["good", "lapsed"], OneOf()] = Field(
        description="Whether the membership is in good standing."
    )
    time_zone: Clearable[ZoneName] = Field(None, description="The IANA name, like America/Bogota.")
    country: Clearable[CountryCode] = Field(
        None, description="The country of residence as ISO 3166-1 code, like CO."
    )
    subdivision: Clearable[Subdivision] = Field(
        None, description="The part of the country as ISO 3166-2 code, like US-NY or NY."
    )
    languages: ClearableList[Languages] = Field(
        None, description="Languages like es or es-CO, the preferred one first."
    )
    nationality: Clearable[CountryCode] = Field(None, description="As ISO 3166-1 code, like VE.")
    birth_year: Clearable[Annotated[int, whole_number(1900, 2100)]] = Field(
        None, description="The year of birth."
    )
    years_management: Clearable[Annotated[int, whole_number(0, 80)]] = Field(
        None, description="Years of experience in management."
    )
    employer: Clearable[Annotated[str, line()]] = Field(
        None, description="The employer's name; colleagues are not paired with each other."
    )
    certifications: ClearableList[Certifications] = Field(
        None, description="The certifications that the member holds."
    )


class MemberErased(EventData):
    """A member is to be erased: their personal data go for good, and what runs for them ends quietly."""

    event_type = "member.erased"
    about = "member/{member}"
    waits_for = ("member/{member}",)
    example: ClassVar[dict[str, Any]] = {
        "member": "ana",
        "actor": "lina",
        "reason": "Asked by letter of March 3.",
    }

    member: Id = Field(description="The member's id.")
    actor: Name = Field(description="Who ordered it, as the record shows it.")
    reason: NeededText = Field(description="Why, in free text, without names: it stays on record.")


class _ProfileEvent(EventData):
    about = "onboarding/{profile}"
    waits_for = ("profile/{profile}",)

    profile: Id = Field(description="The profile's id.")


class _Wishes(_ProfileEvent):
    mentees_at_a_time: Clearable[Annotated[int, whole_number(0, 1000)]] = Field(
        None, description="Mentees that a mentor takes at a time."
    )
    areas: ClearableList[Topics] = Field(None, description="Areas of the profession.")
    interests: ClearableList[Topics] = Field(None, description="Interests beside the profession.")
    goals: Clearable[Goals] = Field(None, description="In free text; a list of texts becomes its lines.")
    languages: ClearableList[Languages] = Field(
        None, description="Languages like es or es-CO, the preferred one first."
    )
    partner: Clearable[Id] = Field(
        None, description="The partner through which the member takes part, by its id in the program."
    )


class ProfileCreated(_Wishes):
    """A member takes a role, which begins an onboarding."""

    event_type = "profile.created"
    waits_for = ("member/{member}",)
    example: ClassVar[dict[str, Any]] = {
        "profile": "p-ana",
        "member": "ana",
        "role": "mentee",
        "program": "asis-global",
        "areas": ["Certification", "Career"],
        "goals": "Pass the exam.",
    }

    member: Id = Field(description="The member's id.")
    role: Role = Field(description="The role that the member takes.")
    program: Id | None = Field(None, description="The program's id, where there are several.")


class ProfileUpdated(_Wishes):
    """A profile has changed. Fields that are absent stay as they are."""

    event_type = "profile.updated"
    example: ClassVar[dict[str, Any]] = {"profile": "p-marcus", "mentees_at_a_time": 2, "languages": ["en"]}


class ProfileWithdrawn(_ProfileEvent):
    """A member gives up a role."""

    event_type = "profile.withdrawn"
    example: ClassVar[dict[str, Any]] = {"profile": "p-ana"}
