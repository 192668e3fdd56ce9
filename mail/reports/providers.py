"""What mail providers report by webhook: Amazon SES, SendGrid, Postmark, Mailgun (MAIL7, MAIL10).

Each reader turns a provider's words into those of the one classifier. A provider has its own codes for what it
decided; the far server's answer, where it is quoted, counts more. Readers raise nothing, for any JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from mail.reports.bounce_report import DELIVERY
from mail.reports.provider_lists import listed_at
from mail.reports.report_reader import refused
from mail.smtp.refusals import RefusalClass

HEADER = "x-throughline-delivery"
_DELIVERY = re.compile(r"[0-9a-f]{32}")
_QUOTED_DELIVERY = re.compile(r"(?mi)^[> ]*X-Throughline-Delivery:\s*([0-9a-f]{32})\b")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_MOST = 1000
"""Reports of one request that are read; providers send a few hundred at most."""


@dataclass(frozen=True, slots=True)
class ProviderReport:
    """One report: its class, its cause, and which mail it is about, by our ids or by the provider's own.

    `provider_id` stands in the provider's answer to our mail (`250 Ok <id>`).
    """

    kind: str
    reason: str
    delivery: str | None = None
    message_id: str | None = None
    provider_id: str | None = None
    at: datetime | None = None
    """When it happened, where the provider says so."""


_STOPPED_BY_SES = {"Suppressed", "OnAccountSuppressionList", "UnsubscribedRecipient"}
_STOPPED_BY_SENDGRID = {"bounced address", "invalid", "spam reporting address", "unsubscribed address"}
_STOPPED_BY_MAILGUN = {605, 606, 607}
"""Bounced before, unsubscribed, complained."""

_COMPLAINT = ("complaint", "complaint by the mailbox provider")


def _judged(mail: ProviderReport, kind: str, reason: str) -> ProviderReport:
    return replace(mail, kind=kind, reason=reason)


def _on_list(provider: str) -> tuple[str, str]:
    """Return class and cause of a mail that the provider's own suppression list stopped."""
    return RefusalClass.REFUSED.value, listed_at(provider)


def _delivered(mail: ProviderReport, at: object) -> ProviderReport:
    """Return the report of a delivery, with its instant in ISO 8601 or in seconds of Unix time."""
    instant: datetime | None = None
    try:
        if isinstance(at, str):
            read = datetime.fromisoformat(at)
            instant = read if read.tzinfo else read.replace(tzinfo=UTC)
        elif isinstance(at, int | float):
            instant = datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        # Without an instant of its own it counts as of now.
        pass
    return replace(mail, kind=DELIVERY, reason=DELIVERY, at=instant)


def _classified(answer: str, status: str | None, *, permanent: bool) -> tuple[str, str]:
    """Return class and cause of a far server's answer; what the provider calls temporary is never hard."""
    found = refused([answer], status if status and _STATUS.fullmatch(status) else None)
    kind = found.report_class.value
    if kind == RefusalClass.HARD and not permanent:
        kind = RefusalClass.SOFT.value
    return kind, found.cause


def read_ses(notification: object) -> Iterator[ProviderReport]:
    """Yield the reports of a notification of Amazon SES, which may name several recipients."""
    found = _table(notification)
    mail = _table(found.get("mail"))
    headers = {
        _text(_table(one).get("name")).lower(): _text(_table(one).get("value"))
        for one in _list(mail, "headers")
    }
    # SES overwrites Message-ID and Date; our own header stands in its copy of the headers.
    ours = _DELIVERY.fullmatch(headers.get(HEADER, ""))
    mail_named = ProviderReport(
        "", "", delivery=ours[0] if ours else None, provider_id=_text(mail.get("messageId")) or None
    )
    kind = _text(found.get("notificationType")) or _text(found.get("eventType"))
    if kind == "Complaint":
        complaint = _table(found.get("complaint"))
        if _text(complaint.get("complaintFeedbackType")) != "not-spam":
            yield _judged(mail_named, *_COMPLAINT)
    elif kind == "Delivery":
        yield _delivered(mail_named, _table(found.get("delivery")).get("timestamp"))
    elif kind == "Bounce":
        bounce = _table(found.get("bounce"))
        stopped = _text(bounce.get("bounceSubType")) in _STOPPED_BY_SES
        permanent = _text(bounce.get("bounceType")) == "Permanent"
        for recipient in _list(bounce, "bouncedRecipients") or [{}]:
            one = _table(recipient)
            answer, status = _text(one.get("diagnosticCode")).partition(";")[2], _text(one.get("status"))
            if stopped:
                judged = _on_list("ses")
            elif answer:
                judged = _classified(answer, status, permanent=permanent)
            else:
                known = {"NoEmail": "5.1.1", "MailboxFull": "5.2.2", "MessageTooLarge": "5.3.4"}
                subtype = _text(bounce.get("bounceSubType"))
                judged = _classified("", status or known.get(subtype), permanent=permanent)
            yield _judged(mail_named, *judged)


