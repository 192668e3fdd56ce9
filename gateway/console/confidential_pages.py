"""Reports of misconduct and feedback: for managers, and each reading goes on record (ENG8, SUR4, STA3)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from sqlalchemy import func, select

from database.models import Feedback
from gateway.access import Access
from gateway.console.shell import Shell, form_of, visit_of
from gateway.links.page import form_text
from staff.confidential import read_feedback, read_reports, reports
from staff.views.read_model import NotFound


class ConfidentialPages:
    """What only managers read."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes = self._shell.router(Access.MANAGER)
        routes.get("/staff/reports")(self.list_reports)
        routes.post("/staff/reports")(self.read_reports)
        routes.get("/staff/feedback")(self.count_feedback)
        routes.post("/staff/feedback")(self.read_feedback)
        return [routes]

    async def list_reports(self, request: Request) -> Response:
        """Show which reports there are, without their words."""
        about = request.query_params.get("about", "")[:200]
        async with self._shell.database.reading() as session:
            found = await reports(session, self._shell.services.programs)
        shown = [each for each in found if not about or each.engagement == about]
        return self._shell.respond(request, "reports.html", {"reports": shown, "views": (), "about": about})

    async def read_reports(self, request: Request) -> Response:
        """Show the words of a report, and record who read it."""
        visit, form = visit_of(request), await form_of(request)
        programs = self._shell.services.programs
        async with self._shell.database.begin() as session:
            try:
                views = await read_reports(
                    session, form_text(form, "report")[:200], visit.member.actor, visit.at, programs
                )
            except NotFound:
                raise self._shell.nothing(request) from None
        return self._shell.respond(request, "reports.html", {"reports": (), "views": views, "about": ""})

    async def count_feedback(self, request: Request) -> Response:
        """Show how much feedback there is."""
        async with self._shell.database.reading() as session:
            count = int(await session.scalar(select(func.count()).select_from(Feedback)) or 0)
        return self._shell.respond(request, "feedback.html", {"count": count, "views": ()})

    async def read_feedback(self, request: Request) -> Response:
        """Show all feedback, and record who read it."""
        visit = visit_of(request)
        async with self._shell.database.begin() as session:
            views = await read_feedback(session, visit.member.actor, visit.at, self._shell.services.programs)
        values = {"count": len(views), "views": views}
        return self._shell.respond(request, "feedback.html", values)
