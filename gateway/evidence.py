"""Pages about credit and surveys: letters to sign, domains to choose, claims, answers, and the public check of a letter
(CPE5–CPE8, CPE10, CPE11, SUR1–SUR3).

As with all links, an answer becomes an event and the rules decide; what they would refuse is told on the page.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ClassVar

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import FormData

from database.models import Claim, Engagement, Letter, Member, Profile, Survey
from database.session import Database
from gateway.event_store import Inbox
from gateway.links.reader import about_program, shown
from gateway.mentoring import SOURCE
from gateway.pages import Pages, Text
from gateway.personal import NOT_THEIRS, LinkHandler, LinkVisit, Page, message, typed
from rules.agenda import Refused
from rules.calendar import local_in
from rules.catalogue import Catalogue, Domain
from rules.credit import OTHER, REVOCATIONS, fingerprint, same_name
from rules.events import Envelope
from rules.program import Program
from rules.survey import check_answers
from rules.validation import LONGEST_TEXT

log = structlog.get_logger()

Statement = Callable[[AsyncSession, str, str, Sequence[str], datetime], Awaitable[str]]
"""The text of a claim's letter as it reads now, for a purpose and domains, by id. Raises Refused."""

Errors = dict[str, Text]
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

    async def show(self, visit: LinkVisit) -> Page:
        """What can be done, or where things stand."""
        matter = await self._matter(visit)
        return matter if isinstance(matter, Page) else await self.page(visit, matter, {}, {})

    @abstractmethod
    async def page(
        self, visit: LinkVisit, matter: Matter, given: Mapping[str, Any], errors: Errors, status: int = 200
    ) -> Page:
        """The form, with what was typed and what is wrong with it."""

    @abstractmethod
    async def act(self, visit: LinkVisit, form: FormData) -> Page:
        """Store the answer as an event."""

    def over(self, state: str) -> bool:
        """Whether nothing can be done any more in a state."""
        return state not in WAITING

    async def tell(self, visit: LinkVisit, matter: Matter, kind: str, key: str, **data: Any) -> Page:
        """Store an event, and say what happens next."""
        told = {"engagement": matter.row.engagement_id, "by": visit.link.profile, **data}
        told["certification"] = matter.row.certification
        await self._inbox.put_answer(visit.question, Envelope("", SOURCE, kind, visit.at, told))
        return message(key, _names(matter))

    async def _matter(self, visit: LinkVisit) -> Matter | Page:
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
            other = await _other_than(session, engagement, visit.link.profile)
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
        self, visit: LinkVisit, matter: Matter, given: Mapping[str, Any], errors: Errors, status: int = 200
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
                "typed": {"name": "", "consent": "", **given},
                "errors": errors,
                **_names(matter),
            },
            status,
        )

    async def _sign(
        self,
        visit: LinkVisit,
        matter: Matter,
        form: FormData,
        role: str,
        purpose: str,
        domains: Sequence[str],
    ) -> Page:
        name, consent = typed(form, "name"), typed(form, "consent")
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

    async def _text(self, visit: LinkVisit, matter: Matter, purpose: str, domains: Sequence[str]) -> str:
        async with self._database.reading() as session:
            return await self._statement(session, matter.row.workflow, purpose, domains, visit.at)


