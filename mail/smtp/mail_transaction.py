"""One mail transaction on a connection (RFC 5321, 3.3), with the caller's record between body and final dot."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress

from mail.smtp.verdicts import Stage, TryLater, classify

LONGEST_REPLY = 32 * 1024
"""Bytes of an incomplete reply after which it counts as malformed. RFC 5321 limits a reply line to 512."""


class MalformedReply(Exception):
    """The server sent something that is no SMTP reply."""


class MailTransaction(asyncio.Protocol):
    """A connection between MAIL FROM and the reply to the final dot.

    aiosmtplib sends one command at a time. It writes the message and the final dot in one call, and discards what the
    server sends between commands. Delivery needs commands in a group, and the caller's record between message and dot.
    A refusal or an end of file before the dot is needed too: it proves that the server does not have the message. So
    this protocol takes over the transport, and hands it back after a positive reply. It passes on that the connection
    is lost, so that aiosmtplib's own state stays true.
    """

    _REPLY_LINE = re.compile(rb"([2-5]\d\d)(?:([ -])(.*))?", re.DOTALL)

    def __init__(self, transport: asyncio.Transport, commands: Mapping[Stage, str], pipelined: bool) -> None:
        """Send all commands in one group if `pipelined` (RFC 2920, 3.1), else each as its reply is asked for."""
        self.pipelined = pipelined
        self._unsent = {stage: f"{line}\r\n".encode("ascii") for stage, line in commands.items()}
        self._transport = transport
        self._owner = transport.get_protocol()
        self._received = b""
        self._paused = False
        self._lost = transport.is_closing()
        self._changed = asyncio.Event()
        transport.set_protocol(self)
        # Not 0: asyncio's TLS transport would then pause and resume by turns at each write of an empty buffer.
        transport.set_write_buffer_limits(high=1)
        if pipelined:
            self._transport.write(b"".join(self._unsent.values()))
            self._unsent.clear()

    @property
    def lost(self) -> bool:
        """Whether the connection is gone."""
        return self._lost

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._changed.set()

    def eof_received(self) -> None:
        self._lost = True
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._changed.set()
        self._owner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._changed.set()

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def write_body(self, data: bytes) -> None:
        """Write, and wait until the bytes have left, or the server has replied or closed the connection."""
        self._transport.write(data)
        while self._paused and not self._lost and not self._received:
            await self._wait_for_change()

    async def reply_to(self, stage: Stage) -> tuple[int, str]:
        """Return the reply to a command, which is sent now unless its group was. Call it in the group's order."""
        if line := self._unsent.pop(stage, None):
            self._transport.write(line)
        return await self.reply()

    async def reply(self) -> tuple[int, str]:
        """Return the next reply: code and text. Raises ConnectionError or MalformedReply."""
        while (reply := self._next_reply()) is None:
            if self._lost:
                raise ConnectionError("connection lost")
            await self._wait_for_change()
        return reply

    def raise_early_reply(self) -> None:
        """Raise the verdict if the server replied or left before the end of the message: neither is acceptance."""
        if not self._received:
            if self._lost:
                raise TryLater("the connection was lost before the end of the message")
            return
        reply = None
        with suppress(MalformedReply):
            reply = self._next_reply()
        if reply is not None and 400 <= reply[0] < 600:
            raise classify(Stage.END, *reply)
        raise TryLater("the server replied before the end of the message")

    def hand_back(self) -> bool:
        """Give the transport back. Return False if the server sent more than one reply: the next is not ours."""
        self._transport.set_write_buffer_limits()
        self._transport.set_protocol(self._owner)
        return not self._received and not self._lost

    async def _wait_for_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _next_reply(self) -> tuple[int, str] | None:
        """Take one complete reply off what was received; None while it is incomplete."""
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


def with_crlf(content: bytes) -> bytes:
    """Return the content with CRLF as every line end, the last line included (RFC 5321, 2.3.8)."""
    content = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    return content if content.endswith(b"\r\n") else content + b"\r\n"


def dot_stuffed(content: bytes) -> bytes:
    """Return the content with a second dot before each line that starts with one (RFC 5321, 4.5.2)."""
    return re.sub(rb"(?m)^\.", b"..", content)
