"""Polls the mailbox for bounces by IMAP, where the mail server routes nothing to a port of ours (MAIL7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError
from temporalio.service import RPCError

from database.session import Database
from mail.reports.bounces import store_reports
from mail.reports.imap import ImapRefused, ImapSettings, SignInRefused, look
from mail.smtp.oauth2 import TokenSource
from mail.smtp.verdicts import DeliveryError

log = structlog.get_logger()

LONGEST_DELAY = 3600.0
"""Seconds between looks at a mailbox that cannot be read: providers lock an account after repeated wrong passwords."""


class BounceMailbox:
    """One mailbox. Each mail is stored as an event before it is marked as read."""

    def __init__(
        self,
        settings: ImapSettings,
        database: Database,
        notify_inbox: Callable[[], Awaitable[None]],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._database = database
        self._notify_inbox = notify_inbox
        self._now = now
        self._tokens = TokenSource(settings.oauth2) if settings.oauth2 else None

    async def look(self) -> int:
        """Read the mails that nobody has read; return their number. Raises ImapRefused, DeliveryError, OSError."""
        token = await self._tokens.token() if self._tokens else ""
        try:
            return await self._read(token)
        except SignInRefused:
            if self._tokens is None:
                raise
        # A token may have been revoked before its end; a second refusal is one of the account.
        self._tokens.discard(token)
        return await self._read(await self._tokens.token())

    async def _read(self, token: str) -> int:
        loop = asyncio.get_running_loop()

        def take(mails: list[bytes]) -> None:
            asyncio.run_coroutine_threadsafe(self._store(mails), loop).result()

        return await asyncio.to_thread(look, self._settings, token, take)

    async def _store(self, mails: list[bytes]) -> None:
        stored = await store_reports(self._database, [(mail, ()) for mail in mails], self._now())
        if stored.new:
            try:
                await self._notify_inbox()
            except (RPCError, RuntimeError, OSError) as error:
                # The reports are stored: the next notification has them applied too.
                log.warning("inbox_notification_failed", error=type(error).__name__)

    async def run(self, interval: float) -> None:
        """Look again and again, less often while the mailbox cannot be read."""
        delay = interval
        while True:
            try:
                if await self.look():
                    log.info("bounce_mailbox_read")
                delay = interval
            except (ImapRefused, DeliveryError, SQLAlchemyError, OSError) as error:
                delay = min(delay * 2, LONGEST_DELAY)
                log.warning(
                    "bounce_mailbox_not_read", error=type(error).__name__, retry_in_seconds=round(delay)
                )
            await asyncio.sleep(delay)


@asynccontextmanager
async def polling(mailbox: BounceMailbox, interval: float) -> AsyncIterator[None]:
    """Look at the mailbox every `interval` seconds within the block."""
    running = asyncio.create_task(mailbox.run(interval))
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
