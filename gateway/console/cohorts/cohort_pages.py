"""Cohorts in the console: the window, the sign-ups, the proposed pairs, and who is without one (COH1–COH3).

The page of a cohort is the preview of its confirmation. The form carries a digest of the proposal that the page showed;
if pairs or marks have changed by then, nothing happens, and the page says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

import structlog
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.access import Access
from gateway.console.acts.binding import digest_of, is_bound, meanwhile
from gateway.console.lists import query_of
from gateway.console.shell import Shell, StaffVisit, form_of, go_back, visit_of
from gateway.console.spreadsheets import csv_file
from gateway.links.page import form_text
from lifecycles.cohorts.pair_marks import StaffDecision
from staff.accounts.scope import Scope
from staff.acts import ActRefused
from staff.cohorts import (
    CohortPairView,
    CohortRefused,
    CohortView,
    ReportedPair,
    UnpairedView,
    cohort_list,
    cohort_view,
    confirm_cohort,
    decide_pair,
    pair_again,
    report_of,
)
from staff.views import NotFound
from staff.views.history import last_record

log = structlog.get_logger()

PATH: Final = "/staff/cohorts"
ACTS: Final = ("lock", "forbid", "free", "exchange")
LONGEST_REASON: Final = 1000
ROWS: Final = 100
"""Pairs on a page, and people without one."""

STEERED: Final = ("review", "confirmed", "running")
"""The states in which staff may run the pairing again, once there is a proposal."""

_PAIR: Final = (
    *("mentee", "mentee_name", "mentor", "mentor_name", "state", "mark", "fit", "why", "engagement"),
)
_REPORTED: Final = (
    *("mentee", "mentee_name", "mentor", "mentor_name", "state", "started", "ended", "end_reason"),
    *("surveys", "certificates", "claims"),
)


class CohortPages:
    """The list of cohorts, and the page of one."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        reading, acting = self._shell.router(Access.STAFF), self._shell.router(Access.ACTING)
        reading.get(PATH)(self.list)
        reading.get(f"{PATH}/{{cohort}}")(self.show)
        reading.get(f"{PATH}/{{cohort}}/pairs.csv")(self.save_pairs)
        reading.get(f"{PATH}/{{cohort}}/report.csv")(self.save_report)
        acting.post(f"{PATH}/{{cohort}}/pairs")(self.decide)
        acting.post(f"{PATH}/{{cohort}}/proposal")(self.propose)
        acting.post(f"{PATH}/{{cohort}}/confirmation")(self.confirm)
        return [reading, acting]

    async def list(self, request: Request) -> Response:
        """Show the cohorts that the person sees, the latest window first."""
        scope = Scope(visit_of(request).member)
        async with self._shell.database.reading() as session:
            found = await cohort_list(session, self._shell.services.programs)
            seen = [each for each in found if await scope.sees(session, f"cohort/{each.cohort}")]
        return self._shell.respond(request, "cohorts.html", {"cohorts": seen})

    async def show(self, request: Request, cohort: str) -> Response:
        """Show a cohort: its days, its pairs with the lowest fit first, and who is without one."""
        return await self._page(request, cohort)

    async def save_pairs(self, request: Request, cohort: str) -> Response:
        """Return the pairs, and those without one, as a file."""
        view = await self._view(request, cohort)
        rows = [[getattr(pair, name) for name in _PAIR] for pair in view.pairs]
        rows += [_unpaired_row(each) for each in view.unpaired]
        return csv_file(f"pairs-{view.summary.cohort}", _PAIR, rows)

    async def save_report(self, request: Request, cohort: str) -> Response:
        """Return what became of the pairs as a file."""
        view, visit = await self._view(request, cohort), visit_of(request)
        async with self._shell.database.reading() as session:
            report = await report_of(
                session, view.summary.cohort, self._shell.services.programs, visit.member.language
            )
        seen = {(pair.mentee, pair.mentor) for pair in view.pairs}
        rows = [_report_row(each) for each in report.pairs if (each.pair.mentee, each.pair.mentor) in seen]
        return csv_file(f"report-{view.summary.cohort}", _REPORTED, rows)

    async def decide(self, request: Request, cohort: str) -> Response:
        """Lock, forbid or free two people, or give a mentee another mentor, on record."""
        view, visit, form = await self._view(request, cohort), visit_of(request), await form_of(request)
        act, reason = form_text(form, "act"), form_text(form, "reason")[:LONGEST_REASON]
        if act not in ACTS:
            raise self._shell.nothing(request)
        if not reason:
            return await self._page(request, cohort, "reason", 422)
        decision = StaffDecision(
            form_text(form, "mentee"),
            form_text(form, "mentor"),
            visit.member.actor,
            reason,
            form_text(form, "id")[:64] or f"console {uuid4()}",
        )
        services = self._shell.services
        async with services.database.reading() as session:
            for profile in decision.key:
                if not await Scope(visit.member).sees(session, f"profile/{profile}"):
                    return await self._page(request, cohort, "unknown", 422)
        try:
            await decide_pair(
                services.database, services.programs, view.summary.cohort, act, decision, visit.at
            )
        except CohortRefused as refused:
            return await self._page(request, cohort, "refused", 409, str(refused))
        log.info("cohort_pair_decided", cohort=view.summary.cohort, act=act)
        return go_back(f"{PATH}/{view.summary.cohort}", "acted")

    async def propose(self, request: Request, cohort: str) -> Response:
        """Ask for another proposal. A worker makes it."""
        view, visit, form = await self._view(request, cohort), visit_of(request), await form_of(request)
        reason = form_text(form, "reason")[:LONGEST_REASON]
        if not reason:
            return await self._page(request, cohort, "reason", 422)
        services = self._shell.services
        if services.temporal is None:
            return await self._page(request, cohort, "away", 503)
        try:
            await pair_again(
                services.temporal, services.database, view.summary.cohort, visit.member.actor, reason
            )
        except ActRefused as refused:
            return await self._page(request, cohort, "refused", 409, str(refused))
        return go_back(f"{PATH}/{view.summary.cohort}", "pairing")

    async def confirm(self, request: Request, cohort: str) -> Response:
        """Confirm the pairs that the page showed: everybody is mailed."""
        view, visit, form = await self._view(request, cohort), visit_of(request), await form_of(request)
        reason = form_text(form, "reason")[:LONGEST_REASON]
        if not reason:
            return await self._page(request, cohort, "reason", 422)
        if not is_bound(self._digest(visit, view), form_text(form, "digest")):
            workflow = f"cohort/{view.summary.cohort}"
            since = await meanwhile(self._shell, visit, workflow, form_text(form, "record"))
            return await self._page(request, cohort, "changed", 409, more={"meanwhile": since})
        services = self._shell.services
        if services.temporal is None:
            return await self._page(request, cohort, "away", 503)
        try:
            await confirm_cohort(
                services.temporal, services.database, view.summary.cohort, visit.member.actor, reason
            )
        except ActRefused as refused:
            return await self._page(request, cohort, "refused", 409, str(refused))
        log.info("cohort_confirmed", cohort=view.summary.cohort)
        return go_back(f"{PATH}/{view.summary.cohort}", "acted")

    async def _view(self, request: Request, cohort: str) -> CohortView:
        """Read a cohort, as far as the person sees it. Raises ConsoleAnswer where there is none."""
        visit = visit_of(request)
        async with self._shell.database.reading() as session:
            try:
                if not await Scope(visit.member).sees(session, f"cohort/{cohort[:64]}"):
                    raise self._shell.nothing(request)
                programs = self._shell.services.programs
                view = await cohort_view(session, cohort[:64], programs, visit.member.language)
            except NotFound:
                raise self._shell.nothing(request) from None
            return await _seen(session, visit, view)

    # long: what went wrong, and what the page says of it
    async def _page(
        self,
        request: Request,
        cohort: str,
        error: str = "",
        status: int = 200,
        refused: str = "",
        more: Mapping[str, Any] | None = None,
    ) -> Response:
        view, visit = await self._view(request, cohort), visit_of(request)
        async with self._shell.database.reading() as session:
            record = await last_record(session)
            report = None
            if view.summary.state in ("running", "closed"):
                report = await report_of(session, view.summary.cohort, self._shell.services.programs)
        find = query_of(request, "find", 100).casefold()
        pairs = [each for each in view.pairs if _is_found(find, each.mentee_name, each.mentor_name)]
        unpaired = [each for each in view.unpaired if _is_found(find, each.name)]
        page = max(1, int(text) if (text := query_of(request, "page", 4)).isdecimal() else 1)
        values = {
            "view": view,
            "summary": view.summary,
            "pairs": _part(pairs, page),
            "unpaired": _part(unpaired, page),
            "choices": _choices(_part(pairs, page), _part(unpaired, page)),
            "counts": (len(pairs), len(unpaired)),
            "find": query_of(request, "find", 100),
            "page_number": page,
            "has_more": max(len(pairs), len(unpaired)) > page * ROWS,
            "figures": report.figures if report else {},
            "may_steer": visit.member.may_act and view.proposal > 0 and view.summary.state in STEERED,
            "digest": self._digest(visit, view),
            "record": record,
            "form_id": f"console {uuid4()}",
            "error": error,
            "refused": refused,
            "meanwhile": None,
            **(more or {}),
        }
        return self._shell.respond(request, "cohort.html", values, status)

    def _digest(self, visit: StaffVisit, view: CohortView) -> str:
        pairs = [[each.mentee, each.mentor, each.state, each.mark, each.fit] for each in view.pairs]
        without = [each.profile for each in view.unpaired]
        shown = [view.summary.cohort, view.summary.state, view.proposal, pairs, without]
        return digest_of(self._shell, visit, "console cohort", shown)


