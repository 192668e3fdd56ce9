"""How mail fares, with what a manager does about it: an address mailed again, a copy of a message (MAIL3, MAIL10)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from fastapi import APIRouter, Request, Response

from gateway.access import Access
from gateway.console.lists import query_of
from gateway.console.shell import Shell, form_of, go_back, visit_of
from gateway.links.page import form_text
from rules.calendar import local_in
from staff.figures import Period, mail_health
from staff.mail_acts import lift_suppression, send_again

HEALTH: Final = "/staff/mail"
DAYS: Final = (7, 30, 90)
LONGEST_REASON: Final = 1000
MOST_SUPPRESSED: Final = 200
"""Suppressed addresses on the page: the newest. The command lists all."""


class MailHealthPages:
    """The page, and its two acts. Addresses of everybody are for managers."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes = self._shell.router(Access.MANAGER)
        routes.get(HEALTH)(self.show)
        routes.post(f"{HEALTH}/lift")(self.lift)
        routes.post(f"{HEALTH}/again")(self.again)
        return [routes]

    async def show(self, request: Request) -> Response:
        """Show how the mail of a program fared lately."""
        visit, programs = visit_of(request), self._shell.services.programs
        name, days = query_of(request, "program", 64), query_of(request, "days", 4)
        program = programs.get(name) or next(iter(programs.values()))
        chosen = int(days) if days in map(str, DAYS) else 30
        today = local_in(program.hours.zone, visit.at).date()
        async with self._shell.database.reading() as session:
            period = Period(today - timedelta(days=chosen - 1), today)
            health = await mail_health(session, program, period, visit.at)
        values = {
            "health": health,
            "decisions": sorted({each for counts in health.days.values() for each in counts}),
            "by_day": list(reversed(health.days.items())),
            "suppressed": health.suppressed[:MOST_SUPPRESSED],
            "program": program.id,
            "programs": sorted(programs),
            "days": chosen,
            "spans": DAYS,
        }
        return self._shell.respond(request, "mail_health.html", values)

    async def lift(self, request: Request) -> Response:
        """Have an address mailed again, with a reason on the record of its members."""
        visit, form = visit_of(request), await form_of(request)
        if not visit.member.may_act:
            raise self._shell.nothing(request)
        address, reason = form_text(form, "address")[:320], form_text(form, "reason")[:LONGEST_REASON]
        if not reason:
            return self._shell.refuse(request, "health_refused.reason", 422)
        async with self._shell.database.begin() as session:
            if not await lift_suppression(session, address, visit.member.actor, reason, visit.at):
                return self._shell.refuse(request, "health_refused.lifted", 409)
        return go_back(form_text(form, "back"), "lifted")

    async def again(self, request: Request) -> Response:
        """Send a copy of a message that is ambiguous, failed, skipped or came back."""
        visit, form, services = visit_of(request), await form_of(request), self._shell.services
        if not visit.member.may_act:
            raise self._shell.nothing(request)
        delivery, reason = form_text(form, "delivery")[:64], form_text(form, "reason")[:LONGEST_REASON]
        if not reason:
            return self._shell.refuse(request, "health_refused.reason", 422)
        if services.temporal is None:
            return self._shell.refuse(request, "health_refused.away", 409)
        actor = visit.member.actor
        try:
            reached = await send_again(
                services.database, services.temporal, delivery, actor, reason, visit.at
            )
        except ValueError:
            return self._shell.refuse(request, "health_refused.again", 409)
        return go_back(form_text(form, "back"), "copied" if reached else "unreached")
