"""Acts on a lifecycle: previewed first, and bound to the preview (STA1, STA3).

The form carries a digest of who acts, the target, its facts and what the preview showed. If anything of it differs when
the form is sent, nothing happens, and the page says what changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from fastapi import APIRouter, Request, Response

from gateway.access import Access
from gateway.console.acts.binding import digest_of, is_bound, meanwhile
from gateway.console.shell import Shell, StaffVisit, form_of, go_back, safe_back, visit_of
from gateway.links.page import form_text
from lifecycles.registry import find_lifecycle
from rules.engagement.confidentiality import SUSPENDED
from rules.kinds import KINDS, TARGET
from staff.accounts.scope import Scope
from staff.act_forms import (
    ActForm,
    acting_alone,
    bound_to,
    choices_of,
    numbers_of,
    read_act,
    with_reason,
)
from staff.acts import ActRefused, ActResult, StaffAct, UnknownLifecycle, execute_act, preview_act
from staff.acts import InvalidAct as WrongAct
from staff.people import People
from staff.views.history import last_record
from staff.views.lifecycles import parties_of
from staff.views.read_model import HistoryItem

log = structlog.get_logger()

LONGEST_REASON: Final = 1000


@dataclass(frozen=True, slots=True)
class _Order:
    """An act as it was asked for."""

    form: ActForm
    origin: str
    """The page of the console that led here, to go back to."""
    people: tuple[str, ...]
    """The names of who takes part."""

    @property
    def act(self) -> StaffAct:
        """The act."""
        return self.form.act

    @property
    def given(self) -> Mapping[str, str]:
        """The fields that decide what the preview shows, as they were typed."""
        return self.form.given

    @property
    def wrong(self) -> str:
        """The key of what is wrong or missing in them; empty if nothing is."""
        return self.form.wrong


@dataclass(frozen=True, slots=True)
class _Seen:
    """A preview, and what it is bound to."""

    result: ActResult
    digest: str
    record: int
    """The number of the last audit record."""


class ActPages:
    """The pages of acts."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes = self._shell.router(Access.ACTING)
        routes.get("/staff/act/{act}")(self.show)
        routes.post("/staff/act/{act}")(self.do)
        return [routes]

    async def show(self, request: Request, act: str) -> Response:
        """Show what an act would change. Nothing is changed."""
        order = await self._order(request, act, dict(request.query_params))
        if order.wrong:
            given = bool(order.given)
            return self._page(request, order, None, errors=[order.wrong] if given else [])
        try:
            seen = await self._preview(visit_of(request), order.act)
        except (ActRefused, WrongAct) as refused:
            return self._page(request, order, None, refused=str(refused), status=409)
        return self._page(request, order, seen)

    async def do(self, request: Request, act: str) -> Response:
        """Do the act, if all is as it was when it was previewed."""
        form = await form_of(request)
        given = {name: value for name, value in form.items() if isinstance(value, str)}
        order = await self._order(request, act, given)
        reason = form_text(form, "reason")[:LONGEST_REASON]
        if order.wrong:
            return self._page(request, order, None, errors=[order.wrong], status=422)
        visit = visit_of(request)
        async with acting_alone(self._shell.database, order.act.target):
            try:
                seen = await self._preview(visit, order.act)
                if not is_bound(seen.digest, form_text(form, "digest")):
                    since = await meanwhile(self._shell, visit, order.act.target, form_text(form, "record"))
                    return self._page(request, order, seen, reason=reason, since=since, status=409)
                if act != "end" and not reason:
                    return self._page(request, order, seen, errors=["reason"], status=422)
                return await self._done(order, reason)
            except (ActRefused, WrongAct, UnknownLifecycle) as refused:
                return self._page(request, order, None, refused=str(refused), status=409)

    async def _done(self, order: _Order, reason: str) -> Response:
        client = self._shell.services.temporal
        if client is None:
            raise ActRefused("there is no Temporal service here: nothing can be done")
        services = self._shell.services
        act = with_reason(order.act, reason)
        await execute_act(services.database, client, services.programs, act)
        log.info("staff_act_done", act=act.name, target=act.target)
        return go_back(order.origin, "acted")

    async def _order(self, request: Request, act: str, given: Mapping[str, str]) -> _Order:
        """Read an act. Raises ConsoleAnswer where it is none, or about nothing that the person sees."""
        visit, target = visit_of(request), str(given.get("target", ""))[:200]
        kind = KINDS.get(target.partition("/")[0])
        if kind is None or act not in kind.staff_acts or not TARGET.fullmatch(target):
            raise self._shell.nothing(request)
        async with self._shell.database.reading() as session:
            if not await Scope(visit.member).sees(session, target):
                raise self._shell.nothing(request)
            row = await find_lifecycle(session, target)
            profiles = parties_of(row).values() if row else ()
            people = await People.of(session, profiles, self._shell.services.programs)
        if row is None or (row.state == SUSPENDED and not visit.member.is_manager):
            # After a report of misconduct only managers decide what follows (ENG8).
            raise self._shell.nothing(request)
        made = StaffAct(act, target, "", visit.member.actor)
        names = tuple(people.name(profile) for profile in profiles)
        origin = safe_back(str(given.get("back", "")), f"/staff/show/{target}")
        return _Order(read_act(made, given), origin, names)

    async def _preview(self, visit: StaffVisit, act: StaffAct) -> _Seen:
        """Return what an act would change now. Raises ActRefused, InvalidAct."""
        services = self._shell.services
        async with services.database.reading() as session:
            record = await last_record(session)
        result = await preview_act(services.database, services.programs, act, visit.at)
        async with services.database.reading() as session:
            row = await find_lifecycle(session, act.target)
        if row is None:
            raise ActRefused(f"there is no {act.target}")
        digest = digest_of(self._shell, visit, "console act", bound_to(act, row, result))
        return _Seen(result, digest, record)

    # long: what a page of an act shows in each of its states
    def _page(
        self,
        request: Request,
        order: _Order,
        seen: _Seen | None,
        *,
        errors: list[str] | None = None,
        refused: str = "",
        reason: str = "",
        since: list[HistoryItem] | None = None,
        status: int = 200,
    ) -> Response:
        values = {
            "act": order.act,
            "people": order.people,
            "origin": order.origin,
            "given": order.given,
            "choices": choices_of(order.act.name, order.act.target.partition("/")[0]),
            "result": seen.result if seen else None,
            "seen": seen,
            "numbers": numbers_of(seen.result) if seen else {},
            "errors": errors or [],
            "refused": refused,
            "reason": reason,
            "meanwhile": since,
        }
        return self._shell.respond(request, "act.html", values, status)
