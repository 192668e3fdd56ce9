"""What a credential says: an Open Badge 3.0 in the form of a VC-JWT (CPE14).

It has no name: the holder's address is in it as a salted hash, by which somebody who knows the address can tell whose
badge it is. The letter behind it, at its own address, shows the names. Members of the JSON object follow the
specification of 1EdTech, Open Badges 3.0, sections B and 8.2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

from database.models import Letter
from evidence.badges import status_list
from evidence.badges.issuer_profile import CONTEXT, BadgeAddresses, issuer
from evidence.badges.status_list import instant_text
from evidence.verifier import canonical
from rules.program import Program

_TYPES: Final = {"credit": "Certificate", "participation": "CertificateOfCompletion"}
"""The kinds of achievement as Open Badges names them."""


@dataclass(frozen=True, slots=True)
class BadgeContent:
    """What a badge is made of."""

    id: str
    letter: Letter
    program: Program
    email: str
    """The holder's address on record."""
    salt: str
    words: Mapping[str, str]
    """The texts in the language of the letter: `name`, `description`, `criteria`, `narrative` and `evidence`."""
    status: tuple[int, int]
    """The number of the status list, and the place in it."""


def badge_kind(letter: Letter) -> str:
    """Return what a document's badge attests: `participation` by a certificate, `credit` by a letter."""
    return "participation" if letter.kind == "certificate" else "credit"


def word_values(letter: Letter, program: Program) -> dict[str, Any]:
    """Return the values that the texts of a badge are written from."""
    data = letter.data
    return {
        "role": letter.role,
        "program": {"name": program.name, "organisation": program.organisation},
        "certification": data.get("certification") or {"code": letter.certification, "name": ""},
        "credits": data.get("credits") or {"amount": program.credit.amount(letter.role)},
        "months": data.get("months") or program.credit.certificate_months,
        "domains": data.get("domains") or [],
        "started": data.get("started"),
        "until": data.get("credit_date") or data.get("ended"),
    }


def achievement(content: BadgeContent, addresses: BadgeAddresses) -> tuple[str, dict[str, Any]]:
    """Return what a badge attests, with its id: a digest of it, the same for all who achieved the same."""
    letter, program, words = content.letter, content.program, content.words
    certification = [letter.certification] if letter.certification else []
    described: dict[str, Any] = {
        "type": ["Achievement"],
        "achievementType": _TYPES[badge_kind(letter)],
        "name": words["name"],
        "description": words["description"],
        "criteria": {"narrative": words["criteria"]},
        "creator": issuer(program, addresses),
        "inLanguage": letter.locale,
        "tag": ["mentoring", letter.role, *certification],
        "version": program.policy_version,
    }
    if certification:
        described["humanCode"] = letter.certification
        described["creditsAvailable"] = word_values(letter, program)["credits"]["amount"]
    id = hashlib.sha256(canonical(described)).hexdigest()[:32]
    return id, {"id": addresses.achievement(id), **described}


def credential(content: BadgeContent, addresses: BadgeAddresses) -> dict[str, Any]:
    """Return the claims of a credential. The same content gives the same claims."""
    letter, program, address = content.letter, content.program, addresses.badge(content.id)
    since = valid_from(letter, program.hours.zone)
    subject, attested = _subject(content, addresses), issuer(program, addresses)
    return {
        "@context": list(CONTEXT),
        "id": address,
        "type": ["VerifiableCredential", "OpenBadgeCredential"],
        "name": content.words["name"],
        "issuer": attested,
        "validFrom": instant_text(since),
        "credentialSubject": subject,
        "evidence": [
            {
                "id": addresses.letter(letter.id),
                "type": ["Evidence"],
                "name": content.words["evidence"],
                "narrative": f"SHA-256: {letter.sha256}",
                "genre": "PDF",
            }
        ],
        "credentialStatus": status_list.entry(addresses, *content.status),
        "iss": attested["id"],
        "jti": address,
        "sub": subject["id"],
        "nbf": int(since.timestamp()),
    }


def valid_from(letter: Letter, zone: str) -> datetime:
    """Return from when a badge holds: the signature, or the day of the credit where the letter was signed before."""
    day = letter.data.get("credit_date")
    begins = datetime.combine(date.fromisoformat(day), time(), ZoneInfo(zone)) if day else letter.signed_at
    return max(begins, letter.signed_at).replace(microsecond=0)


def identity_hash(email: str, salt: str) -> str:
    """Return the hash of an address as Open Badges writes it (IdentityObject)."""
    return f"sha256${hashlib.sha256((email + salt).encode()).hexdigest()}"


def _subject(content: BadgeContent, addresses: BadgeAddresses) -> dict[str, Any]:
    letter = content.letter
    values = word_values(letter, content.program)
    found: dict[str, Any] = {
        # An id that says nothing, and that no other badge has: the claim `sub` needs one.
        "id": uuid5(NAMESPACE_URL, f"{addresses.badge(content.id)}#subject").urn,
        "type": ["AchievementSubject"],
        "identifier": [
            {
                "type": "IdentityObject",
                "hashed": True,
                "identityHash": identity_hash(content.email, content.salt),
                "identityType": "emailAddress",
                "salt": content.salt,
            }
        ],
        "achievement": achievement(content, addresses)[1],
        "role": letter.role,
        "narrative": content.words["narrative"],
    }
    if letter.certification:
        found["creditsEarned"] = values["credits"]["amount"]
    for name, day in (("activityStartDate", values["started"]), ("activityEndDate", values["until"])):
        if day:
            found[name] = f"{day}T00:00:00Z"
    return found
