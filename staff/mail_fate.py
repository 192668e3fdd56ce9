"""How a mail fared after the mail server took it: delivered, or came back (MAIL10)."""

from __future__ import annotations

from database.models import Message
from mail.reports.provider_lists import is_provider_list, where_to_lift
from mail.smtp.refusals import cause_named
from staff.formatting import local


def fate(row: Message, zone: str) -> str:
    """Return in words how a mail fared, with the instant on the clock of a zone; empty where no report says.

    What came back counts more than a delivery: a server may take a mail and return it later.
    """
    if row.came_back:
        words = f"came back: {row.came_back} ({row.came_back_reason})"
        if is_provider_list(row.came_back_reason):
            words += f"; remove the address from {where_to_lift(row.came_back_reason or '')}"
        return words
    return f"delivered {local(row.delivered_at, zone)}" if row.delivered_at else ""


def came_back_cause(row: Message) -> str | None:
    """Return the name of the cause for which a mail came back, such as `provider_list`; None for other words."""
    cause = cause_named(row.came_back_reason)
    return cause.name.lower() if cause else None
