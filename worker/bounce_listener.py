"""Receives delivery reports from the deployment's mail server, which routes the address for bounces here (MAIL7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy.exc import SQLAlchemyError
from temporalio.service import RPCError

from database.session import Database
from mail.reports.bounces import store_reports
from mail.reports.reading_process import ReadingProcess

log = structlog.get_logger()

LARGEST = 10 * 2**20
"""The largest mail that is read, in octets. A report quotes headers or a mail of ours."""


class BounceHandler:
    """Stores each report as an event, then accepts it from the mail server and notifies the inbox.

    Mail that is not a report is accepted and dropped: bouncing it could start a mail loop.
    """

    def __init__(
        self,
        database: Database,
        notify_inbox: Callable[[], Awaitable[None]],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._notify_inbox = notify_inbox
        self._now = now
        self._reader = ReadingProcess()

    async def aclose(self) -> None:
        """End the process that reads the reports."""
        await self._reader.aclose()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Return the SMTP reply to a complete mail (called by aiosmtpd)."""
        content = envelope.content
        if not isinstance(content, bytes):
            # aiosmtpd gives text only where it was asked to decode; this server is not.
            return "451 4.3.0 not now"
        try:
            stored = await store_reports(
                self._database, [(content, envelope.rcpt_tos)], self._now(), self._reader
            )
        except SQLAlchemyError as error:
            log.warning("report_storage_failed", error=type(error).__name__)
            return "451 4.3.0 not now"
        if stored.new:
            try:
                await self._notify_inbox()
            except (RPCError, RuntimeError, OSError) as error:
                # The report is stored: the next notification has it applied too.
                log.warning("inbox_notification_failed", error=type(error).__name__)
        return "250 2.0.0 accepted"


class _SmtpSession(SMTP):
    """A session with the mail server; a member of `sessions` while it is open."""

    def __init__(self, handler: BounceHandler, sessions: set[_SmtpSession]) -> None:
        super().__init__(
            handler, data_size_limit=LARGEST, ident="throughline", loop=asyncio.get_running_loop()
        )
        self._sessions = sessions
        sessions.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Note the end of the session (called by asyncio)."""
        self._sessions.discard(self)
        super().connection_lost(error)


@asynccontextmanager
async def bounce_listener(handler: BounceHandler, host: str, port: int) -> AsyncIterator[int]:
    """Listen for reports by SMTP within the block; yield the port, which the system chooses for port 0."""
    sessions: set[_SmtpSession] = set()

    def connect() -> _SmtpSession:
        return _SmtpSession(handler, sessions)

    server = await asyncio.get_running_loop().create_server(connect, host, port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for session in list(sessions):
            if isinstance(session.transport, asyncio.WriteTransport):
                session.transport.abort()
        await server.wait_closed()
        await handler.aclose()
