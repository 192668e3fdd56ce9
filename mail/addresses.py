"""E-mail addresses in the forms that headers and SMTP envelopes carry; `rules.mail_address` reads them all."""

from __future__ import annotations

import re
from contextlib import suppress

from mail.smtp.verdicts import ContentRefused, RecipientRefused
from rules.mail_address import AddressRejected, mail_address

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
DOT_ATOM = re.compile(rf"{_ATOM}(\.{_ATOM})*")
"""A local part without quotes, or a list id (RFC 5322, 3.2.3)."""


class AddressRefused(ValueError):
    """No mail can be sent to the address. The text never quotes it, so that it may be logged (MEM6)."""


def header_address(address: str) -> str:
    """Return an address for a header, its domain in ASCII.

    Raises AddressRefused for a local part outside ASCII (most servers do not offer SMTPUTF8), for a reserved domain,
    and for a malformed or overlong address.
    """
    try:
        return mail_address(address).ascii
    except AddressRejected as rejected:
        raise AddressRefused(f"the address {rejected}") from None


def envelope_sender(address: str) -> str:
    """Return an address for MAIL FROM; empty stays empty (the null return path). Raises ContentRefused."""
    if not address:
        return ""
    sender = _sendable(address)
    if sender is None:
        raise ContentRefused("the sender's address cannot be sent", enhanced="5.1.7")
    return sender


def envelope_recipient(address: str) -> str:
    """Return an address for RCPT TO. Raises RecipientRefused."""
    recipient = _sendable(address)
    if recipient is None:
        raise RecipientRefused("the recipient's address cannot be sent", enhanced="5.1.3")
    return recipient


def return_path(sender: str, delivery: str) -> str:
    """Return the envelope sender of a delivery, which bounces come back to; it names the delivery (MAIL7)."""
    local, _, domain = sender.partition("@")
    return f"{local}+{delivery}@{domain}"


def _sendable(address: str) -> str | None:
    with suppress(AddressRejected):
        return mail_address(address).ascii
    return None
