"""E-mail addresses in the forms that headers and SMTP envelopes carry.

Headers and envelopes convert a domain outside ASCII by different rules. `header_address` follows IDNA 2008 with UTS 46
and the length limits of RFC 5321. The envelope functions follow IDNA 2003, Python's own codec, and also accept a local
part with dots at its ends or in a row. A message is rendered, and its header address checked, before its envelope.
"""

from __future__ import annotations

import re
from contextlib import suppress

import idna

from mail.smtp.verdicts import ContentRefused, RecipientRefused

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
DOT_ATOM = re.compile(rf"{_ATOM}(\.{_ATOM})*")
"""A local part without quotes, or a list id (RFC 5322, 3.2.3)."""

_ENVELOPE_MAILBOX = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*", re.ASCII)
_LONGEST_LOCAL_PART = 64
_LONGEST_ADDRESS = 254


class AddressRefused(ValueError):
    """No mail can be sent to the address. The text never quotes it, so that it may be logged (MEM6)."""


def header_address(address: str) -> str:
    """Return an address for a header, its domain in ASCII.

    Raises AddressRefused for a local part outside ASCII (most servers do not offer SMTPUTF8), and for a malformed or
    overlong address.
    """
    local, at, domain = address.strip().rpartition("@")
    if not at:
        raise AddressRefused("the address has no @")
    if not local.isascii():
        raise AddressRefused("the address has characters before the @ that mail servers cannot take")
    if not DOT_ATOM.fullmatch(local) or len(local) > _LONGEST_LOCAL_PART:
        raise AddressRefused("the part of the address before the @ is malformed")
    try:
        host = idna.encode(domain, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        raise AddressRefused("the domain of the address is malformed") from None
    if host.endswith("."):
        raise AddressRefused("the domain of the address is malformed")
    if len(local) + 1 + len(host) > _LONGEST_ADDRESS:
        raise AddressRefused("the address is too long")
    return f"{local}@{host}"


def envelope_sender(address: str) -> str:
    """Return an address for MAIL FROM; empty stays empty (the null return path). Raises ContentRefused."""
    if not address:
        return ""
    sender = _envelope_address(address)
    if sender is None:
        raise ContentRefused("the sender's address cannot be sent", enhanced="5.1.7")
    return sender


def envelope_recipient(address: str) -> str:
    """Return an address for RCPT TO. Raises RecipientRefused."""
    recipient = _envelope_address(address)
    if recipient is None:
        raise RecipientRefused("the recipient's address cannot be sent", enhanced="5.1.3")
    return recipient


def return_path(sender: str, delivery: str) -> str:
    """Return the envelope sender of a delivery, which bounces come back to; it names the delivery (MAIL7)."""
    local, _, domain = sender.partition("@")
    return f"{local}+{delivery}@{domain}"


def _envelope_address(address: str) -> str | None:
    """Return an address with its domain in ASCII; None for one that needs SMTPUTF8."""
    local, _, domain = address.strip().rpartition("@")
    with suppress(UnicodeError):
        found = f"{local}@{domain.encode('idna').decode('ascii')}"
        if _ENVELOPE_MAILBOX.fullmatch(found):
            return found
    return None
