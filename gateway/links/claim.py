"""Links about a claim: signing a letter, writing one, domains, submission (CPE5–CPE8, CPE10)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ClassVar

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import FormData

from database.models import Claim, Engagement, Member, Profile
from database.session import Database
from gateway.event_store import Inbox
from gateway.links.base import SOURCE
from gateway.links.page import NOT_THEIRS, LinkVisit, Page, form_text, message
from gateway.links.reader import shown
from gateway.pages import Text
from rules.agenda import Refused
from rules.credit import fingerprint, same_name
from rules.events import Envelope
from rules.program.catalogue import Catalogue, Domain
from rules.text import LONGEST_TEXT

log = structlog.get_logger()

Statement = Callable[[AsyncSession, str, str, Sequence[str], datetime], Awaitable[str]]
"""The text of a claim's letter as it reads now, for a purpose and domains, by id. Raises Refused."""

Errors = dict[str, Text]
WAITING = ("precheck", "awaiting_evidence")


@dataclass(frozen=True, slots=True)
class ClaimSubject:
    """A claim as its page needs it: the other person, and the domains to choose from."""

    row: Claim
    other: Member
    goals: str
    domains: tuple[Domain, ...]


class ClaimLinkHandler(ABC):
    """A purpose about a claim: the claimant's, or whoever's signature it needs."""

    by_claimant: ClassVar[bool] = True

    def __init__(self, database: Database, inbox: Inbox, catalogue: Catalogue, statement: Statement) -> None:
        self._database = database
        self._inbox = inbox
        self._catalogue = catalogue
        self._statement = statement

    async def show(self, visit: LinkVisit) -> Page:
        """What can be done, or where things stand."""
        matter = await self._matter(visit)
        return matter if isinstance(matter, Page) else await self.page(visit, matter, {}, {})

    @abstractmethod
    async def page(
        self,
        visit: LinkVisit,
        matter: ClaimSubject,
        given: Mapping[str, Any],
        errors: Errors,
        status: int = 200,
    ) -> Page:
        """The form, with what was typed and what is wrong with it."""

    @abstractmethod
    async def act(self, visit: LinkVisit, form: FormData) -> Page:
        """Store the answer as an event."""

    def over(self, state: str) -> bool:
        """Whether nothing can be done any more in a state."""
        return state not in WAITING

    async def tell(self, visit: LinkVisit, matter: ClaimSubject, kind: str, key: str, **data: Any) -> Page:
        """Store an event, and say what happens next."""
        told = {"engagement": matter.row.engagement_id, "by": visit.link.profile, **data}
        told["certification"] = matter.row.certification
        await self._inbox.put_answer(visit.question, Envelope("", SOURCE, kind, visit.at, told))
        return message(key, _names(matter))

    async def _matter(self, visit: LinkVisit) -> ClaimSubject | Page:
        async with self._database.reading() as session:
            row = await session.get(Claim, visit.link.subject)
            if row is None:
                return NOT_THEIRS
            engagement = await session.scalar(select(Engagement).where(Engagement.id == row.engagement_id))
            if engagement is None:
                return NOT_THEIRS
            both = {engagement.mentor_id, engagement.mentee_id}
            signer = next(iter(both - {row.profile_id}), None)
            if visit.link.profile != (row.profile_id if self.by_claimant else signer):
                return NOT_THEIRS
            other = await other_than(session, engagement, visit.link.profile)
        if other is None:
            return NOT_THEIRS
        on = date.fromisoformat(row.credit_date or row.facts["started_on"])
        certification = self._catalogue.certification(row.certification, on)
        matter = ClaimSubject(
            row, other, engagement.goals or "", certification.domains if certification else ()
        )
        if self.over(row.state):
            return message(_where_it_stands(row.state), _names(matter))
        return matter


