"""Signing a letter of a claim: its words come with an event, and end up in the event and the letter alone.

CPE5, CPE6, CPE8, MEM6.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from database.events import PERSONAL_PAGES, get_event
from database.models import Engagement, Event, Letter, Request
from evidence.letter_values import LetterContent
from evidence.letters import LetterService, SignedStatement, report_failed
from evidence.renderer import DocumentError
from lifecycles.claims import ClaimSituation
from rules import credit
from rules.acts import Act
from rules.agenda import Refused
from rules.credit import ClaimFacts, Signature, Signing
from rules.text import for_pdf


@dataclass(frozen=True, slots=True)
class LetterWords:
    """What a letter says in the signer's own words."""

    purpose: str
    domains: list[str]
    """The domains as they were given: ids or names."""
    known_domains: list[str]
    """The ids of those that the certification has."""

    def suffice_for(self, role: str) -> bool:
        """Return whether a letter for the credit of `role` can be written of them (CPE6)."""
        return role == "mentor" or bool(self.purpose and self.known_domains)


async def sign_letter(
    session: AsyncSession,
    letters: LetterService,
    situation: ClaimSituation,
    facts: ClaimFacts,
    act: Act,
    now: datetime,
) -> ClaimFacts:
    """Make the letter that an act signs, and return the facts with its signature.

    A letter whose document cannot be made now is kept as signed, and counts once it is made. Raises Refused.
    """
    event = await get_event(session, act.event)
    if event is None or event.type != "letter.signed":
        raise Refused("a letter is signed on its page, or by the event letter.signed")
    at = act.at or now
    words = await _words_of(session, situation, facts, event)
    try:
        statement = _statement(letters, situation, facts, words, at)
    except DocumentError as failed:
        await report_failed(session, facts.claim, f"the letter of event {act.event}", failed, now)
        raise Refused("the letter cannot be written just now; staff have been notified") from None
    domains = _check(situation, facts, event, words, statement)
    state = situation.state(facts, at)
    credit.refuse_second_letter(facts, state)
    unfinished = await letters.unfinished(session, facts.claim)
    if any(letter.data["event"] != act.event for letter in unfinished):
        raise Refused("this letter has already been signed")
    signed = SignedStatement(
        statement,
        name=str(event.data["name"]),
        event=act.event,
        method="page" if event.source == PERSONAL_PAGES else "event",
    )
    content = LetterContent(facts, situation.context, at, words.purpose, domains)
    letter = await letters.sign(session, content, signed)
    if letter.sha256 is None:
        return facts
    return credit.sign(facts, Signature(letter.id, at, facts.counterpart, domains), state)


async def finish_letters(
    session: AsyncSession,
    letters: LetterService,
    situation: ClaimSituation,
    facts: ClaimFacts,
    unfinished: Sequence[Letter],
    at: datetime,
) -> ClaimFacts:
    """Make the documents of letters signed earlier that could not be made, and return the facts with them (CPE8)."""
    for letter in unfinished:
        if await letters.finish(session, letter, situation.context.program, at):
            domains = letter.data["domain_ids"]
            signature = Signature(letter.id, letter.signed_at, facts.counterpart, domains)
            with suppress(Refused):
                facts = credit.sign(facts, signature, situation.state(facts, letter.signed_at))
    return facts


async def _words_of(
    session: AsyncSession, situation: ClaimSituation, facts: ClaimFacts, event: Event
) -> LetterWords:
    """Return a letter's words: those of the event, else what the two agreed on before."""
    domains = [str(word) for word in event.data.get("domains") or facts.domains]
    if facts.role == "mentor":
        return LetterWords("", domains, [])
    row = await session.get_one(Engagement, f"engagement/{facts.engagement}")
    asked = await session.get(Request, f"request/{facts.engagement}")
    of_request = (asked.message, ", ".join(map(str, asked.areas))) if asked else ()
    stated = (event.data.get("purpose"), row.goals, *of_request)
    purpose = next(filter(None, (for_pdf(str(text or "")) for text in stated)), "")
    certification = situation.certification
    found = {word: certification.domain(word) if certification else None for word in domains}
    if not event.data.get("certification") and any(found.values()):
        # A letter for several claims also names domains of the other certifications (CPE7).
        domains = [word for word, domain in found.items() if domain]
    return LetterWords(purpose, domains, [domain.id for domain in found.values() if domain])


def _statement(
    letters: LetterService, situation: ClaimSituation, facts: ClaimFacts, words: LetterWords, at: datetime
) -> str:
    if not words.suffice_for(facts.role):
        return ""
    return letters.statement(LetterContent(facts, situation.context, at, words.purpose, words.known_domains))


def _check(
    situation: ClaimSituation, facts: ClaimFacts, event: Event, words: LetterWords, statement: str
) -> list[str]:
    """Return the ids of the domains that the letter names. Raises Refused where it may not be signed."""
    signing = Signing(
        by=str(event.data["by"]),
        role=str(event.data["for"]),
        name=str(event.data["name"]),
        consent=True,
        shown=event.data.get("shown") if words.suffice_for(facts.role) else None,
        purpose=words.purpose,
        domains=words.domains,
    )
    return credit.check_signature(
        facts,
        signing,
        signer_name=situation.people[facts.counterpart].member.name,
        statement=statement,
        certification=situation.certification,
    )
