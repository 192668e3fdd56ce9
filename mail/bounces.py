"""Read delivery-status and complaint mails (MAIL7): what came back, for which delivery, of which kind.

A report is classified like a mail server's reply (`mail.smtp.verdicts.classify`), so that a
refusal means the same whether it comes at once or by mail. Other mail to the bounce address, such as an
out-of-office reply, is no report.
"""

from __future__ import annotations

import errno
import hashlib
import mailbox
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from pathlib import Path
from typing import cast

from database import events
from database.session import Database
from mail.smtp.verdicts import RecipientRefused, Stage, classify
from rules.events import Envelope, check_event

SOURCE = "/bounces"
"""The source of events that were made from reports."""

TYPE = "mail.bounced"

_ENVELOPE_ADDRESS = re.compile(r"\+([0-9a-f]{32})@")
_DELIVERY = re.compile(r"[0-9a-f]{32}")
_MESSAGE_ID = re.compile(r"<[^<>\s]{3,188}>")
_STATUS = re.compile(r"([245])\.\d{1,3}\.\d{1,3}")
_HEADER = re.compile(rb"[!-9;-~]+[ \t]*:")
_LONGEST_LINE = 1000
_CODE = re.compile(r"\b([45]\d\d)\b")
_RECEIVED_FOR = ("Delivered-To", "X-Original-To", "Envelope-To", "To")
_NO_COMPLAINTS = {"not-spam", "auth-failure"}


@dataclass(frozen=True, slots=True)
class BounceReport:
    """A report of a failure: `hard`, `soft` or `complaint`, of a delivery or of the Message-ID of its mail.

    `id` is the same each time the same report is read, by any way.
    """

    id: str
    kind: str
    delivery: str | None = None
    message_id: str | None = None

    @property
    def data(self) -> dict[str, str]:
        """The data of its event."""
        known = {"delivery": self.delivery, "message_id": None if self.delivery else self.message_id}
        return {"kind": self.kind, **{name: value for name, value in known.items() if value}}


def read_report(content: bytes, recipients: Sequence[str] = ()) -> BounceReport | None:
    """Return what a mail reports; None if it reports no failure or complaint, or names no mail of ours.

    `recipients` are the envelope's, where known: the bounce address names the delivery. Raises nothing, for any bytes.
    """
    report = BytesParser(policy=compat32).parsebytes(content)
    parts = list(report.walk())
    kind = _complaint(parts) or _failure(parts)
    if kind is None:
        return None
    delivery, message_id = _returned(parts)
    delivery = delivery or _named_by([*recipients, *_addresses(report)])
    if not (delivery or message_id):
        return None
    known = _header(report, "Message-ID").encode() or content
    digest = hashlib.sha256(b"|".join((kind.encode(), (delivery or message_id or "").encode(), known)))
    return BounceReport(digest.hexdigest()[:32], kind, delivery, message_id)


def _complaint(parts: Iterable[Message]) -> str | None:
    """Return `complaint` for a report in the Abuse Reporting Format (RFC 5965)."""
    for part in parts:
        if part.get_content_type() == "message/feedback-report":
            fields = BytesParser(policy=compat32).parsebytes(_text(part))
            feedback = _header(fields, "Feedback-Type").lower()
            return "complaint" if feedback and feedback not in _NO_COMPLAINTS else None
    return None


def _failure(parts: Iterable[Message]) -> str | None:
    """Return the kind of failure that a delivery-status notification (RFC 3464) reports; a delay is none."""
    for part in parts:
        if part.get_content_type() != "message/delivery-status" or not part.is_multipart():
            continue
        for block in cast(list[Message], part.get_payload()):
            status = _STATUS.search(_header(block, "Status"))
            if _header(block, "Action").lower() == "failed" and status and status[1] != "2":
                return _kind(status[0], _header(block, "Diagnostic-Code"))
    return None


def _kind(status: str, diagnostic: str) -> str:
    """Return `hard` where the answer clearly speaks of the mailbox, else `soft`: a full mailbox silences nobody."""
    if status.startswith("4"):
        return "soft"
    words = diagnostic.partition(";")[2].strip()
    code = _CODE.match(words)
    said = words[3:].strip() if code else words
    if not _STATUS.match(said):
        said = f"{status} {said}"
    verdict = classify(Stage.RCPT, int(code[1]) if code else 550, said)
    return "hard" if isinstance(verdict, RecipientRefused) else "soft"


def _returned(parts: Iterable[Message]) -> tuple[str | None, str | None]:
    """Return delivery and Message-ID from the headers of our mail that the report quotes."""
    for part in parts:
        kind = part.get_content_type()
        if kind == "text/rfc822-headers":
            ours = BytesParser(policy=compat32).parsebytes(_text(part))
        elif kind == "message/rfc822" and part.is_multipart():
            ours = cast(list[Message], part.get_payload())[0]
        else:
            continue
        delivery = _DELIVERY.fullmatch(_header(ours, "X-Throughline-Delivery"))
        message_id = _MESSAGE_ID.search(_header(ours, "Message-ID"))
        if delivery or message_id:
            return delivery and delivery[0], message_id and message_id[0]
    return None, None


def _addresses(report: Message) -> Iterator[str]:
    for name in _RECEIVED_FOR:
        for value in report.get_all(name, []):
            yield str(value)


def _named_by(addresses: Iterable[str]) -> str | None:
    for address in addresses:
        if found := _ENVELOPE_ADDRESS.search(address.lower()):
            return found[1]
    return None


def _header(message: Message, name: str) -> str:
    return str(message.get(name, "")).strip()


def _text(part: Message) -> bytes:
    """Return the bytes of a part, even where the parser read it as a message of its own."""
    if part.is_multipart():
        return b"\n".join(inner.as_bytes() for inner in cast(list[Message], part.get_payload()))
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


async def store_reports(
    database: Database, reports: Iterable[tuple[bytes, Sequence[str]]], at: datetime
) -> int:
    """Store an event of time `at` for each report not known yet; return the number of new events (MAIL7)."""
    envelopes = []
    for content, recipients in reports:
        bounce = read_report(content, recipients)
        if bounce is None:
            continue
        data, problems = check_event(TYPE, bounce.data)
        if not problems:
            envelopes.append(Envelope(bounce.id, SOURCE, TYPE, at, data))
    if not envelopes:
        return 0
    async with database.begin() as session:
        return await events.store(session, envelopes)


async def collect_bounces(database: Database, file: Path, at: datetime) -> int:
    """Store the reports of a mailbox as events: a Maildir, an mbox file, or one mail in a file of its own.

    The mailbox is not changed, and reading it again stores nothing twice. Returns the number of new events;
    raises OSError if the mailbox cannot be read.
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
