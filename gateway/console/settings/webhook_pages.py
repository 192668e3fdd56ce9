"""The endpoints of other systems: what they get, and what staff can do about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from fastapi import APIRouter, Request, Response

from gateway.access import Access
from gateway.console.shell import Shell, form_of, go_back, visit_of
from gateway.links.page import form_text
from rules.events.outgoing_types import SUBSCRIBABLE
from staff import endpoints
from staff.endpoints import EndpointRefused

WEBHOOKS: Final = "/staff/webhooks"
LONGEST_REASON: Final = 1000
ACTS: Final = ("test", "disable", "enable", "rotate", "replay", "remove")
HOURS: Final = {"rotate": 24, "replay": 24}
"""What the acts that take a number of hours offer."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Said:
    """What a page says of the act before it."""

    error: str = ""
    refused: str = ""
    secret: str = ""
    of: str = ""
    answer: str = ""
    is_taken: bool = False


class WebhookPages:
    """The pages of endpoints."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes = self._shell.router(Access.SETTING)
        routes.get(WEBHOOKS)(self.show_all)
        routes.post(WEBHOOKS)(self.add)
        routes.get(WEBHOOKS + "/{name}")(self.show)
        routes.post(WEBHOOKS + "/{name}")(self.act)
        return [routes]

    async def show_all(self, request: Request) -> Response:
        """Show all endpoints."""
        return await self._list(request)

    async def show(self, request: Request, name: str) -> Response:
        """Show an endpoint and its last events."""
        return await self._one(request, name)

    async def add(self, request: Request) -> Response:
        """Add an endpoint, and show its secret, this once."""
        form, visit, sender = await form_of(request), visit_of(request), self._shell.services.webhooks
        given = {name: form_text(form, name) for name in ("name", "url", "reason")}
        types = [each for each in form.getlist("type") if isinstance(each, str)]
        if not given["reason"]:
            return await self._list(request, _Said(error="reason"), given, 422)
        if sender is None:
            raise self._shell.nothing(request)
        try:
            async with self._shell.database.begin() as session:
                secret = await endpoints.add(
                    session,
                    self._shell.services.links.keys,
                    sender,
                    given["name"],
                    given["url"],
                    types,
                    visit.member.actor,
                    datetime.now(UTC),
                    given["reason"][:LONGEST_REASON],
                )
        except EndpointRefused as refused:
            return await self._list(request, _Said(refused=str(refused)), given, 409)
        await self._start(given["name"])
        log.info("webhook_added", endpoint=given["name"])
        return await self._list(request, _Said(secret=secret, of=given["name"]))

    async def act(self, request: Request, name: str) -> Response:
        """Do something about an endpoint, on record."""
        form = await form_of(request)
        act, reason = form_text(form, "act"), form_text(form, "reason")[:LONGEST_REASON]
        hours = form_text(form, "hours")[:4]
        if act not in ACTS:
            raise self._shell.nothing(request)
        if not reason:
            return await self._one(request, name, _Said(error="reason"), 422)
        if act in HOURS and not (hours.isascii() and hours.isdigit()):
            return await self._one(request, name, _Said(error="hours"), 422)
        try:
            said = await self._do(request, name, act, reason, timedelta(hours=int(hours or 0)))
        except EndpointRefused as refused:
            return await self._one(request, name, _Said(refused=str(refused)), 409)
        log.info("webhook_changed", endpoint=name, act=act)
        if said is not None:
            return await self._one(request, name, said)
        return go_back(WEBHOOKS if act == "remove" else f"{WEBHOOKS}/{name}", "webhook_done")

    async def _do(self, request: Request, name: str, act: str, reason: str, span: timedelta) -> _Said | None:
        """Do an act; return what its page shows once. Raises EndpointRefused."""
        actor, at, keys = visit_of(request).member.actor, datetime.now(UTC), self._shell.services.links.keys
        if act == "test":
            sender = self._shell.services.webhooks
            if sender is None:
                raise self._shell.nothing(request)
            answer = await endpoints.send_test(self._shell.database, keys, sender, name, actor, at, reason)
            return _Said(answer=answer.words, is_taken=answer.is_success)
        async with self._shell.database.begin() as session:
            match act:
                case "disable":
                    await endpoints.disable(session, name, actor, reason, at)
                case "enable":
                    await endpoints.enable(session, keys, name, actor, at, reason)
                case "rotate":
                    secret = await endpoints.rotate(session, keys, name, actor, at, span, reason)
                    return _Said(secret=secret, of=name)
                case "replay":
                    await endpoints.replay(session, name, at - span, actor, at, reason)
                case _:
                    await endpoints.remove(session, name, actor, at, reason)
        if act == "enable":
            await self._start(name)
        return None

    async def _start(self, name: str) -> None:
        """Start the deliveries. Where the Temporal service is away, a worker does so within ten minutes."""
        client = self._shell.services.temporal
        if client is not None:
            try:
                await endpoints.start(client, name)
            except Exception as error:
                log.warning("webhook_not_started", endpoint=name, error=type(error).__name__)

    async def _list(
        self,
        request: Request,
        said: _Said | None = None,
        given: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> Response:
        async with self._shell.database.reading() as session:
            found = await endpoints.list_endpoints(session)
        values = {"endpoints": found, "types": SUBSCRIBABLE, "given": given or {}, **self._shared(said)}
        return self._shell.respond(request, "webhooks.html", values, status)

    async def _one(
        self, request: Request, name: str, said: _Said | None = None, status: int = 200
    ) -> Response:
        async with self._shell.database.reading() as session:
            found = {each.name: each for each in await endpoints.list_endpoints(session)}
            if name not in found:
                raise self._shell.nothing(request)
            deliveries = await endpoints.last_deliveries(session, name)
        not_now = "enable" if found[name].state == "enabled" else "disable"
        acts = [act for act in ACTS if act != not_now]
        values = {"each": found[name], "deliveries": deliveries, "acts": acts, "hours": HOURS}
        return self._shell.respond(request, "webhook.html", {**values, **self._shared(said)}, status)

    def _shared(self, said: _Said | None) -> dict[str, Any]:
        return {
            "said_of": said or _Said(),
            "has_sender": self._shell.services.webhooks is not None,
            "webhooks_path": WEBHOOKS,
        }
