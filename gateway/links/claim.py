"""Links about a claim: signing a letter, writing one, domains, submission (CPE5–CPE8, CPE10)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import FormData

from database.models import Claim, Engagement, Event
from database.session import Database
from gateway.event_store import EventStore
from gateway.links.page import (
    NOT_THEIRS,
    SOURCE,
    STORED,
    FieldErrors,
    LinkPage,
    LinkVisit,
    form_page,
    form_text,
    message_page,
    refuse_unticked,
    too_long,
)
from gateway.links.reader import isolated
from gateway.pages import Text
from lifecycles.participants import Participant, participants
from rules.agenda import Refused
from rules.credit import fingerprint, same_name
from rules.events import Envelope
from rules.kinds import KINDS
from rules.program.catalogue import Catalogue, Domain

LetterText = Callable[[AsyncSession, str, str, Sequence[str], datetime], Awaitable[str]]
"""Returns the present text of a claim's letter for a purpose and domains, by id. Raises Refused."""

WAITING = KINDS["claim"].open_states
"""States in which a claim waits for evidence."""


@dataclass(frozen=True, slots=True)
class ClaimSubject:
    """The claim that a link is about, as its page needs it."""

    row: Claim
    other: Participant
    """The other party of the engagement."""
    goals: str
    """What the two agreed to work on."""
    domains: tuple[Domain, ...]
    """The domains of the certification, to choose from."""

    @property
    def names(self) -> dict[str, object]:
        """What its sentences may name."""
        return {"other": isolated(self.other.member.name), "certification": self.row.certification}


@dataclass(frozen=True, slots=True)
class LetterDraft:
    """What the mentor writes into the mentee's letter; empty for the mentor's own confirmation."""

    purpose: str = ""
    domains: Sequence[str] = ()


class ClaimLinkHandler(ABC):
    """A purpose about a claim, for its claimant or for the person whose signature it needs."""

    by_claimant: ClassVar[bool] = True
    confirmation: ClassVar[str]
    """The key of the page that confirms what was stored."""

    def __init__(
        self, database: Database, store: EventStore, catalogue: Catalogue, letter_text: LetterText
    ) -> None:
        self._database = database
        self._store = store
        self._catalogue = catalogue
        self._letter_text = letter_text

    async def get(self, visit: LinkVisit) -> LinkPage:
        """Return the form, or what has happened meanwhile."""
        subject = await self._subject(visit)
        if isinstance(subject, LinkPage):
            return subject
        if visit.after_post and await self._has_answered(visit, subject):
            return message_page(self.confirmation, subject.names)
        return self._closed_page(subject) or await self.form(visit, subject, {}, {})

    async def post(self, visit: LinkVisit, form: FormData) -> LinkPage:
        """Store the answer as an event; on a mistake, return the form."""
        subject = await self._subject(visit)
        if isinstance(subject, LinkPage):
            return subject
        return self._closed_page(subject) or await self.answer(visit, subject, form)

    @abstractmethod
    async def form(
        self, visit: LinkVisit, subject: ClaimSubject, given: Mapping[str, Any], errors: FieldErrors
    ) -> LinkPage:
        """Return the form with its input and what is wrong in it."""

    @abstractmethod
    async def answer(self, visit: LinkVisit, subject: ClaimSubject, form: FormData) -> LinkPage:
        """Store the answer as an event; on a mistake, return the form."""

    def is_closed(self, state: str) -> bool:
        """Return whether nothing can be done in a state."""
        return state not in WAITING

    async def put(self, visit: LinkVisit, subject: ClaimSubject, kind: str, **data: Any) -> LinkPage:
        """Store an event."""
        row = subject.row
        data |= {
            "engagement": row.engagement_id,
            "by": visit.link.profile,
            "certification": row.certification,
        }
        await self._store.put_answer(visit.question, Envelope("", SOURCE, kind, visit.at, data))
        return STORED

    def _closed_page(self, subject: ClaimSubject) -> LinkPage | None:
        if self.is_closed(subject.row.state):
            return message_page(_closed_key(subject.row.state), subject.names)
        return None

    async def _has_answered(self, visit: LinkVisit, subject: ClaimSubject) -> bool:
        """Return whether an answer of this link is stored that was not refused."""
        answers = select(Event.id).where(
            Event.subject == f"engagement/{subject.row.engagement_id}",
            Event.event_id.startswith(f"{visit.question}-"),
            Event.state != "refused",
        )
        async with self._database.reading() as session:
            return await session.scalar(answers.limit(1)) is not None

    async def _subject(self, visit: LinkVisit) -> ClaimSubject | LinkPage:
        async with self._database.reading() as session:
            row = await session.get(Claim, visit.link.subject)
            if row is None:
                return NOT_THEIRS
            engagement = await engagement_of(session, row.engagement_id)
            if engagement is None:
                return NOT_THEIRS
            both = {engagement.mentor_id, engagement.mentee_id}
            signer = next(iter(both - {row.profile_id}), None)
            if visit.link.profile != (row.profile_id if self.by_claimant else signer):
                return NOT_THEIRS
            other = await other_party(session, engagement, visit.link.profile)
        if other is None:
            return NOT_THEIRS
        on = date.fromisoformat(row.credit_date or row.facts["started_on"])
        certification = self._catalogue.certification(row.certification, on)
        domains = certification.domains if certification else ()
        return ClaimSubject(row, other, engagement.goals or "", domains)


