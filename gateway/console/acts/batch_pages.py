"""One act on many lifecycles: chosen on a list, previewed for all, then done with one reason (STA1, STA3).

Whose the batch is sees it, and nobody else. What each preview showed stands in the batch: an act is done only where a
new preview is the same.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import structlog
from fastapi import APIRouter, Request, Response

from database.models import ActBatch
from gateway.access import Access
from gateway.console.lists import list_filter
from gateway.console.shell import Shell, form_of, go_back, safe_back, visit_of
from gateway.links.page import form_text
from lifecycles.registry import LIFECYCLES
from staff.accounts.scope import Scope
from staff.act_forms import choices_of
from staff.batches.batch_states import (
    ENDED,
    MOST,
    RUNNING,
    STOPPED,
    WORKED_ON,
    BatchRefused,
    batch_of,
    complete,
    end,
    make_batch,
    start,
)
from staff.batches.batch_views import batch_view, latest_batches
from staff.lists.lifecycle_lists import ListFilter, workflows_of

log = structlog.get_logger()

HOME_OF_BATCHES: Final = "/staff/many"
LONGEST_REASON: Final = 1000

_HIGHEST: Final = 2**31 - 1
"""No batch has a number as high."""

REFRESH: Final = 3
"""Seconds after which the page of a batch that is worked on shows itself again, unless one asks it not to."""


class BatchPages:
    """The pages of acts on many."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes = self._shell.router(Access.ACTING)
        routes.get(HOME_OF_BATCHES)(self.list)
        routes.post(HOME_OF_BATCHES)(self.make)
        routes.get("/staff/many/{number}")(self.show)
        routes.post("/staff/many/{number}")(self.change)
        return [routes]

    async def list(self, request: Request) -> Response:
        """Show the batches of who asks."""
        async with self._shell.database.reading() as session:
            batches = await latest_batches(session, visit_of(request).member)
        return self._shell.respond(request, "batches.html", {"batches": batches})

    async def make(self, request: Request) -> Response:
        """Make a batch of what was ticked, or of all that a filter finds."""
        visit, form = visit_of(request), await form_of(request)
        kind, act = form_text(form, "kind"), form_text(form, "act")
        if kind not in LIFECYCLES:
            raise self._shell.nothing(request)
        scope, programs = Scope(visit.member), self._shell.services.programs
        ticked = [each for each in form.getlist("target") if isinstance(each, str)]
        given = {name: form_text(form, name) for name in ("state", "program", "search")}
        chosen = list_filter(given, visit.member, kind, programs)
        async with self._shell.database.begin() as session:
            if form_text(form, "all"):
                targets = await workflows_of(session, scope, kind, chosen, MOST + 1)
            else:
                targets = await workflows_of(session, scope, kind, ListFilter(), MOST + 1, ticked)
            if not targets:
                back = form_text(form, "back")
                return go_back(safe_back(back, f"/staff/{kind}s"), "none_ticked")
            try:
                batch = await make_batch(session, visit.member, act, targets, datetime.now(UTC))
            except BatchRefused as refused:
                return self._shell.refuse(request, f"batch_refused.{refused}", 422)
        log.info("staff_batch_made", act=act, lifecycles=len(targets), batch=batch.id)
        self._shell.batches.wake()
        return go_back(f"{HOME_OF_BATCHES}/{batch.id}")

    async def show(self, request: Request, number: int) -> Response:
        """Show how a batch stands."""
        async with self._shell.database.reading() as session:
            batch = await batch_of(session, visit_of(request).member, min(number, _HIGHEST))
        if batch is None:
            raise self._shell.nothing(request)
        if batch.state in WORKED_ON:
            self._shell.batches.wake()
        return await self._page(request, batch)

    async def change(self, request: Request, number: int) -> Response:
        """Complete a batch, start it or stop it."""
        visit, form = visit_of(request), await form_of(request)
        change, at = form_text(form, "change"), datetime.now(UTC)
        given = {name: value for name, value in form.items() if isinstance(value, str)}
        reason = form_text(form, "reason")[:LONGEST_REASON]
        more: dict[str, Any] = {}
        async with self._shell.database.begin() as session:
            batch = await batch_of(session, visit.member, min(number, _HIGHEST), to_change=True)
            if batch is None:
                raise self._shell.nothing(request)
            try:
                if change == "complete":
                    complete(batch, visit.member, given)
                elif change == "start" and self._shell.services.temporal is None:
                    more = {"errors": ["away"], "reason": reason}
                elif change == "start":
                    start(batch, reason, at)
                elif change == "stop":
                    await end(session, batch, STOPPED, at)
            except BatchRefused as refused:
                more = {"errors": [str(refused)], "reason": reason, "given": given}
        if more:
            return await self._page(request, batch, more, 409 if more["errors"] == ["state"] else 422)
        self._shell.batches.wake()
        return go_back(f"{HOME_OF_BATCHES}/{number}")

    async def _page(
        self, request: Request, batch: ActBatch, more: dict[str, Any] | None = None, status: int = 200
    ) -> Response:
        async with self._shell.database.reading() as session:
            view = await batch_view(session, batch, self._shell.services.programs)
        still = "still" in request.query_params
        values = {
            "batch": view,
            "choices": choices_of(batch.act, batch.kind),
            "given": batch.given,
            "working": batch.state in WORKED_ON,
            "started": batch.state == RUNNING or batch.started_at is not None,
            "ended": batch.state in ENDED,
            "still": still,
            "errors": [],
            "reason": "",
        }
        # By the header and not by the page: a reader who wants it to stay as it is follows a link.
        headers = {"Refresh": str(REFRESH)} if batch.state in WORKED_ON and not still and not more else {}
        return self._shell.respond(request, "batch.html", values | (more or {}), status, headers)
