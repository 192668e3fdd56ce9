"""Takes in delivery-status mails from the deployment's mail server: the address for bounces is routed to it (MAIL7)."""

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
from mail.bounces import store_reports

log = structlog.get_logger()

LARGEST = 10 * 2**20
"""The largest mail that is read, in octets; a report gives back headers, or a mail of ours."""


class BounceHandler:
    """Stores each report as an event, once it is stored says so to the mail server, and has it applied.

    Mails that are no reports are taken and dropped: a bounce of an answer to a bounce helps nobody.
    """

    def __init__(
        self,
        database: Database,
        arrived: Callable[[], Awaitable[None]],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._arrived = arrived
        self._now = now

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Answer a mail that came whole (called by aiosmtpd)."""
        content = envelope.content
        assert isinstance(content, bytes)
        try:
            new = await store_reports(self._database, [(content, envelope.rcpt_tos)], self._now())
        except SQLAlchemyError as error:
            log.warning("a report could not be stored", error=type(error).__name__)
            return "451 4.3.0 not now"
        if new:
            try:
                await self._arrived()
            except (RPCError, RuntimeError, OSError) as error:
                # It is stored: whatever tells the inbox next has it applied too.
                log.warning("the inbox could not be told of a report", error=type(error).__name__)
        return "250 2.0.0 taken"


class _Connection(SMTP):
    """A session with the mail server, among the open ones until it ends."""

    def __init__(self, handler: BounceHandler, open_ones: set[_Connection]) -> None:
        super().__init__(
            handler, data_size_limit=LARGEST, ident="throughline", loop=asyncio.get_running_loop()
        )
        self._open_ones = open_ones
        open_ones.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """The session has ended."""
        self._open_ones.discard(self)
        super().connection_lost(error)


@asynccontextmanager
async def bounces_taken_in(handler: BounceHandler, host: str, port: int) -> AsyncIterator[int]:
    """Listen for reports by SMTP as long as the block lasts; the port, for one asked for as 0."""
    open_ones: set[_Connection] = set()

    def connect() -> _Connection:
        return _Connection(handler, open_ones)

    server = await asyncio.get_running_loop().create_server(connect, host, port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for connection in list(open_ones):
            if isinstance(connection.transport, asyncio.WriteTransport):
                connection.transport.abort()
        await server.wait_closed()
