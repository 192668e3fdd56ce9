"""Personal links, `/l/{token}`: GET shows what will happen, POST does it, HEAD does nothing (MAIL6).

This module checks the link and finds its reader; a handler per purpose does the rest. Who holds a link may use it
without signing in, so a page never shows more than the link's one subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import FormData

from database.links import Link, LinkRefused
from gateway.access import Access, declared
from gateway.event_store import Unavailable
from gateway.links.limiter import LinkLimiter
from gateway.links.page import (
    NOT_THEIRS,
    LinkHandler,
    LinkPage,
    LinkVisit,
    message_page,
    question_id,
)
from gateway.links.reader import LinkReader, reader_of, site_context
from gateway.pages import Pages
from gateway.request_body import TooLarge, read_form
from gateway.services import GatewayServices, only_program
from rules.text import from_form

log = structlog.get_logger()

RETRY_AFTER = "10"
"""Seconds after which a form that could not be stored may be sent again."""

AFTER_POST = "done"
"""The query of the address that a browser is sent to after a form was stored."""

_WAIT = {"Retry-After": "3600"}

NEVER_EXPIRE = ("unsubscribe", "preferences")
"""Purposes whose links work for ever: a request for less mail never comes too late."""


def router(services: GatewayServices, pages: Pages, handlers: Mapping[str, LinkHandler]) -> APIRouter:
    """Return the routes of personal links; `handlers` are by purpose."""
    return _PersonalLinks(services, pages, handlers).routes()


class _PersonalLinks:
    def __init__(self, services: GatewayServices, pages: Pages, handlers: Mapping[str, LinkHandler]) -> None:
        self._services = services
        self._pages = pages
        self._handlers = handlers
        self._limiter = LinkLimiter(services.database)

    def routes(self) -> APIRouter:
        routes = APIRouter(tags=["personal links"], dependencies=[declared(Access.LINK)])
        common: dict[str, Any] = {"response_class": HTMLResponse, "responses": _ANSWERS}

        @routes.get("/l/{token}", **common, openapi_extra={"parameters": [_TOKEN]})
        async def show_link(request: Request) -> Response:
            """The page of a link: what it will do, with one form. Changes nothing."""
            return await self._answer(request, None)

        @routes.head(
            "/l/{token}",
            response_class=HTMLResponse,
            response_description="Always, for any token.",
            openapi_extra={"parameters": [_TOKEN]},
        )
        async def probe_link(request: Request) -> Response:
            """Does nothing: link scanners of mail programs learn nothing and change nothing."""
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
                return self._respond(request, message_page("refused.too_large", status=413))
            return await self._answer(request, form)

        return routes

    async def _answer(self, request: Request, form: FormData | None) -> Response:
        try:
            return await self._visit(request, form)
        except (Unavailable, SQLAlchemyError, OSError) as error:
            log.warning("personal_link_failed", error=type(error).__name__, status=503)
            return self._return_input(request, form, 503)
        except Exception as error:
            log.exception("personal_link_failed", error=type(error).__name__, status=500)
            return self._return_input(request, form, 500)

    def _return_input(self, request: Request, form: FormData | None, status: int) -> Response:
        """Return a page with the form's input, so that it can be sent again."""
        page = LinkPage("unavailable.html", {"fields": _texts(form)}, status)
        return self._respond(request, page, headers={"Retry-After": RETRY_AFTER})

    async def _visit(self, request: Request, form: FormData | None) -> Response:
        token = request.path_params["token"]
        try:
            link = self._services.links.read(token)
        except LinkRefused:
            return self._refuse(request, "tampered")
        at = await self._services.now()
        reader = await self._reader(link)
        if reader is None:
            return self._refuse(request, "unknown_profile", link)
        if link.expired(at) and link.purpose not in NEVER_EXPIRE:
            log.info("personal_link_refused", reason="expired", purpose=link.purpose)
            return self._respond(request, message_page("refused.expired", status=410), reader)
        handler = self._handlers.get(link.purpose)
        if handler is None:
            return self._refuse(request, "unknown_purpose", link, reader)
        question = question_id(self._services.links, link)
        after_post = form is None and AFTER_POST in request.query_params
        visit = LinkVisit(link, token, question, reader, at, after_post)
        if form is not None and not await self._limiter.take(link, at):
            log.warning("personal_link_limited", purpose=link.purpose)
            return self._respond(request, message_page("refused.too_often", status=429), reader, _WAIT)
        page = await (handler.get(visit) if form is None else handler.post(visit, form))
        if page.stored:
            # Relative to this address, so that neither a Host header nor a proxy's path changes where it leads.
            return Response(None, 303, {**self._pages.headers, "Location": f"?{AFTER_POST}"})
        if form is not None:
            await self._limiter.give_back(link, at)
        if page is NOT_THEIRS:
            return self._refuse(request, "not_theirs", link, reader)
        return self._respond(request, page, reader)

    async def _reader(self, link: Link) -> LinkReader | None:
        async with self._services.database.reading() as session:
            return await reader_of(session, self._services.programs, self._pages.languages, link)

    def _refuse(
        self, request: Request, reason: str, link: Link | None = None, reader: LinkReader | None = None
    ) -> Response:
        log.info("personal_link_refused", reason=reason, purpose=link.purpose if link else None)
        return self._respond(request, message_page("refused.unknown", status=404), reader)

    def _respond(
        self,
        request: Request,
        page: LinkPage,
        reader: LinkReader | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        program = reader.program if reader else only_program(self._services.programs)
        if reader:
            language = page.language or reader.language
        else:
            language = self._pages.language(request.headers.get("accept-language", ""))
        values = {**page.values, "site_context": site_context(program)}
        return self._pages.respond(page.template, language, values, page.status, headers)


def _texts(form: FormData | None) -> list[tuple[str, str]]:
    if form is None:
        return []
    return [(name, from_form(value) if isinstance(value, str) else "") for name, value in form.multi_items()]


_TOKEN = {
    "name": "token",
    "in": "path",
    "required": True,
    "description": "The signed token of a personal link, as it stands in the mail.",
    "schema": {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9._-]+$"},
}
_FIELDS = {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}
_FORMS = {"application/x-www-form-urlencoded": _FIELDS, "multipart/form-data": _FIELDS}


def _page(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"text/html": {"schema": {"type": "string"}}}}


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _page("The page of the link: a form, or what has happened."),
    303: {
        "description": "The form was stored; the page that confirms it is at `Location`.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    },
    400: _page("Not a form of this page."),
    404: _page("Not a link of this program, or one of an unknown subject."),
    410: _page("The link has expired; the page says whom to contact."),
    413: _page("The form is larger than 1 MiB."),
    422: _page("The form again, with its input and what is wrong or not ticked in it."),
    429: {
        **_page("This link was used too often within the last hour; nothing was stored."),
        "headers": {"Retry-After": {"schema": {"type": "string"}}},
    },
    503: {
        **_page("Nothing was stored; the page has the form's input, so that it can be sent again."),
        "headers": {"Retry-After": {"schema": {"type": "string"}}},
    },
}
