"""The curriculum of programs: how far each pair is, by cohort and partner, and as a file (COH4)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from gateway.access import Access
from gateway.console.lists import LONGEST_CURSOR, query_of
from gateway.console.shell import Shell, visit_of
from gateway.console.spreadsheets import csv_file
from staff.accounts.directory import StaffMember
from staff.accounts.scope import Scope
from staff.formatting import local_iso
from staff.lists.curriculum_list import SHOWN, ProgressFilter, cohorts_seen, partners_seen, progress_page
from staff.lists.lifecycle_lists import MOST_IN_A_FILE
from staff.views.curriculum import STATES, PairProgress

PATH: Final = "/staff/curriculum"

_COLUMNS: Final = (
    *("engagement", "program", "cohort", "role", "name", "profile", "partner"),
    *("place", "step", "kind", "title", "state", "opens", "late", "done"),
)


class CurriculumPages:
    """The page and its file."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes = self._shell.router(Access.STAFF)
        routes.get(PATH)(self.show)
        routes.get(f"{PATH}.csv")(self.save)
        return [routes]

    async def show(self, request: Request) -> Response:
        """Show the pairs, a page at a time."""
        visit, chosen = visit_of(request), self._filter(request)
        scope, programs = Scope(visit.member), self._shell.services.programs
        cursor = query_of(request, "after", LONGEST_CURSOR)
        async with self._shell.database.reading() as session:
            page = await progress_page(session, scope, programs, chosen, visit.at, cursor)
            cohorts, partners = await cohorts_seen(session, scope), await partners_seen(session, scope)
        query = [(k, v) for k, v in request.query_params.multi_items() if k not in ("after", "said")]
        following = urlencode([*query, ("after", page.following)])
        values = {
            "chosen": chosen,
            "page": page,
            "shown_choices": SHOWN,
            "states": STATES,
            "cohorts": cohorts,
            "partners": partners,
            "programs": sorted(name for name, each in programs.items() if each.curriculum),
            "next_page": f"{PATH}?{following}" if page.following else "",
            "first_page": f"{PATH}?{urlencode(query)}" if cursor else "",
            "file": f"{PATH}.csv?{urlencode(query)}",
        }
        return self._shell.respond(request, "curriculum.html", values)

    async def save(self, request: Request) -> Response:
        """Return every step of each pair as a file."""
        visit, chosen = visit_of(request), self._filter(request)
        scope, programs = Scope(visit.member), self._shell.services.programs
        async with self._shell.database.reading() as session:
            page = await progress_page(session, scope, programs, chosen, visit.at, limit=MOST_IN_A_FILE)
        rows = (row for pair in page.pairs for row in _rows(pair, visit.member, visit.at))
        return csv_file("curriculum", _COLUMNS, rows)

    def _filter(self, request: Request) -> ProgressFilter:
        program, show = query_of(request, "program", 64), query_of(request, "show", 20)
        known = self._shell.services.programs
        return ProgressFilter(
            program if program in known and known[program].curriculum else "",
            query_of(request, "cohort", 64),
            query_of(request, "partner", 64),
            show if show in SHOWN else "",
        )


def _rows(pair: PairProgress, reader: StaffMember, at: datetime) -> Iterator[list[object]]:
    for side in pair.sides:
        about = [pair.workflow, pair.program, pair.cohort, side.role, side.name, side.profile, side.partner]
        for each in side.steps:
            times = (local_iso(when, reader.zone) for when in (each.opens_at, each.late_at, each.done_at))
            step = [each.place, each.step.id, each.step.kind, each.step.title_in(reader.language)]
            yield [*about, *step, each.state(at), *times]
