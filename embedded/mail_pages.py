"""Pages that show the caught mail in `demo` and `up`, without scripts.

They answer on this machine only: a page of another site can neither read them nor submit their forms.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from babel.dates import get_timezone_location
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException

from embedded.mailbox import Mail, Mailbox
from gateway.access import Access, declared

PAGE_OF_MAILS = 50
_CITIES = {("America/Bogota", "en"): "Bogotá", ("America/Argentina/Buenos_Aires", "en"): "Buenos Aires"}
_HEAD = re.compile(r"<head[^>]*>", re.IGNORECASE)
_MAIL_HEADERS = {
    # A mail runs no script, loads nothing, and reaches no page around it; its links open in a new tab.
    "Content-Security-Policy": (
        "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
        "img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class PageRenderer:
    """Renders the templates of these pages, with their security headers."""

    def __init__(self, templates: Path) -> None:
        folder = templates / "pages" / "demo"
        style = (folder / "style.css").read_text("utf-8")
        self._environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["style"] = Markup(style)
        self._environment.filters |= {"moment": moment, "iso": datetime.isoformat, "city": city}
        fingerprint = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self._headers = {
            "Content-Security-Policy": (
                f"default-src 'none'; style-src 'sha256-{fingerprint}'; img-src data:; frame-src 'self'; "
                "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
            ),
            "Referrer-Policy": "same-origin",
            "Cache-Control": "no-store",
        }

    def respond(self, template: str, values: Mapping[str, object], status: int = 200) -> HTMLResponse:
        """Return a page as a response."""
        page = self._environment.get_template(template).render(**values)
        return HTMLResponse(page, status, self._headers)


def moment(at: datetime, zone: str) -> str:
    """Return an instant in a zone's local time: `Mon 30 Nov 2026, 09:00`."""
    local = at.astimezone(ZoneInfo(zone))
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M}"


def city(zone: str, language: str = "en") -> str:
    """Return the city of a zone in a language: Bogotá for `America/Bogota`."""
    known = _CITIES.get((zone, language))
    return known or get_timezone_location(ZoneInfo(zone), locale=language, return_city=True)


async def require_loopback(request: Request) -> None:
    """Refuse requests from pages of other sites, and host names that only resolve to this machine (DNS rebinding)."""
    if request.url.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise HTTPException(421, "this page answers on this machine only")
    if (
        request.headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
        and request.method != "GET"
    ):
        raise HTTPException(403, "this came from a page of another site")


ON_THIS_MACHINE: Final = (Depends(require_loopback), declared(Access.THIS_MACHINE))
"""The dependencies of all these pages."""


def mail_routes(
    mailbox: Mailbox, look: PageRenderer, zone: str, *, title: str, home: Callable[[], str] | None = None
) -> APIRouter:
    """Return the routes `/inbox` and `/mail/…`. Times are local to `zone`; `home` returns the page to go back to."""
    pages = _MailPages(mailbox, look, lambda: {"title": title, "zone": zone, "home": home and home()})
    routes = APIRouter(dependencies=ON_THIS_MACHINE, include_in_schema=False)
    routes.get("/inbox")(pages.inbox)
    routes.get("/mail/{number}")(pages.show)
    routes.get("/mail/{number}/html")(pages.html)
    routes.get("/mail/{number}/source")(pages.source)
    routes.get("/mail/{number}/file/{place}")(pages.file)
    return routes


class _MailPages:
    """The pages of a mailbox. `common` returns the values that every page needs."""

    def __init__(
        self, mailbox: Mailbox, look: PageRenderer, common: Callable[[], Mapping[str, object]]
    ) -> None:
        self._mailbox = mailbox
        self._look = look
        self._common = common

    async def inbox(self, before: int | None = None) -> Response:
        """Show all mail, the newest first, a page at a time."""
        mails = self._mailbox.newest(PAGE_OF_MAILS, before)
        more = mails[-1].number if mails and self._mailbox.newest(1, mails[-1].number) else None
        return self._page("inbox.html", mails=mails, more=more, count=len(self._mailbox))

    async def show(self, number: int) -> Response:
        """Show a mail: its HTML in a frame, and its text."""
        mail = self._found(number)
        newer, older = self._mailbox.get(number + 1), self._mailbox.get(number - 1)
        return self._page("mail.html", mail=mail, newer=newer, older=older)

    async def html(self, number: int) -> Response:
        """Return the HTML of a mail as it was sent, but for links that open in a new tab."""
        text = self._found(number).html_with_images
        head = _HEAD.search(text)
        at = head.end() if head else 0
        return HTMLResponse(f'{text[:at]}<base target="_blank">{text[at:]}', headers=_MAIL_HEADERS)

    async def source(self, number: int) -> Response:
        """Return a mail byte for byte, headers and all."""
        return PlainTextResponse(
            self._found(number).content.decode("utf-8", "replace"),
            headers={"Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "no-store"},
        )

    async def file(self, number: int, place: int) -> Response:
        """Return an attachment, the first is 1: a PDF to read, anything else to save."""
        files = self._found(number).files
        if not 1 <= place <= len(files):
            raise HTTPException(404, "there is no such attachment")
        attached = files[place - 1]
        is_pdf = attached.content_type == "application/pdf"
        how = "inline" if is_pdf else "attachment"
        headers = {
            "Content-Disposition": f"{how}; filename*=UTF-8''{quote(attached.name, safe='')}",
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'",
            "Cache-Control": "no-store",
        }
        media = "application/pdf" if is_pdf else "application/octet-stream"
        return Response(attached.content, media_type=media, headers=headers)

    def _page(self, template: str, **values: object) -> Response:
        return self._look.respond(template, {**self._common(), **values})

    def _found(self, number: int) -> Mail:
        mail = self._mailbox.get(number)
        if mail is None:
            raise HTTPException(404, "there is no such mail")
        return mail