class WriteLetter(SignLetter):
    """The mentor writes the mentee's letter, reads it, and signs it (CPE6, CPE8)."""

    async def page(
        self, visit: LinkVisit, matter: Matter, given: Mapping[str, Any], errors: Errors, status: int = 200
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
        purpose, domains = typed(form, "purpose"), _chosen(form, matter)
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


class ChooseDomains(AboutClaim):
    """The claimant chooses domains of the certification (CPE7)."""

    async def page(
        self, visit: LinkVisit, matter: Matter, given: Mapping[str, Any], errors: Errors, status: int = 200
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


class MarkSubmitted(AboutClaim):
    """The claimant has reported the credit to the certifying body (CPE10)."""

    async def page(
        self, visit: LinkVisit, matter: Matter, given: Mapping[str, Any], errors: Errors, status: int = 200
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


class AnswerSurvey:
    """One side's look back (SUR1–SUR3)."""

    def __init__(self, database: Database, inbox: Inbox) -> None:
        self._database = database
        self._inbox = inbox

    async def show(self, visit: LinkVisit) -> Page:
        """The questions, with what was answered before."""
        row = await self._row(visit)
        return row if isinstance(row, Page) else await self._page(visit, row, row.answers, {})

    async def act(self, visit: LinkVisit, form: FormData) -> Page:
        """Keep the answers; a second time replaces the first."""
        row = await self._row(visit)
        if isinstance(row, Page):
            return row
        policy = visit.reader.program.survey
        given = {question.id: typed(form, question.id) for question in policy.questions(row.role)}
        answers, faults = check_answers(policy, row.role, given)
        if faults:
            errors = {str(fault.path[0]) if fault.path else "form": Text("site.choose") for fault in faults}
            return await self._page(visit, row, given, errors, 400)
        data = {"engagement": row.engagement_id, "by": visit.link.profile, "answers": answers}
        answer = Envelope("", SOURCE, "survey.answered", visit.at, data)
        await self._inbox.put_answer(visit.question, answer)
        return message("survey.done")

    async def _row(self, visit: LinkVisit) -> Survey | Page:
        async with self._database.reading() as session:
            row = await session.get(Survey, visit.link.subject)
        if row is None or row.profile_id != visit.link.profile:
            return NOT_THEIRS
        return message("survey.over") if row.closed_at else row

    async def _page(
        self, visit: LinkVisit, row: Survey, given: Mapping[str, Any], errors: Errors, status: int = 200
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
        async with self._database.reading() as session:
            about = select(Engagement).where(Engagement.id == row.engagement_id)
            engagement = (await session.scalars(about)).one()
            other = await _other_than(session, engagement, visit.link.profile)
        if other is None:
            return NOT_THEIRS
        values = {
            "other": shown(other.name),
            "answered": bool(row.answers),
            "labels": {question["id"]: question["text"] for question in questions},
            "questions": questions,
            "typed": {**{str(question["id"]): "" for question in questions}, **answered},
            "errors": errors,
            "ratings": list(range(1, policy.rating_most + 1)),
        }
        return Page("survey.html", values, status)


def purposes(
    database: Database, inbox: Inbox, catalogue: Catalogue, statement: Statement
) -> dict[str, LinkHandler]:
    """All purposes of this module by name."""
    kinds: dict[str, type[AboutClaim]] = {
        "sign": SignLetter,
        "letter": WriteLetter,
        "domains": ChooseDomains,
        "claim": MarkSubmitted,
    }
    about = {name: kind(database, inbox, catalogue, statement) for name, kind in kinds.items()}
    return {**about, "survey": AnswerSurvey(database, inbox)}


def router(*, database: Database, programs: Mapping[str, Program], pages: Pages) -> APIRouter:
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
        program = next(iter(programs.values())) if len(programs) == 1 else None
        try:
            found, name = await _look_up(database, letter)
        except (SQLAlchemyError, OSError, UnicodeError) as error:
            log.warning("letter_not_looked_up", error=type(error).__name__)
            page = Page("unavailable.html", {"fields": []}, 503)
        else:
            program = programs.get(name) or program
            page = _of_letter(found, program) if found else message("verify.unknown", status=404)
        always = about_program(program) if program else {}
        return pages.respond(page.template, language, {**page.values, "always": always}, page.status)

    return routes


async def _look_up(database: Database, id: str) -> tuple[Letter | None, str]:
    """A letter, and the id of its program."""
    if len(id) > 64 or not id.isprintable():
        return None, ""
    async with database.reading() as session:
        letter = await session.get(Letter, id)
        if letter is None or letter.sha256 is None:
            return None, ""
        about = select(Engagement.program).where(Engagement.id == letter.engagement_id)
        return letter, await session.scalar(about) or ""


def _of_letter(letter: Letter, program: Program | None) -> Page:
    """What a letter says of itself, and no more; its days are those that it prints."""
    told = letter.data
    certificate = letter.kind == "certificate"
    signed = told.get("issued" if certificate else "signature") or {}
    here = program.hours.zone if program else "UTC"
    about, of = told.get("program") or {}, told.get("certification") or {}
    credits = told.get("credits") or {}
    facts = [
        ("mentor", _named(told.get("mentor"))),
        ("mentee", _named(told.get("mentee"))),
        ("program", ", ".join(filter(None, [about.get("name"), about.get("organisation")]))),
        ("started", _day(told.get("started"))),
        ("ended", _day(told.get("ended"))),
        ("certification", f"{of['name']} ({of['code']})" if of else letter.certification),
        ("domains", "; ".join(told.get("domains") or [])),
        ("credit_date", _day(told.get("credit_date"))),
        ("credits", credits.get("amount")),
        ("signed_by", None if certificate else _named(signed)),
        (
            "issued_on" if certificate else "signed_on",
            local_in(signed.get("zone") or here, letter.signed_at).date(),
        ),
        ("id", letter.id),
    ]
    values = {
        "letter": letter,
        "facts": facts,
        "statement": " ".join(re.findall(".{8}", fingerprint(letter.statement))),
        "revoked": local_in(here, letter.revoked_at).date() if letter.revoked_at else None,
        "because": letter.revoked_class if letter.revoked_class in REVOCATIONS else OTHER,
    }
    return Page("verify.html", values)


def _named(party: Mapping[str, str] | None) -> Markup | None:
    return shown(party["name"]) if party and party.get("name") else None


def _day(told: str | None) -> date | None:
    return date.fromisoformat(told) if told else None


async def _other_than(session: AsyncSession, engagement: Engagement, profile: str) -> Member | None:
    """The member on the other side of an engagement."""
    others = {engagement.mentor_id, engagement.mentee_id} - {profile}
    return await session.scalar(
        select(Member).join(Profile, Profile.member_id == Member.id).where(Profile.id.in_(others))
    )


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
