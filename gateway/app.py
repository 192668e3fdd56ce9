"""The gateway: events in, personal links, health; put together here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from database.links import Links
from database.session import Database
from gateway import events, health, verification
from gateway.event_store import Inbox
from gateway.links import handlers, preferences
from gateway.links.claim import Statement
from gateway.links.page import LinkHandler
from gateway.links.router import router as links_router
from gateway.pages import PageHeaders, Pages
from gateway.problems import Problem, problem
from gateway.webhook_signatures import SIGNATURE_HEADERS, Signatures
from rules.events.description import component_schemas
from rules.program import Program
from rules.program.catalogue import Catalogue


def create_app(
    *,
    database: Database,
    programs: Mapping[str, Program],
    links: Links,
    webhook_secrets: Sequence[str],
    poke: Callable[[], Awaitable[None]],
    clock: Callable[[], Awaitable[datetime]],
    temporal_ready: Callable[[], Awaitable[None]],
    mail_ready: Callable[[], Awaitable[None]] | None = None,
    routers: Sequence[APIRouter] = (),
    purposes: Mapping[str, LinkHandler] | None = None,
    pages: Pages | None = None,
    catalogue: Catalogue | None = None,
    statement: Statement | None = None,
) -> FastAPI:
    """The web application.

    `poke` tells the inbox workflow that events were stored; `clock` tells program time (T6); `temporal_ready` and
    `mail_ready` raise while these servers cannot be used. `purposes` are further kinds of personal links by name,
    `routers` further routes. `catalogue` and `statement`, which writes a letter, are for the pages about credit:
    there are none without both. Raises ValueError for a webhook secret that cannot be read.
    """
    inbox = Inbox(database, poke)
    pages = pages or Pages()
    signatures = Signatures(webhook_secrets)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        telling = asyncio.create_task(inbox.run())
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    app = FastAPI(
        title="Throughline",
        version="1",
        description="Events in, personal links, and health of the mentoring program's engine.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.pages, app.state.inbox = pages, inbox
    app.add_middleware(PageHeaders, headers=pages.headers)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _own_fault)

    about_credit: Mapping[str, LinkHandler] = {}
    if catalogue and statement:
        about_credit = handlers.credit_handlers(database, inbox, catalogue, statement)
    needed = {"database": database.check, "temporal": temporal_ready}
    if mail_ready:
        needed["mail"] = mail_ready
    app.include_router(health.router(needed))
    app.include_router(events.router(inbox, signatures))
    app.include_router(
        links_router(
            database=database,
            programs=programs,
            links=links,
            clock=clock,
            pages=pages,
            purposes={
                "unsubscribe": preferences.Unsubscribe(database, links),
                "preferences": preferences.Preferences(database),
                "feedback": preferences.GiveFeedback(database),
                **handlers.lifecycle_handlers(database, inbox),
                **about_credit,
                **(purposes or {}),
            },
        )
    )
    app.include_router(verification.router(database=database, programs=programs, pages=pages))
    for router in routers:
        app.include_router(router)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """The API's description, with what FastAPI cannot know: the signature, and how problems look."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {}).update(
            {"Problem": _flat(Problem.model_json_schema()), **component_schemas()}
        )
        components["securitySchemes"] = {
            name: {"type": "apiKey", "in": "header", "name": name, "description": _SIGNATURE[name]}
            for name in SIGNATURE_HEADERS
        }
        app.openapi_schema = schema
    return app.openapi_schema


def _flat(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its one definition in place."""
    definitions = schema.pop("$defs")
    for choice in schema["properties"]["errors"]["anyOf"]:
        if "items" in choice:
            choice["items"] = definitions[choice["items"]["$ref"].rpartition("/")[2]]
    return schema


_SIGNATURE = {
    "webhook-id": "A name for the request, unique to it.",
    "webhook-timestamp": "When it was signed, in seconds since 1970; holds for five minutes.",
    "webhook-signature": "`v1,` and the base64 of the HMAC-SHA256 of id, timestamp and body, joined by dots.",
}


async def _http_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if detail == HTTPStatus(error.status_code).phrase:
        detail = {404: "there is nothing here", 405: "this cannot be done here"}.get(
            error.status_code, detail
        )
    return problem(error.status_code, detail, headers=error.headers)


async def _gone(_request: Request, _error: Exception) -> Response:
    return problem(400, "the request ended before its body did")


async def _own_fault(_request: Request, _error: Exception) -> Response:
    return problem(500, "something is wrong here, and it is not your request")
