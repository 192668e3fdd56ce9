"""The key ring of a deployment: the server secrets that sign links, delivery ids and whatever must not be forged.

The first key signs, all verify. So a key is rotated without a moment in which a link fails: add the new key behind
the old one in each process, then put it first, then remove the old one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

SHORTEST_KEY = 16
"""Characters."""

_FINGERPRINT = "throughline.fingerprint"


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of a deployment. `webhooks` sign events; other systems know them, and so they sign nothing else.

    Raises ValueError without a key, or for one that is too short.
    """

    keys: tuple[str, ...] = field(repr=False)
    webhooks: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Refuse a ring that protects nothing."""
        if not self.keys:
            raise ValueError("there is no key: at least one of 16 or more characters is needed")
        if any(len(key) < SHORTEST_KEY for key in self.keys):
            raise ValueError(f"a key needs at least {SHORTEST_KEY} characters")

    @property
    def verifying(self) -> Sequence[str]:
        """All keys, the signing one last, as `itsdangerous` takes them."""
        return self.keys[::-1]

    @property
    def fingerprints(self) -> list[str]:
        """What names each key without revealing it, the signing one first."""
        return [_mac(key, _FINGERPRINT, "")[:16] for key in self.keys]

    def mac(self, purpose: str, text: str) -> str:
        """Return the HMAC of a text by the signing key, in hexadecimal digits; purposes keep their results apart."""
        return _mac(self.keys[0], purpose, text)

    def __str__(self) -> str:
        """Name the keys by their fingerprints."""
        return ", ".join(self.fingerprints)


def _mac(key: str, purpose: str, text: str) -> str:
    return hmac.new(key.encode(), f"{purpose}|{text}".encode(), hashlib.sha256).hexdigest()
