"""What all pages of the console share: who is signed in, the frame around a page, and what a route needs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

import structlog
from babel.dates import format_datetime, format_skeleton
from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import FormData

from database.session import Database
from gateway.access import Access
from gateway.console.acts.batch_work import BatchWork
from gateway.console.entry.same_origin import comes_from_elsewhere, is_foreign
from gateway.event_store import Unavailable
from gateway.pages import TEMPLATES, Pages
from gateway.request_body import TooLarge, read_form
from gateway.services import GatewayServices
from staff.accounts.directory import StaffMember
from staff.accounts.sessions import find_session, note_request

log = structlog.get_logger()

HOME: Final = "/staff"
SIGN_IN: Final = "/staff/sign-in"
LOCAL_COOKIE: Final = "throughline"
"""The cookie of a session on plain http, as on the embedded parts."""
MOST_BACK: Final = 500
"""Characters of an address to go back to."""

NOTICES: Final = frozenset(
    {
        "done",
        "dismissed",
        "snoozed",
        "signed_out",
        "acted",
        "ordered",
        "unreached",
        "moved",
        "moved_unreached",
        "none_ticked",
        "lifted",
        "copied",
        "test_sent",
        "went_live",
        "erased",
        "erasure_ordered",
        "webhook_done",
    }
)
"""What a page may say about the act before it, by the query `said`."""


@dataclass(frozen=True, slots=True)
class NavigationItem:
    """An entry of the navigation."""

    key: str
    """Of its words, below `nav`."""
    path: str
    access: Access = Access.STAFF


NAVIGATION: Final = (
    NavigationItem("today", HOME),
    NavigationItem("ahead", "/staff/ahead"),
    NavigationItem("people", "/staff/people"),
    NavigationItem("requests", "/staff/requests"),
    NavigationItem("cohorts", "/staff/cohorts"),
    NavigationItem("engagements", "/staff/engagements"),
    NavigationItem("onboardings", "/staff/onboardings"),
    NavigationItem("claims", "/staff/claims"),
    NavigationItem("surveys", "/staff/surveys"),
    NavigationItem("curriculum", "/staff/curriculum"),
    NavigationItem("meetups", "/staff/meetups"),
    NavigationItem("program", "/staff/program"),
    NavigationItem("figures", "/staff/figures", Access.OVERVIEW),
    NavigationItem("health", "/staff/mail", Access.MANAGER),
    NavigationItem("webhooks", "/staff/webhooks", Access.SETTING),
    NavigationItem("take_over", "/staff/take-over", Access.SETTING),
    NavigationItem("reports", "/staff/reports", Access.MANAGER),
    NavigationItem("feedback", "/staff/feedback", Access.MANAGER),
)
"""The entries, in order."""


class ConsoleAnswer(Exception):
    """An answer in place of the one that was asked for, such as the page to sign in."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


@dataclass(frozen=True, slots=True)
class StaffVisit:
    """A request of somebody who is signed in."""

    member: StaffMember
    at: datetime
    """Program time, in UTC."""


def permits(access: Access, member: StaffMember) -> bool:
    """Return whether somebody has a kind of access at all; about whom is for each page to check."""
    return {
        Access.STAFF: True,
        Access.OVERVIEW: member.sees_all,
        Access.ACTING: member.may_act,
        Access.MANAGER: member.is_manager,
        Access.SETTING: member.is_manager and member.may_set,
    }.get(access, False)


