"""Pages about credit and surveys: letters to sign, domains to choose, claims, answers, and the public check of a letter
(CPE5–CPE8, CPE10, CPE11, SUR1–SUR3).

As with all links, an answer becomes an event and the rules decide; what they would refuse is told on the page.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ClassVar

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import FormData

from database.models import Claim, Engagement, Letter, Member, Profile, Survey
from database.session import Database
from gateway.inbox import Inbox
from gateway.mentoring import SOURCE
from gateway.pages import Pages, Say
from gateway.people import shown
from gateway.personal import NOT_THEIRS, Page, Purpose, Visit, message, typed
from rules.agenda import Refused
from rules.catalogue import Catalogue, Domain
from rules.credit import fingerprint, same_name
from rules.events import Envelope
from rules.shapes import LONGEST_TEXT
from rules.survey import check_answers

log = structlog.get_logger()

Statement = Callable[[AsyncSession, str, str, Sequence[str], datetime], Awaitable[str]]
"""The text of a claim's letter as it reads now, for a purpose and domains, by id. Raises Refused."""

Errors = dict[str, Say]
WAITING = ("precheck", "awaiting_evidence")


@dataclass(frozen=True, slots=True)
class Matter:
    """A claim as its page needs it: the other person, and the domains to choose from."""

    row: Claim
    other: Member
    goals: str
    domains: tuple[Domain, ...]


class AboutClaim(ABC):
    """A purpose about a claim: the claimant's, or whoever's signature it needs."""

    by_claimant: ClassVar[bool] = True

    def __init__(self, database: Database, inbox: Inbox, catalogue: Catalogue, statement: Statement) -> None:
        self._database = database
        self._inbox = inbox
        self._catalogue = catalogue
        self._statement = statement

    async def show(self, visit: Visit) -> Page:
        """What can be done, or where things stand."""
        matter = await self._matter(visit)
        return matter if isinstance(matter, Page) else await self.page(visit, matter, {}, {})

    @abstractmethod
    async def page(
        self, visit: Visit, matter: Matter, given: Mapping[str, Any], errors: Errors, status: int = 200
    ) -> Page:
        """The form, with what was typed and what is wrong with it."""

    @abstractmethod
    async def act(self, visit: Visit, form: FormData) -> Page:
        """Store the answer as an event."""

    def over(self, state: str) -> bool:
        """Whether nothing can be done any more in a state."""
        return state not in WAITING

    async def tell(self, visit: Visit, matter: Matter, kind: str, key: str, **data: Any) -> Page:
        """Store an event, and say what happens next."""
        told = {"engagement": matter.row.engagement_id, "by": visit.link.profile, **data}
        told["certification"] = matter.row.certification
        await self._inbox.put_answer(visit.question, Envelope("", SOURCE, kind, visit.at, told))
        return message(key, _names(matter))

    async def _matter(self, visit: Visit) -> Matter | Page:
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
            others = both - {visit.link.profile}
            other = await session.scalar(
                select(Member).join(Profile, Profile.member_id == Member.id).where(Profile.id.in_(others))
            )
        if other is None:
            return NOT_THEIRS
        on = date.fromisoformat(row.credit_date or row.facts["started_on"])
        certification = self._catalogue.certification(row.certification, on)
        matter = Matter(row, other, engagement.goals or "", certification.domains if certification else ())
        if self.over(row.state):
            return message(_where_it_stands(row.state), _names(matter))
        return matter


class SignLetter(AboutClaim):
    """The mentee signs the mentor's confirmation (CPE5, CPE8)."""

    by_claimant = False

    async def page(
        self, visit: Visit, matter: Matter, given: Mapping[str, Any], errors: Errors, status: int = 200
    ) -> Page:
        """The letter as it will be signed, with a name to type and a box to tick."""
        return await self._letter(visit, matter, "", [], given, errors, status)

    async def act(self, visit: Visit, form: FormData) -> Page:
        """Sign it."""
        matter = await self._matter(visit)
        if isinstance(matter, Page):
            return matter
        return await self._sign(visit, matter, form, "mentor", "", [])

    async def _letter(
        self,
        visit: Visit,
        matter: Matter,
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
                "typed": {"name": "", **given},
                "errors": errors,
                **_names(matter),
            },
            status,
        )

    async def _sign(
        self,
        visit: Visit,
        matter: Matter,
        form: FormData,
        role: str,
        purpose: str,
        domains: Sequence[str],
    ) -> Page:
        name, errors = typed(form, "name"), {}
        if not same_name(name, visit.reader.member.name):
            errors["name"] = Say("letter.name_wrong")
        if form.get("consent") != "yes":
            errors["consent"] = Say("letter.consent_missing")
        try:
            text = await self._text(visit, matter, purpose, domains)
        except Refused:
            return message("letter.not_now", _names(matter))
        if form.get("shown") != fingerprint(text):
            errors["shown"] = Say("letter.changed")
        if errors:
            return await self._letter(visit, matter, purpose, domains, {"name": name}, errors, 400)
        told: dict[str, Any] = {"for": role, "name": name, "shown": fingerprint(text)}
        if role == "mentee":
            told |= {"purpose": purpose, "domains": list(domains)}
        return await self.tell(visit, matter, "letter.signed", "letter.done", **told)

    async def _text(self, visit: Visit, matter: Matter, purpose: str, domains: Sequence[str]) -> str:
        async with self._database.reading() as session:
            return await self._statement(session, matter.row.workflow, purpose, domains, visit.at)


