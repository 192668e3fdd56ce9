"""The versions of one text of mails, and what changed from one to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import ndiff
from typing import Final

from fastapi import APIRouter, Request, Response

from database.models import TextVersion
from database.text_versions import PARTS, TextUse, file_of, use_of, versions_of
from gateway.access import Access
from gateway.console.lists import query_of
from gateway.console.programs.rules_page import PATH, chosen_program
from gateway.console.shell import Shell
from rules.program import Program

HISTORY: Final = f"{PATH}/text-versions"
MOST_LINES: Final = 4_000


@dataclass(frozen=True, slots=True)
class _Change:
    """How one template of a text differs from the version before."""

    part: str
    lines: tuple[tuple[str, str], ...]
    """Each with `+`, `-` or a space before it."""


class TextHistoryPages:
    """The page of the versions of a text."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes = self._shell.router(Access.STAFF)
        routes.get(HISTORY)(self.show)
        return [routes]

    async def show(self, request: Request) -> Response:
        """Show the versions of a text, which is named by its file or by one of them, and what one changed."""
        program, wanted = chosen_program(self._shell, request), query_of(request, "version", 64)
        async with self._shell.database.reading() as session:
            file = query_of(request, "file", 120) or await file_of(session, program.id, wanted) or ""
            versions = await versions_of(session, program.id, file)
            place = _place(versions, wanted)
            use = (
                await use_of(session, program.id, versions[place].fingerprint) if place is not None else None
            )
        if place is None and (wanted or not file):
            raise self._shell.nothing(request)
        return self._page(request, program, file, versions, place, use)

    # long: a text, its versions, and the one that is shown
    def _page(
        self,
        request: Request,
        program: Program,
        file: str,
        versions: list[TextVersion],
        place: int | None,
        use: TextUse | None,
    ) -> Response:
        shown = None if place is None else versions[place]
        before = versions[place - 1].content if place else {}
        values = {
            "program": program,
            "file": file,
            "versions": list(reversed(versions)),
            "shown": shown,
            "is_first": place == 0,
            "changes": _changes(before, shown.content) if shown else [],
            "use": use,
            "history_path": HISTORY,
        }
        return self._shell.respond(request, "program_text_history.html", values)


def _place(versions: list[TextVersion], wanted: str) -> int | None:
    """Return the place of a version, by default of the newest; None for one that is not there."""
    places = [place for place, each in enumerate(versions) if wanted in ("", each.fingerprint)]
    return places[-1] if places else None


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[_Change]:
    """Return the templates that differ, with their lines."""
    found = []
    for part in PARTS:
        old, new = str(before.get(part, "")), str(after.get(part, ""))
        if old != new:
            compared = ndiff(old.splitlines()[:MOST_LINES], new.splitlines()[:MOST_LINES])
            lines = tuple((each[0], each[2:]) for each in compared if each[0] != "?")
            found.append(_Change(part, lines))
    return found
