"""Moving running lifecycles to another version of their program: a batch a page, bound to its preview (CPE12, STA1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

import structlog
from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from database.models import ProgramVersion
from gateway.access import Access
from gateway.console.acts.binding import digest_of, is_bound
from gateway.console.acts.pages import LONGEST_REASON
from gateway.console.programs.rules_page import PATH
from gateway.console.shell import Shell, StaffVisit, form_of, go_back, visit_of
from gateway.links.page import form_text
from rules.kinds import TARGET
from rules.program import version_label
from staff.act_forms import outcome_shown
from staff.program_moves import (
    MoveBatch,
    MovePreview,
    MoveRefused,
    VersionMove,
    is_changed,
    move_batch,
    next_batch,
    summary_of,
)

MOVE: Final = f"{PATH}/move"
ON_A_PAGE: Final = 25
"""The lifecycles of one page: as many as a person looks through, and a page computes in time."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Order:
    """A move as it was asked for."""

    move: VersionMove
    after: str
    """The last lifecycle of the page before."""

    def path(self, after: str) -> str:
        """Return the address of the page behind a lifecycle."""
        query = {
            "program": self.move.program,
            "from": self.move.source,
            "to": self.move.target,
            "after": after,
        }
        return f"{MOVE}?{urlencode({name: value for name, value in query.items() if value})}"


class MovePages:
    """The pages of a move."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes = self._shell.router(Access.SETTING)
        routes.get(MOVE)(self.show)
        routes.post(MOVE)(self.do)
        return [routes]

    async def show(self, request: Request) -> Response:
        """Show what a move would change for the next lifecycles. Nothing is changed."""
        order, visit = self._order(request, request.query_params), visit_of(request)
        try:
            batch = await self._next(order, visit.at)
        except MoveRefused as refused:
            return await self._page(request, order, None, refused=str(refused), status=409)
        return await self._page(request, order, batch)

    async def do(self, request: Request) -> Response:
        """Move the lifecycles of a page, if all is as it was when they were previewed."""
        form, visit = await form_of(request), visit_of(request)
        order = self._order(request, {name: form_text(form, name) for name in form})
        reason = form_text(form, "reason")[:LONGEST_REASON]
        try:
            batch = await self._next(order, visit.at)
            if not is_bound(self._digest(visit, order, batch), form_text(form, "digest")):
                return await self._page(request, order, batch, changed=True, reason=reason, status=409)
            if not reason:
                return await self._page(request, order, batch, errors=["reason"], status=422)
            return await self._done(order, batch, visit, reason)
        except MoveRefused as refused:
            return await self._page(request, order, None, refused=str(refused), status=409)

    async def _done(self, order: _Order, batch: MoveBatch, visit: StaffVisit, reason: str) -> Response:
        services = self._shell.services
        if services.temporal is None:
            raise MoveRefused("there is no Temporal service here: nothing can be done")
        workflows = [each.workflow for each in batch.previews]
        result = await move_batch(
            services.database,
            services.temporal,
            services.programs,
            order.move,
            workflows,
            visit.at,
            actor=visit.member.actor,
            reason=reason,
        )
        log.info("program_version_moved", program=order.move.program, lifecycles=len(result.moved))
        said = "moved_unreached" if result.unreached else "moved"
        return go_back(order.path(workflows[-1] if workflows else ""), said)

    async def _next(self, order: _Order, at: datetime) -> MoveBatch:
        services = self._shell.services
        return await next_batch(
            services.database, services.programs, order.move, at, after=order.after, most=ON_A_PAGE
        )

    def _order(self, request: Request, given: Mapping[str, str]) -> _Order:
        """Read a move. Raises ConsoleAnswer for a program that is not here, or what is no lifecycle."""
        programs, name = self._shell.services.programs, given.get("program", "")
        after = given.get("after", "")[:200]
        if name not in programs or (after and not TARGET.fullmatch(after)):
            raise self._shell.nothing(request)
        target = given.get("to", "")[:64] or programs[name].fingerprint
        return _Order(VersionMove(name, given.get("from", "")[:64], target), after)

    def _digest(self, visit: StaffVisit, order: _Order, batch: MoveBatch) -> str:
        shown = [[each.workflow, _outcome(each)] for each in batch.previews]
        move = [order.move.program, order.move.source, order.move.target, order.after]
        return digest_of(self._shell, visit, "console move", [move, shown])

    # long: what a page of a move shows in each of its states
    async def _page(
        self,
        request: Request,
        order: _Order,
        batch: MoveBatch | None,
        *,
        changed: bool = False,
        refused: str = "",
        reason: str = "",
        errors: list[str] | None = None,
        status: int = 200,
    ) -> Response:
        visit = visit_of(request)
        async with self._shell.database.reading() as session:
            kept = await session.scalars(
                select(ProgramVersion)
                .where(ProgramVersion.program == order.move.program)
                .order_by(ProgramVersion.first_seen_at)
            )
            labels = {each.fingerprint: version_label(each.policy_version, each.fingerprint) for each in kept}
        if order.move.source not in labels:
            raise self._shell.nothing(request)
        values = {
            "move": order.move,
            "after": order.after,
            "labels": labels,
            "newest": self._shell.services.programs[order.move.program].fingerprint,
            "batch": batch,
            "numbers": summary_of(batch.previews, visit.at) if batch else None,
            "is_changed": is_changed,
            "digest": self._digest(visit, order, batch) if batch else "",
            "onward": order.path(batch.previews[-1].workflow) if batch and batch.previews else "",
            "changed": changed,
            "refused": refused,
            "reason": reason,
            "errors": errors or [],
        }
        return self._shell.respond(request, "program_move.html", values, status)


def _outcome(each: MovePreview) -> Any:
    return outcome_shown(each.result) if each.result else each.refused
