"""Personal links: signed tokens for one person, one purpose and one subject, with an expiry.

A token names ids only. Its holder may do the one thing that it is for. Nobody can make or alter one without the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from itsdangerous import BadSignature, URLSafeSerializer

from database.key_ring import KeyRing


class LinkRefused(ValueError):
    """A token that this program did not make, or that was altered."""


@dataclass(frozen=True, slots=True)
class Link:
    """The content of a token: `profile` may do `purpose` for `subject` (a workflow id) until `expires` (UTC)."""

    purpose: str
    profile: str
    subject: str
    expires: datetime
    detail: str = ""

    def expired(self, at: datetime) -> bool:
        """Return whether the link has expired at an instant of program time."""
        return at >= self.expires


class Links:
    """Makes and reads personal links. `base_url` is the gateway's public address.

    The first key of the ring signs, and all of them verify. A text is a ring with this one key. Raises ValueError for
    a key that is too short.
    """

    def __init__(self, base_url: str, keys: KeyRing | str) -> None:
        self.keys = KeyRing((keys,)) if isinstance(keys, str) else keys
        self.base_url = base_url.rstrip("/")
        self._serializer = URLSafeSerializer(self.keys.verifying, salt="throughline.link")

    def token(self, link: Link) -> str:
        """Return the token of a link: always the same for the same link and signing key."""
        return str(
            self._serializer.dumps(
                [link.purpose, link.profile, link.subject, int(link.expires.timestamp()), link.detail]
            )
        )

    def url(self, link: Link) -> str:
        """Return the address that a mail carries."""
        return f"{self.base_url}/l/{self.token(link)}"

    def read(self, token: str) -> Link:
        """Return the link of a token, expired or not. Raises LinkRefused for a forged or altered token."""
        try:
            purpose, profile, subject, expires, detail = self._serializer.loads(token)
            return Link(
                str(purpose),
                str(profile),
                str(subject),
                datetime.fromtimestamp(int(expires), UTC),
                str(detail),
            )
        except (BadSignature, ValueError, TypeError, OverflowError):
            raise LinkRefused("this link was not made by this program") from None
