"""How mail fares, for managers (MAIL3, MAIL10)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from fastapi import APIRouter, Request, Response

from gateway.access import Access
from gateway.console.lists import query_of
from gateway.console.shell import Shell, visit_of
from rules.calendar import local_in
from staff.figures import OBJECTIVE, Period, by_day, mail_health, mail_lateness

HEALTH: Final = "/staff/mail"
DAYS: Final = (7, 30, 90)
MOST_SUPPRESSED: Final = 200
"""Suppressed addresses on the page: the newest. The command lists all."""


class MailHealthPages:
    """The page. Addresses of everybody are for managers."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes = self._shell.router(Access.MANAGER)
        routes.get(HEALTH)(self.show)
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
            since, until = period.instants(program.hours.zone)
            lateness = await mail_lateness(session, since, until, visit.at)
        levels = by_day(lateness, {program.id: program.hours.zone})
        values = {
            "health": health,
            "decisions": sorted({each for counts in health.days.values() for each in counts}),
            "by_day": list(reversed(health.days.items())),
            "levels": {day: level for (day, _), level in levels.items()},
            "objective": OBJECTIVE,
            "suppressed": health.suppressed[:MOST_SUPPRESSED],
            "program": program.id,
            "programs": sorted(programs),
            "days": chosen,
            "spans": DAYS,
        }
        return self._shell.respond(request, "mail_health.html", values)
