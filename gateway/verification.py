"""The public page that verifies a letter by its id or fingerprint (CPE11)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from database.models import Engagement, Letter
from database.session import Database
from evidence.badges.issuing import badge_of
from evidence.letter_codes import as_written
from gateway.access import Access, declared
from gateway.links.page import LinkPage, message_page
from gateway.links.reader import isolated, site_context
from gateway.pages import Pages
from gateway.services import GatewayServices, only_program
from rules.calendar import local_in
from rules.credit import OTHER, REVOCATIONS, fingerprint
from rules.program import Program
from rules.text import ERASED

log = structlog.get_logger()

LONGEST_CODE = 64
"""Longest code that is looked up, in characters."""


def router(services: GatewayServices, pages: Pages) -> APIRouter:
    """Return the public check of a letter: `/verify` asks for its code, `/verify/{letter}` answers (CPE11).

    The answer is genuine, revoked, or unknown. A code counts however its reader typed it.
    """
    routes = APIRouter(tags=["letters"], dependencies=[declared(Access.PUBLIC)])
    answers: dict[int | str, dict[str, Any]] = {
        404: {"description": "No such letter.", "content": {"text/html": {}}},
        410: {"description": "It was erased.", "content": {"text/html": {}}},
        503: {"description": "It cannot be looked up now.", "content": {"text/html": {}}},
    }

    @routes.get("/verify", response_class=HTMLResponse, responses={303: {"description": "To the letter."}})
    async def find_letter(request: Request, code: str = "") -> Response:
        """Ask for the code that is printed on a letter, and lead to the letter."""
        written = as_written(code).strip()[:LONGEST_CODE]
        if written:
            return RedirectResponse(f"/verify/{quote(written, safe='')}", 303)
        language = pages.language(request.headers.get("accept-language", ""))
        context = site_context(only_program(services.programs))
        return pages.respond("verify_code.html", language, {"site_context": context}, 200)

    @routes.get("/verify/{letter}", response_class=HTMLResponse, responses=answers)
    async def verify_letter(request: Request, letter: str) -> Response:
        """Whether a letter is genuine and still valid, for anyone who received it."""
        language = pages.language(request.headers.get("accept-language", ""))
        program = only_program(services.programs)
        try:
            found, name, badge = await _look_up(services.database, letter)
        except (SQLAlchemyError, OSError, UnicodeError) as error:
            log.warning("letter_lookup_failed", error=type(error).__name__)
            page = LinkPage("unavailable.html", {"fields": []}, 503)
        else:
            program = services.programs.get(name) or program
            page = (
                _letter_page(found, program, badge) if found else message_page("verify.unknown", status=404)
            )
        values = {**page.values, "site_context": site_context(program)}
        return pages.respond(page.template, language, values, page.status)

    return routes


async def _look_up(database: Database, id: str) -> tuple[Letter | None, str, str | None]:
    """Return a letter, the id of its program, and the path of its badge if it has one."""
    if len(id) > LONGEST_CODE or not id.isprintable():
        return None, "", None
    async with database.reading() as session:
        letter = await session.get(Letter, id) or await session.get(Letter, as_written(id))
        if letter is None or letter.sha256 is None:
            return None, "", None
        program = select(Engagement.program).where(Engagement.id == letter.engagement_id)
        badge = await badge_of(session, letter.id)
        return letter, await session.scalar(program) or "", f"/badges/{badge.id}" if badge else None


def _letter_page(letter: Letter, program: Program | None, badge: str | None) -> LinkPage:
    """Return what a letter itself states, and no more. Its dates are those that it prints."""
    if letter.statement == ERASED:
        return message_page("verify.erased", status=410)
    here = program.hours.zone if program else "UTC"
    values = {
        "letter": letter,
        "badge": badge,
        "facts": _facts(letter, here),
        "statement": " ".join(re.findall(".{8}", fingerprint(letter.statement))),
        "revoked": local_in(here, letter.revoked_at).date() if letter.revoked_at else None,
        "because": letter.revoked_class if letter.revoked_class in REVOCATIONS else OTHER,
    }
    return LinkPage("verify.html", values)


def _facts(letter: Letter, zone: str) -> list[tuple[str, object]]:
    """Return what a letter states, by the name of its label. `zone` stands in for one that the letter lacks."""
    data = letter.data
    is_certificate = letter.kind == "certificate"
    signature = data.get("issued" if is_certificate else "signature") or {}
    program, certification = data.get("program") or {}, data.get("certification") or {}
    return [
        ("mentor", _named(data.get("mentor"))),
        ("mentee", _named(data.get("mentee"))),
        ("program", ", ".join(filter(None, [program.get("name"), program.get("organisation")]))),
        ("started", _day(data.get("started"))),
        ("ended", _day(data.get("ended"))),
        (
            "certification",
            f"{certification['name']} ({certification['code']})" if certification else letter.certification,
        ),
        ("domains", "; ".join(data.get("domains") or [])),
        ("credit_date", _day(data.get("credit_date"))),
        ("credits", (data.get("credits") or {}).get("amount")),
        ("signed_by", None if is_certificate else _named(signature)),
        (
            "issued_on" if is_certificate else "signed_on",
            local_in(signature.get("zone") or zone, letter.signed_at).date(),
        ),
        ("id", letter.id),
    ]


def _named(party: Mapping[str, str] | None) -> Markup | None:
    return isolated(party["name"]) if party and party.get("name") else None


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None
