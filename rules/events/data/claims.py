"""Events about continuing education credit: domains, letters, submission."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import Field

from rules.events.data.engagements import EngagementEvent
from rules.events.fields import By, CertificationCode, DomainIds, Name, Role, Text, words

Fingerprint = Annotated[
    str, words(re.compile(r"[0-9a-f]{64}"), "the SHA-256 of the letter's text, 64 hexadecimal digits")
]


class ClaimDomainsChosen(EngagementEvent):
    """A claimant chooses the domains of a certification that the engagement was about."""

    event_type = "claim.domains_chosen"
    example: ClassVar[dict[str, Any]] = {
        "engagement": "r-1",
        "by": "p-ana",
        "certification": "PSP",
        "domains": ["psp-assessment"],
    }

    by: By
    certification: CertificationCode = Field(description="The certification's code, like CPP.")
    domains: DomainIds = Field(description="Ids of domains of the certification.")


class LetterSigned(EngagementEvent):
    """A party signs the letter that proves a credit."""

    event_type = "letter.signed"
    example: ClassVar[dict[str, Any]] = {
        "engagement": "r-1",
        "by": "p-marcus",
        "for": "mentee",
        "name": "Marcus Weber",
        "certification": "PSP",
    }

    by: By
    for_: Role = Field(alias="for", description="Whose credit the letter proves.")
    name: Name = Field(description="The signature: the name of the party who signs.")
    certification: CertificationCode | None = Field(None, description="The certification's code, like CPP.")
    purpose: Text | None = Field(None, description="The purpose of the engagement.")
    domains: DomainIds | None = Field(None, description="Ids of domains of the certification.")
    shown: Fingerprint | None = Field(None, description="The SHA-256 of the text that was shown.")


class ClaimSubmitted(EngagementEvent):
    """A claimant has reported the credit."""

    event_type = "claim.submitted"
    example: ClassVar[dict[str, Any]] = {"engagement": "r-1", "by": "p-ana", "certification": "PSP"}

    by: By
    certification: CertificationCode = Field(description="The certification's code, like CPP.")
