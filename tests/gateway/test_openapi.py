"""The API does what its own description says, whatever is thrown at it over a real socket."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import schemathesis
import structlog
import uvicorn
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from standardwebhooks import Webhook

from tests.support.gateway import SECRET, eventually, gateway_fixture

EXAMPLES = 30


class Signed(requests.auth.AuthBase):
    """Signs whatever is sent."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body, at = request.body or "", datetime.now(UTC)
        assert isinstance(body, str | bytes)
        text = body if isinstance(body, str) else body.decode("utf-8", "replace")
        request.headers.update(
            {
                "webhook-id": "msg_1",
                "webhook-timestamp": str(int(at.timestamp())),
                "webhook-signature": Webhook(SECRET).sign("msg_1", at, text),
            }
        )
        return request


@dataclass
class Served:
    """A gateway on a port of this machine, with paths of personal links that hold."""

    url: str
    tokens: Iterator[str]


@pytest.fixture
def served(sqlite_url: str) -> Iterator[Served]:
    """A gateway served by uvicorn, in a thread with a loop of its own."""
    ready = threading.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        async with gateway_fixture(sqlite_url) as made:
            links = [("answer", "p-marcus", "request/r-1"), ("withdraw", "p-ana", "request/r-1")]
            links += [
                (name, "p-ana", "onboarding/p-ana") for name in ("unsubscribe", "preferences", "feedback")
            ]
            links += [
                (name, "p-marcus", "engagement/r-2")
                for name in ("discovery", "plan", "met", "extend", "end", "report")
            ]
            server = uvicorn.Server(uvicorn.Config(made.app, port=0, log_level="error", access_log=False))
            running = asyncio.create_task(server.serve())
            await eventually(lambda: server.started)
            port = server.servers[0].sockets[0].getsockname()[1]
            found["served"] = Served(
                f"http://127.0.0.1:{port}",
                itertools.cycle(made.path(*link).removeprefix("/l/") for link in links),
            )
            found["server"] = server
            ready.set()
            await running

    usual = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(20)
    yield found["served"]
    found["server"].should_exit = True
    thread.join(20)
    structlog.configure(**usual)


def operations(url: str) -> dict[str, Any]:
    """What the description has, by method and path."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    found = {}
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        found[f"{operation.method.upper()} {operation.path}"] = operation
    return found


def test_openapi_lists_every_route(served: Served) -> None:
    assert set(operations(served.url)) == {
        "POST /events",
        "GET /healthz",
        "GET /readyz",
        "GET /l/{token}",
        "HEAD /l/{token}",
        "POST /l/{token}",
        "GET /verify",
        "GET /verify/{letter}",
        "GET /badges/keys",
        "GET /badges/issuers/{program}",
        "GET /badges/issuers/{program}/did.json",
        "GET /badges/achievements/{achievement}",
        "GET /badges/status/{number}",
        "GET /badges/{badge}",
    }


@pytest.mark.rule("MAIL6", "MAIL7")
@pytest.mark.parametrize(
    "name",
    [
        "POST /events",
        "GET /l/{token}",
        "HEAD /l/{token}",
        "POST /l/{token}",
        "GET /readyz",
        "GET /verify",
        "GET /verify/{letter}",
        "GET /badges/issuers/{program}/did.json",
        "GET /badges/status/{number}",
        "GET /badges/{badge}",
    ],
)
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_fuzzed_requests_get_responses_of_the_schema(served: Served, name: str, mode: str) -> None:
    operation = operations(served.url)[name]
    generation = schemathesis.GenerationMode(mode)
    public = ("GET /readyz", "GET /verify", "GET /badges")
    if name.startswith(public) and mode == "negative":
        generation = schemathesis.GenerationMode.POSITIVE

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=generation))
    def run(case: schemathesis.Case[Any]) -> None:
        if "token" in (case.path_parameters or {}) and mode == "positive":
            case.path_parameters["token"] = next(served.tokens)
        case.call_and_validate(
            auth=Signed(),
            checks=[
                not_a_server_error,
                status_code_conformance,
                content_type_conformance,
                response_schema_conformance,
                response_headers_conformance,
                unsupported_method,
            ],
        )

    run()
