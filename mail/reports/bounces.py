"""Reports about our mail, from the bounce address or a mailbox, stored as events (MAIL7, MAIL10).

`mail.reports.report_reader` reads them. Other mail to the bounce address, such as an out-of-office reply, is no report.
"""

from __future__ import annotations

import errno
import hashlib
import mailbox
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database import events
from database.models import Message
from database.session import Database
from mail.meetups.calendar_reply import CalendarReply
from mail.meetups.stored_replies import store_replies
from mail.reports.bounce_report import DELIVERY, BounceReport
from mail.reports.canary import without_canaries
from mail.reports.delivered import DeliveredReport, record_delivered
from mail.reports.providers import ProviderReport
from mail.reports.reading_process import ReadingProcess
from rules.events import Envelope, check_event

log = structlog.get_logger()

SOURCE = "/bounces"
"""The source of events that were made from mailed reports; those of a provider have its name behind it."""

TYPE = "mail.bounced"

_HEADER = re.compile(rb"[!-9;-~]+[ \t]*:")
_PROVIDER_ID = re.compile(r"[A-Za-z0-9._-]{16,120}")
_LONGEST_LINE = 1000


class StoredReports(NamedTuple):
    """What became of reports: events that are new, and reports that name no mail of ours."""

    new: int
    refused: int


async def store_reports(
    database: Database,
    reports: Iterable[tuple[bytes, Sequence[str]]],
    at: datetime,
    reader: ReadingProcess | None = None,
) -> StoredReports:
    """Store an event of time `at` for each report about our mail that is not known yet (MAIL7).

    A reply of a calendar comes the same ways, and is stored as an answer (MEE1). They are read by `reader`, or by a
    process for this call. What it gives up is dropped and counted in the log.
    """
    reports = await without_canaries(database, reports, at)
    own = reader or ReadingProcess()
    before = own.given_up
    try:
        found = [await own.read(content, recipients) for content, recipients in reports]
    finally:
        if reader is None:
            await own.aclose()
    if dropped := own.given_up - before:
        log.warning("reports_dropped", count=dropped, reason="reading them took too long")
    answers = await store_replies(database, [each for each in found if isinstance(each, CalendarReply)], at)
    stored = await store_bounces(database, [each for each in found if isinstance(each, BounceReport)], at)
    return StoredReports(stored.new + answers, stored.refused)


async def store_bounces(
    database: Database, found: Sequence[BounceReport], at: datetime, source: str = SOURCE
) -> StoredReports:
    """Store an event of time `at` for each report that is not known yet, and count those that only guess (MAIL7).

    A report of a delivery becomes no event: its instant is written beside the decision.
    Anybody can send a report. A delivery's id is signed, so a report that names one has seen our mail. One that names
    none is refused and leaves no row behind: otherwise guesses would fill the database.
    """
    envelopes: list[Envelope] = []
    refused = await record_delivered(
        database,
        [
            DeliveredReport(one.delivery, one.message_id, one.at or at)
            for one in found
            if one.kind == DELIVERY
        ],
    )
    async with database.reading() as session:
        for bounce in (one for one in found if one.kind != DELIVERY):
            data, problems = check_event(TYPE, bounce.data)
            if problems or not await _is_ours(session, bounce):
                refused += 1
            else:
                envelopes.append(Envelope(bounce.id, source, TYPE, at, data))
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
    database: Database, provider: str, found: Sequence[ProviderReport], at: datetime
) -> StoredReports:
    """Store an event of time `at` for each report of a provider (MAIL7).

    The mail is named by our own id, and by the provider's where ours is missing. The source names the provider: its
    signature was checked, and a mailed report has none.
    """
    bounces: list[BounceReport] = []
    async with database.reading() as session:
        for report in found:
            delivery = report.delivery
            if not (delivery or report.message_id) and report.provider_id:
                delivery = await _answered_with(session, report.provider_id)
            named = delivery or report.message_id or ""
            digest = hashlib.sha256(f"{report.kind}|{named}|{report.reason}".encode()).hexdigest()[:32]
            bounces.append(
                BounceReport(
                    digest,
                    report.kind,
                    report.reason[:200],
                    delivery,
                    report.message_id,
                    min(report.at, at) if report.at else None,
                )
            )
    return await store_bounces(database, bounces, at, f"{SOURCE}/{provider}")


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
