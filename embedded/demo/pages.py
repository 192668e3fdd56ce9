"""The pages of the demo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from embedded.demo.cast import PLACES
from embedded.demo.model import STEPS, Demo, SignUp
from embedded.mail_pages import PageRenderer, require_loopback
from gateway.links.page import form_text
from gateway.request_body import TooLarge, read_form

ACTS: Final = ("pause", "resume", "extend", "cancel")


def routes(demo: Demo, look: PageRenderer) -> APIRouter:
    """The demo's page and what its buttons do."""
    router = APIRouter(dependencies=[Depends(require_loopback)], include_in_schema=False)

    async def home(given: SignUp, errors: Mapping[str, str], status: int = 200) -> Response:
        now, due = await demo.now(), await demo.next_due()
        where = await demo.overview()
        mails = demo.mailbox.newest(5)
        values = {
            "title": demo.program.name,
            "home": None,
            "program": demo.program,
            "zone": demo.zone,
            "now": now,
            "due": due,
            "overview": where,
            "mails": mails,
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
        return look.respond("home.html", values, status)

    async def form_of(request: Request) -> FormData:
        try:
            return await read_form(request)
        except TooLarge:
            raise HTTPException(413, "this form is too large") from None

    def back(to: str = "") -> Response:
        return RedirectResponse(f"/{to}", 303)

    @router.get("/")
    async def show() -> Response:
        """Where everything stands."""
        return await home(SignUp(), {})

    @router.post("/advance")
    async def advance(request: Request) -> Response:
        """Move the clock."""
        step = form_text(await form_of(request), "by")
        if step != "next" and step not in STEPS:
            raise HTTPException(400, "the clock moves by next, day, week or month")
        await demo.advance(step)
        return back()

    @router.post("/people")
    async def sign_up(request: Request) -> Response:
        """Sign somebody up."""
        given = SignUp.of(await form_of(request))
        errors = await demo.sign_up(given)
        return await home(given, errors, 400) if errors else back()

    @router.post("/staff")
    async def staff(request: Request) -> Response:
        """Do a staff act."""
        form = await form_of(request)
        act, count = form_text(form, "act"), form_text(form, "count") or "1"
        if act not in ACTS or not (count.isascii() and count.isdigit() and len(count) < 4):
            raise HTTPException(400, f"staff can {', '.join(ACTS)}; count is a number")
        await demo.staff(form_text(form, "target")[:200], act, form_text(form, "reason")[:500], int(count))
        return back()

    @router.post("/requests")
    async def ask(request: Request) -> Response:
        """Let a mentee ask a mentor."""
        form = await form_of(request)
        await demo.ask(
            form_text(form, "mentee")[:100], form_text(form, "mentor")[:100], form_text(form, "message")
        )
        return back()

    @router.post("/cast")
    async def cast(request: Request) -> Response:
        """Let the sample members act by themselves, or not."""
        acts = form_text(await form_of(request), "acts")
        if acts not in ("yes", "no"):
            raise HTTPException(400, "the sample members act or not: yes or no")
        await demo.set_autoplay(acts == "yes")
        return back()

    @router.post("/standing")
    async def standing(request: Request) -> Response:
        """Change a member's standing."""
        form = await form_of(request)
        standing = form_text(form, "standing")
        if standing not in ("good", "lapsed"):
            raise HTTPException(400, "a standing is good or lapsed")
        await demo.set_standing(form_text(form, "member")[:64], standing)
        return back()

    return router
