"""Today, the home of the console: tasks by person, and what is late, failed or waiting."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response
from sqlalchemy import select
from starlette.datastructures import FormData

from database.models import Task
from database.tasks import OPEN, close_task, snooze_task
from gateway.access import Access
from gateway.console.shell import HOME, Shell, StaffVisit, form_of, go_back, visit_of
from gateway.links.page import form_text
from rules.calendar import instant_in
from staff.accounts.scope import Scope
from staff.lists.worklist import FILTERS, counts, task_page

MOST_PAGES: Final = 1000
LONGEST_NOTE: Final = 2000

_SAID: Final = {"done": "done", "dismiss": "dismissed", "snooze": "snoozed"}


class TodayPages:
    """The home page, and what is done about a task."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        reading, acting = self._shell.router(Access.STAFF), self._shell.router(Access.ACTING)
        reading.get(HOME)(self.show)
        acting.post("/staff/tasks/{number}")(self.change_task)
        return [reading, acting]

    async def show(self, request: Request) -> Response:
        """Show what needs staff today."""
        visit = visit_of(request)
        scope, chosen = Scope(visit.member), request.query_params.get("tasks", "new")
        chosen = chosen if chosen in FILTERS else "new"
        page = page_of(request)
        async with self._shell.database.reading() as session:
            values = {
                "tasks": await task_page(session, scope, visit.at, chosen, page),
                "chosen": chosen,
                "filters": FILTERS,
                "counts": await counts(session, scope, visit.at),
                "tomorrow": _today(visit) + timedelta(days=1),
                "today": visit.at,
            }
        return self._shell.respond(request, "today.html", values)

    async def change_task(self, request: Request, number: int) -> Response:
        """Mark a task as done, dismiss it with a reason, or set it aside until a day."""
        visit, form = visit_of(request), await form_of(request)
        change, until = form_text(form, "change"), _day(form_text(form, "until"))
        if wrong := _mistake(visit, form, change, until):
            return self._shell.refuse(request, f"task_refused.{wrong}", 422)
        async with self._shell.database.begin() as session:
            seen = select(Task.id).where(Task.id == number, Scope(visit.member).tasks())
            if await session.scalar(seen) is None:
                raise self._shell.nothing(request)
            task = await session.get_one(Task, number, with_for_update=True)
            if task.state not in OPEN:
                return self._shell.refuse(request, "task_refused.closed", 409)
            note, actor = form_text(form, "note")[:LONGEST_NOTE], visit.member.actor
            if change == "snooze" and until:
                instant = instant_in(visit.member.zone, until, time(0))
                await snooze_task(session, task, instant, actor, note, visit.at)
            else:
                state = "done" if change == "done" else "dismissed"
                await close_task(session, task, state, actor, note, visit.at)
        return go_back(form_text(form, "back"), _SAID[change])


def page_of(request: Request) -> int:
    """Return the number of the page that is asked for; the first for anything odd."""
    given = request.query_params.get("page", "1")[:8]
    return min(int(given), MOST_PAGES) if given.isascii() and given.isdigit() and int(given) else 1


def _mistake(visit: StaffVisit, form: FormData, change: str, until: date | None) -> str:
    """Return what is wrong with what is to be done about a task; empty if nothing is."""
    if change not in _SAID:
        return "unknown"
    if change == "dismiss" and not form_text(form, "note"):
        return "reason"
    if change == "snooze" and (until is None or until <= _today(visit)):
        return "past"
    return ""


def _today(visit: StaffVisit) -> date:
    local: datetime = visit.at.astimezone(ZoneInfo(visit.member.zone))
    return local.date()


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
