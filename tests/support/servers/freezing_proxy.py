"""A way to a server that can freeze: it takes connections and words, and nothing comes through until it thaws."""

from __future__ import annotations

import asyncio
from asyncio import Queue, StreamReader, StreamWriter
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from sqlalchemy.engine import make_url

from tests.support.limits import PATIENCE

HOST = "127.0.0.1"


class _Line:
    """One client's connection, with both ways through the proxy."""

    def __init__(self, client: StreamWriter, changed: Callable[[], None]) -> None:
        self.client, self._changed = client, changed
        self.server: StreamWriter | None = None
        self.words_pass, self.answers_pass = asyncio.Event(), asyncio.Event()
        self.unanswered = False
        self.left = False

    def flow(self, *, words: bool = True, answers: bool = True) -> None:
        """What passes from now on; what was kept until then goes first."""
        for gate, passes in ((self.words_pass, words), (self.answers_pass, answers)):
            if passes:
                gate.set()
            else:
                gate.clear()

    def said(self, data: bytes) -> None:
        """The client says something, or leaves."""
        self.unanswered, self.left = bool(data), not data
        self._changed()

    def answered(self, data: bytes) -> None:
        """The server says something; whether the client hears it is another thing."""
        if self.answers_pass.is_set():
            self.unanswered = False


class FreezingProxy:
    """Stands on a loopback port of its own before a server on another; use it as an async context manager."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._lines: list[_Line] = []
        self._frozen = False
        self._last_words: bytes | None = None
        self._changed = asyncio.Event()

    async def __aenter__(self) -> FreezingProxy:
        self._listening = await asyncio.start_server(self._serve, HOST, 0)
        self.port: int = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()
        self.cut()
        await self._listening.wait_closed()
        if error is None:
            await self._until(lambda: not self._lines, "be over")

    def through(self, url: str) -> str:
        """A database's address, by way of the proxy."""
        return make_url(url).set(port=self.port).render_as_string(hide_password=False)

    def freeze(self) -> None:
        """From now on clients are heard and connected, and nothing passes in either direction."""
        self._frozen = True
        for line in self._lines:
            line.flow(words=False, answers=False)

    def keep_answers_to(self, words: bytes) -> None:
        """From now on a client that sends these words reaches the server, and gets no more replies."""
        self._last_words = words

    def thaw(self) -> None:
        """All passes again, first what was kept: also the words of those who have left."""
        self._frozen, self._last_words = False, None
        for line in self._lines:
            line.flow()

    def cut(self) -> None:
        """Break all connections, with what was kept; new ones pass."""
        self._frozen, self._last_words = False, None
        for line in self._lines:
            line.flow()
            for end in (line.client, line.server):
                if end is not None:
                    end.transport.abort()

    async def until_unanswered(self, count: int) -> None:
        """Wait until so many clients have said something, and wait for the answer."""
        await self._until(
            lambda: sum(line.unanswered and not line.answers_pass.is_set() for line in self._lines) >= count,
            f"be {count} that wait for an answer",
        )

    async def until_given_up(self) -> None:
        """Wait until all who wait now for an answer have left; others may have come by then."""
        waiting = [line for line in self._lines if line.unanswered and not line.answers_pass.is_set()]
        await self._until(lambda: all(line.left for line in waiting), "give up")

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(f"the {len(self._lines)} connections did not come to {what}") from None

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        line = _Line(writer, self._changed.set)
        line.flow(words=not self._frozen, answers=not self._frozen)
        self._lines.append(line)

        def said(data: bytes) -> None:
            if self._last_words and self._last_words in data:
                line.flow(answers=False)
            line.said(data)

        words: Queue[bytes] = Queue()
        hearing = asyncio.create_task(_hear(reader, words, said))
        try:
            await line.words_pass.wait()
            heard, line.server = await asyncio.open_connection(HOST, self._server_port)
            answers: Queue[bytes] = Queue()
            await asyncio.gather(
                _say(line.server, words, line.words_pass),
                _hear(heard, answers, line.answered),
                _say(writer, answers, line.answers_pass),
            )
        finally:
            await hearing
            self._lines.remove(line)
            self._changed.set()


async def _hear(reader: StreamReader, kept: Queue[bytes], saw: Callable[[bytes], None]) -> None:
    """Keep all that comes; nothing is the end of it."""
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            saw(data)
            kept.put_nowait(data)
    saw(b"")
    kept.put_nowait(b"")


async def _say(writer: StreamWriter, kept: Queue[bytes], passes: asyncio.Event) -> None:
    """Pass on what was kept, as soon as it may; the end of it, too."""
    while True:
        data = await kept.get()
        await passes.wait()
        if not data:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            return
        with suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
