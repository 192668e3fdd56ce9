"""JSON Web Signatures by Ed25519, the outer form of a credential (RFC 7515, RFC 8037)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwa import EdDSAAlgorithm, JWSAlgModel
from joserfc.jwk import OKPKey

from evidence.verifier import canonical

ALGORITHM: Final = "EdDSA"
"""RFC 9864 calls it `Ed25519`. Open Badges 3.0 and its verifiers know the older name only."""

LONGEST: Final = 256 * 1024
"""Most characters of a signed text that is read: a status list has up to 30,000, a credential about 4,000."""


class JwsError(ValueError):
    """A text that is no signed JSON object, or whose signature does not hold; the text says what is wrong."""


class _OnlyEdDsa(jws.JWSRegistry):
    """Knows one algorithm, and does not warn about its older name as the library's own registry does."""

    max_header_length = 2048
    max_payload_length = LONGEST

    def get_alg(self, name: str) -> JWSAlgModel:
        if name != ALGORITHM:
            raise UnsupportedAlgorithmError(f"Algorithm of '{name}' is not supported")
        return EdDSAAlgorithm()


_REGISTRY: Final = _OnlyEdDsa(strict_check_header=False)


@dataclass(frozen=True, slots=True)
class SignedObject:
    """A signed JSON object, as it was read. Nothing of it is true before `check`."""

    header: Mapping[str, Any]
    payload: Mapping[str, Any]
    text: str

    def check(self, public: Mapping[str, Any]) -> None:
        """Check the signature by a public key, a JWK. Raises JwsError."""
        try:
            known = {name: public[name] for name in ("kty", "crv", "x")}
            if known["crv"] != "Ed25519":
                raise JwsError("the key is not one of Ed25519")
            jws.deserialize_compact(self.text, OKPKey.import_key(known), registry=_REGISTRY)
        except (JoseError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, JwsError):
                raise
            raise JwsError(
                "the signature does not hold: the text was altered, or another key signed it"
            ) from None


def sign(header: Mapping[str, Any], payload: Mapping[str, Any], key: OKPKey) -> str:
    """Return a JSON object with its signature. The same object and key give the same text (RFC 8032, RFC 8785)."""
    complete = {"alg": ALGORITHM, **header}
    return jws.serialize_compact(complete, canonical(dict(payload)), key, registry=_REGISTRY)


def read(text: str) -> SignedObject:
    """Return what a signed text says, unchecked. Raises JwsError."""
    if len(text) > LONGEST:
        raise JwsError("it is too long")
    try:
        found = jws.extract_compact(text.encode("ascii"), registry=_REGISTRY)
        header, payload = found.headers(), json.loads(found.payload)
    except (JoseError, ValueError, TypeError, RecursionError):
        raise JwsError("it is no signed JSON object") from None
    if not isinstance(payload, dict):
        raise JwsError("it is no signed JSON object")
    if header.get("alg") != ALGORITHM:
        raise JwsError(f"it is not signed by {ALGORITHM}")
    return SignedObject(header, payload, text)
