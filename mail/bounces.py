"""Reports about our mail, from the bounce address or a mailbox, stored as events (MAIL7, MAIL10).

`mail.reports.report_reader` reads them. Other mail to the bounce address, such as an out-of-office reply, is no report.
"""

from __future__ import annotations

import errno
import hashlib
import mailbox
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database import events
from database.models import Message
from database.session import Database
from mail.reports.parts import parse
from mail.reports.providers import ProviderReport
from mail.reports.report_reader import ReportClass, read_report, weightiest
from rules.events import Envelope, check_event

log = structlog.get_logger()

SOURCE = "/bounces"
"""The source of events that were made from reports."""

TYPE = "mail.bounced"

_HEADER = re.compile(rb"[!-9;-~]+[ \t]*:")
_PROVIDER_ID = re.compile(r"[A-Za-z0-9._-]{16,120}")
_LONGEST_LINE = 1000
_WITHOUT_EVENT = {ReportClass.NONE, ReportClass.DELAYED}


@dataclass(frozen=True, slots=True)
class BounceReport:
    """A report of a failure or a complaint, of a delivery or of the Message-ID of its mail; `reason` is its cause.

    `id` is the same each time the same report is read, by any way.
    """

    id: str
    kind: str
    reason: str
    delivery: str | None = None
    message_id: str | None = None

    @property
    def data(self) -> dict[str, str]:
        """The data of its event."""
        known = {"delivery": self.delivery, "message_id": None if self.delivery else self.message_id}
        named = {name: value for name, value in known.items() if value}
        return {"kind": self.kind, "reason": self.reason, **named}


def bounce_in(content: bytes, recipients: Sequence[str] = ()) -> BounceReport | None:
    """Return what a mail reports; None if it reports no failure or complaint, or names no mail of ours.

    `recipients` are the envelope's, where known: the bounce address names the delivery. Raises nothing, for any bytes.
    """
    found = weightiest(read_report(content, recipients))
    if found.report_class in _WITHOUT_EVENT or not (found.delivery or found.message_id):
        return None
    kind = found.report_class.value
    known = parse(content).get("message-id").encode() or content
    digest = hashlib.sha256(
        b"|".join((kind.encode(), (found.delivery or found.message_id or "").encode(), known))
    )
    return BounceReport(digest.hexdigest()[:32], kind, found.cause, found.delivery, found.message_id)


class StoredReports(NamedTuple):
    """What became of reports: events that are new, and reports that name no mail of ours."""

    new: int
    refused: int


async def store_reports(
    database: Database, reports: Iterable[tuple[bytes, Sequence[str]]], at: datetime
) -> StoredReports:
    """Store an event of time `at` for each report about our mail that is not known yet (MAIL7)."""
    found = (bounce_in(content, recipients) for content, recipients in reports)
    return await store_bounces(database, [bounce for bounce in found if bounce], at)


async def store_bounces(database: Database, found: Sequence[BounceReport], at: datetime) -> StoredReports:
    """Store an event of time `at` for each report that is not known yet, and count those that only guess (MAIL7).

    Anybody can send a report. A delivery's id is signed, so a report that names one has seen our mail. One that names
    none is refused and leaves no row behind: otherwise guesses would fill the database.
    """
    envelopes: list[Envelope] = []
    refused = 0
    async with database.reading() as session:
        for bounce in found:
            data, problems = check_event(TYPE, bounce.data)
            if problems or not await _is_ours(session, bounce):
                refused += 1
            else:
                envelopes.append(Envelope(bounce.id, SOURCE, TYPE, at, data))
    if refused:
        log.warning("reports_refused", count=refused, reason="they name no mail of ours")
    if not envelopes:
        return StoredReports(0, refused)
    async with database.begin() as session:
        return StoredReports(await events.store(session, envelopes), refused)


async def _is_ours(session: AsyncSession, bounce: BounceReport) -> bool:
    named = (
        Message.delivery == bounce.delivery if bounce.delivery else Message.message_id == bounce.message_id
    )
    return await session.scalar(select(Message.id).where(named).limit(1)) is not None


async def store_provider_reports(
    database: Database, found: Sequence[ProviderReport], at: datetime
) -> StoredReports:
    """Store an event of time `at` for each report of a provider; by its own id only where ours is missing (MAIL7)."""
    bounces: list[BounceReport] = []
    async with database.reading() as session:
        for report in found:
            delivery = report.delivery
            if not (delivery or report.message_id) and report.provider_id:
                delivery = await _answered_with(session, report.provider_id)
            named = delivery or report.message_id or ""
            digest = hashlib.sha256(f"{report.kind}|{named}|{report.reason}".encode()).hexdigest()[:32]
            bounces.append(
                BounceReport(digest, report.kind, report.reason[:200], delivery, report.message_id)
            )
    return await store_bounces(database, bounces, at)


async def _answered_with(session: AsyncSession, provider_id: str) -> str | None:
    """Return the delivery that a provider answered with its own id, as in `250 Ok <id>`."""
    if not _PROVIDER_ID.fullmatch(provider_id):
        return None
    answered = Message.response.contains(provider_id, autoescape=True)
    return await session.scalar(select(Message.delivery).where(Message.state == "sent", answered).limit(1))


async def collect_bounces(database: Database, file: Path, at: datetime) -> StoredReports:
    """Store the reports of a mailbox as events: a Maildir, an mbox file, or one mail in a file of its own.

    The mailbox is not changed, and reading it again stores nothing twice. Raises OSError if the mailbox cannot be read.
    """
    return await store_reports(database, ((content, ()) for content in read_mailbox(file)), at)


def read_mailbox(file: Path) -> Iterator[bytes]:
    """Yield the mails of a mailbox, as bytes. Raises OSError if it cannot be read."""
    if file.is_dir():
        if not all((file / folder).is_dir() for folder in ("cur", "new")):
            raise OSError(errno.EINVAL, "is no Maildir: it lacks cur or new", str(file))
        for folder in ("cur", "new"):
            for mail in sorted((file / folder).iterdir()):
                yield mail.read_bytes()
        return
    with file.open("rb") as opened:
        first = opened.readline(_LONGEST_LINE)
    if first and not first.startswith(b"From "):
        if not _HEADER.match(first):
            raise OSError(errno.EINVAL, "is neither an mbox file nor a mail", str(file))
        yield file.read_bytes()
        return
    box = mailbox.mbox(file, create=False)
    try:
        for key in box.iterkeys():
            yield box.get_bytes(key)
    finally:
        box.close()
