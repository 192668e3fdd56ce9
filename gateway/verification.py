"""The public page that verifies a letter by its id or fingerprint (CPE11)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from database.models import Engagement, Letter
from database.session import Database
from gateway.links.page import Page, message
from gateway.links.reader import about_program, shown
from gateway.pages import Pages
from rules.calendar import local_in
from rules.credit import OTHER, REVOCATIONS, fingerprint
from rules.program import Program

log = structlog.get_logger()


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
        ("started", _shown_day(told.get("started"))),
        ("ended", _shown_day(told.get("ended"))),
        ("certification", f"{of['name']} ({of['code']})" if of else letter.certification),
        ("domains", "; ".join(told.get("domains") or [])),
        ("credit_date", _shown_day(told.get("credit_date"))),
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


def _shown_day(told: str | None) -> date | None:
    return date.fromisoformat(told) if told else None
