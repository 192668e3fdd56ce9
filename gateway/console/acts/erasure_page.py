"""Erasing a member from their page: previewed, bound to the preview, with a reason (STA5, STA1, STA3)."""

from __future__ import annotations

from typing import Final

import structlog
from fastapi import APIRouter, Request, Response

from gateway.access import Access
from gateway.console.acts.binding import digest_of, is_bound
from gateway.console.shell import Shell, form_of, go_back, visit_of
from gateway.links.page import form_text
from staff.erasure_orders import (
    ErasurePreview,
    ErasureRefused,
    order_erasure,
    preview_erasure,
    until_erased,
)
from staff.views.read_model import NotFound

LONGEST_REASON: Final = 1000

PATIENCE: Final = 5.0
"""Seconds for which the page waits until a worker has applied the order; it stays ordered after that."""

log = structlog.get_logger()


class ErasurePages:
    """The page of an erasure, for managers who may act."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes = self._shell.router(Access.MANAGER)
        routes.get("/staff/erase/{member}")(self.show)
        routes.post("/staff/erase/{member}")(self.do)
        return [routes]

    async def show(self, request: Request, member: str) -> Response:
        """Show what an erasure would do. Nothing is changed."""
        return self._page(request, await self._preview(request, member))

    async def do(self, request: Request, member: str) -> Response:
        """Order the erasure, if all is as it was when it was previewed."""
        form, visit = await form_of(request), visit_of(request)
        reason = form_text(form, "reason")[:LONGEST_REASON]
        seen = await self._preview(request, member)
        if not is_bound(self._digest(request, seen), form_text(form, "digest")):
            return self._page(request, seen, "changed", reason, 409)
        if not reason:
            return self._page(request, seen, "reason", status=422)
        database = self._shell.services.database
        try:
            number = await order_erasure(database, member, visit.member.actor, reason, visit.at)
            await self._shell.services.notify_inbox()
            done = await until_erased(database, number, PATIENCE)
        except ErasureRefused as refused:
            return self._page(request, seen, "refused", reason, 409, str(refused))
        log.info("staff_act_done", act="erase", target=f"member/{member}")
        return go_back(f"/staff/show/member/{member}", "erased" if done else "erasure_ordered")

    async def _preview(self, request: Request, member: str) -> ErasurePreview:
        visit = visit_of(request)
        if not visit.member.may_act:
            raise self._shell.nothing(request)
        async with self._shell.database.reading() as session:
            try:
                return await preview_erasure(session, member[:64], visit.at)
            except NotFound:
                raise self._shell.nothing(request) from None

    def _digest(self, request: Request, seen: ErasurePreview) -> str:
        return digest_of(self._shell, visit_of(request), "console erasure", seen.shown)

    def _page(
        self,
        request: Request,
        seen: ErasurePreview,
        error: str = "",
        reason: str = "",
        status: int = 200,
        said: str = "",
    ) -> Response:
        values = {
            "seen": seen,
            "digest": self._digest(request, seen),
            "errors": [error] if error else [],
            "reason": reason,
            "refused": said,
        }
        return self._shell.respond(request, "erasure.html", values, status)
