"""What a mail reports about our mail: the one reader for the bounce address, mailboxes and providers (MAIL7, MAIL10).

`read_report` is the entry. It reads delivery-status notifications (RFC 3464, RFC 6533) and complaints (RFC 5965);
`mail.reports.text_formats` reads what has no such part. Each refusal is classified like a reply in the dialogue, by
`mail.smtp.refusals`, so that it means the same whether it comes at once or by mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from mail.meetups.calendar_reply import is_about_reply
from mail.reports.parts import Part, parse, walk
from mail.reports.provider_lists import provider_in
from mail.reports.text_formats import answers_in, human_text, is_automatic_reply, read_text, status_fields
from mail.smtp.refusals import Cause, RefusalClass, RefusalMeaning, classify_refusal, is_temporary

_ENVELOPE_ADDRESS = re.compile(r"\+([0-9a-f]{32})@")
_DELIVERY = re.compile(r"[0-9a-f]{32}")
_MESSAGE_ID = re.compile(r"<[^<>\s]{3,188}>")
_STATUS = re.compile(r"\b([245])\.\d{1,3}\.\d{1,3}\b")
_CODE = re.compile(r"\b([45]\d\d)(?=\b|[- ])")
_ADDRESS = re.compile(r"[^\s<>;,()\"']+@[^\s<>;,()\"']+")
_QUOTED_DELIVERY = re.compile(r"(?mi)^[> ]*X-Throughline-Delivery:\s*([0-9a-f]{32})\b")
_QUOTED_MESSAGE_ID = re.compile(r"(?mi)^[> ]*Message-ID:\s*(<[^<>\s]{3,188}>)")
_RECEIVED_FOR = ("delivered-to", "x-original-to", "envelope-to", "to")
_NO_COMPLAINTS = {"not-spam", "auth-failure"}
_STATUS_PARTS = {"message/delivery-status", "message/global-delivery-status"}
_HEADER_PARTS = {"text/rfc822-headers", "message/global-headers"}
_ORIGINALS = {"message/rfc822", "message/global"}
_MOST_RECIPIENTS = 50


class ReportClass(StrEnum):
    """What a mail is read as. Only HARD and COMPLAINT count against the address."""

    HARD = "hard"
    COMPLAINT = "complaint"
    REFUSED = "refused"
    SOFT = "soft"
    DELAYED = "delayed"
    NONE = "none"


DELIVERED = ("delivered", "relayed")
"""The causes of class NONE by which a mail server says that a mail was delivered, or passed on (RFC 3464, 2.3.3)."""

BY_WEIGHT = tuple(ReportClass)
"""The classes, the weightiest first."""


@dataclass(frozen=True, slots=True)
class ReportedMail:
    """One recipient of one mail in a report: how it fared, and which mail it was, as far as the report says.

    `cause` names what the refusal speaks of; with the codes it holds no personal data. `recipient` is for comparison
    only: a report may name an address that the recipient forwards to.
    """

    report_class: ReportClass
    cause: str
    delivery: str | None = None
    message_id: str | None = None
    recipient: str | None = None


def read_report(content: bytes, recipients: Sequence[str] = ()) -> list[ReportedMail]:
    """Return each recipient that a mail reports on, with its class; none for a mail that is no report (MAIL7, MAIL10).

    `recipients` are the envelope's, where known: the bounce address names the delivery. An automatic reply, a mail of
    a mailing list is no report; a confirmation of delivery has the class NONE. Reads 256 KB at most. Raises nothing,
    for any bytes.
    """
    parts = list(walk(content))
    if is_about_reply(parts):
        return []
    # What our mail quotes is no report: somebody may have written to us about one.
    own = [part for part in parts if not part.quoted]
    found = _complaint(own)
    if found is None:
        found = _statuses(own)
    if found is None:
        found = [] if is_automatic_reply(own[0]) else _from_text(own)
    if not found:
        return []
    delivery, message_id = _returned(parts)
    delivery = delivery or _named_by([*recipients, *_addresses(parts[0])])
    return [replace(mail, delivery=delivery, message_id=message_id) for mail in found]


def weightiest(mails: Iterable[ReportedMail]) -> ReportedMail:
    """Return the mail of the weightiest class, or one of class NONE if there is none."""
    ranked = sorted(mails, key=lambda mail: BY_WEIGHT.index(mail.report_class))
    return ranked[0] if ranked else ReportedMail(ReportClass.NONE, "no report about a mail")


def _complaint(parts: Iterable[Part]) -> list[ReportedMail] | None:
    """Return the complaint in the Abuse Reporting Format (RFC 5965); None if there is no part in this format."""
    for part in parts:
        if part.content_type == "message/feedback-report":
            fields = parse(part.decoded)
            feedback = fields.get("feedback-type").lower()
            if not feedback or feedback in _NO_COMPLAINTS:
                return []
            named = _ADDRESS.search(fields.get("original-rcpt-to"))
            return [ReportedMail(ReportClass.COMPLAINT, feedback[:40], recipient=named[0] if named else None)]
    return None


def _statuses(parts: Sequence[Part]) -> list[ReportedMail] | None:
    """Return what delivery-status parts report (RFC 3464, RFC 6533); None if there is no such part."""
    blocks: list[Part] = []
    for part in parts:
        if part.content_type in _STATUS_PARTS:
            text = re.sub(rb"\r\n|\r", b"\n", part.decoded).strip(b"\n")
            pieces = re.split(rb"\n[ \t]*\n", text, maxsplit=_MOST_RECIPIENTS)[:_MOST_RECIPIENTS]
            blocks.extend(parse(piece) for piece in pieces)
    read = [_status(block, parts) for block in blocks if _is_recipient(block)]
    if not read:
        return None
    return [mail for mail in read if mail is not None]


def _is_recipient(block: Part) -> bool:
    return any(block.get(name) for name in ("action", "status", "diagnostic-code", "final-recipient"))


def _status(block: Part, parts: Sequence[Part]) -> ReportedMail | None:
    """Return what one block of fields reports of its recipient; None where it says nothing."""
    action = re.match(r"[a-z]*", block.get("action").strip().lower())
    diagnostic = _diagnostic(block.get("diagnostic-code"))
    status = _STATUS.search(block.get("status"))
    named = _ADDRESS.search(block.get("final-recipient")) or _ADDRESS.search(block.get("original-recipient"))
    recipient = named[0] if named else None
    if action and action[0] in ("delayed", "deferred", "delay"):
        return ReportedMail(ReportClass.DELAYED, "delayed", recipient=recipient)
    if action and action[0] in DELIVERED and (status is None or status[1] == "2"):
        return ReportedMail(ReportClass.NONE, action[0], recipient=recipient)
    if action and action[0] in (*DELIVERED, "expanded"):
        return None
    if (status and status[1] == "2") or not (status or diagnostic or (action and action[0] == "failed")):
        return None
    quoted = answers_in(human_text(parts))
    answers = [diagnostic, *quoted] if diagnostic else [*quoted, ""]
    return replace(refused(answers, status[0] if status else None), recipient=recipient)


def _diagnostic(value: str) -> str:
    """Return the text of a Diagnostic-Code field, without its type (RFC 3464, 2.3.6)."""
    kind, separator, text = value.partition(";")
    return (text if separator and re.fullmatch(r"\s*[\w-]{1,20}\s*", kind) else value).strip()


def refused(answers: Sequence[str], status: str | None) -> ReportedMail:
    """Return the class of a refusal by the answers that a report quotes and, where known, its enhanced status code.

    The first answer that speaks of something counts: later ones are of other hosts or of commands that came to nothing.
    """
    read = [_classified(answer, status) for answer in answers] or [_classified("", status)]
    refusal, codes = next((one for one in read if one[0].cause is not Cause.UNKNOWN), read[0])
    cause = f"{refusal.cause} ({codes})" if codes else f"{refusal.cause}"
    return ReportedMail(ReportClass(refusal.refusal_class), cause)


def _classified(answer: str, status: str | None) -> tuple[RefusalMeaning, str]:
    code = _CODE.search(answer)
    enhanced = _STATUS.search(answer)
    # The far server's own code is more exact than the one that the reporting server derived.
    exact = enhanced[0] if enhanced and not (status and enhanced[0].endswith(".0.0")) else status
    refusal = classify_refusal(int(code[1]) if code else None, exact, answer)
    provider = provider_in(answer) if refusal.cause is Cause.PROVIDER_LIST else None
    codes = " ".join(part for part in (provider, code and code[1], exact) if part)
    if refusal.refusal_class is RefusalClass.HARD and is_temporary(None, status):
        refusal = RefusalMeaning(RefusalClass.SOFT, refusal.cause)
    return refusal, codes


def _from_text(parts: Sequence[Part]) -> list[ReportedMail]:
    if block := status_fields(parts):
        mail = _status(block, parts)
        return [mail] if mail else []
    return [
        ReportedMail(ReportClass.DELAYED, "delayed", recipient=found.recipient)
        if found.delayed
        else replace(refused(found.answers, None), recipient=found.recipient)
        for found in read_text(parts)
    ]


def _returned(parts: Sequence[Part]) -> tuple[str | None, str | None]:
    """Return delivery and Message-ID from the headers of our mail that the report quotes."""
    for part in parts[1:]:
        if part.content_type in _HEADER_PARTS:
            ours = parse(part.decoded.lstrip(b"\r\n"))
        elif part.content_type in _ORIGINALS:
            ours = parse(part.decoded)
        else:
            continue
        delivery = _DELIVERY.fullmatch(ours.get("x-throughline-delivery").strip())
        message_id = _MESSAGE_ID.search(ours.get("message-id"))
        if delivery or message_id:
            return delivery and delivery[0], message_id and message_id[0]
    for part in parts:
        if part.content_type == "text/plain":
            quoted, by_id = _QUOTED_DELIVERY.search(part.text), _QUOTED_MESSAGE_ID.search(part.text)
            if quoted or by_id:
                return quoted and quoted[1], by_id and by_id[1]
    return None, None


def _addresses(report: Part) -> Iterator[str]:
    for name in _RECEIVED_FOR:
        yield from report.all(name)


def _named_by(addresses: Iterable[str]) -> str | None:
    for address in addresses:
        if found := _ENVELOPE_ADDRESS.search(address.lower()):
            return found[1]
    return None
