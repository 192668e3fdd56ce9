"""Two acts on mail, each confirmed on a page: an address mailed again, a copy of a message (MAIL3, MAIL10, STA3).

The form carries a digest of who looked and of what the page showed. If the act would do something else by then,
nothing happens, and the page says what changed meanwhile.
"""

from __future__ import annotations

from typing import Any, Final

import structlog
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.access import Access
from gateway.console.acts.binding import digest_of, is_bound, meanwhile
from gateway.console.shell import Shell, StaffVisit, form_of, go_back, safe_back, visit_of
from gateway.links.page import form_text
from staff.mail_acts import (
    CopyOrder,
    CopyPreview,
    LiftPreview,
    MailActChanged,
    MailActRefused,
    lift_suppression,
    preview_copy,
    preview_lift,
    send_again,
)
from staff.views.history import last_record

log = structlog.get_logger()

LIFT: Final = "lift"
AGAIN: Final = "again"
FIELDS: Final = {LIFT: "address", AGAIN: "delivery"}
"""What each act is about, by the name of its field."""

LONGEST_REASON: Final = 1000
LONGEST_TARGET: Final = 320


class MailActPages:
    """The pages of the two acts. Addresses of everybody are for managers."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes = self._shell.router(Access.MANAGER)
        routes.get("/staff/mail/lift")(self.show_lift)
        routes.post("/staff/mail/lift")(self.lift)
        routes.get("/staff/mail/again")(self.show_copy)
        routes.post("/staff/mail/again")(self.again)
        return [routes]

    async def show_lift(self, request: Request) -> Response:
        """Show which messages go to an address again. Nothing is changed."""
        return await self._show(request, LIFT)

    async def show_copy(self, request: Request) -> Response:
        """Show what goes out again, and to whom. Nothing is changed."""
        return await self._show(request, AGAIN)

    async def lift(self, request: Request) -> Response:
        """Have an address mailed again, with a reason on the record of its members."""
        visit, given = self._acting(request), await self._given(request, LIFT)
        if not given["reason"]:
            return await self._page(request, LIFT, given, 422)
        try:
            async with self._shell.database.begin() as session:
                seen = await preview_lift(session, given["target"], self._shell.services.programs)
                if not is_bound(self._digest(visit, LIFT, seen), given["digest"]):
                    raise MailActChanged
                actor = visit.member.actor
                await lift_suppression(session, given["target"], actor, given["reason"], visit.at)
        except MailActChanged:
            return await self._changed(request, LIFT, given)
        except MailActRefused:
            return self._shell.refuse(request, "health_refused.lifted", 409)
        log.info("suppression_lifted")
        return go_back(given["back"], "lifted")

    async def again(self, request: Request) -> Response:
        """Send a copy of a message that is ambiguous, failed, skipped or came back."""
        visit, given = self._acting(request), await self._given(request, AGAIN)
        services = self._shell.services
        if not given["reason"]:
            return await self._page(request, AGAIN, given, 422)
        if services.temporal is None:
            return self._shell.refuse(request, "health_refused.away", 409)

        def agreed(seen: CopyPreview) -> bool:
            return is_bound(self._digest(visit, AGAIN, seen), given["digest"])

        order = CopyOrder(given["target"], visit.member.actor, given["reason"])
        try:
            reached = await send_again(
                services.database, services.temporal, services.programs, order, visit.at, agreed
            )
        except MailActChanged:
            return await self._changed(request, AGAIN, given)
        except MailActRefused:
            return self._shell.refuse(request, "health_refused.again", 409)
        log.info("copy_requested", delivery=order.delivery)
        return go_back(given["back"], "copied" if reached else "unreached")

    def _acting(self, request: Request) -> StaffVisit:
        """Return who acts. Raises ConsoleAnswer for who may only read."""
        visit = visit_of(request)
        if not visit.member.may_act:
            raise self._shell.nothing(request)
        return visit

    async def _given(self, request: Request, act: str) -> dict[str, str]:
        form = await form_of(request)
        return {
            "target": form_text(form, FIELDS[act])[:LONGEST_TARGET],
            "reason": form_text(form, "reason")[:LONGEST_REASON],
            "digest": form_text(form, "digest"),
            "record": form_text(form, "record"),
            "back": safe_back(form_text(form, "back")),
        }

    async def _show(self, request: Request, act: str) -> Response:
        self._acting(request)
        query = request.query_params
        target, back = query.get(FIELDS[act], "")[:LONGEST_TARGET], safe_back(query.get("back", ""))
        return await self._page(request, act, {"target": target, "back": back}, 200)

    async def _changed(self, request: Request, act: str, given: dict[str, str]) -> Response:
        return await self._page(request, act, given, 409)

    async def _page(self, request: Request, act: str, given: dict[str, str], status: int) -> Response:
        visit = visit_of(request)
        async with self._shell.database.reading() as session:
            record = await last_record(session)
            try:
                seen = await self._preview(session, act, given["target"])
            except MailActRefused:
                key = "lifted" if act == LIFT else "again"
                return self._shell.refuse(request, f"health_refused.{key}", 409)
        values: dict[str, Any] = {
            "act": act,
            "field": FIELDS[act],
            "target": given["target"],
            "seen": seen,
            "digest": self._digest(visit, act, seen),
            "record": record,
            "back_to": given["back"],
            "reason": given.get("reason", ""),
            "errors": ["reason"] if status == 422 else [],
            "meanwhile": None,
        }
        if status == 409:
            about = seen.subjects[0] if isinstance(seen, LiftPreview) else seen.message.workflow
            values["meanwhile"] = await meanwhile(self._shell, visit, about, given["record"])
        return self._shell.respond(request, "mail_act.html", values, status)

    async def _preview(self, session: AsyncSession, act: str, target: str) -> LiftPreview | CopyPreview:
        programs = self._shell.services.programs
        if act == LIFT:
            return await preview_lift(session, target, programs)
        return await preview_copy(session, target, programs)

    def _digest(self, visit: StaffVisit, act: str, seen: LiftPreview | CopyPreview) -> str:
        return digest_of(self._shell, visit, f"console mail {act}", seen.bound)
