"""The page of a program: its rules in words, its versions, and how many lifecycles go on by each (COH5, CPE12)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from database import program_versions
from database.program_trials import trial_of
from database.program_versions import KeptVersion, ProgramVersionRefused, kept_versions
from gateway.access import Access
from gateway.console.shell import Shell, permits, visit_of
from lifecycles.registry import LIFECYCLES
from rules.program import Program, version_label
from staff.program_moves import MOVABLE
from staff.program_words import program_words

PATH = "/staff/program"


class ProgramPages:
    """The page of a program."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes = self._shell.router(Access.STAFF)
        routes.get(PATH)(self.show)
        return [routes]

    async def show(self, request: Request) -> Response:
        """Show a program, of today or as one of its versions has it."""
        visit, program = visit_of(request), chosen_program(self._shell, request)
        asked = request.query_params.get("version", "")[:64]
        async with self._shell.database.reading() as session:
            version, unreadable = await self._version(request, session, program, asked)
            kept = await kept_versions(session, [entry.table for entry in LIFECYCLES.values()])
            trial = await trial_of(session, program.id)
        language = visit.member.language
        values = {
            "program": program,
            "programs": list(self._shell.services.programs.values()),
            "version": version,
            "unreadable": unreadable,
            "version_label": version_label,
            "in_trial": trial is not None and trial.live_at is None,
            "words": program_words(version, language, self._shell.pages.texts(language).has),
            "versions": [each for each in kept if each.program == program.id],
            "kinds": list(LIFECYCLES),
            "has_texts": self._shell.services.samples is not None,
            "can_move": permits(Access.SETTING, visit.member),
            "movable": _movable,
            # How many there are in all is not for those who see only some of them.
            "shows_counts": visit.member.role != "coordinator",
        }
        return self._shell.respond(request, "program.html", values)

    async def _version(
        self, request: Request, session: AsyncSession, program: Program, asked: str
    ) -> tuple[Program, str]:
        """Return the version to show, and why the one that is asked for cannot be shown."""
        if asked in ("", program.fingerprint):
            return program, ""
        try:
            version = await program_versions.read(session, asked)
        except ProgramVersionRefused as refused:
            return program, str(refused)
        if version is None or version.id != program.id:
            raise self._shell.nothing(request)
        return version, ""


def chosen_program(shell: Shell, request: Request) -> Program:
    """Return the program that is asked for, by default the first. Raises ConsoleAnswer for one that is not here."""
    programs = shell.services.programs
    name = request.query_params.get("program", "") or next(iter(programs), "")
    if name not in programs:
        raise shell.nothing(request)
    return programs[name]


def _movable(version: KeptVersion) -> int:
    return sum(version.by_kind.get(kind, 0) for kind in MOVABLE)
