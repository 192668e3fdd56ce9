"""Sends the canary through the channel that all mail takes, every interval, from one worker of the deployment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from database.session import Database
from mail.reports.canary import canary_mail, canary_taken, next_canary
from mail.smtp.channel import SmtpChannel
from mail.smtp.verdicts import DeliveryError

LOOK_EVERY: Final = 15.0
"""Seconds between two looks whether a canary is due."""

log = structlog.get_logger()


class Canary:
    """What sends the canary to `address`."""

    def __init__(
        self, database: Database, channel: SmtpChannel, sender: str, address: str, interval: timedelta
    ) -> None:
        self._database = database
        self._channel = channel
        self._sender = sender
        self._address = address
        self._interval = interval

    async def send_if_due(self) -> bool:
        """Send a canary if one is due; return whether the mail server took it. Raises SQLAlchemyError, OSError."""
        at = datetime.now(UTC)
        token = await next_canary(self._database, self._interval, at)
        if token is None:
            return False
        content = canary_mail(token, self._sender, self._address, at)
        try:
            await self._channel.deliver(
                self._sender,
                self._address,
                await self._channel.sign(content),
                before_last_byte=_nothing,
            )
        except DeliveryError as error:
            log.warning("canary_not_sent", error=type(error).__name__)
            return False
        await canary_taken(self._database, token, datetime.now(UTC))
        return True

    async def run(self) -> None:
        """Send canaries, for ever."""
        while True:
            try:
                await self.send_if_due()
            except (SQLAlchemyError, OSError, RuntimeError) as error:
                log.warning("canary_not_sent", error=type(error).__name__)
            await asyncio.sleep(min(LOOK_EVERY, self._interval.total_seconds()))


async def _nothing() -> None:
    """Record nothing: a canary that is lost is not sent again."""


@asynccontextmanager
async def canaries(canary: Canary) -> AsyncIterator[None]:
    """Send canaries within the block."""
    running = asyncio.create_task(canary.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
