"""One connection to the mail server, and the verdict on a reply before the final dot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar, cast

import aiosmtplib

from mail.smtp.mail_transaction import MalformedReply
from mail.smtp.verdicts import DeliveryError, Stage, TryLater, classify

T = TypeVar("T")

QUIT_TIMEOUT = 1.0
"""Seconds that a server gets to reply to QUIT when the channel closes. Mail does not depend on the reply."""


class Connection:
    """A connection that is logged in, with its age on the loop's clock."""

    synchronized: bool
    """False once the server has sent more than one reply to a command."""

    def __init__(self, smtp: aiosmtplib.SMTP) -> None:
        self.smtp = smtp
        self.transport = cast(asyncio.Transport, smtp.transport)
        self.opened_at = self.idle_since = asyncio.get_running_loop().time()
        self.messages = 0
        self.synchronized = True

    def abort(self) -> None:
        """Drop the connection with all unsent bytes."""
        self.transport.abort()

    def leave(self) -> None:
        """Send QUIT and close without waiting for the reply."""
        if not self.transport.is_closing():
            self.transport.write(b"QUIT\r\n")
            self.transport.close()

    async def quit(self) -> None:
        """Send QUIT, wait a moment for the reply, and close."""
        try:
            await command(Stage.CONNECT, self.smtp.quit(), QUIT_TIMEOUT)
        except DeliveryError:
            pass
        finally:
            self.transport.abort()


async def command(stage: Stage, reply: Awaitable[T], timeout: float) -> T:
    """Await a reply that comes before the final dot; raise the verdict where it is not positive.

    The time limit is here, and aiosmtplib's own is off: it uses `asyncio.wait_for`, which in Python 3.11 loses a
    cancellation that comes together with the reply. The verdict is raised outside the handler, so that its context
    holds no exception that quotes an address (MEM6).
    """
    try:
        async with asyncio.timeout(timeout):
            return await reply
    except aiosmtplib.SMTPResponseException as error:
        verdict = classify(stage, error.code, error.message)
    except (aiosmtplib.SMTPException, OSError, UnicodeError, MalformedReply) as error:
        verdict = TryLater(f"no answer at {stage} ({type(error).__name__}: {error})")
    raise verdict
