"""The gateway: events in, personal links, letters to verify, badges, the console and health: one web application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from gateway import badge_pages, events, health, verification
from gateway.access import NO_TELEMETRY
from gateway.console.acts.batch_work import BatchWork
from gateway.console.routes import console_routes
from gateway.console.shell import HOME, Shell
from gateway.event_store import EventStore
from gateway.links.handlers import link_handlers
from gateway.links.page import LinkHandler, message_page
from gateway.links.reader import site_context
from gateway.links.router import router as links_router
from gateway.pages import PageHeaders, Pages
from gateway.problems import Problem, problem
from gateway.services import GatewayServices, only_program
from gateway.webhook_signatures import SIGNATURE_HEADERS, Signatures
from rules.events.description import component_schemas


def create_app(
    services: GatewayServices,
    *,
    webhook_secrets: Sequence[str],
    routers: Sequence[APIRouter] = (),
    handlers: Mapping[str, LinkHandler] | None = None,
    pages: Pages | None = None,
) -> FastAPI:
    """Return the web application.

    `routers` are further routes, `handlers` further kinds of personal links by purpose. Raises ValueError for a
    webhook secret that cannot be read.
    """
    store = EventStore(services.database, services.notify_inbox, clock=services.clock)
    pages, shell = pages or Pages(), Shell(services)
    signatures = Signatures(webhook_secrets)
    app = FastAPI(
        title="Throughline",
        version="1",
        description="Events in, personal links, and health of the mentoring program's engine.",
        docs_url=None,
        redoc_url=None,
        lifespan=_running(store, shell.batches),
        # The redirect would be built from the Host header, and would carry the token of a personal link.
        redirect_slashes=False,
        telemetry=NO_TELEMETRY,
    )
    app.state.pages, app.state.event_store, app.state.batches = pages, store, shell.batches
    app.add_middleware(PageHeaders, headers=pages.headers)
    app.exception_handler(HTTPException)(_http_answers(services, pages, shell))
    app.exception_handler(ClientDisconnect)(_disconnected)
    app.exception_handler(Exception)(_internal_error)
    app.include_router(
        health.router({"database": health.DatabaseCheck(services.database), **services.checks})
    )
    app.include_router(events.router(store, signatures))
    app.include_router(links_router(services, pages, {**link_handlers(services, store), **(handlers or {})}))
    app.include_router(verification.router(services, pages))
    app.include_router(badge_pages.router(services, pages))
    for router in console_routes(shell):
        app.include_router(router)
    for router in routers:
        app.include_router(router)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def _running(store: EventStore, batches: BatchWork) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return the lifespan that repeats failed notifications of the inbox, and works on batches, while the app runs."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        running = [asyncio.create_task(each.run()) for each in (store, batches)]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    return lifespan


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


def _http_answers(
    services: GatewayServices, pages: Pages, shell: Shell
) -> Callable[[Request, HTTPException], Awaitable[Response]]:
    """Return the handler of addresses and methods that are not served: a page for people, a problem for programs."""

    async def answer(request: Request, error: HTTPException) -> Response:
        if str(request.scope["path"]).startswith(f"{HOME}/"):
            return shell.refuse(request, "refused.nothing", error.status_code)
        if error.status_code != 404 or not _is_for_people(request):
            return await _http_problem(request, error)
        page = message_page("refused.unknown", status=404)
        language = pages.language(request.headers.get("accept-language", ""))
        context = site_context(only_program(services.programs))
        return pages.respond(page.template, language, {**page.values, "site_context": context}, page.status)

    return answer


def _is_for_people(request: Request) -> bool:
    """Return whether a person has opened an address, be it one that a mail program has mangled."""
    path = str(request.scope["path"]).lower().lstrip("/")
    return path.partition("/")[0] in ("l", "verify") or "text/html" in request.headers.get("accept", "")


async def _http_problem(_request: Request, error: HTTPException) -> Response:
    detail = error.detail
    if detail == HTTPStatus(error.status_code).phrase:
        detail = {404: "there is nothing here", 405: "this method is not allowed here"}.get(
            error.status_code, detail
        )
    return problem(error.status_code, detail, headers=error.headers)


async def _disconnected(_request: Request, _error: ClientDisconnect) -> Response:
    return problem(400, "the request ended before its body did")


async def _internal_error(_request: Request, _error: Exception) -> Response:
    return problem(500, "the server failed; the request is not at fault")
