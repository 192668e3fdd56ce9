"""Every message of the next days, by day and person, with the rule that makes it due (MAIL1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from itertools import groupby
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.access import Access
from gateway.console.lists import LONGEST_SEARCH, query_of
from gateway.console.mail.order_pages import offering
from gateway.console.shell import Shell, StaffVisit, visit_of
from gateway.console.spreadsheets import csv_file
from lifecycles.registry import LIFECYCLES, find_lifecycles
from rules.calendar import instant_in
from staff.accounts.scope import Scope
from staff.ahead import AheadFilter, AheadMessage, PageEnd, ahead, count_by_day
from staff.formatting import local_iso
from staff.lists.lifecycle_lists import MOST_IN_A_FILE

MESSAGES_A_PAGE: Final = 50
DAYS: Final = (7, 14, 30)
LATE: Final = "late"
MESSAGES_A_READ: Final = 1000
"""Messages that a file is read by."""

_COLUMNS: Final = (
    *("due", "due_for_the_person", "zone", "name", "member", "message", "number", "rule"),
    *("belongs_to", "program", "state", "order", "why"),
)


@dataclass(frozen=True, slots=True)
class PersonAhead:
    """What one person gets on a day."""

    member: str | None
    name: str
    """The name with the profile."""
    messages: tuple[AheadMessage, ...]


@dataclass(frozen=True, slots=True)
class DayAhead:
    """A day on the clock of who looks, and what is due on it."""

    at: datetime
    people: tuple[PersonAhead, ...]


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What was asked for."""

    days: int
    day: date | None
    late: bool
    kind: str
    search: str
    program: str


class AheadPages:
    """The page of what goes out next."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes = self._shell.router(Access.STAFF)
        routes.get("/staff/ahead")(self.show)
        routes.get("/staff/ahead.csv")(self.save)
        return [routes]

    async def show(self, request: Request) -> Response:
        """Show the messages to come, a page at a time."""
        visit, programs = visit_of(request), self._shell.services.programs
        chosen = _chosen(request, programs)
        whole = _filter(visit, chosen)
        wanted = replace(
            _narrowed(visit, whole, chosen),
            after=_place(query_of(request, "after", 100)),
            limit=MESSAGES_A_PAGE,
        )
        async with self._shell.database.reading() as session:
            page = await ahead(session, wanted, programs)
            counts = await count_by_day(session, whole, visit.member.zone)
            late = await count_by_day(session, replace(whole, until=visit.at), visit.member.zone)
            states = await _states(session, visit, page.messages)
        today = visit.at.astimezone(ZoneInfo(visit.member.zone)).date()
        values = {
            "days": _by_day(page.messages, visit.member.zone),
            "counts": [(day, _noon(visit, day), count) for day, count in counts.items() if day >= today],
            "total": sum(counts.values()),
            "late": sum(late.values()),
            "chosen": chosen,
            "spans": DAYS,
            "kinds": tuple(LIFECYCLES),
            "programs": sorted(programs),
            "orders": offering(visit, states),
            "now": visit.at,
            **_addresses(request, page.next),
        }
        return self._shell.respond(request, "ahead.html", values)

    async def save(self, request: Request) -> Response:
        """Return the messages to come as a file: those of the page's filter, on all its pages."""
        visit, programs = visit_of(request), self._shell.services.programs
        chosen = _chosen(request, programs)
        wanted = replace(_narrowed(visit, _filter(visit, chosen), chosen), limit=MESSAGES_A_READ)
        found: list[AheadMessage] = []
        async with self._shell.database.reading() as session:
            while len(found) < MOST_IN_A_FILE:
                page = await ahead(session, wanted, programs)
                found += page.messages
                if page.next is None:
                    break
                wanted = replace(wanted, after=page.next)
        return csv_file("ahead", _COLUMNS, (_row(each, visit.member.zone) for each in found))


def _row(message: AheadMessage, zone: str) -> list[object]:
    mail = message.view
    return [
        local_iso(mail.due, zone),
        local_iso(mail.due, mail.zone),
        mail.zone,
        message.recipient,
        message.member,
        mail.message,
        mail.number,
        mail.rule,
        mail.workflow,
        mail.program,
        mail.state,
        mail.order,
        mail.why,
    ]


