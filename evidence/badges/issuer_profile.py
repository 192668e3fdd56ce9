"""What a program publishes about itself as the issuer of badges: its address, its profile and its keys (CPE14).

An issuer is named by a DID of the method `web`: who holds the host of the gateway holds the name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from database.models import BadgeKey
from rules.program import Program

CONTEXT: Final = (
    "https://www.w3.org/ns/credentials/v2",
    "https://purl.imsglobal.org/spec/ob/v3p0/context-3.0.3.json",
)
"""The vocabularies of a credential, in the order that Open Badges 3.0 prescribes."""

_DID_CONTEXT: Final = ("https://www.w3.org/ns/did/v1", "https://w3id.org/security/suites/jws-2020/v1")


@dataclass(frozen=True, slots=True)
class BadgeAddresses:
    """The public addresses of badges. `base_url` is where the gateway is reached from outside, without a slash."""

    base_url: str

    def badge(self, id: str) -> str:
        """Return the address of a badge, which is also the id of its credential."""
        return f"{self.base_url}/badges/{id}"

    def letter(self, id: str) -> str:
        """Return the address at which a letter is verified."""
        return f"{self.base_url}/verify/{id}"

    def achievement(self, id: str) -> str:
        """Return the address of what badges attest."""
        return f"{self.base_url}/badges/achievements/{id}"

    def status(self, number: int) -> str:
        """Return the address of a status list."""
        return f"{self.base_url}/badges/status/{number}"

    def issuer(self, program: str) -> str:
        """Return the address of a program's profile."""
        return f"{self.base_url}/badges/issuers/{program}"

    def did(self, program: str) -> str:
        """Return the DID of a program: the address of its profile in the words of the method `web`."""
        parts = urlsplit(self.issuer(program))
        path = [quote(part, safe="") for part in parts.path.split("/") if part]
        return ":".join(["did:web", quote(parts.netloc, safe=""), *path])

    def kid(self, program: str, key: str) -> str:
        """Return the name of a key as a program's."""
        return f"{self.did(program)}#{key}"


def issuer(program: Program, addresses: BadgeAddresses) -> dict[str, Any]:
    """Return the profile of a program, as each credential has it."""
    return {
        "id": addresses.did(program.id),
        "type": ["Profile"],
        "name": program.name,
        "description": program.organisation,
        "url": addresses.issuer(program.id),
        "email": program.mailbox,
    }


def profile(program: Program, addresses: BadgeAddresses, keys: Sequence[BadgeKey]) -> dict[str, Any]:
    """Return the profile that a program publishes: itself, and its keys. To keep it is to verify offline."""
    return {
        "@context": list(CONTEXT),
        **issuer(program, addresses),
        **_methods(program.id, addresses, keys),
    }


def did_document(program: str, addresses: BadgeAddresses, keys: Sequence[BadgeKey]) -> dict[str, Any]:
    """Return the DID document of a program (did:web). The key that signs now comes first."""
    return {
        "@context": list(_DID_CONTEXT),
        "id": addresses.did(program),
        **_methods(program, addresses, keys),
    }


def key_set(keys: Sequence[BadgeKey]) -> dict[str, Any]:
    """Return the public keys of all programs as a JWK Set (RFC 7517)."""
    return {"keys": [dict(key.public) for key in keys]}


def _methods(program: str, addresses: BadgeAddresses, keys: Sequence[BadgeKey]) -> Mapping[str, Any]:
    did = addresses.did(program)
    methods = [
        {
            "id": addresses.kid(program, key.kid),
            "type": "JsonWebKey2020",
            "controller": did,
            "publicKeyJwk": dict(key.public),
        }
        for key in keys
    ]
    return {"verificationMethod": methods, "assertionMethod": [method["id"] for method in methods]}
