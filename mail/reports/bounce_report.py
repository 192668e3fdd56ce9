"""What a mail reports about one of ours, as the data of an event (MAIL7, MAIL10)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mail.reports.parts import parse
from mail.reports.report_reader import DELIVERED, ReportClass, read_report, weightiest

_WITHOUT_EVENT = {ReportClass.NONE, ReportClass.DELAYED}

DELIVERY = "delivered"
"""The kind of a report that a mail was delivered. It becomes no event."""


@dataclass(frozen=True, slots=True)
class BounceReport:
    """A failure, a complaint or a delivery in a report; `reason` is its cause.

    The mail is named by the id of its delivery, or by its Message-ID. `id` is the same each time the
    same report is read, by any way.
    """

    id: str
    kind: str
    reason: str
    delivery: str | None = None
    message_id: str | None = None
    at: datetime | None = None
    """When it happened, where a provider says so; a mailed report does not."""

    @property
    def data(self) -> dict[str, str]:
        """The data of its event."""
        known = {"delivery": self.delivery, "message_id": None if self.delivery else self.message_id}
        named = {name: value for name, value in known.items() if value}
        return {"kind": self.kind, "reason": self.reason, **named}


def bounce_in(content: bytes, recipients: Sequence[str] = ()) -> BounceReport | None:
    """Return what a mail reports; None if it reports nothing, or names no mail of ours.

    `recipients` are the envelope's, where known: the bounce address names the delivery. Raises nothing, for any bytes.
    """
    found = weightiest(read_report(content, recipients))
    delivered = found.report_class is ReportClass.NONE and found.cause in DELIVERED
    if not (found.delivery or found.message_id) or (found.report_class in _WITHOUT_EVENT and not delivered):
        return None
    kind = DELIVERY if delivered else found.report_class.value
    known = parse(content).get("message-id").encode() or content
    digest = hashlib.sha256(
        b"|".join((kind.encode(), (found.delivery or found.message_id or "").encode(), known))
    )
    return BounceReport(digest.hexdigest()[:32], kind, found.cause, found.delivery, found.message_id)
