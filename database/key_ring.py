"""The key ring of a deployment: the secrets that sign links and delivery ids, and seal the secrets of endpoints.

The first key signs, all verify. So a key is rotated without a moment in which a link fails: add the new key behind
the old one in each process, then put it first, then remove the old one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

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

    def proves(self, purpose: str, text: str, mac: object, fingerprint: object) -> bool | None:
        """Return whether a key of the ring, by its fingerprint, made a MAC; None where the ring has no such key."""
        known = dict(zip(self.fingerprints, self.keys, strict=True))
        key = known.get(str(fingerprint))
        return None if key is None else hmac.compare_digest(_mac(key, purpose, text), str(mac))

    def seal(self, purpose: str, text: str) -> str:
        """Return a text encrypted and authenticated under the signing key, for one purpose."""
        return self._box(purpose, self.keys[0]).encrypt(text.encode()).decode("ascii")

    def unseal(self, purpose: str, sealed: str) -> str:
        """Return a sealed text, by whichever key sealed it. Raises ValueError where no key does."""
        from cryptography.fernet import InvalidToken

        for key in self.keys:
            try:
                return self._box(purpose, key).decrypt(sealed.encode()).decode()
            except InvalidToken:
                continue
        raise ValueError("it was sealed with a key that is not in the ring")

    def seals(self, purpose: str, sealed: str) -> bool:
        """Return whether the signing key sealed a text."""
        from cryptography.fernet import InvalidToken

        try:
            self._box(purpose, self.keys[0]).decrypt(sealed.encode())
        except InvalidToken:
            return False
        return True

    def _box(self, purpose: str, key: str) -> Fernet:
        # Imported when called: commands that seal nothing need not load it.
        from cryptography.fernet import Fernet

        derived = hmac.new(key.encode(), f"{purpose}|seal".encode(), hashlib.sha256).digest()
        return Fernet(base64.urlsafe_b64encode(derived))

    def __str__(self) -> str:
        """Name the keys by their fingerprints."""
        return ", ".join(self.fingerprints)


def _mac(key: str, purpose: str, text: str) -> str:
    return hmac.new(key.encode(), f"{purpose}|{text}".encode(), hashlib.sha256).hexdigest()
