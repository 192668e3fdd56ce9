"""Personal links, `/l/{token}`: GET shows a page that says what will happen, POST does it, HEAD does nothing (MAIL6).

What a link does is its purpose; this module finds the reader, refuses what has to be refused, and leaves the rest to
the purpose. A link is all that its holder needs, so a page never shows more than the link's one thing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import FormData

from database.links import Link, LinkRefused, Links
from database.session import Database
from gateway.event_store import Unavailable
from gateway.links.page import NOT_THEIRS, LinkHandler, LinkVisit, Page, message, question
from gateway.links.reader import Reader, about_program, reader_of
from gateway.pages import Pages
from gateway.request_body import TooLarge, read_form
from rules.program import Program
from rules.text import from_form

log = structlog.get_logger()

RETRY_AFTER = "10"


def router(
    *,
    database: Database,
    programs: Mapping[str, Program],
    links: Links,
    clock: Callable[[], Awaitable[datetime]],
    pages: Pages,
    purposes: Mapping[str, LinkHandler],
) -> APIRouter:
    """The routes of personal links. `clock` tells program time."""
    return _PersonalLinks(database, programs, links, clock, pages, purposes).routes()


class _PersonalLinks:
    def __init__(
        self,
        database: Database,
        programs: Mapping[str, Program],
        links: Links,
        clock: Callable[[], Awaitable[datetime]],
        pages: Pages,
        purposes: Mapping[str, LinkHandler],
    ) -> None:
        self._database = database
        self._programs = programs
        self._links = links
        self._clock = clock
        self._pages = pages
        self._purposes = purposes

    def routes(self) -> APIRouter:
        routes = APIRouter(tags=["personal links"])
        common: dict[str, Any] = {"response_class": HTMLResponse, "responses": _ANSWERS}

        @routes.get("/l/{token}", **common, openapi_extra={"parameters": [_TOKEN]})
        async def show_link(request: Request) -> Response:
            """The page of a link: what it will do, with one form. Changes nothing."""
            return await self._answer(request, None)

        @routes.head(
            "/l/{token}",
            response_class=HTMLResponse,
            response_description="Always, whatever the link.",
            openapi_extra={"parameters": [_TOKEN]},
        )
        async def look_at_link(request: Request) -> Response:
            """Does nothing: programs that look at links in mail learn nothing and change nothing."""
            return HTMLResponse("")

        @routes.post(
            "/l/{token}",
            **common,
            openapi_extra={"parameters": [_TOKEN], "requestBody": {"content": _FORMS}},
        )
        async def use_link(request: Request) -> Response:
            """Does what the link is for. A repeat changes nothing.

            Mail programs post `List-Unsubscribe=One-Click` here (RFC 8058).
            """
            try:
                form = await read_form(request)
            except TooLarge:
                return self._say(request, message("refused.too_large", status=413))
            return await self._answer(request, form)

        return routes

    async def _answer(self, request: Request, form: FormData | None) -> Response:
        try:
            return await self._visited(request, form)
        except (Unavailable, SQLAlchemyError, OSError) as error:
            log.warning("personal_link_unavailable", error=type(error).__name__)
            return self._keep(request, form, 503)
        except Exception as error:
            log.exception("personal_link_failed", error=type(error).__name__)
            return self._keep(request, form, 500)

    def _keep(self, request: Request, form: FormData | None, status: int) -> Response:
        """A page with what was typed, to send it again."""
        page = Page("unavailable.html", {"fields": _texts(form)}, status)
        return self._say(request, page, headers={"Retry-After": RETRY_AFTER})

    async def _visited(self, request: Request, form: FormData | None) -> Response:
        token = request.path_params["token"]
        try:
            link = self._links.read(token)
        except LinkRefused:
            return self._refuse(request, "tampered")
        at = await self._now()
        async with self._database.reading() as session:
            reader = await reader_of(session, self._programs, self._pages.languages, link.profile)
        if reader is None:
            return self._refuse(request, "unknown_profile", link)
        # Who wants less mail is never told to come earlier: these links keep working.
        if link.expired(at) and link.purpose not in ("unsubscribe", "preferences"):
            log.info("personal_link_refused", reason="expired", purpose=link.purpose)
            return self._say(request, message("refused.expired", status=410), reader)
        purpose = self._purposes.get(link.purpose)
        if purpose is None:
            return self._refuse(request, "unknown_purpose", link, reader)
        visit = LinkVisit(link, token, question(self._links, link), reader, at)
        page = await (purpose.show(visit) if form is None else purpose.act(visit, form))
        if page is NOT_THEIRS:
            return self._refuse(request, "not_theirs", link, reader)
        return self._say(request, page, reader)

    async def _now(self) -> datetime:
        try:
            return await self._clock()
        except Exception as error:
            log.warning("clock_unavailable", error=type(error).__name__)
            raise Unavailable from None

    def _refuse(
        self, request: Request, reason: str, link: Link | None = None, reader: Reader | None = None
    ) -> Response:
        log.info("personal_link_refused", reason=reason, purpose=link.purpose if link else None)
        return self._say(request, message("refused.unknown", status=404), reader)

    def _say(
        self,
        request: Request,
        page: Page,
        reader: Reader | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        if reader:
            language, always = reader.language, reader.always
        else:
            language = self._pages.language(request.headers.get("accept-language", ""))
            always = about_program(self._only_program) if self._only_program else {}
        return self._pages.respond(
            page.template, page.language or language, {**page.values, "always": always}, page.status, headers
        )

    @property
    def _only_program(self) -> Program | None:
        """The one whose mailbox can be named to somebody unknown."""
        return next(iter(self._programs.values())) if len(self._programs) == 1 else None


def _texts(form: FormData | None) -> list[tuple[str, str]]:
    if form is None:
        return []
    return [(name, from_form(value) if isinstance(value, str) else "") for name, value in form.multi_items()]


_TOKEN = {
    "name": "token",
    "in": "path",
    "required": True,
    "description": "The signed token of a personal link, as a mail carried it.",
    "schema": {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9._-]+$"},
}
_FIELDS = {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}
_FORMS = {"application/x-www-form-urlencoded": _FIELDS, "multipart/form-data": _FIELDS}


def _page(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"text/html": {"schema": {"type": "string"}}}}


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _page("The page of the link, or where things stand."),
    400: _page("The page again, with what was typed and what is wrong with it."),
    404: _page("No link of this program, or none that is good for this."),
    410: _page("The link's time is over; the page says whom to write to."),
    413: _page("The form is larger than 1 MiB."),
    503: {
        **_page("Nothing was stored; the page has what was typed, to send it again."),
        "headers": {"Retry-After": {"schema": {"type": "string"}}},
    },
}