def _chosen(request: Request, programs: Any) -> _Chosen:
    days, day = query_of(request, "days", 4), query_of(request, "day", 10)
    kind, program = query_of(request, "kind", 20), query_of(request, "program", 64)
    return _Chosen(
        days=int(days) if days in map(str, DAYS) else DAYS[0],
        day=_date(day),
        late=day == LATE,
        kind=kind if kind in LIFECYCLES else "",
        search=query_of(request, "search", LONGEST_SEARCH),
        program=program if program in programs else "",
    )


def _filter(visit: StaffVisit, chosen: _Chosen) -> AheadFilter:
    """Return the filter of all days that were asked for."""
    zone = visit.member.zone
    today = visit.at.astimezone(ZoneInfo(zone)).date()
    return AheadFilter(
        until=instant_in(zone, today + timedelta(days=chosen.days), time(0)),
        program=chosen.program,
        kind=chosen.kind,
        search=chosen.search,
        scope=Scope(visit.member),
    )


def _narrowed(visit: StaffVisit, whole: AheadFilter, chosen: _Chosen) -> AheadFilter:
    """Return the filter of the chosen day, or of what is late."""
    if chosen.late:
        return replace(whole, until=visit.at)
    if chosen.day is None:
        return whole
    zone = visit.member.zone
    since = instant_in(zone, chosen.day, time(0))
    return replace(whole, since=since, until=instant_in(zone, chosen.day + timedelta(days=1), time(0)))


def _by_day(messages: Sequence[AheadMessage], zone: str) -> list[DayAhead]:
    """Return messages by their day, and within it by person, in the order of their first message."""
    dated = [(each.view.due, each) for each in messages if each.view.due is not None]
    found = []
    for _, of_day in groupby(dated, key=lambda pair: pair[0].astimezone(ZoneInfo(zone)).date()):
        rows = list(of_day)
        people: dict[tuple[str | None, str], list[AheadMessage]] = {}
        for _, each in rows:
            people.setdefault((each.member, each.recipient), []).append(each)
        found.append(DayAhead(rows[0][0], tuple(PersonAhead(*who, tuple(of)) for who, of in people.items())))
    return found


async def _states(
    session: AsyncSession, visit: StaffVisit, messages: Sequence[AheadMessage]
) -> dict[str, str]:
    """Return the states of lifecycles that decide what may be ordered: a manager may order in any."""
    if visit.member.is_manager:
        return {}
    rows = await find_lifecycles(session, {each.view.workflow for each in messages})
    return {workflow: row.state for workflow, row in rows.items()}


def _noon(visit: StaffVisit, day: date) -> datetime:
    return instant_in(visit.member.zone, day, time(12))


def _date(text: str) -> date | None:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if _is_sane(found) else None


def _is_sane(day: date) -> bool:
    # The first and the last day that Python knows are in no year of another zone.
    return 2000 <= day.year <= 2200


def _place(cursor: str) -> PageEnd | None:
    due, _, number = cursor.partition("|")
    try:
        at = datetime.fromisoformat(due)
    except ValueError:
        return None
    is_number = number.isascii() and number.isdigit() and len(number) < 16
    return PageEnd(at, int(number)) if at.tzinfo and _is_sane(at.date()) and is_number else None


def _addresses(request: Request, end: PageEnd | None) -> dict[str, str]:
    """Return the addresses of the next page, of the first, of the filter without a day, and of the file."""
    query = [(k, v) for k, v in request.query_params.multi_items() if k not in ("after", "said")]
    path = request.url.path
    after = f"{end.due.isoformat()}|{end.number}" if end and end.due else ""
    whole = urlencode([(k, v) for k, v in query if k != "day"])
    return {
        "next_page": f"{path}?{urlencode([*query, ('after', after)])}" if after else "",
        "first_page": f"{path}?{urlencode(query)}" if "after" in request.query_params else "",
        "whole": f"{path}?{whole}{'&' if whole else ''}",
        "file": f"{path}.csv?{urlencode(query)}",
    }
