"""Who sent a provider's webhook: the signature or password of each provider, checked before a word is read (MAIL7)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from mail.reports.providers import read_json

_AMAZON = re.compile(r"sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?")
_SIGNED_BY_SNS = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")

Fetch = Callable[[str], Awaitable[bytes]]
"""Returns what an address has. Raises OSError."""


class ReportRefused(Exception):
    """The request was not made by the provider; the text says why."""


@dataclass(frozen=True, slots=True)
class ProviderSecrets:
    """What each provider proves itself with; a provider without one is switched off.

    `ses_topic` is the topic's ARN, `sendgrid_key` the public key, `postmark` is `user:password`, and `mailgun_key` the
    signing key.
    """

    ses_topic: str = ""
    sendgrid_key: str = field(default="", repr=False)
    postmark: str = field(default="", repr=False)
    mailgun_key: str = field(default="", repr=False)

    @property
    def known(self) -> set[str]:
        """The providers that are switched on."""
        given = {
            "ses": self.ses_topic,
            "sendgrid": self.sendgrid_key,
            "postmark": self.postmark,
            "mailgun": self.mailgun_key,
        }
        return {name for name, value in given.items() if value}


async def check_ses(secrets: ProviderSecrets, body: bytes, fetch: Fetch) -> dict[str, Any]:
    """Return the message of Amazon SNS, its signature checked. Raises ReportRefused, OSError."""
    message = read_json(body)
    if not isinstance(message, dict) or message.get("TopicArn") != secrets.ses_topic:
        raise ReportRefused("the message is of another topic")
    url = str(message.get("SigningCertURL"))
    if not is_amazon(url):
        raise ReportRefused("the certificate is not Amazon's")
    named = [name for name in _SIGNED_BY_SNS if name in message and _is_signed(name, message)]
    signed = "".join(f"{name}\n{message[name]}\n" for name in named)
    digest = hashes.SHA256() if message.get("SignatureVersion") == "2" else hashes.SHA1()
    try:
        key = x509.load_pem_x509_certificate(await fetch(url)).public_key()
        signature = base64.b64decode(str(message.get("Signature")), validate=True)
        if not isinstance(key, rsa.RSAPublicKey):
            raise ReportRefused("the certificate has no RSA key")
        key.verify(signature, signed.encode(), padding.PKCS1v15(), digest)
    except (InvalidSignature, ValueError):
        raise ReportRefused("the signature does not fit") from None
    return message


def _is_signed(name: str, message: Mapping[str, Any]) -> bool:
    """Whether SNS signs a field: a notification without its token, a confirmation without a subject."""
    if message.get("Type") == "Notification":
        return name not in ("SubscribeURL", "Token")
    return name != "Subject"


def is_amazon(url: str) -> bool:
    """Whether an address is one of Amazon SNS, over HTTPS."""
    parts = urlsplit(url)
    return (
        parts.scheme == "https"
        and parts.port in (None, 443)
        and bool(_AMAZON.fullmatch(parts.hostname or ""))
    )


def check_sendgrid(secrets: ProviderSecrets, headers: Mapping[str, str], body: bytes) -> None:
    """Check the signature of SendGrid's event webhook. Raises ReportRefused."""
    stamp = headers.get("x-twilio-email-event-webhook-timestamp", "")
    given = headers.get("x-twilio-email-event-webhook-signature", "")
    try:
        key = serialization.load_der_public_key(base64.b64decode(secrets.sendgrid_key))
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise ReportRefused("the key of SendGrid is no ECDSA key")
        signature = base64.b64decode(given, validate=True)
        key.verify(signature, stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        raise ReportRefused("the signature does not fit") from None


def check_postmark(secrets: ProviderSecrets, headers: Mapping[str, str]) -> None:
    """Check the password in the address that Postmark posts to. Raises ReportRefused."""
    wanted = f"Basic {base64.b64encode(secrets.postmark.encode()).decode()}"
    if not hmac.compare_digest(headers.get("authorization", "").encode(), wanted.encode()):
        raise ReportRefused("user and password do not fit")


def check_mailgun(secrets: ProviderSecrets, body: bytes) -> None:
    """Check the signature in the body of Mailgun's webhook. Raises ReportRefused."""
    payload = read_json(body)
    given = payload.get("signature") if isinstance(payload, dict) else None
    found = given if isinstance(given, dict) else {}
    signed = f"{found.get('timestamp')}{found.get('token')}".encode()
    wanted = hmac.new(secrets.mailgun_key.encode(), signed, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(str(found.get("signature")).encode(), wanted.encode()):
        raise ReportRefused("the signature does not fit")
