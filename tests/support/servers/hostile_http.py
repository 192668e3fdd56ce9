"""A web server that receives events as badly as it is asked to: slow, silent, redirecting, endless, dying."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.support.limits import PATIENCE

Act = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""What the server does with a request that it has read."""


def status(code: int, **headers: str) -> Act:
    """Answer with a status and no body. Names of headers have underscores for hyphens."""

    async def act(writer: asyncio.StreamWriter) -> None:
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {code} So\r\n{more}Content-Length: 0\r\n\r\n".encode())

    return act


async def silence(writer: asyncio.StreamWriter) -> None:
    """Answer nothing, for ever."""
    await asyncio.Event().wait()


async def drip(writer: asyncio.StreamWriter) -> None:
    """Answer a byte at a time, without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    while True:
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.05)


async def die_before_answer(writer: asyncio.StreamWriter) -> None:
    """Close the connection without an answer."""


async def die_in_mid_answer(writer: asyncio.StreamWriter) -> None:
    """Close the connection in the middle of the head of a good answer."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")


async def nonsense(writer: asyncio.StreamWriter) -> None:
    """Answer what is not HTTP."""
    writer.write(b"250 ok\r\n\r\n")


async def endless_head(writer: asyncio.StreamWriter) -> None:
    """Answer with headers that never end."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: " + b"a" * 1000 + b"\r\n")
        await writer.drain()


def endless_body(code: int) -> Act:
    """Answer with a status, and a body that never ends."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {code} So\r\nContent-Length: 1000000000000\r\n\r\n".encode())
        while True:
            writer.write(b"a" * 65536)
            await writer.drain()

    return act


OK = status(204)


@dataclass(frozen=True, slots=True)
class Received:
    """A request that came in whole."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The event that it carries."""
        event: dict[str, Any] = json.loads(self.body)
        return event


@dataclass
class HostileHttp:
    """The server. `plan` says what it does with a request; what it took with a 2xx is in `taken`."""

    plan: Callable[[Received], Act] = lambda request: OK
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    port: int = 0
    received: list[Received] = field(default_factory=list)
    taken: list[Received] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> HostileHttp:
        self._server = await asyncio.start_server(self._accept, self.host, self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """The address that events go to."""
        return f"http://{self.host}:{self.port}/events"

    def by_subject(self) -> dict[str, list[str]]:
        """The ids of the events that were taken, in the order in which they came, by subject; repeats are left out."""
        found: dict[str, list[str]] = defaultdict(list)
        for request in self.taken:
            ids = found[request.event["subject"]]
            if request.event["id"] not in ids:
                ids.append(request.event["id"])
        return dict(found)

    def times(self) -> Counter[str]:
        """How often each event came, taken or not, by its id."""
        return Counter(request.event["id"] for request in self.received)

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait until something holds, which is looked at after each request. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError, ssl.SSLError):
                await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort() if not writer.can_write_eof() else writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = Received(head[0].split(" ")[1], headers, body)
        self.received.append(request)
        self._changed.set()
        act = self.plan(request)
        watched = _Watched(writer)
        try:
            await act(watched)  # type: ignore[arg-type]
            await writer.drain()
        finally:
            if watched.is_success:
                self.taken.append(request)
            self._changed.set()


class _Watched:
    """A writer that notes whether the head of a good answer went out whole."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._sent = b""

    def write(self, data: bytes) -> None:
        if len(self._sent) < 1000:
            self._sent += data
        self._writer.write(data)

    async def drain(self) -> None:
        await self._writer.drain()

    @property
    def is_success(self) -> bool:
        return self._sent.startswith(b"HTTP/1.1 2") and b"\r\n\r\n" in self._sent
