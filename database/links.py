"""Personal links: signed tokens for one person, one purpose and one subject, with an end.

A token names ids only. Who holds the link may do its one thing; nobody can make or alter one without the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from itsdangerous import BadSignature, URLSafeSerializer


class LinkRefused(ValueError):
    """A token that was not made by us, or was altered."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a token says: `profile` may do `purpose` about `subject` (a workflow id) until `expires` (UTC)."""

    purpose: str
    profile: str
    subject: str
    expires: datetime
    detail: str = ""

    def expired(self, at: datetime) -> bool:
        """Whether the link's time is over at an instant of program time."""
        return at >= self.expires


class Links:
    """Makes and reads personal links. `base_url` is where the gateway is reached from outside."""

    def __init__(self, base_url: str, secret: str) -> None:
        if len(secret) < 16:
            raise ValueError("the secret for personal links needs at least 16 characters")
        self.base_url = base_url.rstrip("/")
        self._serializer = URLSafeSerializer(secret, salt="throughline.link")

    def token(self, link: Link) -> str:
        """The token of a link: the same for the same link, at any time."""
        return str(
            self._serializer.dumps(
                [link.purpose, link.profile, link.subject, int(link.expires.timestamp()), link.detail]
            )
        )

    def url(self, link: Link) -> str:
        """The address that a mail carries."""
        return f"{self.base_url}/l/{self.token(link)}"

    def read(self, token: str) -> Link:
        """The link behind a token, expired or not. Raises LinkRefused for a token that is not ours."""
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
