"""Signatures of events after the Standard Webhooks specification: made by senders, checked by the gateway.

The age of a signature is the one thing here that is judged by the machine's clock: it protects a connection and is
no program time.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from standardwebhooks import Webhook, WebhookVerificationError

SIGNATURE_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
SHORTEST_SECRET = 16
"""Bytes; the specification recommends 24 to 64."""

ONE_EVENT = "application/cloudevents+json"
SEVERAL_EVENTS = "application/cloudevents-batch+json"


class SignatureRefused(Exception):
    """A request that was not signed with one of our secrets, or not just now; the text says which."""


def sign_events(
    secret: str, events: Mapping[str, Any] | Sequence[Mapping[str, Any]], at: datetime | None = None
) -> tuple[dict[str, str], bytes]:
    """The headers and the body with which one CloudEvent, or a list of them, is sent to `POST /events`.

    `secret` is base64 after `whsec_`. `at` is the moment of signing, an instant of real time; without it, now. The
    signature holds for five minutes. Raises ValueError for a secret that cannot be read.
    """
    body = json.dumps(events, separators=(",", ":"), allow_nan=False)
    at = at or datetime.now(UTC)
    message = f"msg_{uuid4().hex}"
    headers = {
        "content-type": ONE_EVENT if isinstance(events, Mapping) else SEVERAL_EVENTS,
        "webhook-id": message,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": _webhook(secret).sign(message, at.astimezone(UTC), body),
    }
    return headers, body.encode()


class Signatures:
    """Checks signatures against several secrets, so that one can be replaced while the old one still holds.

    Raises ValueError for a secret that is not base64 or too short. Without any secret every request is refused.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._webhooks = [_webhook(secret) for secret in secrets]

    def check(self, headers: Mapping[str, str], body: bytes) -> None:
        """Raise SignatureRefused unless the body, byte for byte, was signed with one of the secrets just now."""
        if missing := [name for name in SIGNATURE_HEADERS if not headers.get(name)]:
            raise SignatureRefused(f"the request is not signed: {', '.join(missing)} missing")
        reason = "no signature of the request was made with a secret that holds here"
        given = {name: headers[name] for name in SIGNATURE_HEADERS}
        for webhook in self._webhooks:
            try:
                webhook.verify(body, given, json_parse=False)
            except WebhookVerificationError as error:
                if "timestamp" in str(error):
                    reason = "the signature's time lies more than five minutes from now"
            except ValueError:
                # A signature that is no base64, or a body that is no UTF-8: nothing that anybody signed.
                continue
            else:
                return
        raise SignatureRefused(reason)


def _webhook(secret: str) -> Webhook:
    text = secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise ValueError("a webhook secret must be base64, after whsec_") from None
    if len(key) < SHORTEST_SECRET:
        raise ValueError(f"a webhook secret needs at least {SHORTEST_SECRET} bytes")
    return Webhook(key)
