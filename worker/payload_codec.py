"""Encryption of what Temporal stores: inputs, results, signals and markers, by AES-GCM under a ring of keys.

Temporal's histories hold ids and instants only (MEM6). Where even these must not be read by who operates the Temporal
service, the payloads are encrypted before they leave a process of ours.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

ENCODING: Final = b"binary/encrypted"
KEY_ID: Final = "encryption-key-id"
"""The names that Temporal's samples use."""

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
"""As NIST SP 800-38D recommends for a random one; a key is good for 2³² payloads by it."""


class PayloadKeyMissing(RuntimeError):
    """A payload was encrypted under a key that this process does not have, or was altered. Its text names the key."""


class PayloadEncryption(PayloadCodec):
    """Encrypts under the first key, decrypts under any. What is not encrypted is taken as it is.

    So encryption can be switched on while workflows run. Raises ValueError for a key that is not 32 bytes in base64.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        raw = [_decoded(key) for key in keys]
        if not raw:
            raise ValueError("there is no key")
        self._ciphers = {key_id(key): AESGCM(key) for key in raw}
        self._first = key_id(raw[0])

    @property
    def key_ids(self) -> list[str]:
        """What names each key without revealing it, the encrypting one first."""
        return list(self._ciphers)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return each payload encrypted, whole: its own encoding is not seen either."""
        return [self._encrypted(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return each payload as it was. Raises PayloadKeyMissing; a workflow task then waits for the key."""
        return [self._decrypted(payload) for payload in payloads]

    def _encrypted(self, payload: Payload) -> Payload:
        nonce, name = os.urandom(_NONCE_BYTES), self._first.encode()
        data = self._ciphers[self._first].encrypt(nonce, payload.SerializeToString(), name)
        return Payload(metadata={"encoding": ENCODING, KEY_ID: name}, data=nonce + data)

    def _decrypted(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        name = payload.metadata.get(KEY_ID, b"")
        cipher = self._ciphers.get(name.decode("ascii", "replace"))
        if cipher is None:
            raise PayloadKeyMissing(f"a payload needs the key {name.decode('ascii', 'replace')!r}")
        try:
            plain = cipher.decrypt(payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:], name)
        except (InvalidTag, ValueError):
            raise PayloadKeyMissing(f"a payload does not fit the key {name.decode('ascii')!r}") from None
        return Payload.FromString(plain)


def key_id(key: bytes) -> str:
    """Return what names a key without revealing it."""
    return hashlib.sha256(b"throughline.payload|" + key).hexdigest()[:16]


def _decoded(key: str) -> bytes:
    try:
        raw = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a key must be base64") from None
    if len(raw) != KEY_BYTES:
        raise ValueError(f"a key must be {KEY_BYTES} bytes in base64: openssl rand -base64 32")
    return raw
