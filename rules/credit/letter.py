"""The signature under a letter: who signs, under which name, for which text (CPE5, CPE6, CPE8)."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rules.agenda import Refused
from rules.credit.acts import domain_ids
from rules.credit.facts import EARNED, STATE_TEXTS, ClaimFacts, Signature
from rules.program.catalogue import Certification


class ShowAgain(Refused):
    """The letter changed after it was shown; the signer must see it again before signing (CPE8)."""


@dataclass(frozen=True, slots=True)
class Signing:
    """What a signer submitted."""

    by: str
    """The signer's profile."""
    role: str
    """Whose credit the letter is for: `mentor` or `mentee`."""
    name: str
    """The name as the signer typed it."""
    consent: bool
    shown: str | None
    """The fingerprint of the text that was shown; None where another system showed its own text."""
    purpose: str = ""
    domains: Sequence[str] = ()
    """Domains by id or name."""


def fingerprint(text: str) -> str:
    """Return the SHA-256 of a text as hexadecimal digits (CPE8, CPE11)."""
    return hashlib.sha256(text.encode()).hexdigest()


def same_name(typed: str, recorded: str) -> bool:
    """Return whether a typed name is the recorded one, ignoring case, accents, spaces and punctuation (CPE8).

    `ana perez` matches `Pérez, Ana` on record.
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
    """Check a signature, and return the ids of the domains that the letter names (CPE5, CPE6, CPE8).

    A letter for a mentor's credit names none. `signer_name` is the signer's name on record, `statement` the text that
    the letter would show now, `certification` the catalogue's entry on the gate day. Raises Refused for the wrong
    letter or person, without consent and for another name; for a mentee's credit also without a purpose, and for a
    domain that the certification does not have. Raises ShowAgain if the text changed after it was shown.
    """
    if signing.role != facts.role:
        raise Refused(f"this letter is for the {signing.role}'s credit, and this claim is the {facts.role}'s")
    if signing.by != facts.counterpart:
        raise Refused(f"only the {facts.signer} of this engagement can sign this letter")
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
    return domain_ids(facts, signing.domains, certification)


def refuse_second_letter(facts: ClaimFacts, state: str) -> None:
    """Raise Refused where a claim has its letter already, or takes none in its state (CPE7)."""
    has_letter = any(earlier.void_from is None for earlier in facts.signatures)
    if state in EARNED or (has_letter and state in ("precheck", "awaiting_evidence")):
        raise Refused("this letter has already been signed")
    if state not in ("precheck", "awaiting_evidence"):
        raise Refused(f"this claim {STATE_TEXTS[state]}")


def sign(facts: ClaimFacts, signature: Signature, state: str) -> ClaimFacts:
    """Add a signed letter, which `check_signature` has accepted (CPE5–CPE8).

    A letter that is signed before the gate counts at the gate. The same letter again changes nothing. Raises Refused
    for a second letter, after the deadline, and if the claim takes no letter any more.
    """
    if any(signature.letter == earlier.letter for earlier in facts.signatures):
        return facts
    refuse_second_letter(facts, state)
    at = max([signature.at, *(step.at for step in facts.steps)])
    return replace(facts, signatures=[*facts.signatures, replace(signature, at=at)])


# Letters that Unicode does not decompose (NFKD), and the apostrophes of names.
_UNDECOMPOSED = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", **dict.fromkeys("'’‘ʼʹ`´")}
)


def _comparable(name: str) -> str:
    """Return a name as lower-case letters in the order first name, last name."""
    last, comma, first = name.partition(",")
    folded = (f"{first} {last}" if comma else name).casefold().translate(_UNDECOMPOSED)
    letters = (
        letter
        for letter in unicodedata.normalize("NFKD", folded)
        if not unicodedata.category(letter).startswith("M")
    )
    return " ".join("".join(letter if letter.isalnum() else " " for letter in letters).split())