class SignLetter(ClaimLinkHandler):
    """The mentee signs the mentor's confirmation (CPE5, CPE8)."""

    by_claimant = False

    async def page(
        self,
        visit: LinkVisit,
        matter: ClaimSubject,
        given: Mapping[str, Any],
        errors: Errors,
        status: int = 200,
    ) -> Page:
        """The letter as it will be signed, with a name to type and a box to tick."""
        return await self._letter(visit, matter, "", [], given, errors, status)

    async def act(self, visit: LinkVisit, form: FormData) -> Page:
        """Sign it."""
        matter = await self._matter(visit)
        if isinstance(matter, Page):
            return matter
        return await self._sign(visit, matter, form, "mentor", "", [])

    async def _letter(
        self,
        visit: LinkVisit,
        matter: ClaimSubject,
        purpose: str,
        domains: Sequence[str],
        given: Mapping[str, Any],
        errors: Errors,
        status: int = 200,
    ) -> Page:
        try:
            text = await self._text(visit, matter, purpose, domains)
        except Refused:
            return message("letter.not_now", _names(matter))
        return Page(
            "letter.html",
            {
                "paragraphs": text.split("\n\n"),
                "shown": fingerprint(text),
                "purpose": purpose,
                "domains": domains,
                "typed": {"name": "", "consent": "", **given},
                "errors": errors,
                **_names(matter),
            },
            status,
        )

    async def _sign(
        self,
        visit: LinkVisit,
        matter: ClaimSubject,
        form: FormData,
        role: str,
        purpose: str,
        domains: Sequence[str],
    ) -> Page:
        name, consent = form_text(form, "name"), form_text(form, "consent")
        errors: Errors = {}
        if not same_name(name, visit.reader.member.name):
            errors["name"] = Text("letter.name_wrong")
        if consent != "yes":
            errors["consent"] = Text("letter.consent_missing")
        try:
            text = await self._text(visit, matter, purpose, domains)
        except Refused:
            return message("letter.not_now", _names(matter))
        if form.get("shown") != fingerprint(text):
            # Consent was to another text.
            errors, consent = {"shown": Text("letter.changed"), **errors}, ""
        if errors:
            given = {"name": name, "consent": consent}
            return await self._letter(visit, matter, purpose, domains, given, errors, 400)
        told: dict[str, Any] = {"for": role, "name": name, "shown": fingerprint(text)}
        if role == "mentee":
            told |= {"purpose": purpose, "domains": list(domains)}
        return await self.tell(visit, matter, "letter.signed", "letter.done", **told)

    async def _text(
        self, visit: LinkVisit, matter: ClaimSubject, purpose: str, domains: Sequence[str]
    ) -> str:
        async with self._database.reading() as session:
            return await self._statement(session, matter.row.workflow, purpose, domains, visit.at)


class WriteLetter(SignLetter):
    """The mentor writes the mentee's letter, reads it, and signs it (CPE6, CPE8)."""

    async def page(
        self,
        visit: LinkVisit,
        matter: ClaimSubject,
        given: Mapping[str, Any],
        errors: Errors,
        status: int = 200,
    ) -> Page:
        """The purpose and the domains, to begin with."""
        values = {
            "typed": {"purpose": matter.goals, **given},
            "chosen": given.get("domains", matter.row.domains),
            "offered": _offered(matter, visit.reader.language),
            "errors": errors,
            "suggested": not given,
            **_names(matter),
        }
        return Page("write.html", values, status)

    async def act(self, visit: LinkVisit, form: FormData) -> Page:
        """Show the letter that comes of what was written; then sign it."""
        matter = await self._matter(visit)
        if isinstance(matter, Page):
            return matter
        purpose, domains = form_text(form, "purpose"), _chosen(form, matter)
        errors: Errors = {}
        if not purpose:
            errors["purpose"] = Text("site.empty")
        elif len(purpose) > LONGEST_TEXT:
            errors["purpose"] = Text("site.too_long", {"most": f"{LONGEST_TEXT:,}"})
        if not domains:
            errors["domains"] = Text("domains.none")
        if errors or form.get("step") == "write":
            given = {"purpose": purpose, "domains": domains}
            return await self.page(visit, matter, given, errors, 400 if errors else 200)
        if form.get("step") != "sign":
            return await self._letter(visit, matter, purpose, domains, {}, {})
        return await self._sign(visit, matter, form, "mentee", purpose, domains)


