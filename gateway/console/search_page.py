"""The search of the whole console, which stands on every page."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from gateway.access import Access
from gateway.console.lists import LONGEST_SEARCH, query_of
from gateway.console.shell import Shell, visit_of
from staff.accounts.scope import Scope
from staff.lists.search import find


class SearchPages:
    """The page of what is found."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def routes(self) -> list[APIRouter]:
        """Return the routes."""
        routes = self._shell.router(Access.STAFF)
        routes.get("/staff/search")(self.search)
        return [routes]

    async def search(self, request: Request) -> Response:
        """Show the people and lifecycles that match, of those that the reader sees."""
        words = query_of(request, "q", LONGEST_SEARCH)
        found = None
        if words:
            async with self._shell.database.reading() as session:
                found = await find(session, Scope(visit_of(request).member), words)
        return self._shell.respond(request, "search.html", {"q": words, "found": found})
