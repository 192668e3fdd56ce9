"""The canary: a mail to a mailbox of our own that shows that the way through the relay works, to its end.

It is no message of the ledger: no figure, no promise and no record counts it. It names nobody (MEM6).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from secrets import token_hex
from typing import Final

from sqlalchemy import delete, or_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import MailCanary
from database.session import Database

HEADER: Final = "X-Throughline-Canary"
_TOKEN: Final = re.compile(
    rb"^%b:[ \t]*([0-9a-f]{32})[ \t]*\r?$" % HEADER.encode(), re.MULTILINE | re.IGNORECASE
)
_END_OF_HEADERS: Final = re.compile(rb"\r?\n\r?\n")
_THE_ONE: Final = 1


def canary_mail(token: str, sender: str, address: str, at: datetime) -> bytes:
    """Return the mail, with CRLF line ends."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, address, "Throughline canary"
    mail["Date"], mail[HEADER] = format_datetime(at), token
    mail["Message-ID"] = f"<canary-{token}@{sender.rpartition('@')[2]}>"
    # RFC 3834: no automatic reply to it.
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("This mail shows that mail arrives. Nobody needs to read it.\n")
    return mail.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


async def next_canary(database: Database, interval: timedelta, at: datetime) -> str | None:
    """Return the token of a canary to send now; None while the last one of the deployment is not old enough.

    Of all workers one gets it.
    """
    token = token_hex(16)
    try:
        async with database.begin() as session:
            if await session.get(MailCanary, _THE_ONE) is None:
                session.add(MailCanary(id=_THE_ONE, began_at=at))
                await session.flush()
            return await session.scalar(
                update(MailCanary)
                .where(or_(MailCanary.sent_at.is_(None), MailCanary.sent_at <= at - interval))
                .values(token=token, sent_at=at, taken_at=None)
                .returning(MailCanary.token)
            )
    except IntegrityError:
        # Another worker has begun at the same moment, and sends it.
        return None


async def canary_taken(database: Database, token: str, at: datetime) -> None:
    """Record that the mail server took a canary."""
    async with database.begin() as session:
        await session.execute(update(MailCanary).where(MailCanary.token == token).values(taken_at=at))


async def forget_canary(database: Database) -> None:
    """Forget the canary of a deployment that sends none any more: nobody should wait for it."""
    async with database.begin() as session:
        await session.execute(delete(MailCanary))


async def canary_seen(session: AsyncSession, token: str, at: datetime) -> None:
    """Record that a canary came back, if it is the last one that was sent."""
    await session.execute(
        update(MailCanary)
        .where(MailCanary.token == token)
        .values(seen_at=at, seen_sent_at=MailCanary.sent_at)
    )


async def without_canaries(
    database: Database, mails: Iterable[tuple[bytes, Sequence[str]]], at: datetime
) -> list[tuple[bytes, Sequence[str]]]:
    """Record the canaries among mails that arrived, and return the others. An old or invented one changes nothing."""
    others, tokens = [], set()
    for mail in mails:
        if token := token_of(mail[0]):
            tokens.add(token)
        else:
            others.append(mail)
    if tokens:
        async with database.begin() as session:
            for token in sorted(tokens):
                await canary_seen(session, token, at)
    return others


def token_of(content: bytes) -> str | None:
    """Return the token in a mail's own headers; None if it is no canary, as the report about one is."""
    end = _END_OF_HEADERS.search(content)
    found = _TOKEN.search(content, 0, end.start() if end else len(content))
    return found[1].decode("ascii").lower() if found else None