class ChooseDomains(ClaimLinkHandler):
    """The claimant chooses domains of the certification (CPE7)."""

    async def page(
        self,
        visit: LinkVisit,
        matter: ClaimSubject,
        given: Mapping[str, Any],
        errors: Errors,
        status: int = 200,
    ) -> Page:
        """All of them, with those that are chosen."""
        values = {
            "offered": _offered(matter, visit.reader.language),
            "chosen": given.get("domains", matter.row.domains),
            "errors": errors,
            **_names(matter),
        }
        return Page("domains.html", values, status)

    async def act(self, visit: LinkVisit, form: FormData) -> Page:
        """Keep the choice."""
        matter = await self._matter(visit)
        if isinstance(matter, Page):
            return matter
        domains = _chosen(form, matter)
        if not domains:
            return await self.page(visit, matter, {"domains": []}, {"domains": Text("domains.none")}, 400)
        return await self.tell(visit, matter, "claim.domains_chosen", "domains.done", domains=domains)

    def over(self, state: str) -> bool:
        """They can be chosen until the claim is submitted."""
        return state not in (*WAITING, "ready")


class MarkSubmitted(ClaimLinkHandler):
    """The claimant has reported the credit to the certifying body (CPE10)."""

    async def page(
        self,
        visit: LinkVisit,
        matter: ClaimSubject,
        given: Mapping[str, Any],
        errors: Errors,
        status: int = 200,
    ) -> Page:
        """What the form asks for, and one button."""
        row, policy = matter.row, visit.reader.program.credit
        named = [name for id, name in _offered(matter, visit.reader.language) if id in row.domains]
        values = [
            ("certification", row.certification),
            ("category", policy.category),
            ("sub_type", policy.sub_type),
            ("domain", "; ".join(named)),
            ("credits", row.earned),
            ("program", visit.reader.program.name),
            ("date", date.fromisoformat(row.credit_date) if row.credit_date else None),
            ("sponsor", policy.sponsor),
            ("location", policy.location),
        ]
        return Page("claim.html", {"values": values, **_names(matter)}, status)

    async def act(self, visit: LinkVisit, form: FormData) -> Page:
        """Mark it."""
        matter = await self._matter(visit)
        if isinstance(matter, Page):
            return matter
        return await self.tell(visit, matter, "claim.submitted", "claim.done")

    def over(self, state: str) -> bool:
        """Only a complete claim can be submitted."""
        return state != "ready"


async def other_than(session: AsyncSession, engagement: Engagement, profile: str) -> Member | None:
    """The member on the other side of an engagement."""
    others = {engagement.mentor_id, engagement.mentee_id} - {profile}
    return await session.scalar(
        select(Member).join(Profile, Profile.member_id == Member.id).where(Profile.id.in_(others))
    )


def _names(matter: ClaimSubject) -> dict[str, object]:
    return {"other": shown(matter.other.name), "certification": matter.row.certification}


def _where_it_stands(state: str) -> str:
    if state in ("ready", "submitted", "accepted"):
        return f"credit.{state}"
    return "credit.precheck" if state in WAITING else "credit.closed"


def _offered(matter: ClaimSubject, language: str) -> list[tuple[str, str]]:
    return [(domain.id, domain.name_in(language)) for domain in matter.domains]


def _chosen(form: FormData, matter: ClaimSubject) -> list[str]:
    wanted = form.getlist("domains")
    return [domain.id for domain in matter.domains if domain.id in wanted]
