"""Which addresses this deployment may mail (MAIL8)."""

from __future__ import annotations

import fnmatch
from contextlib import suppress
from dataclasses import dataclass

from rules.mail_address import AddressRejected, ascii_domain


@dataclass(frozen=True, slots=True)
class RecipientAllowlist:
    """In production every address; else the addresses that match a pattern of `allowed`."""

    production: bool
    allowed: tuple[str, ...] = ()
    """Patterns such as `*`, `*@example.org`, `ana@example.org`; case does not matter."""

    def allows(self, address: str) -> bool:
        """Whether an address may be mailed."""
        return self.production or any(
            fnmatch.fnmatch(address.lower(), _in_ascii(pattern.lower())) for pattern in self.allowed
        )


def _in_ascii(pattern: str) -> str:
    """Return a pattern with its domain in ASCII, as addresses are stored; unchanged if the domain is no whole one."""
    local, at, domain = pattern.rpartition("@")
    if domain.isascii():
        return pattern
    with suppress(AddressRejected):
        return f"{local}{at}{ascii_domain(domain)}"
    return pattern
