"""Signing a letter: who, under which name, for what text (CPE5, CPE6, CPE8)."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rules.agenda import Refused
from rules.credit.acts import known_domains
from rules.credit.facts import _STATES, EARNED, ClaimFacts, Signature
from rules.program.catalogue import Certification


class ShowAgain(Refused):
    """The letter is no longer the one that was shown: it has to be shown again before it can be signed (CPE8)."""


@dataclass(frozen=True, slots=True)
class Signing:
    """What came with a signature: by which profile, for whose credit (`role`), under which typed name.

    `shown` is the fingerprint of the text that was shown; None where another system showed its own. `domains` are
    ids or names.
    """

    by: str
    role: str
    name: str
    consent: bool
    shown: str | None
    purpose: str = ""
    domains: Sequence[str] = ()


def fingerprint(text: str) -> str:
    """The SHA-256 of a text as hexadecimal digits (CPE8, CPE11)."""
    return hashlib.sha256(text.encode()).hexdigest()


def same_name(typed: str, recorded: str) -> bool:
    """Whether a typed name is the recorded one, whatever the case, accents, spaces and punctuation (CPE8).

    `Pérez, Ana` on record is `ana perez`.
    """
    return bool(_comparable(typed)) and _comparable(typed) == _comparable(recorded)


def check_signature(
    facts: ClaimFacts,
    signing: Signing,
    *,
    signer_name: str,
    statement: str,
    certification: Certification | None,
) -> list[str]:
    """The ids of the domains that a letter names, if it may be signed; none for a mentor's credit (CPE5, CPE6, CPE8).

    `signer_name` is the signer's name on record, `statement` the letter's text as it would be shown now,
    `certification` the catalogue's of the gate day. Raises Refused for the wrong letter or person, without consent,
    for another name, and for a mentee's credit without a purpose or with a domain that the certification does not
    have; ShowAgain if the text has changed since it was shown.
    """
    signer = "mentee" if facts.role == "mentor" else "mentor"
    if signing.role != facts.role:
        raise Refused(f"this letter is for the {signing.role}'s credit, and this claim is the {facts.role}'s")
    if signing.by != facts.counterpart:
        raise Refused(f"only the {signer} of this engagement can sign this letter")
    if signing.shown is not None and signing.shown != fingerprint(statement):
        raise ShowAgain("the letter has changed since it was shown to you; please read it again")
    if not signing.consent:
        raise Refused("the letter counts only with your consent")
    if not same_name(signing.name, signer_name):
        raise Refused("the name typed is not the name on record; please type your own full name")
    if facts.role == "mentor":
        return []
    if not signing.purpose.strip():
        raise Refused("the letter has to state the purpose of the mentorship")
    return known_domains(facts, signing.domains, certification)


def sign(facts: ClaimFacts, signature: Signature, state: str) -> ClaimFacts:
    """The letter was signed, and checked before; one before the gate is kept and counts there (CPE5–CPE8).

    The same letter again changes nothing. Raises Refused for a second one, after the deadline, and where the claim
    takes no letter any more.
    """
    if any(signature.letter == earlier.letter for earlier in facts.signatures):
        return facts
    kept = any(earlier.void_from is None for earlier in facts.signatures)
    if state in EARNED or (kept and state in ("precheck", "awaiting_evidence")):
        raise Refused("this letter has already been signed")
    if state not in ("precheck", "awaiting_evidence"):
        raise Refused(f"this claim {_STATES[state]}")
    at = max([signature.at, *(step.at for step in facts.steps)])
    return replace(facts, signatures=[*facts.signatures, replace(signature, at=at)])


_UNDECOMPOSED = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", **dict.fromkeys("'’‘ʼʹ`´")}
)


def _comparable(name: str) -> str:
    last, comma, first = name.partition(",")
    folded = (f"{first} {last}" if comma else name).casefold().translate(_UNDECOMPOSED)
    letters = (
        letter
        for letter in unicodedata.normalize("NFKD", folded)
        if not unicodedata.category(letter).startswith("M")
    )
    return " ".join("".join(letter if letter.isalnum() else " " for letter in letters).split())
