"""The addresses that the console had before `/staff`: mails that went out then lead to them."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from gateway.access import Access, declared
from gateway.console.shell import HOME
from rules.kinds import KINDS

_MOVED: Final = {"people": "show/member", "mail": "mail/sent", **{kind: f"show/{kind}" for kind in KINDS}}
"""Where the page of one thing has moved, by the first part of its old address."""

_RENAMED: Final = {"mail-health": "mail", "mail": "mail/trouble"}


def old_addresses() -> APIRouter:
    """Return the redirects of the old addresses."""
    router = APIRouter(include_in_schema=False, dependencies=[declared(Access.PUBLIC)])
    router.get("/console")(_moved)
    router.get("/console/{rest:path}")(_moved)
    return router


async def _moved(request: Request, rest: str = "") -> Response:
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{HOME}{_place_of(rest)}{query}", 308)


def _place_of(rest: str) -> str:
    kind, _, name = rest.partition("/")
    rest = f"{_MOVED.get(kind, kind)}/{name}" if name else _RENAMED.get(kind, kind)
    return f"/{quote(rest)}" if rest else ""
