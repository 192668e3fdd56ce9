"""The public addresses of badges: who issues them, what they attest, themselves, and what no longer holds (CPE14).

Every answer can be read by anybody who has its address, also by the script of another site: a verifier may run in a
browser. The address of a badge cannot be guessed, and no answer lists any.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from fastapi import APIRouter, Request, Response
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.exceptions import HTTPException

from database import person_keys
from database.models import Badge, BadgeAchievement, BadgeStatus
from evidence.badges import badge_keys, compact_jws, issuer_profile
from evidence.badges.issuing import OpenedBadge
from gateway.access import Access, declared
from gateway.event_store import Unavailable
from gateway.links.page import LinkPage, message_page
from gateway.links.reader import site_context
from gateway.pages import Pages
from gateway.problems import PROBLEM, problem
from gateway.services import GatewayServices
from rules.calendar import local_in
from rules.credit import OTHER, REVOCATIONS
from rules.program import Program

log = structlog.get_logger()

HTML: Final = "text/html"
LD: Final = "application/ld+json"
DID: Final = "application/did+json"
KEY_SET: Final = "application/jwk-set+json"
JWT: Final = "application/vc+jwt"
"""The type of a credential that is a JWT (W3C, Securing Verifiable Credentials using JOSE and COSE)."""

_OPEN: Final = {"Access-Control-Allow-Origin": "*"}
_CACHED: Final = {**_OPEN, "Cache-Control": "public, max-age=300"}
_FRESH: Final = {**_OPEN, "Cache-Control": "no-cache"}
_ID: Final = re.compile(r"[0-9a-f]{32}")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}")


def router(services: GatewayServices, pages: Pages) -> APIRouter:
    """Return the public routes of badges. Their answers change nothing."""
    routes = APIRouter(tags=["badges"], dependencies=[declared(Access.PUBLIC)])
    shown = _PublicBadges(services, pages)
    for path, answer, types in (
        ("/badges/keys", shown.keys, (KEY_SET,)),
        ("/badges/issuers/{program}", shown.issuer, (LD,)),
        ("/badges/issuers/{program}/did.json", shown.did_document, (DID,)),
        ("/badges/achievements/{achievement}", shown.achievement, (LD,)),
        ("/badges/status/{number}", shown.status_list, (JWT,)),
        ("/badges/{badge}", shown.badge, (HTML, LD, JWT)),
    ):
        routes.get(path, response_class=Response, responses=_documented(types))(answer)
    return routes


def _documented(types: tuple[str, ...]) -> dict[int | str, dict[str, Any]]:
    """Return what a route answers, for the API's description."""
    trouble: dict[str, Any] = {PROBLEM: {}, HTML: {}}
    return {
        200: {"description": "Found.", "content": {each: {} for each in types}},
        404: {"description": "There is none.", "content": trouble},
        410: {"description": "It was withdrawn.", "content": trouble},
        503: {"description": "It cannot be looked up now.", "content": trouble},
    }


