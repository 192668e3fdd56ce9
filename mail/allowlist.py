"""Which addresses this deployment may mail (MAIL8)."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecipientAllowlist:
    """In production every address; else the addresses that match a pattern of `allowed`."""

    production: bool
    allowed: tuple[str, ...] = ()
    """Patterns such as `*`, `*@example.org`, `ana@example.org`; case does not matter."""

    def allows(self, address: str) -> bool:
        """Whether an address may be mailed."""
        return self.production or any(
            fnmatch.fnmatch(address.lower(), pattern.lower()) for pattern in self.allowed
        )
