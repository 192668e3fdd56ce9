"""Clients that connect and owe the rest of their request: the gateway answers the others."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.support.gateway import GatewayFixture
from tests.support.limits import PATIENCE
from worker.http_deadlines import ConnectionLimits
from worker.http_server import listen, served

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

HALF_SENT = {
    "nothing": b"",
    "headers": b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
    "body": b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
    "second request": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /heal",
}


@pytest.fixture
def many_files() -> Iterator[None]:
    """Clients and server share this process: it may open more files than the usual 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wished = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wished), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def serving(gateway: GatewayFixture, limits: ConnectionLimits) -> AsyncIterator[int]:
    """The gateway on a port, as its process serves it."""
    listening = listen(0)
    async with served(gateway.app, listening, limits):
        yield listening.getsockname()[1]


async def connected(port: int, sent: bytes) -> Connection:
    """A client that has sent a part of a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    await writer.drain()
    return reader, writer


async def ended(connection: Connection) -> bytes:
    """What the server sent until it closed the connection. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        try:
            return await connection[0].read()
        except ConnectionResetError:
            return b""
        finally:
            connection[1].close()


async def test_thousand_half_sent_requests_leave_the_gateway_answering(
    sqlite_gateway: GatewayFixture, many_files: None
) -> None:
    limits = ConnectionLimits(most_connections=200)
    async with serving(sqlite_gateway, limits) as port, httpx.AsyncClient(timeout=5) as client:
        parts = list(HALF_SENT.values())
        idle = [await connected(port, parts[number % len(parts)]) for number in range(1000)]
        for _ in range(20):
            answer = await client.get(f"http://127.0.0.1:{port}/healthz", headers={"connection": "close"})
            assert answer.status_code == 200
        for connection in idle:
            connection[1].transport.abort()


@pytest.mark.parametrize("part", HALF_SENT)
async def test_half_sent_request_is_closed_at_its_deadline(sqlite_gateway: GatewayFixture, part: str) -> None:
    limits = ConnectionLimits(seconds_for_headers=0.4, seconds_for_body=0.4)
    async with serving(sqlite_gateway, limits) as port:
        answer = await ended(await connected(port, HALF_SENT[part]))
    assert answer.count(b"HTTP/1.1 408 ") == 1
    assert answer.count(b"HTTP/1.1 200 ") == (part == "second request")


async def test_drip_of_header_bytes_does_not_move_the_deadline(sqlite_gateway: GatewayFixture) -> None:
    async with serving(sqlite_gateway, ConnectionLimits(seconds_for_headers=0.5)) as port:
        reader, writer = await connected(port, HALF_SENT["headers"])

        async def drip() -> None:
            while True:
                writer.write(b"x-a: b\r\n")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        try:
            assert b" 408 " in await ended((reader, writer))
        finally:
            dripping.cancel()


async def test_client_in_time_keeps_its_connection(sqlite_gateway: GatewayFixture) -> None:
    limits = ConnectionLimits(seconds_for_headers=2, seconds_for_body=2)
    async with serving(sqlite_gateway, limits) as port:
        reader, writer = await connected(port, b"")
        for _ in range(3):
            for piece in (b"GET /healthz HTTP/1.1\r\n", b"Host: x\r\n", b"\r\n"):
                writer.write(piece)
                await asyncio.sleep(0.2)
            async with asyncio.timeout(PATIENCE):
                assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
                headers = await reader.readuntil(b"\r\n\r\n")
                length = int(headers.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
        writer.close()


async def test_full_gateway_makes_room_among_those_that_owe(sqlite_gateway: GatewayFixture) -> None:
    async with serving(sqlite_gateway, ConnectionLimits(most_connections=3)) as port:
        first = await connected(port, HALF_SENT["headers"])
        others = [await connected(port, HALF_SENT["headers"]) for _ in range(3)]
        assert await ended(first) == b""
        assert not any(reader.at_eof() for reader, _ in others)
        for _, writer in others:
            writer.close()


@pytest.mark.parametrize(
    "path", ["/l/{token}/", "//l/{token}", "/l/", "/l", "/L/{token}", "/verify/", "/l/a/b"]
)
async def test_mangled_address_shows_a_page_and_no_redirect(
    sqlite_gateway: GatewayFixture, path: str
) -> None:
    token = sqlite_gateway.path("answer", "p-marcus", "request/r-1").removeprefix("/l/")
    answer = await sqlite_gateway.client.get(
        f"https://mentoring.example.org{path.format(token=token)}",
        headers={"host": "attacker.example"},
        follow_redirects=False,
    )
    assert answer.status_code == 404
    assert "This link does not work" in answer.text
    assert "mentoring@example.org" in answer.text
    assert "attacker.example" not in answer.text + str(answer.headers)


async def test_program_gets_a_problem_for_an_unknown_address(sqlite_gateway: GatewayFixture) -> None:
    answer = await sqlite_gateway.client.get("/event/")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
