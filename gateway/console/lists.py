"""Lists of people and lifecycles, on pages and as files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from gateway.access import Access
from gateway.console.shell import Shell, visit_of
from gateway.console.spreadsheets import csv_file
from lifecycles.participants import Programs
from lifecycles.registry import LIFECYCLES
from rules.kinds import KINDS
from staff.accounts.directory import StaffMember
from staff.accounts.scope import Scope
from staff.batches.batch_states import MOST
from staff.formatting import local_iso
from staff.lists.lifecycle_lists import (
    MOST_IN_A_FILE,
    ListedLifecycle,
    ListFilter,
    lifecycle_page,
    states_of,
)
from staff.lists.people_list import SPECIAL, PeopleFilter, PersonEntry, people_page

LONGEST_SEARCH: Final = 100
LONGEST_CURSOR: Final = 2000

GROUPS: Final = ("~open", "~closed")
"""States by group, before the single ones."""

OWN_LISTS: Final = frozenset({"cohort"})
"""Kinds whose lists are pages of their own: no list of pairs and persons shows what matters of them."""

_KindPage = Callable[[str, Request], Awaitable[Response]]


class ListPages:
    """The lists."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes = self._shell.router(Access.STAFF)
        routes.get("/staff/people")(self.people)
        routes.get("/staff/people.csv")(self.people_file)
        for kind in LIFECYCLES.keys() - OWN_LISTS:
            routes.get(f"/staff/{kind}s", name=f"list of {kind}s")(self._of(kind, self._list))
            routes.get(f"/staff/{kind}s.csv", name=f"file of {kind}s")(self._of(kind, self._file))
        return [routes]

    async def people(self, request: Request) -> Response:
        """Show people, a page at a time."""
        scope, chosen = Scope(visit_of(request).member), self._people_filter(request)
        async with self._shell.database.reading() as session:
            page = await people_page(session, scope, chosen, query_of(request, "after", LONGEST_CURSOR))
        values = {
            "chosen": chosen,
            "special": SPECIAL,
            "page": page,
            "programs": sorted(self._shell.services.programs),
            **_addresses(request, page.following),
        }
        return self._shell.respond(request, "people.html", values)

    async def people_file(self, request: Request) -> Response:
        """Return people as a file."""
        visit, chosen = visit_of(request), self._people_filter(request)
        async with self._shell.database.reading() as session:
            page = await people_page(session, Scope(visit.member), chosen, limit=MOST_IN_A_FILE)
        rows = (_person_row(entry, visit.member.zone) for entry in page.entries)
        return csv_file("people", _PERSON, rows)

    async def _list(self, kind: str, request: Request) -> Response:
        scope, chosen = Scope(visit_of(request).member), self._filter(request, kind)
        async with self._shell.database.reading() as session:
            cursor = query_of(request, "after", LONGEST_CURSOR)
            offers = KINDS[kind].staff_acts if scope.member.may_act else ()
            page = await lifecycle_page(session, scope, kind, chosen, cursor)
        # Of more than a page the preview says how many there are: to count them here would search the list twice.
        is_whole = not cursor and not page.following
        groups = (*GROUPS, "~stalled") if kind == "engagement" else GROUPS
        values = {
            "kind": kind,
            "chosen": chosen,
            "groups": groups,
            "states": states_of(scope, kind),
            "offers": offers,
            "count": len(page.entries) if is_whole else 0,
            "most": MOST,
            "page": page,
            "programs": sorted(self._shell.services.programs),
            **_addresses(request, page.following),
        }
        return self._shell.respond(request, "lifecycles.html", values)

    async def _file(self, kind: str, request: Request) -> Response:
        visit, chosen = visit_of(request), self._filter(request, kind)
        async with self._shell.database.reading() as session:
            scope = Scope(visit.member)
            page = await lifecycle_page(session, scope, kind, chosen, limit=MOST_IN_A_FILE)
        rows = (_lifecycle_row(entry, visit.member.zone) for entry in page.entries)
        return csv_file(f"{kind}s", _LIFECYCLE, rows)

    def _of(self, kind: str, page: _KindPage) -> Callable[[Request], Awaitable[Response]]:
        """Return a route's function for one kind of lifecycle."""

        async def answer(request: Request) -> Response:
            return await page(kind, request)

        return answer

    def _filter(self, request: Request, kind: str) -> ListFilter:
        member, programs = visit_of(request).member, self._shell.services.programs
        return list_filter(request.query_params, member, kind, programs)

    def _people_filter(self, request: Request) -> PeopleFilter:
        special = query_of(request, "show", 20)
        return PeopleFilter(
            special if special in SPECIAL else "",
            self._program(request),
            query_of(request, "search", LONGEST_SEARCH),
        )

    def _program(self, request: Request) -> str:
        program = query_of(request, "program", 64)
        return program if program in self._shell.services.programs else ""


def list_filter(given: Mapping[str, str], member: StaffMember, kind: str, programs: Programs) -> ListFilter:
    """Return the filter of a list from the values of a query or a form; what is unknown counts as empty."""
    state, program = _clean(given, "state", 20), _clean(given, "program", 64)
    known = {"", *GROUPS, "~stalled", *states_of(Scope(member), kind)}
    return ListFilter(
        state if state in known else "",
        program if program in programs else "",
        _clean(given, "search", LONGEST_SEARCH),
    )


def query_of(request: Request, name: str, most: int) -> str:
    """Return a value of the query without control characters, cut to a length."""
    return _clean(request.query_params, name, most)


def _clean(given: Mapping[str, str], name: str, most: int) -> str:
    return "".join(each for each in given.get(name, "") if each.isprintable())[:most].strip()


def _addresses(request: Request, following: str) -> dict[str, str]:
    """Return the addresses of the next page, the first one, and the file: with the same filter."""
    query = [(k, v) for k, v in request.query_params.multi_items() if k not in ("after", "said")]
    path = request.url.path
    return {
        "next_page": f"{path}?{urlencode([*query, ('after', following)])}" if following else "",
        "first_page": f"{path}?{urlencode(query)}" if "after" in request.query_params else "",
        "file": f"{path}.csv?{urlencode(query)}",
    }


_PERSON: Final = (
    *("name", "email", "member", "standing", "profile", "role", "program"),
    *("profile_created", "profile_withdrawn", "open_engagements", "mentees_at_a_time"),
)
_LIFECYCLE: Final = (
    *("id", "state", "since", "closed", "next", "program"),
    *("mentee_or_person", "mentor_or_signer", "certification"),
)


def _person_row(entry: PersonEntry, zone: str) -> list[object]:
    return [
        entry.name,
        entry.email,
        entry.member,
        entry.standing,
        entry.profile,
        entry.role,
        entry.program,
        local_iso(entry.since, zone),
        local_iso(entry.withdrawn, zone),
        entry.running,
        entry.places,
    ]


def _lifecycle_row(entry: ListedLifecycle, zone: str) -> list[object]:
    names = [*(party.name for party in entry.parties), "", ""]
    times = (entry.since, entry.closed, entry.next_at)
    return [
        entry.workflow,
        entry.state,
        *(local_iso(at, zone) for at in times),
        entry.program,
        *names[:2],
        entry.certification,
    ]