async def _seen(session: AsyncSession, visit: StaffVisit, view: CohortView) -> CohortView:
    """Return a cohort without the people whom the person does not see."""
    if visit.member.sees_all:
        return view
    ids = set(await session.scalars(Scope(visit.member).profiles()))
    return replace(
        view,
        pairs=tuple(each for each in view.pairs if each.mentee in ids and each.mentor in ids),
        unpaired=tuple(each for each in view.unpaired if each.profile in ids),
    )


def _is_found(find: str, *names: str) -> bool:
    return any(find in name.casefold() for name in names)


def _part(rows: Sequence[Any], page: int) -> Sequence[Any]:
    return rows[(page - 1) * ROWS : page * ROWS]


def _choices(
    pairs: Sequence[CohortPairView], unpaired: Sequence[UnpairedView]
) -> dict[str, list[tuple[str, str]]]:
    """Return id and name of the people on the page, by role: what a field for an id suggests."""
    found: dict[str, set[tuple[str, str]]] = {"mentee": set(), "mentor": set()}
    for pair in pairs:
        found["mentee"].add((pair.mentee, pair.mentee_name))
        found["mentor"].add((pair.mentor, pair.mentor_name))
    for each in unpaired:
        found[each.role].add((each.profile, each.name))
    return {role: sorted(people, key=lambda person: person[1]) for role, people in found.items()}


def _unpaired_row(each: UnpairedView) -> list[object]:
    own, none = [each.profile, each.name], ["", ""]
    sides = [*none, *own] if each.role == "mentor" else [*own, *none]
    return [*sides, "unpaired", "", None, each.why, ""]


def _report_row(each: ReportedPair) -> list[object]:
    pair: CohortPairView = each.pair
    return [
        *(pair.mentee, pair.mentee_name, pair.mentor, pair.mentor_name, each.state),
        *(str(at.date()) if at else "" for at in (each.started, each.ended)),
        *(each.end_reason, each.surveys, each.certificates, each.claims),
    ]
