"""Orders about one planned message: skip, hold, send now, release, each confirmed on a page (MAIL1, STA3).

The form carries a digest of who looked and of what the page showed. If the order would do something else by then,
nothing happens, and the page says what changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from database.models import Message
from database.staff_orders import SEND, OrderRefused
from gateway.access import Access
from gateway.console.acts.binding import digest_of, is_bound, meanwhile
from gateway.console.shell import Shell, StaffVisit, form_of, go_back, safe_back, visit_of
from gateway.links.page import form_text
from lifecycles.registry import find_lifecycle
from rules.engagement.confidentiality import SUSPENDED
from staff.accounts.scope import Scope
from staff.message_orders import (
    ORDERS,
    MessageOrder,
    OrderChanged,
    OrderResult,
    UnknownMessage,
    give_order,
    offered,
    preview_order,
)
from staff.people import People
from staff.views.history import last_record
from staff.views.read_model import HistoryItem, MessageView

log = structlog.get_logger()

LONGEST_REASON: Final = 1000


@dataclass(frozen=True, slots=True)
class _Seen:
    """An order's preview, and what it is bound to."""

    result: OrderResult
    recipient: str
    digest: str
    record: int
    """The number of the last audit record."""


class OrderPages:
    """The pages of orders."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes = self._shell.router(Access.ACTING)
        routes.get("/staff/messages/{delivery}/{order}")(self.show)
        routes.post("/staff/messages/{delivery}/{order}")(self.give)
        return [routes]

    async def show(self, request: Request, delivery: str, order: str) -> Response:
        """Show what an order would do. Nothing is changed."""
        asked = await self._order(request, delivery, order)
        back = safe_back(request.query_params.get("back", ""))
        return await self._page(request, asked, back)

    async def give(self, request: Request, delivery: str, order: str) -> Response:
        """Give an order, if it does what its page showed."""
        visit, form = visit_of(request), await form_of(request)
        reason, back = form_text(form, "reason")[:LONGEST_REASON], safe_back(form_text(form, "back"))
        asked = await self._order(request, delivery, order)
        if not reason:
            return await self._page(request, asked, back, {"errors": ["reason"]}, 422)
        services, digest = self._shell.services, form_text(form, "digest")

        def agreed(result: OrderResult) -> bool:
            return is_bound(self._digest(visit, asked, result), digest)

        given = MessageOrder(order, delivery, reason, visit.member.actor)
        try:
            done = await give_order(
                services.database, services.temporal, services.programs, given, visit.at, agreed
            )
        except OrderChanged:
            workflow = await self._workflow(delivery)
            since = await meanwhile(self._shell, visit, workflow, form_text(form, "record"))
            return await self._page(request, asked, back, {"meanwhile": since, "reason": reason}, 409)
        except OrderRefused:
            return await self._page(request, asked, back, {"reason": reason}, 409)
        log.info("staff_order_given", order=order, delivery=delivery)
        return go_back(back, "ordered" if done.reached else "unreached")

    async def _order(self, request: Request, delivery: str, order: str) -> MessageOrder:
        """Read an order. Raises ConsoleAnswer where it is none, or about nothing that the person sees."""
        visit = visit_of(request)
        wanted = select(Message).where(Message.delivery == delivery[:200], Scope(visit.member).messages())
        async with self._shell.database.reading() as session:
            row = await session.scalar(wanted) if order in ORDERS else None
            if row is None:
                raise self._shell.nothing(request)
            about = await find_lifecycle(session, row.workflow)
            if about and not _may_order(visit, about.state):
                raise self._shell.nothing(request)
        # A preview needs some reason; the person's own takes its place when the order is given.
        return MessageOrder(order, delivery, "-", visit.member.actor)

    async def _page(
        self,
        request: Request,
        order: MessageOrder,
        back: str,
        more: Mapping[str, Any] | None = None,
        status: int = 200,
    ) -> Response:
        values: dict[str, Any] = {"order": order, "back_to": back, "seen": None, "refused": ""}
        since: list[HistoryItem] | None = None
        values |= {"errors": [], "reason": "", "meanwhile": since}
        try:
            values["seen"] = await self._preview(visit_of(request), order)
        except OrderRefused as refused:
            values["refused"], status = str(refused), 409
        except UnknownMessage:
            raise self._shell.nothing(request) from None
        return self._shell.respond(request, "order.html", values | dict(more or {}), status)

    async def _preview(self, visit: StaffVisit, order: MessageOrder) -> _Seen:
        """Return what an order would do now. Raises OrderRefused, UnknownMessage."""
        services = self._shell.services
        async with services.database.reading() as session:
            record = await last_record(session)
        result = await preview_order(services.database, services.programs, order, visit.at)
        async with services.database.reading() as session:
            people = await People.of(session, [result.message.to], services.programs)
        digest = self._digest(visit, order, result)
        return _Seen(result, people.name(result.message.to), digest, record)

    def _digest(self, visit: StaffVisit, order: MessageOrder, result: OrderResult) -> str:
        view = result.message
        # What is sent at once has another instant at each look.
        due = None if order.order == SEND else result.due
        shown = [order.order, order.delivery, view.state, view.order, view.ordered_by, result.was, due]
        return digest_of(self._shell, visit, "console order", [*shown, result.outcome])

    async def _workflow(self, delivery: str) -> str:
        async with self._shell.database.reading() as session:
            return await session.scalar(select(Message.workflow).where(Message.delivery == delivery)) or ""


def offering(visit: StaffVisit, states: Mapping[str, str]) -> Callable[[MessageView], tuple[str, ...]]:
    """Return a function that gives the orders to offer for a message. `states` are those of lifecycles by their id."""

    def orders(view: MessageView) -> tuple[str, ...]:
        return offered(view) if _may_order(visit, states.get(view.workflow, "")) else ()

    return orders


def _may_order(visit: StaffVisit, state: str) -> bool:
    """Return whether somebody may order anything for a message of a lifecycle in a state.

    After a report of misconduct only managers decide what follows (ENG8).
    """
    return visit.member.may_act and (state != SUSPENDED or visit.member.is_manager)
