"""The texts of mails as people get them, with sample data, and a test of one to the reader's own address (MAIL5)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit
from database.models import AuditRecord
from gateway.access import Access
from gateway.console.programs.rules_page import PATH
from gateway.console.shell import ConsoleAnswer, Shell, StaffVisit, form_of, go_back, visit_of
from gateway.links.page import form_text
from mail.composer import Composer, TemplateFailed
from mail.mime import Composed
from mail.samples.mails import SampleMails, SampleOrder, SampleRefused, SampleUndelivered, for_browser
from rules.messages import CATALOGUE
from rules.program import Program

TEXTS: Final = f"{PATH}/texts"

MOST_TESTS: Final = 20
"""Tests that one person may send within `TESTS_WITHIN`: the mail server's rate is for members."""
TESTS_WITHIN: Final = timedelta(hours=1)

_BODY: Final = {
    # The mail has its style within; it runs nothing, loads nothing, and leads nowhere.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Chosen:
    """One text of a program."""

    program: Program
    message: str
    number: int | None
    language: str

    @property
    def query(self) -> dict[str, object]:
        """What names it in an address."""
        return {"program": self.program.id, "language": self.language, "number": self.number or ""}


class TextPages:
    """The pages of texts."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes, acting = self._shell.router(Access.STAFF), self._shell.router(Access.ACTING)
        routes.get(TEXTS)(self.show_all)
        routes.get(TEXTS + "/{message}")(self.show)
        routes.get(TEXTS + "/{message}/body")(self.body)
        acting.post(TEXTS + "/{message}")(self.send)
        return [routes, acting]

    async def show_all(self, request: Request) -> Response:
        """Show all texts of a program in one language, each with the file that it comes from."""
        samples, program = (
            self._samples(request),
            self._program(request, request.query_params.get("program", "")),
        )
        language = self._language(request, program, request.query_params.get("language", ""))
        try:
            texts = await asyncio.to_thread(lambda: [*samples.texts(program, language)])
        except TemplateFailed as failed:
            return self._shell.respond(
                request,
                "program_texts.html",
                {**_shared(program, language), "texts": [], "failed": str(failed)},
                500,
            )
        values = {**_shared(program, language), "texts": texts, "failed": "", "catalogue": CATALOGUE}
        return self._shell.respond(request, "program_texts.html", values)

    async def show(self, request: Request, message: str) -> Response:
        """Show one text as the recipient sees it, and as plain text."""
        return await self._page(request, self._chosen(request, message, dict(request.query_params)))

    async def body(self, request: Request, message: str) -> Response:
        """Return the HTML of a text, for the frame of its page."""
        chosen = self._chosen(request, message, dict(request.query_params))
        composed = await self._composed(request, chosen)
        page = await asyncio.to_thread(for_browser, composed.html, chosen.program)
        return HTMLResponse(page, headers=_BODY)

    async def send(self, request: Request, message: str) -> Response:
        """Send a text with sample data to the address of who asks for it, on record. Only managers do."""
        form, visit = await form_of(request), visit_of(request)
        if not visit.member.is_manager:
            raise self._shell.nothing(request)
        chosen = self._chosen(request, message, {name: form_text(form, name) for name in form})
        data = {"act": "test mail", "message": message, "number": chosen.number, "language": chosen.language}
        async with self._shell.database.begin() as session:
            if await _tests_of(session, chosen, visit) >= MOST_TESTS:
                raise ConsoleAnswer(self._shell.refuse(request, "refused.too_many_tests", 429))
            # Before it goes out, so that none is without a record.
            subject, at = f"program/{chosen.program.id}", visit.at.replace(microsecond=0)
            await audit.append(session, subject, "act", at, data, actor=visit.member.actor)
        try:
            order = SampleOrder(chosen.program, message, chosen.number, chosen.language, visit.member.email)
            answer = await self._samples(request).send(order, visit.at)
        except SampleUndelivered as refused:
            return await self._page(request, chosen, unsent=str(refused), status=502)
        except SampleRefused as refused:
            return await self._page(request, chosen, unsent=str(refused), status=409)
        log.info("test_mail_sent", message=message, code=answer.code)
        return go_back(form_text(form, "back"), "test_sent")

    async def _page(
        self, request: Request, chosen: _Chosen, *, unsent: str = "", status: int = 200
    ) -> Response:
        composed, member = await self._composed(request, chosen), visit_of(request).member
        values = {
            **_shared(chosen.program, chosen.language),
            "message": chosen.message,
            "number": chosen.number,
            "numbers": CATALOGUE[chosen.message].occurrences,
            "composed": composed,
            "file": _file_of(self._samples(request).composers(chosen.program), chosen),
            "query": chosen.query,
            "can_send": member.is_manager and member.may_act,
            "unsent": unsent,
        }
        response = self._shell.respond(request, "program_text.html", values, status)
        # The mail is shown in a frame.
        response.headers["Content-Security-Policy"] += "; frame-src 'self'"
        return response

    async def _composed(self, request: Request, chosen: _Chosen) -> Composed:
        """Return a text with sample data. Raises ConsoleAnswer where there is none."""
        samples = self._samples(request)
        try:
            return await asyncio.to_thread(
                samples.compose, chosen.program, chosen.message, chosen.number, chosen.language
            )
        except TemplateFailed as failed:
            log.warning("text_not_shown", message=chosen.message, reason=str(failed))
            raise self._shell.nothing(request) from None

    def _samples(self, request: Request) -> SampleMails:
        """Return the texts of this deployment. Raises ConsoleAnswer where it has none."""
        samples = self._shell.services.samples
        if samples is None:
            raise self._shell.nothing(request)
        return samples

    def _program(self, request: Request, name: str) -> Program:
        programs = self._shell.services.programs
        name = name or next(iter(programs), "")
        if name not in programs:
            raise self._shell.nothing(request)
        return programs[name]

    def _language(self, request: Request, program: Program, language: str) -> str:
        """Return the language that is asked for; by default the reader's, else the program's first."""
        if not language:
            return program.language([visit_of(request).member.language])
        if language not in program.languages:
            raise self._shell.nothing(request)
        return language

    def _chosen(self, request: Request, message: str, given: dict[str, str]) -> _Chosen:
        """Read which text is meant. Raises ConsoleAnswer for none."""
        program = self._program(request, given.get("program", ""))
        if message not in CATALOGUE:
            raise self._shell.nothing(request)
        occurrences, typed = CATALOGUE[message].occurrences, given.get("number", "")[:3]
        number = int(typed) if typed.isascii() and typed.isdigit() else occurrences[0]
        if number not in occurrences:
            raise self._shell.nothing(request)
        return _Chosen(program, message, number, self._language(request, program, given.get("language", "")))


async def _tests_of(session: AsyncSession, chosen: _Chosen, visit: StaffVisit) -> int:
    """Return how many tests of a program's texts somebody has sent lately."""
    records = await session.scalars(
        select(AuditRecord.data).where(
            AuditRecord.subject == f"program/{chosen.program.id}",
            AuditRecord.kind == "act",
            AuditRecord.actor == visit.member.actor,
            AuditRecord.at > visit.at - TESTS_WITHIN,
        )
    )
    return sum(data.get("act") == "test mail" for data in records)


def _file_of(composer: Composer, chosen: _Chosen) -> str:
    """Return the text's language and name, by which its versions are found."""
    source = composer.source(chosen.message, chosen.number, chosen.language)
    return f"{chosen.language}/{source.name}" if source else ""


def _shared(program: Program, language: str) -> dict[str, Any]:
    return {"program": program, "text_language": language, "texts_path": TEXTS}
