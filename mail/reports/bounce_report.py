"""What a mail reports about one of ours, as the data of an event (MAIL7, MAIL10)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from mail.reports.parts import parse
from mail.reports.report_reader import ReportClass, read_report, weightiest

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
