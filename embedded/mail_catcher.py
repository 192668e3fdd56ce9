"""A mail server that keeps the mail it accepts, for rehearsals and demos, with the faults that a scenario names."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass(frozen=True, slots=True)
class Caught:
    """A message that the server accepted, as it came in."""

    sender: str
    recipient: str
    content: bytes

    @property
    def message(self) -> EmailMessage:
        """The parsed message."""
        return email.message_from_bytes(self.content, policy=email.policy.default)


class MailCatcher:
    """An SMTP server on a free loopback port.

    `fault` is the fault that it simulates: "" for none, `smtp_down`, `smtp_4xx`, `smtp_5xx_recipient` or
    `smtp_drop_after_data`. With `folder`, each accepted message is written there as an .eml file.
    """

    def __init__(self, folder: Path | None = None, on_mail: Callable[[Caught], None] | None = None) -> None:
        self.caught: list[Caught] = []
        self._fault = ""
        self.host = "127.0.0.1"
        self.port = 0
        self._folder = folder
        self._on_mail = on_mail
        self._server: asyncio.Server | None = None
        self._transports: set[asyncio.Transport] = set()

    @property
    def fault(self) -> str:
        """The fault that the server simulates now; empty for none."""
        return self._fault

    @fault.setter
    def fault(self, kind: str) -> None:
        self._fault = kind
        if kind == "smtp_down":
            for transport in list(self._transports):
                transport.abort()

    async def start(self, port: int = 0) -> None:
        """Listen. Raises OSError if the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._session, self.host, port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the server and every connection."""
        if self._server:
            self._server.close()
        for transport in list(self._transports):
            transport.close()
        if self._server:
            await self._server.wait_closed()

    def _session(self) -> asyncio.BaseProtocol:
        return _Protocol(self)

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Return the reply to EHLO: as most servers do, this one takes commands in groups (called by aiosmtpd)."""
        session.host_name = hostname
        return [responses[0], "250-PIPELINING", *responses[1:]]

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Return the reply to RCPT TO, or that of the fault (called by aiosmtpd)."""
        if self.fault == "smtp_4xx":
            return "451 4.3.0 try again later"
        if self.fault == "smtp_5xx_recipient":
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep a message and return the reply, or drop the connection (called by aiosmtpd)."""
        content = envelope.original_content or b""
        caught = Caught(envelope.mail_from or "", envelope.rcpt_tos[0], content)
        self.caught.append(caught)
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / f"{len(self.caught):05}.eml").write_bytes(content)
        if self._on_mail:
            self._on_mail(caught)
        if self.fault == "smtp_drop_after_data":
            transport: Any = server.transport
            transport.abort()
        return "250 2.0.0 kept"


class _Protocol(SMTP):
    def __init__(self, catcher: MailCatcher) -> None:
        super().__init__(catcher, enable_SMTPUTF8=False, ident="throughline", hostname="localhost")
        self._catcher = catcher

    def connection_made(self, transport: Any) -> None:
        if self._catcher.fault == "smtp_down":
            transport.abort()
            return
        self._catcher._transports.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self.transport is not None:
            self._catcher._transports.discard(self.transport)
            super().connection_lost(error)
