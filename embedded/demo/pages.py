"""The pages of the demo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from embedded.demo.cast import PLACES
from embedded.demo.model import STEPS, Demo, SignUp
from embedded.mail_pages import ON_THIS_MACHINE, PageRenderer
from gateway.console.shell import HOME, LOCAL_COOKIE, safe_back
from gateway.links.page import form_text
from gateway.request_body import TooLarge, read_form
from gateway.services import LocalBar
from staff.accounts.local_manager import local_session

CLOCK: Final = "/clock"
"""The page of the clock and of the people."""

ACTS: Final = ("pause", "resume", "extend", "cancel", "pair", "confirm")


def routes(demo: Demo, look: PageRenderer) -> APIRouter:
    """Return the routes of the demo's page and its buttons."""
    pages = _DemoPages(demo, look)
    router = APIRouter(dependencies=ON_THIS_MACHINE, include_in_schema=False)
    router.get("/")(pages.enter)
    router.get(CLOCK)(pages.show)
    router.post("/advance")(pages.advance)
    router.post("/people")(pages.sign_up)
    router.post("/demo/staff")(pages.staff)
    router.post("/requests")(pages.ask)
    router.post("/cast")(pages.cast)
    router.post("/standing")(pages.standing)
    return router


BAR: Final = LocalBar(CLOCK, "/advance", "/inbox", ("next", *STEPS))
"""The clock on each page of the console."""


class _DemoPages:
    """The page of a demo, and its buttons."""

    def __init__(self, demo: Demo, look: PageRenderer) -> None:
        self._demo = demo
        self._look = look

    async def enter(self) -> Response:
        """Sign the browser in as the manager, and open the console: a browser on this machine needs no link."""
        token = await local_session(self._demo.stack.database, self._demo.program)
        response = RedirectResponse(HOME, 303)
        response.set_cookie(LOCAL_COOKIE, token, path="/", httponly=True, samesite="strict")
        return response

    async def show(self) -> Response:
        """Show the state of everything."""
        return await self._home(self._demo.blank_sign_up(), {})

    async def advance(self, request: Request) -> Response:
        """Move the clock."""
        form = await _form_of(request)
        step = form_text(form, "by")
        if step != "next" and step not in STEPS:
            raise HTTPException(400, "the clock moves by next, day, week or month")
        await self._demo.advance(step)
        return RedirectResponse(safe_back(form_text(form, "back"), CLOCK), 303)

    async def sign_up(self, request: Request) -> Response:
        """Sign somebody up."""
        given = SignUp.of(await _form_of(request))
        errors = await self._demo.sign_up(given)
        return await self._home(given, errors, 400) if errors else _back()

    async def staff(self, request: Request) -> Response:
        """Do a staff act."""
        form = await _form_of(request)
        act, count = form_text(form, "act"), form_text(form, "count") or "1"
        if act not in ACTS or not (count.isascii() and count.isdigit() and len(count) < 4):
            raise HTTPException(400, f"staff can {', '.join(ACTS)}; count is a number")
        target, reason = form_text(form, "target")[:200], form_text(form, "reason")[:500]
        await self._demo.staff(target, act, reason, int(count))
        return _back()

    async def ask(self, request: Request) -> Response:
        """Let a mentee ask a mentor."""
        form = await _form_of(request)
        mentee, mentor = form_text(form, "mentee")[:100], form_text(form, "mentor")[:100]
        await self._demo.ask(mentee, mentor, form_text(form, "message"))
        return _back()

    async def cast(self, request: Request) -> Response:
        """Let the sample members act by themselves, or not."""
        acts = form_text(await _form_of(request), "acts")
        if acts not in ("yes", "no"):
            raise HTTPException(400, "the sample members act or not: yes or no")
        await self._demo.set_autoplay(acts == "yes")
        return _back()

    async def standing(self, request: Request) -> Response:
        """Change a member's standing."""
        form = await _form_of(request)
        standing = form_text(form, "standing")
        if standing not in ("good", "lapsed"):
            raise HTTPException(400, "a standing is good or lapsed")
        await self._demo.set_standing(form_text(form, "member")[:64], standing)
        return _back()

    async def _home(self, given: SignUp, errors: Mapping[str, str], status: int = 200) -> Response:
        demo = self._demo
        values = {
            "title": demo.program.name,
            "home": None,
            "program": demo.program,
            "database": demo.stack.database_file,
            "zone": demo.zone,
            "now": await demo.now(),
            "due": await demo.next_due(),
            "overview": await demo.overview(),
            "cohort": await demo.cohort_now(),
            "example": demo.example,
            "mails": demo.mailbox.newest(5),
            "papers": [mail for mail in demo.mailbox if mail.files][::-1],
            "count": len(demo.mailbox),
            "seen": demo.seen,
            "notice": demo.notice,
            "moving": demo.moving,
            "autoplay": demo.autoplay,
            "given": given,
            "errors": errors,
            "places": sorted(PLACES.values(), key=lambda place: place.label),
            "languages": {"en": "English", "es": "Español"},
        }
        return self._look.respond("home.html", values, status)


async def _form_of(request: Request) -> FormData:
    try:
        return await read_form(request)
    except TooLarge:
        raise HTTPException(413, "this form is too large") from None


def _back() -> Response:
    return RedirectResponse(CLOCK, 303)
