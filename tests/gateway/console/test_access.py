"""Who may use which route of the whole gateway."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from embedded.demo.pages import routes as demo_routes
from embedded.mail_pages import PageRenderer, mail_routes
from embedded.mailbox import Mailbox
from gateway.access import Access, accesses_of
from gateway.app import create_app
from gateway.console.entry.oidc import OidcSettings
from gateway.provider_reports import router as provider_reports
from gateway.provider_signatures import ProviderSecrets
from tests.support.console.staff import ConsoleFixture

WITHOUT_A_DECLARATION = {"/openapi.json"}
"""What FastAPI serves itself: the public description of the public routes."""


def whole_gateway(console: ConsoleFixture) -> FastAPI:
    """The gateway with every route that it has anywhere: those of providers, of the demo and of `up` included."""
    services = replace(
        console.gateway.services, oidc=OidcSettings("https://login.example", "client", "secret")
    )
    look = PageRenderer(Path(__file__).resolve().parents[3] / "templates")
    return create_app(
        services,
        webhook_secrets=[],
        routers=[
            provider_reports(services, ProviderSecrets("", "", "", "")),
            demo_routes(None, look),  # type: ignore[arg-type]
            mail_routes(Mailbox(), look, "UTC", title=""),
        ],
    )


def all_routes(routes: Iterable[BaseRoute]) -> list[BaseRoute]:
    """The routes with those of included routers, which this FastAPI keeps as they are."""
    found: list[BaseRoute] = []
    for route in routes:
        included = getattr(route, "original_router", None)
        found += all_routes(included.routes) if included is not None else [route]
    return found


def undeclared(routes: list[BaseRoute]) -> list[str]:
    """The paths of routes that do not declare exactly one kind of access."""
    return [
        getattr(route, "path", str(route))
        for route in routes
        if getattr(route, "path", "") not in WITHOUT_A_DECLARATION
        and (not isinstance(route, APIRoute) or len(accesses_of(route.dependencies)) != 1)
    ]


async def test_every_route_of_the_gateway_declares_its_access(console: ConsoleFixture) -> None:
    routes = all_routes(whole_gateway(console).routes)
    assert len(routes) > 25
    assert undeclared(routes) == []
    assert undeclared([*routes, APIRoute("/open", lambda: None)]) == ["/open"]


async def test_only_sign_in_is_open_below_the_console(console: ConsoleFixture) -> None:
    found = all_routes(whole_gateway(console).routes)
    routes = [route for route in found if isinstance(route, APIRoute)]
    of_console = {
        route.path: accesses_of(route.dependencies)[0] for route in routes if route.path.startswith("/staff")
    }
    opened = {path for path, access in of_console.items() if access is Access.SIGN_IN}
    assert opened == {
        "/staff/sign-in",
        "/staff/sign-in/provider",
        "/staff/sign-in/return",
        "/staff/sign-out",
        "/staff/link/{token}",
    }
    assert set(of_console.values()) <= {
        Access.SIGN_IN,
        Access.STAFF,
        Access.OVERVIEW,
        Access.ACTING,
        Access.MANAGER,
        Access.SETTING,
    }


@pytest.mark.parametrize("who", ["vito", "reader"])
async def test_who_may_not_act_is_refused_like_what_is_not_there(console: ConsoleFixture, who: str) -> None:
    refused = await console.post(who, "/staff/tasks/1", {"change": "done"})
    missing = await console.post("mia", "/staff/tasks/1", {"change": "done"})
    assert (refused.status_code, missing.status_code) == (404, 404)
