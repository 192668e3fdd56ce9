"""What the settings of a deployment come to: the name in EHLO, the rate of mail, the bounce port."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from database.session import Database
from tests.support.delivery import bundled
from worker.bounce_listener import BounceHandler, bounce_listener
from worker.connections import smtp_of
from worker.errors import Failure
from worker.processes import _listen_for_bounces
from worker.settings import Settings

PROGRAMS = {"asis-global": bundled()}
SENDER = bundled().sender.partition("@")[2]


@pytest.mark.rule("MAIL3")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"smtp_helo_name": "Mail.Example.org"}, "mail.example.org"),
        ({"smtp_helo_name": "correo.méxico.example"}, "correo.xn--mxico-bsa.example"),
        ({"base_url": "https://mentoring.example.org/x"}, "mentoring.example.org"),
        ({"base_url": "http://127.0.0.1:8080"}, SENDER),
        ({"base_url": "http://gateway:8080"}, SENDER),
    ],
)
def test_worker_greets_with_a_full_domain_name(given: dict[str, Any], said: str) -> None:
    assert smtp_of(Settings(**given), PROGRAMS).helo_name == said


@pytest.mark.rule("MAIL3")
@pytest.mark.parametrize("name", ["vm", "3f2a9c81d0b7", "vm.local", "10.0.0.7", "a b.example.org", "-"])
def test_name_that_servers_refuse_is_an_error_at_the_start(name: str) -> None:
    with pytest.raises(Failure, match="THROUGHLINE_SMTP_HELO_NAME: must be a full domain name"):
        smtp_of(Settings(smtp_helo_name=name), PROGRAMS)


@pytest.mark.rule("MAIL7")
async def test_worker_whose_bounce_port_is_taken_goes_on_without(database: Database) -> None:
    async def notify() -> None:
        raise AssertionError("nothing arrives")

    handler = BounceHandler(database, notify, lambda: datetime(2028, 3, 6, tzinfo=UTC))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with AsyncExitStack() as stack:
            with capture_logs() as logs:
                await _listen_for_bounces(stack, handler, "127.0.0.1", port)
    assert [(one["event"], one["address"]) for one in logs] == [
        ("bounce_listener_not_started", f"127.0.0.1:{port}")
    ]


def test_bounce_port_is_on_loopback_unless_set() -> None:
    assert Settings(host="0.0.0.0", bounce_port=2525).bounce_host == "127.0.0.1"


@pytest.mark.rule("MAIL7")
@pytest.mark.parametrize(("given", "elsewhere"), [({}, False), ({"bounce_host": "0.0.0.0"}, True)])
async def test_bounce_listener_answers_on_its_address_only(
    sqlite_url: str, given: dict[str, Any], elsewhere: bool
) -> None:
    """127.0.0.2 stands for another address of the machine: who listens on 127.0.0.1 does not answer there."""
    settings = Settings(bounce_port=0, **given)
    database = Database(sqlite_url)
    handler = BounceHandler(database, _nobody)
    async with bounce_listener(handler, settings.bounce_host, settings.bounce_port or 0) as port:
        assert await _answers("127.0.0.1", port)
        assert await _answers("127.0.0.2", port) is elsewhere
    await database.close()


async def _nobody() -> None:
    """No inbox is notified."""


async def _answers(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