class SignLetter(ClaimLinkHandler):
    """The mentee signs the mentor's confirmation (CPE5, CPE8)."""

    by_claimant = False
    confirmation = "letter.done"

    async def form(
        self, visit: LinkVisit, subject: ClaimSubject, given: Mapping[str, Any], errors: FieldErrors
    ) -> LinkPage:
        """Return the letter as it will be signed, with a field for the name and a box for the consent."""
        return await self._letter(visit, subject, LetterDraft(), given, errors)

    async def answer(self, visit: LinkVisit, subject: ClaimSubject, form: FormData) -> LinkPage:
        """Sign it."""
        return await self._sign(visit, subject, form, LetterDraft(), {"for": "mentor"})

    async def _letter(
        self,
        visit: LinkVisit,
        subject: ClaimSubject,
        draft: LetterDraft,
        given: Mapping[str, Any],
        errors: FieldErrors,
    ) -> LinkPage:
        try:
            text = await self._text(visit, subject, draft)
        except Refused:
            return message_page("letter.not_now", subject.names)
        values = {
            "letter_paragraphs": text.split("\n\n"),
            "shown": fingerprint(text),
            "purpose": draft.purpose,
            "domains": draft.domains,
            "typed": {"name": "", "consent": "", **given},
            **subject.names,
        }
        return form_page("letter.html", values, errors)

    async def _sign(
        self,
        visit: LinkVisit,
        subject: ClaimSubject,
        form: FormData,
        draft: LetterDraft,
        data: Mapping[str, Any],
    ) -> LinkPage:
        name, consent = form_text(form, "name"), form_text(form, "consent")
        errors: FieldErrors = {}
        if not same_name(name, visit.reader.member.name):
            errors["name"] = Text("letter.name_wrong")
        if consent != "yes":
            errors["consent"] = Text("letter.consent_missing")
        try:
            text = await self._text(visit, subject, draft)
        except Refused:
            return message_page("letter.not_now", subject.names)
        if form.get("shown") != fingerprint(text):
            # The signer agreed to another text.
            errors, consent = {"shown": Text("letter.changed"), **errors}, ""
        if errors:
            return await self._letter(visit, subject, draft, {"name": name, "consent": consent}, errors)
        signed = {**data, "name": name, "shown": fingerprint(text)}
        return await self.put(visit, subject, "letter.signed", **signed)

    async def _text(self, visit: LinkVisit, subject: ClaimSubject, draft: LetterDraft) -> str:
        async with self._database.reading() as session:
            return await self._letter_text(
                session, subject.row.workflow, draft.purpose, draft.domains, visit.at
            )


