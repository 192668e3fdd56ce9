"""An SMTP server on the test's own event loop that keeps what it is given."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from types import TracebackType

from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.support.limits import PATIENCE


@dataclass(frozen=True, slots=True)
class Received:
    """One SMTP transaction as the server accepted it: the envelope, and the bytes as they came."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes

    @property
    def message(self) -> EmailMessage:
        """The bytes read as a message."""
        return message_from_bytes(self.data, policy=SMTP_POLICY)


class CapturingSmtp:
    """Accepts every message on a free loopback port and keeps them in `messages`, in order of acceptance."""

    def __init__(self) -> None:
        self.messages: list[Received] = []
        self.address: tuple[str, int] = ("", 0)
        self.connections = 0
        self._arrived = asyncio.Condition()
        self._open: set[SMTP] = set()

    async def __aenter__(self) -> CapturingSmtp:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = (host, port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in self._open:
            if isinstance(connection.transport, asyncio.WriteTransport):
                connection.transport.abort()
        await self._server.wait_closed()

    async def wait_for(self, count: int, seconds: float = PATIENCE) -> list[Received]:
        """The messages, once there are at least `count`; raises TimeoutError when they do not come."""
        async with asyncio.timeout(seconds), self._arrived:
            await self._arrived.wait_for(lambda: len(self.messages) >= count)
        return self.messages

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keeps the message and answers that it is accepted (called by aiosmtpd)."""
        data = envelope.content
        assert isinstance(data, bytes)
        self.messages.append(Received(envelope.mail_from or "", tuple(envelope.rcpt_tos), data))
        async with self._arrived:
            self._arrived.notify_all()
        return "250 kept"

    def _connect(self) -> SMTP:
        self.connections += 1
        connection = SMTP(
            self, hostname="sink.example.org", enable_SMTPUTF8=True, loop=asyncio.get_running_loop()
        )
        self._open.add(connection)
        return connection