def read_sendgrid(events: object) -> Iterator[ProviderReport]:
    """Yield the reports among the events of SendGrid."""
    for given in events if isinstance(events, list) else []:
        event = _table(given)
        # Mail by SMTP keeps our Message-ID; SendGrid calls it smtp-id.
        ours = _message_id(event.get("smtp-id"))
        theirs = _text(event.get("sg_message_id")).partition(".")[0] or None
        mail_named = ProviderReport("", "", message_id=ours, provider_id=theirs)
        kind, reason = _text(event.get("event")), _text(event.get("reason"))
        if kind == "spamreport":
            yield _judged(mail_named, *_COMPLAINT)
        elif kind == "delivered":
            yield _delivered(mail_named, event.get("timestamp"))
        elif kind == "dropped":
            # It also drops for what is no list, such as spam content or a used-up quota.
            listed = reason.lower().strip() in _STOPPED_BY_SENDGRID
            judged = _on_list("sendgrid") if listed else _classified(reason, None, permanent=False)
            yield _judged(mail_named, *judged)
        elif kind == "bounce":
            permanent = _text(event.get("type")) != "blocked"
            yield _judged(mail_named, *_classified(reason, _text(event.get("status")), permanent=permanent))


def read_postmark(record: object) -> Iterator[ProviderReport]:
    """Yield the report of a record of Postmark."""
    found = _table(record)
    quoted = _QUOTED_DELIVERY.search(_text(found.get("Content")))
    named = _DELIVERY.fullmatch(_text(_table(found.get("Metadata")).get("delivery")))
    delivery = named[0] if named else quoted[1] if quoted else None
    mail_named = ProviderReport("", "", delivery, provider_id=_text(found.get("MessageID")) or None)
    kind, sort, answer = (_text(found.get(name)) for name in ("RecordType", "Type", "Details"))
    inactive = sort == "SMTPApiError" and re.search(
        r"\b406\b|inactive", f"{answer} {found.get('Description')}"
    )
    if kind == "SpamComplaint" or sort == "SpamComplaint":
        yield _judged(mail_named, *_COMPLAINT)
    elif kind == "Delivery":
        yield _delivered(mail_named, found.get("DeliveredAt"))
    elif kind == "SubscriptionChange" and found.get("SuppressSending") is True:
        yield _judged(mail_named, *_on_list("postmark"))
    elif kind == "Bounce" and sort not in (
        "AutoResponder",
        "ChallengeVerification",
        "Subscribe",
        "OpenRelayTest",
    ):
        if sort in ("ManuallyDeactivated", "InactiveRecipient", "Unsubscribe") or inactive:
            yield _judged(mail_named, *_on_list("postmark"))
        else:
            permanent = sort in ("HardBounce", "BadEmailAddress", "AddressChange")
            status = "5.1.1" if permanent and not answer else None
            yield _judged(mail_named, *_classified(answer, status, permanent=permanent))


def read_mailgun(payload: object) -> Iterator[ProviderReport]:
    """Yield the report of an event of Mailgun."""
    event = _table(_table(payload).get("event-data"))
    headers = _table(_table(event.get("message")).get("headers"))
    mail_named = ProviderReport("", "", message_id=_message_id(headers.get("message-id")))
    kind, reason = _text(event.get("event")), _text(event.get("reason"))
    status = _table(event.get("delivery-status"))
    if kind == "complained":
        yield _judged(mail_named, *_COMPLAINT)
    elif kind == "delivered":
        yield _delivered(mail_named, event.get("timestamp"))
    elif kind == "failed" and (reason.startswith("suppress-") or status.get("code") in _STOPPED_BY_MAILGUN):
        yield _judged(mail_named, *_on_list("mailgun"))
    elif kind == "failed":
        answer = _text(status.get("message")) or _text(status.get("description"))
        code = status.get("code")
        said = f"{code} {answer}" if isinstance(code, int) and not answer.startswith(str(code)) else answer
        permanent = _text(event.get("severity")) == "permanent"
        yield _judged(mail_named, *_classified(said, _text(status.get("enhanced-code")), permanent=permanent))


READERS: Final[Mapping[str, Callable[[object], Iterator[ProviderReport]]]] = {
    "ses": read_ses,
    "sendgrid": read_sendgrid,
    "postmark": read_postmark,
    "mailgun": read_mailgun,
}
"""The reader of each provider, by its name in `POST /bounces/{provider}`."""


def read_json(body: bytes | str) -> object:
    """Return the JSON of a body; None for anything else."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(table: Mapping[str, Any], name: str) -> list[Any]:
    value = table.get(name)
    return value[:_MOST] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _message_id(value: object) -> str | None:
    bare = _text(value).strip().removeprefix("<").removesuffix(">")
    return f"<{bare}>" if bare else None
