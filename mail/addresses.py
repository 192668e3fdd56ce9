"""E-mail addresses as headers and envelopes carry them."""

from __future__ import annotations

import re
from contextlib import suppress

import idna

from mail.smtp.verdicts import ContentRefused, RecipientRefused

_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


class AddressRefused(ValueError):
    """A mail address that cannot be written to. The text never quotes it, so that it may be logged (MEM6)."""


def ascii_address(address: str) -> str:
    """The address as mail servers want it: an internationalised domain in its ASCII form.

    Raises AddressRefused where there is none: a local part outside ASCII (which most servers cannot take), a
    malformed or overlong address.
    """
    local, at, domain = address.strip().rpartition("@")
    if not at:
        raise AddressRefused("the address has no @")
    if not local.isascii():
        raise AddressRefused("the address has characters before the @ that mail servers cannot take")
    if not _DOT_ATOM.fullmatch(local) or len(local) > 64:
        raise AddressRefused("the part of the address before the @ is malformed")
    try:
        host = idna.encode(domain, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        raise AddressRefused("the domain of the address is malformed") from None
    if host.endswith("."):
        raise AddressRefused("the domain of the address is malformed")
    if len(local) + 1 + len(host) > 254:
        raise AddressRefused("the address is too long")
    return f"{local}@{host}"


_MAILBOX = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*", re.ASCII)


def mailbox(address: str) -> str | None:
    """The address for an envelope, its domain in ASCII; None for one that cannot be sent without SMTPUTF8."""
    local, _, domain = address.strip().rpartition("@")
    with suppress(UnicodeError):
        found = f"{local}@{domain.encode('idna').decode('ascii')}"
        if _MAILBOX.fullmatch(found):
            return found
    return None


def envelope_sender(address: str) -> str:
    sender = mailbox(address) if address else ""
    if sender is None:
        raise ContentRefused("the sender's address cannot be sent", enhanced="5.1.7")
    return sender


def envelope_recipient(address: str) -> str:
    recipient = mailbox(address)
    if recipient is None:
        raise RecipientRefused("the recipient's address cannot be sent", enhanced="5.1.3")
    return recipient
