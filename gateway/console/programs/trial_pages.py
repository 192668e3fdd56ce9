"""The trial of a program: its guests, the checklist, and the button with which it goes live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.access import Access
from gateway.console.programs.rules_page import PATH, chosen_program
from gateway.console.shell import Shell, StaffVisit, form_of, go_back, visit_of
from gateway.links.page import form_text
from rules.program import Program
from staff.program_trial import TrialRefused, TrialView, add_guest, go_live, remove_guest, trial_view

TRIAL: Final = f"{PATH}/trial"
LONGEST_REASON: Final = 1000
ACTS: Final = ("add", "remove", "go-live")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a form asks for."""

    act: str
    address: str
    reason: str
    although: str
    """The points of the checklist that are open and may be."""


class TrialPages:
    """The page of a program's trial."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        reading, setting = self._shell.router(Access.MANAGER), self._shell.router(Access.SETTING)
        reading.get(TRIAL)(self.show)
        setting.post(TRIAL)(self.change)
        return [reading, setting]

    async def show(self, request: Request) -> Response:
        """Show whether a program is in trial, and what of the checklist is open."""
        return await self._page(request, chosen_program(self._shell, request))

    async def change(self, request: Request) -> Response:
        """Add or remove a guest, or go live, on record."""
        form, program = await form_of(request), chosen_program(self._shell, request)
        asked = _Asked(
            form_text(form, "act"),
            form_text(form, "address"),
            form_text(form, "reason")[:LONGEST_REASON],
            form_text(form, "although"),
        )
        if asked.act not in ACTS:
            raise self._shell.nothing(request)
        if not asked.reason:
            return await self._page(request, program, "reason", 422)
        try:
            async with self._shell.database.begin() as session:
                await self._do(session, program, asked, visit_of(request))
        except TrialRefused as refused:
            return await self._page(request, program, "refused", 409, str(refused))
        except _OpenPoints:
            return await self._page(request, program, "although", 422)
        log.info("program_trial_changed", program=program.id, act=asked.act)
        return go_back(f"{TRIAL}?program={program.id}", "went_live" if asked.act == "go-live" else "acted")

    async def _do(self, session: AsyncSession, program: Program, asked: _Asked, visit: StaffVisit) -> None:
        actor, at = visit.member.actor, visit.at
        if asked.act == "add":
            await add_guest(session, program, asked.address, actor, asked.reason, at)
        elif asked.act == "remove":
            await remove_guest(session, program, asked.address, actor, asked.reason, at)
        else:
            view = await self._view(session, program)
            # The tick names the points that the page showed: others have opened since.
            if view.open_points and asked.although != ",".join(view.open_points):
                raise _OpenPoints
            await go_live(session, view, program, actor, asked.reason, at)

    async def _page(
        self, request: Request, program: Program, error: str = "", status: int = 200, said: str = ""
    ) -> Response:
        async with self._shell.database.reading() as session:
            view = await self._view(session, program)
        values = {
            "program": program,
            "trial": view,
            "errors": [error] if error else [],
            "refused": said,
            "trial_path": TRIAL,
        }
        return self._shell.respond(request, "program_trial.html", values, status)

    async def _view(self, session: AsyncSession, program: Program) -> TrialView:
        samples = self._shell.services.samples
        channel = samples.channel if samples else None
        return await trial_view(session, program, channel.settings if channel else None)


class _OpenPoints(Exception):
    """Points of the checklist are open that the form does not name."""
