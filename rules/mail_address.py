"""A mail address as it is given, and as headers and SMTP envelopes carry it: one reading for every place.

Domains follow IDNA 2008. Python's own codec follows IDNA 2003: it turns `faß.de` into `fass.de`, which is somebody
else's domain, and loses the Greek final sigma and the joiners of Arabic and Indic scripts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import idna
from email_validator.exceptions import EmailSyntaxError
from email_validator.syntax import validate_email_domain_name

LONGEST_ADDRESS = 254
"""Characters of an address (RFC 5321, 4.5.3.1.3)."""

LONGEST_LOCAL_PART = 64

RESERVED = ("arpa", "invalid", "local", "localhost", "onion", "test")
"""Top-level domains that no mail can reach (RFC 2606, RFC 6761, RFC 6762)."""

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL_PART = re.compile(rf"{_ATOM}(\.{_ATOM})*")
_JOINERS = re.compile("[\u200c\u200d]")
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_HOST = re.compile(r"(?:[a-z0-9-]+\.)+[a-z][a-z0-9-]*[a-z0-9]")
_HYPHENS = re.compile(r"(?:^|\.)(?!xn)[^.]{2}--")


class AddressRejected(ValueError):
    """No mail can be sent to the address. The text says what it must be like, and never quotes it (MEM6)."""


@dataclass(frozen=True, slots=True)
class MailAddress:
    """One address: `given` as its owner writes it, `ascii` with its domain in ASCII, as mail servers take it."""

    given: str
    ascii: str


def cleaned_address(text: str) -> str:
    """Return an address without what a spreadsheet leaves on it and nobody can see.

    That is white space, no-break spaces and byte order marks at the ends, and invisible characters anywhere. A joiner
    stays in a domain outside ASCII, where it distinguishes names (RFC 5892, A.1 and A.2).
    """
    local, at, domain = _INVISIBLE.sub("", text).strip().rpartition("@")
    if not at:
        return _JOINERS.sub("", domain).strip()
    if _JOINERS.sub("", domain).isascii():
        domain = _JOINERS.sub("", domain)
    return f"{_JOINERS.sub('', local)}@{domain}".strip()


def mail_address(text: str) -> MailAddress:
    """Return the one address of a text. Raises AddressRejected."""
    given = cleaned_address(text)
    local, at, domain = given.rpartition("@")
    if not at or not local or not domain:
        raise AddressRejected("must be one mail address alone, like name@domain.org")
    if not local.isascii():
        raise AddressRejected("must have only ASCII characters before the @")
    if not _LOCAL_PART.fullmatch(local):
        raise AddressRejected("must be one mail address alone, like name@domain.org")
    if len(local) > LONGEST_LOCAL_PART:
        raise AddressRejected(f"must have at most {LONGEST_LOCAL_PART} characters before the @")
    host = ascii_domain(domain)
    found = f"{local}@{host}"
    if len(found) > LONGEST_ADDRESS or len(given) > LONGEST_ADDRESS:
        raise AddressRejected(f"must be at most {LONGEST_ADDRESS} characters long")
    return MailAddress(given, found)


@lru_cache(maxsize=1024)
def ascii_domain(domain: str) -> str:
    """Return a domain in ASCII and lower case by IDNA 2008. Raises AddressRejected.

    Domains are kept: their tables took a third of the headers of a mail, and few domains have most addresses.
    """
    reserved = domain.lower().rpartition(".")[2]
    if reserved in RESERVED:
        raise AddressRejected(f"must have a domain that mail can reach: .{reserved} is reserved")
    try:
        # email-validator refuses the joiners that IDNA 2008 allows, so such a domain goes through idna first.
        if _JOINERS.search(domain):
            host = idna.encode(domain, uts46=True).decode("ascii").lower()
            if _HOST.fullmatch(host):
                return host
            raise UnicodeError
        return str(validate_email_domain_name(domain, globally_deliverable=True)["ascii_domain"]).lower()
    except (EmailSyntaxError, idna.IDNAError, UnicodeError):
        if _HYPHENS.search(domain.lower()):
            raise AddressRejected(
                "must have a domain that IDNA allows: no hyphens as the third and fourth character of a part"
            ) from None
        raise AddressRejected("must have a full domain name after the @") from None