class Shell:
    """Renders the pages of the console, and lets requests in."""

    def __init__(self, services: GatewayServices) -> None:
        self.services = services
        self.pages = Pages(TEMPLATES / "pages" / "console")
        self.batches = BatchWork(services)
        self.is_secure = services.links.base_url.startswith("https://")
        # Browsers keep the prefix to cookies of this host alone, over TLS. The embedded parts are on plain http.
        self.cookie = "__Host-throughline" if self.is_secure else LOCAL_COOKIE

    @property
    def _leads(self) -> bool:
        """Whether a program here has a curriculum (COH4)."""
        return any(program.curriculum for program in self.services.programs.values())

    @property
    def database(self) -> Database:
        """The database."""
        return self.services.database

    def router(self, access: Access) -> APIRouter:
        """Return a router whose routes need a kind of access; a page of another site cannot post to it."""
        return APIRouter(
            include_in_schema=False,
            route_class=_guarded(self),
            dependencies=[Depends(_Entrance(self, access))],
        )

    def respond(
        self,
        request: Request,
        template: str,
        values: Mapping[str, object] | None = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Return a page, in the language and on the clock of who is signed in."""
        visit: StaffVisit | None = getattr(request.state, "visit", None)
        member = visit.member if visit else None
        language = (
            member.language if member else self.pages.language(request.headers.get("accept-language", ""))
        )
        said = request.query_params.get("said", "")
        shared = {
            "member": member,
            "here": str(request.url.path),
            "back": back_of(request),
            "navigation": [
                each
                for each in NAVIGATION
                if member and permits(each.access, member) and (each.key != "curriculum" or self._leads)
            ],
            "local": self.services.local,
            "local_now": visit.at if visit else None,
            "said": said if said in NOTICES else "",
            **self._labels(language),
            **clocks(language, member.zone if member else "UTC"),
        }
        # With `no-referrer`, browsers send the origin `null` with a form.
        more = {"Referrer-Policy": "same-origin", **(headers or {})}
        return self.pages.respond(template, language, {**shared, **(values or {})}, status, more)

    def _labels(self, language: str) -> dict[str, object]:
        """Return the functions with which a template names states, tasks and messages.

        What this version has no word for is shown by its own name: a page must not fail for it.
        """
        texts = self.pages.texts(language)

        def label(section: str, name: object) -> object:
            key = f"{section}.{name}"
            return texts.say(key) if texts.has(key) else str(name).replace("_", " ")

        return {"label": label, "has": texts.has}

    def refuse(self, request: Request, key: str, status: int) -> Response:
        """Return a page that says why there is nothing else."""
        return self.respond(request, "message.html", {"key": key}, status)

    def nothing(self, request: Request) -> ConsoleAnswer:
        """Return the answer for what is not there, or not for this person: the two look the same."""
        return ConsoleAnswer(self.refuse(request, "refused.nothing", 404))

    async def enter(self, request: Request, access: Access) -> None:
        """Let a request in, or raise ConsoleAnswer."""
        if is_foreign(request, self.services.links.base_url):
            log.warning("console_request_refused", reason="foreign")
            raise ConsoleAnswer(self.refuse(request, "refused.foreign", 403))
        if access is Access.SIGN_IN:
            return
        token, now = request.cookies.get(self.cookie, ""), datetime.now(UTC)
        async with self.database.reading() as session:
            found = await find_session(session, token, now) if token else None
        if found is None:
            raise ConsoleAnswer(self._to_sign_in(request))
        if found.is_stale:
            async with self.database.begin() as session:
                await note_request(session, token, now)
        request.state.visit = StaffVisit(found.member, await self.services.now())
        if not permits(access, found.member):
            raise self.nothing(request)

    def _to_sign_in(self, request: Request) -> Response:
        if comes_from_elsewhere(request):
            # The cookie is strict: the browser sends it once a page of ours leads on.
            return self.respond(request, "onward.html", {"onward": back_of(request)})
        if request.method == "GET":
            query = urlencode({"back": back_of(request)})
            return RedirectResponse(f"{SIGN_IN}?{query}", 303)
        return self.refuse(request, "refused.ended", 401)


class _Entrance:
    """A dependency that lets a request in; it declares the access of its routes."""

    def __init__(self, shell: Shell, access: Access) -> None:
        self.access = access
        self._shell = shell

    async def __call__(self, request: Request) -> None:
        """Let a request in, or raise ConsoleAnswer."""
        await self._shell.enter(request, self.access)


def _guarded(shell: Shell) -> type[APIRoute]:
    """Return the class of routes whose failures are pages, too."""

    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                try:
                    return await handle(request)
                except ConsoleAnswer as answer:
                    return answer.response
                except RequestValidationError:
                    return shell.nothing(request).response
                except TooLarge:
                    return shell.refuse(request, "refused.too_large", 413)
                except (Unavailable, SQLAlchemyError, OSError, TimeoutError) as error:
                    log.warning("console_request_failed", error=type(error).__name__, status=503)
                    return shell.respond(
                        request, "message.html", {"key": "refused.unavailable"}, 503, {"Retry-After": "10"}
                    )
                except Exception as error:
                    log.exception("console_request_failed", error=type(error).__name__, status=500)
                    return shell.refuse(request, "refused.failed", 500)

            return guarded

    return GuardedRoute


def visit_of(request: Request) -> StaffVisit:
    """Return who asks. The entrance of the route has set it."""
    visit: StaffVisit = request.state.visit
    return visit


async def form_of(request: Request) -> FormData:
    """Return the form of a request. Raises TooLarge, which is answered by a page."""
    return await read_form(request)


def back_of(request: Request) -> str:
    """Return the address of a page as it was asked for, without what it was to say."""
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "said"]
    path = request.url.path + (f"?{urlencode(query)}" if query else "")
    return path if len(path) <= MOST_BACK else request.url.path[:MOST_BACK]


def safe_back(path: str, otherwise: str = HOME) -> str:
    """Return an address of the console to go back to; `otherwise` for any other address."""
    parts = urlsplit(path)
    inside = parts.path == HOME or parts.path.startswith(f"{HOME}/")
    plain = not parts.scheme and not parts.netloc and path.isprintable() and "\\" not in path
    return path if inside and plain and len(path) <= MOST_BACK else otherwise


def go_back(path: str, said: str = "", anchor: str = "") -> Response:
    """Return the redirect to a page of the console, which then says what was done."""
    path = safe_back(path).partition("#")[0]
    if said:
        path += ("&" if "?" in path else "?") + urlencode({"said": said})
    return RedirectResponse(path + (f"#{anchor}" if anchor else ""), 303)


def clocks(language: str, zone: str) -> dict[str, object]:
    """Return the functions with which a template writes instants, on the reader's clock or on another."""
    locale = "es_CO" if language == "es" else "en_US"

    def moment(at: datetime | None, on: str = "") -> str:
        if at is None:
            return ""
        local = at.astimezone(ZoneInfo(on or zone))
        # Months and days by name: 03/04 is another day on each side of the ocean.
        day = format_skeleton("yMMMEd", local, locale=locale)
        return f"{day}, {local:%H:%M}"

    def day(at: datetime | None, on: str = "") -> str:
        return format_skeleton("yMMMd", at.astimezone(ZoneInfo(on or zone)), locale=locale) if at else ""

    def weekday(at: datetime) -> str:
        return format_skeleton("yMMMMEEEEd", at.astimezone(ZoneInfo(zone)), locale=locale)

    def local_day(text: str) -> str:
        return format_skeleton("yMMMEd", date.fromisoformat(text), locale=locale)

    def place(name: str) -> str:
        return name.rpartition("/")[2].replace("_", " ")

    def iso(at: datetime) -> str:
        return format_datetime(at, "yyyy-MM-dd'T'HH:mm:ss'Z'", tzinfo=ZoneInfo("UTC"), locale="en")

    written = {
        "moment": moment,
        "day": day,
        "weekday": weekday,
        "local_day": local_day,
        "place": place,
        "iso": iso,
    }
    return {**written, "zone": zone}
