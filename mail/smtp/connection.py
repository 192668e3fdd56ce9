"""One connection to the mail server, and the DATA phase of one message on it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar, cast

import aiosmtplib

from mail.smtp.verdicts import DeliveryError, Stage, TryLater, classify

T = TypeVar("T")

LEAVE_TIMEOUT = 1.0
"""Seconds that a server gets to answer QUIT when the channel closes."""

LONGEST_REPLY = 32 * 1024


class Connection:
    """A connection that is logged in, with its age on the loop's clock.

    `in_step` is False once the server has said more than it was asked for.
    """

    def __init__(self, smtp: aiosmtplib.SMTP) -> None:
        self.smtp = smtp
        self.transport = cast(asyncio.Transport, smtp.transport)
        self.born = self.idle_since = asyncio.get_running_loop().time()
        self.messages = 0
        self.in_step = True

    def abort(self) -> None:
        """Drop the connection with all that is still unsent."""
        self.transport.abort()

    def leave(self) -> None:
        """Say QUIT and close without waiting for the answer."""
        if not self.transport.is_closing():
            self.transport.write(b"QUIT\r\n")
            self.transport.close()

    async def quit(self) -> None:
        """Say QUIT, wait a moment for the answer, and close."""
        try:
            await command(Stage.CONNECT, self.smtp.quit(), LEAVE_TIMEOUT)
        except DeliveryError:
            pass
        finally:
            self.transport.abort()


class MalformedReply(Exception):
    """What came back is no SMTP answer."""


class DataPhase(asyncio.Protocol):
    """A connection between RCPT TO and the answer to the final dot.

    aiosmtplib writes the message and the final dot in one call, and between commands it throws away what the server
    says unasked. Here the caller's record comes between message and dot, and a refusal or end of file before the
    dot is worth a lot: it saves an ambiguity. So this protocol takes the transport over, and hands it back when the
    server has said yes. It passes on that the connection is lost, so that aiosmtplib's own state stays true.
    """

    _REPLY_LINE = re.compile(rb"([2-5]\d\d)(?:([ -])(.*))?", re.DOTALL)

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._owner = transport.get_protocol()
        self._received = b""
        self._paused = False
        self._lost = transport.is_closing()
        self._news = asyncio.Event()
        transport.set_protocol(self)
        transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._news.set()

    def eof_received(self) -> None:
        self._lost = True
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._news.set()
        self._owner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._news.set()

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def write_body(self, data: bytes) -> None:
        """Write and wait until the bytes have left, or the server is no longer interested."""
        self._transport.write(data)
        while self._paused and not self._lost and not self._received:
            await self._hear()

    async def answer(self) -> tuple[int, str]:
        """The next answer: code and text. Raises ConnectionError or _Garbage."""
        while (reply := self._next_reply()) is None:
            if self._lost:
                raise ConnectionError("connection lost")
            await self._hear()
        return reply

    def raise_early_answer(self) -> None:
        """Raise the verdict if the server has spoken or left before the end of the message: neither is a yes."""
        if not self._received:
            if self._lost:
                raise TryLater("the connection was lost before the end of the message")
            return
        reply = None
        with suppress(MalformedReply):
            reply = self._next_reply()
        if reply is not None and 400 <= reply[0] < 600:
            raise classify(Stage.END, *reply)
        raise TryLater("the server spoke before the end of the message")

    def hand_back(self) -> bool:
        """Give the transport back. False if the server said more than its answer: then it is out of step."""
        self._transport.set_write_buffer_limits()
        self._transport.set_protocol(self._owner)
        return not self._received and not self._lost

    async def _hear(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _next_reply(self) -> tuple[int, str] | None:
        """Take one whole answer off what was received; None while it is incomplete."""
        rest, texts = self._received, []
        while b"\n" in rest:
            line, _, rest = rest.partition(b"\n")
            parts = self._REPLY_LINE.fullmatch(line.rstrip(b"\r"))
            if parts is None:
                raise MalformedReply
            texts.append((parts[3] or b"").decode("utf-8", "replace"))
            if parts[2] != b"-":
                self._received = rest
                return int(parts[1]), "\n".join(texts)
        if len(self._received) > LONGEST_REPLY:
            raise MalformedReply
        return None


async def command(stage: Stage, answer: Awaitable[T], within: float) -> T:
    """Await an answer that comes before the final dot; raise the verdict where it is not a yes.

    The time limit is here, and aiosmtplib's own is off: it uses `asyncio.wait_for`, which in Python 3.11 loses a
    cancellation that comes together with the answer. The verdict is raised outside the handler, so that no
    exception which quotes an address hangs on to it.
    """
    try:
        async with asyncio.timeout(within):
            return await answer
    except aiosmtplib.SMTPResponseException as error:
        verdict = classify(stage, error.code, error.message)
    except (aiosmtplib.SMTPException, OSError, UnicodeError, MalformedReply) as error:
        verdict = TryLater(f"no answer at {stage} ({type(error).__name__}: {error})")
    raise verdict


def with_crlf(content: bytes) -> bytes:
    content = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    return content if content.endswith(b"\r\n") else content + b"\r\n"


def _dot_stuffed(content: bytes) -> bytes:
    return re.sub(rb"(?m)^\.", b"..", content)