class WriteLetter(SignLetter):
    """The mentor writes the mentee's letter, reads it, and signs it (CPE6, CPE8)."""

    async def form(
        self, visit: LinkVisit, subject: ClaimSubject, given: Mapping[str, Any], errors: FieldErrors
    ) -> LinkPage:
        """Return the first step: purpose and domains."""
        values = {
            "typed": {"purpose": subject.goals, **given},
            "chosen": given.get("domains", subject.row.domains),
            "offered": _offered(subject, visit.reader.language),
            "suggested": not given,
            **subject.names,
        }
        return form_page("write.html", values, errors)

    async def answer(self, visit: LinkVisit, subject: ClaimSubject, form: FormData) -> LinkPage:
        """Return the letter with what was written; in the next step, sign it."""
        draft = LetterDraft(form_text(form, "purpose"), _chosen(form, subject))
        errors = _mistakes_in(draft)
        if errors or form.get("step") == "write":
            given = {"purpose": draft.purpose, "domains": draft.domains}
            return await self.form(visit, subject, given, errors)
        if form.get("step") != "sign":
            return await self._letter(visit, subject, draft, {}, {})
        data = {"for": "mentee", "purpose": draft.purpose, "domains": list(draft.domains)}
        return await self._sign(visit, subject, form, draft, data)


def _mistakes_in(draft: LetterDraft) -> FieldErrors:
    errors: FieldErrors = {}
    if not draft.purpose:
        errors["purpose"] = Text("site.empty")
    elif wrong := too_long(draft.purpose):
        errors["purpose"] = wrong
    if not draft.domains:
        errors["domains"] = Text("domains.none")
    return errors


class ChooseDomains(ClaimLinkHandler):
    """The claimant chooses domains of the certification (CPE7)."""

    confirmation = "domains.done"

    async def form(
        self, visit: LinkVisit, subject: ClaimSubject, given: Mapping[str, Any], errors: FieldErrors
    ) -> LinkPage:
        """Return all domains, with the chosen ones."""
        values = {
            "offered": _offered(subject, visit.reader.language),
            "chosen": given.get("domains", subject.row.domains),
            **subject.names,
        }
        return form_page("domains.html", values, errors)

    async def answer(self, visit: LinkVisit, subject: ClaimSubject, form: FormData) -> LinkPage:
        """Store the choice."""
        domains = _chosen(form, subject)
        if not domains:
            return await self.form(visit, subject, {"domains": []}, {"domains": Text("domains.none")})
        return await self.put(visit, subject, "claim.domains_chosen", domains=domains)

    def is_closed(self, state: str) -> bool:
        """Return whether domains cannot be chosen: from the submission on."""
        return state not in (*WAITING, "ready")


class MarkSubmitted(ClaimLinkHandler):
    """The claimant has reported the credit to the certifying body (CPE10)."""

    confirmation = "claim.done"

    async def form(
        self, visit: LinkVisit, subject: ClaimSubject, given: Mapping[str, Any], errors: FieldErrors
    ) -> LinkPage:
        """Return the values that the certifying body's form asks for, with a tick and a button."""
        row, policy = subject.row, visit.reader.program.credit
        named = [name for id, name in _offered(subject, visit.reader.language) if id in row.domains]
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
        return form_page("claim.html", {"values": values, "typed": {"confirm": ""}, **subject.names}, errors)

    async def answer(self, visit: LinkVisit, subject: ClaimSubject, form: FormData) -> LinkPage:
        """Mark the claim as submitted; it needs a tick (MAIL9)."""
        if errors := refuse_unticked({"confirm": form_text(form, "confirm")}, {}):
            return await self.form(visit, subject, {}, errors)
        return await self.put(visit, subject, "claim.submitted")

    def is_closed(self, state: str) -> bool:
        """Return whether the claim cannot be submitted: only a complete one can."""
        return state != "ready"


async def engagement_of(session: AsyncSession, id: str) -> Engagement | None:
    """Return the engagement of an id."""
    return (await session.scalars(select(Engagement).where(Engagement.id == id))).one_or_none()


async def other_party(session: AsyncSession, engagement: Engagement, profile: str) -> Participant | None:
    """Return the other party of an engagement."""
    others = {engagement.mentor_id, engagement.mentee_id} - {profile}
    return next(iter((await participants(session, others)).values()), None)


def _closed_key(state: str) -> str:
    if state in ("ready", "submitted", "accepted"):
        return f"credit.{state}"
    return "credit.precheck" if state in WAITING else "credit.closed"


def _offered(subject: ClaimSubject, language: str) -> list[tuple[str, str]]:
    return [(domain.id, domain.name_in(language)) for domain in subject.domains]


def _chosen(form: FormData, subject: ClaimSubject) -> list[str]:
    wanted = form.getlist("domains")
    return [domain.id for domain in subject.domains if domain.id in wanted]