class WriteLetter(SignLetter):
    """The mentor writes the mentee's letter, reads it, and signs it (CPE6, CPE8)."""

    async def page(
        self, visit: Visit, matter: Matter, given: Mapping[str, Any], errors: Errors, status: int = 200
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

    async def act(self, visit: Visit, form: FormData) -> Page:
        """Show the letter that comes of what was written; then sign it."""
        matter = await self._matter(visit)
        if isinstance(matter, Page):
            return matter
        purpose, domains = typed(form, "purpose"), _chosen(form, matter)
        errors: Errors = {}
        if not purpose:
            errors["purpose"] = Say("site.empty")
        elif len(purpose) > LONGEST_TEXT:
            errors["purpose"] = Say("site.too_long", {"most": f"{LONGEST_TEXT:,}"})
        if not domains:
            errors["domains"] = Say("domains.none")
        if errors or form.get("step") == "write":
            return await self.page(visit, matter, {"purpose": purpose, "domains": domains}, errors, 400)
        if form.get("step") != "sign":
            return await self._letter(visit, matter, purpose, domains, {}, {})
        return await self._sign(visit, matter, form, "mentee", purpose, domains)


class ChooseDomains(AboutClaim):
    """The claimant chooses domains of the certification (CPE7)."""

    async def page(
        self, visit: Visit, matter: Matter, given: Mapping[str, Any], errors: Errors, status: int = 200
    ) -> Page:
        """All of them, with those that are chosen."""
        values = {
            "offered": _offered(matter, visit.reader.language),
            "chosen": given.get("domains", matter.row.domains),
            "errors": errors,
            **_names(matter),
        }
        return Page("domains.html", values, status)

    async def act(self, visit: Visit, form: FormData) -> Page:
        """Keep the choice."""
        matter = await self._matter(visit)
        if isinstance(matter, Page):
            return matter
        domains = _chosen(form, matter)
        if not domains:
            return await self.page(visit, matter, {"domains": []}, {"domains": Say("domains.none")}, 400)
        return await self.tell(visit, matter, "claim.domains_chosen", "domains.done", domains=domains)

    def over(self, state: str) -> bool:
        """They can be chosen until the claim is submitted."""
        return state not in (*WAITING, "ready")


class MarkSubmitted(AboutClaim):
    """The claimant has reported the credit to the certifying body (CPE10)."""

    async def page(
        self, visit: Visit, matter: Matter, given: Mapping[str, Any], errors: Errors, status: int = 200
    ) -> Page:
        """One button."""
        return Page("claim.html", {"row": matter.row, **_names(matter)}, status)

    async def act(self, visit: Visit, form: FormData) -> Page:
        """Mark it."""
        matter = await self._matter(visit)
        if isinstance(matter, Page):
            return matter
        return await self.tell(visit, matter, "claim.submitted", "claim.done")

    def over(self, state: str) -> bool:
        """Only a complete claim can be submitted."""
        return state != "ready"


class AnswerSurvey:
    """One side's look back (SUR1–SUR3)."""

    def __init__(self, database: Database, inbox: Inbox) -> None:
        self._database = database
        self._inbox = inbox

    async def show(self, visit: Visit) -> Page:
        """The questions, with what was answered before."""
        row = await self._row(visit)
        return row if isinstance(row, Page) else self._page(visit, row, row.answers, {})

    async def act(self, visit: Visit, form: FormData) -> Page:
        """Keep the answers; a second time replaces the first."""
        row = await self._row(visit)
        if isinstance(row, Page):
            return row
        policy = visit.reader.program.survey
        given = {question.id: typed(form, question.id) for question in policy.questions(row.role)}
        answers, faults = check_answers(policy, row.role, given)
        if faults:
            errors = {str(fault.path[0]) if fault.path else "form": Say("site.choose") for fault in faults}
            return self._page(visit, row, given, errors, 400)
        data = {"engagement": row.engagement_id, "by": visit.link.profile, "answers": answers}
        answer = Envelope("", SOURCE, "survey.answered", visit.at, data)
        await self._inbox.put_answer(visit.question, answer)
        return message("survey.done")

    async def _row(self, visit: Visit) -> Survey | Page:
        async with self._database.reading() as session:
            row = await session.get(Survey, visit.link.subject)
        if row is None or row.profile_id != visit.link.profile:
            return NOT_THEIRS
        return message("survey.over") if row.closed_at else row

    def _page(
        self, visit: Visit, row: Survey, given: Mapping[str, Any], errors: Errors, status: int = 200
    ) -> Page:
        policy, language = visit.reader.program.survey, visit.reader.language
        questions = [
            {
                "id": question.id,
                "kind": question.kind,
                "required": question.required,
                "text": question.text_in(language),
                "choices": [(choice.id, choice.text_in(language)) for choice in question.choices],
            }
            for question in policy.questions(row.role)
        ]
        words = {True: "yes", False: "no"}
        answered = {
            name: words[value] if isinstance(value, bool) else str(value) for name, value in given.items()
        }
        values = {
            "questions": questions,
            "typed": {**{str(question["id"]): "" for question in questions}, **answered},
            "errors": errors,
            "ratings": list(range(1, policy.rating_most + 1)),
        }
        return Page("survey.html", values, status)


def purposes(
    database: Database, inbox: Inbox, catalogue: Catalogue, statement: Statement
) -> dict[str, Purpose]:
    """All purposes of this module by name."""
    kinds: dict[str, type[AboutClaim]] = {
        "sign": SignLetter,
        "letter": WriteLetter,
        "domains": ChooseDomains,
        "claim": MarkSubmitted,
    }
    about = {name: kind(database, inbox, catalogue, statement) for name, kind in kinds.items()}
    return {**about, "survey": AnswerSurvey(database, inbox)}


def router(*, database: Database, pages: Pages) -> APIRouter:
    """The public check of a letter, `/verify/{letter}`: genuine, revoked, or not ours (CPE11)."""
    routes = APIRouter(tags=["letters"])
    answers: dict[int | str, dict[str, Any]] = {
        404: {"description": "No such letter.", "content": {"text/html": {}}},
        503: {"description": "It cannot be looked up just now.", "content": {"text/html": {}}},
    }

    @routes.get("/verify/{letter}", response_class=HTMLResponse, responses=answers)
    async def verify_letter(request: Request, letter: str) -> Response:
        """Whether a letter is genuine and still holds, for whoever was given it."""
        language = pages.language(request.headers.get("accept-language", ""))
        try:
            async with database.reading() as session:
                found = (
                    await session.get(Letter, letter) if len(letter) <= 64 and letter.isprintable() else None
                )
        except (SQLAlchemyError, OSError, UnicodeError) as error:
            log.warning("letter_not_looked_up", error=type(error).__name__)
            return pages.respond("unavailable.html", language, {"always": {}, "fields": []}, 503)
        if found is None:
            values: dict[str, object] = {"always": {}, "key": "verify.unknown", "names": {}, "action": None}
            return pages.respond("message.html", language, values, 404)
        return pages.respond("verify.html", language, {"always": {}, **_of_letter(found)})

    return routes


def _of_letter(letter: Letter) -> dict[str, Any]:
    named = {role: shown(letter.data[role]["name"]) for role in ("mentor", "mentee") if role in letter.data}
    return {
        "letter": letter,
        "named": named,
        "signed": letter.signed_at.date(),
        "revoked": letter.revoked_at.date() if letter.revoked_at else None,
    }


def _names(matter: Matter) -> dict[str, object]:
    return {"other": shown(matter.other.name), "certification": matter.row.certification}


def _where_it_stands(state: str) -> str:
    if state in ("ready", "submitted", "accepted"):
        return f"credit.{state}"
    return "credit.precheck" if state in WAITING else "credit.closed"


def _offered(matter: Matter, language: str) -> list[tuple[str, str]]:
    return [(domain.id, domain.name_in(language)) for domain in matter.domains]


def _chosen(form: FormData, matter: Matter) -> list[str]:
    wanted = form.getlist("domains")
    return [domain.id for domain in matter.domains if domain.id in wanted]
