"""Google's service accounts: a signed assertion instead of a secret or a refresh token (RFC 7523).

The account acts for one mailbox, its subject, where the domain's administrator has delegated that to it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME = 3600
"""Seconds that an assertion holds: the most that Google allows."""

EARLIER = 60
"""Seconds by which an assertion is dated back: Google refuses one from the future, and clocks differ."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account, by its key file, and the mailbox that it acts for."""

    email: str
    key: str = field(repr=False)
    """The private RSA key, in PEM."""
    key_id: str
    subject: str
    now: Callable[[], float]
    """Returns Unix time."""

    def assertion(self, audience: str, scope: str) -> str:
        """Return a JSON Web Token for the token endpoint `audience`, signed by RS256 (RFC 7519).

        Raises ValueError for a key that is no private RSA key.
        """
        # Imported when called: it takes a while to load, and every command reads the settings.
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import padding, rsa

        key = serialization.load_pem_private_key(self.key.encode(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError("the key of the service account is no RSA key")
        header = {"alg": "RS256", "typ": "JWT", **({"kid": self.key_id} if self.key_id else {})}
        issued = int(self.now()) - EARLIER
        claims = {
            "iss": self.email,
            "sub": self.subject,
            "scope": scope,
            "aud": audience,
            "iat": issued,
            "exp": issued + LIFETIME,
        }
        signed = f"{_part(json.dumps(header).encode())}.{_part(json.dumps(claims).encode())}"
        signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_part(signature)}"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The content of a key file, as Google gives it out."""

    email: str
    key: str = field(repr=False)
    key_id: str
    token_url: str


def read_key_file(file: Path) -> KeyFile:
    """Return what a key file holds. Raises ValueError, whose text quotes nothing of the file."""
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"the key file {file} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ValueError(f"the key file {file} is no JSON") from None
    found = content if isinstance(content, dict) else {}
    email, key = found.get("client_email"), found.get("private_key")
    if not (isinstance(email, str) and isinstance(key, str) and email and key):
        raise ValueError(
            f"the key file {file} is none of a service account: it needs client_email and private_key"
        )
    return KeyFile(email, key, str(found.get("private_key_id") or ""), str(found.get("token_uri") or ""))


def _part(content: bytes) -> str:
    """Return base64url without padding (RFC 7515, appendix C)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