class _PublicBadges:
    """What each address answers."""

    def __init__(self, services: GatewayServices, pages: Pages) -> None:
        self._services = services
        self._pages = pages
        self._badges = services.letters.badges

    async def keys(self) -> Response:
        """The public keys that sign badges, and those that did, as a JWK Set."""
        async with self._looking_up() as session:
            return _json(issuer_profile.key_set(await badge_keys.published(session)), KEY_SET)

    async def issuer(self, program: str) -> Response:
        """The profile of a program as an issuer, with its keys: who keeps it can verify offline."""
        found = self._services.programs.get(program)
        if found is None:
            raise HTTPException(404)
        async with self._looking_up() as session:
            keys = await badge_keys.published(session)
        return _json(issuer_profile.profile(found, self._badges.addresses, keys), LD)

    async def did_document(self, program: str) -> Response:
        """The DID document of a program (did:web), also of one that issues no more."""
        async with self._looking_up() as session:
            if program not in self._services.programs and not await _has_issued(session, program):
                raise HTTPException(404)
            keys = await badge_keys.published(session)
        return _json(issuer_profile.did_document(program, self._badges.addresses, keys), DID)

    async def achievement(self, achievement: str) -> Response:
        """What badges attest."""
        async with self._looking_up() as session:
            row = await session.get(BadgeAchievement, achievement) if _ID.fullmatch(achievement) else None
        if row is None:
            raise HTTPException(404)
        return _json({"@context": list(issuer_profile.CONTEXT), **row.content}, LD)

    async def status_list(self, number: str) -> Response:
        """A status list, signed: which badges no longer hold. It names none."""
        if not _NUMBER.fullmatch(number):
            raise HTTPException(404)
        try:
            at = await self._services.now()
        except Unavailable:
            raise HTTPException(503, "it cannot be looked up now") from None
        async with self._looking_up() as session:
            if await session.get(BadgeStatus, int(number)) is None:
                raise HTTPException(404)
            text = await self._badges.status_list(session, int(number), at)
        if text is None:
            log.error("badge_key_unreadable")
            raise HTTPException(503, "it cannot be signed now")
        return Response(text, media_type=JWT, headers=_FRESH)

    async def badge(self, request: Request, badge: str) -> Response:
        """A badge: a page for people, the credential as JSON, and signed under the same address with `.jwt`."""
        id, _, suffix = badge.partition(".")
        if not _ID.fullmatch(id) or suffix not in ("", "json", "jwt"):
            raise HTTPException(404)
        async with self._looking_up() as session:
            opened = await self._badges.open(session, id)
            if opened is None:
                return await self._gone(session, request, id)
        accepted = request.headers.get("accept", "")
        if suffix == "jwt" or (not suffix and (JWT in accepted or "application/jwt" in accepted)):
            headers = {**_FRESH, "Content-Disposition": f'attachment; filename="badge-{id[:8]}.jwt"'}
            return Response(opened.text, media_type=JWT, headers=headers)
        if not suffix and HTML in accepted:
            return self._page(request, _page_of(opened), self._services.programs.get(opened.row.program))
        return _json(dict(compact_jws.read(opened.text).payload), LD, {**_FRESH, "Vary": "Accept"})

    async def _gone(self, session: AsyncSession, request: Request, id: str) -> Response:
        """Answer for a badge that cannot be shown: there is none, or its holder was erased (STA5)."""
        row = await session.get(Badge, id)
        if row is None:
            raise HTTPException(404)
        if not await person_keys.is_destroyed(session, row.member_id):
            log.error("badge_unreadable", badge=id)
            raise HTTPException(503, "it cannot be looked up now")
        if HTML not in request.headers.get("accept", ""):
            return problem(410, "this badge was withdrawn", headers=_OPEN)
        program = self._services.programs.get(row.program)
        return self._page(request, message_page("badge.withdrawn", status=410), program)

    def _page(self, request: Request, page: LinkPage, program: Program | None) -> Response:
        language = self._pages.language(request.headers.get("accept-language", ""))
        values = {**page.values, "site_context": site_context(program)}
        return self._pages.respond(page.template, language, values, page.status, {"Vary": "Accept"})

    @asynccontextmanager
    async def _looking_up(self) -> AsyncIterator[AsyncSession]:
        """Yield a session; a database that fails is answered as 503."""
        try:
            async with self._services.database.reading() as session:
                yield session
        except (SQLAlchemyError, OSError) as error:
            log.warning("badge_lookup_failed", error=type(error).__name__)
            raise HTTPException(503, "it cannot be looked up now") from None


def _json(value: Mapping[str, Any], type: str, headers: Mapping[str, str] = _CACHED) -> Response:
    return Response(json.dumps(value, ensure_ascii=False, indent=1), media_type=type, headers=dict(headers))


async def _has_issued(session: AsyncSession, program: str) -> bool:
    if not program.isprintable():
        return False
    query = select(BadgeStatus.number).where(BadgeStatus.program == program).limit(1)
    return await session.scalar(query) is not None


def _page_of(opened: OpenedBadge) -> LinkPage:
    """Return the page of a badge: what the credential states, and whether it holds."""
    letter, claims = opened.letter, compact_jws.read(opened.text).payload
    subject = claims["credentialSubject"]
    zone = (letter.data.get("issued") or letter.data.get("signature") or {}).get("zone") or "UTC"
    values = {
        "claims": claims,
        "subject": subject,
        "achievement": subject["achievement"],
        "address": claims["id"],
        "letter": letter,
        "revoked": local_in(zone, letter.revoked_at).date() if letter.revoked_at else None,
        "because": letter.revoked_class if letter.revoked_class in REVOCATIONS else OTHER,
    }
    return LinkPage("badge.html", values)
