"""DKIM signatures."""

from __future__ import annotations

import dkim

from mail.smtp.connection import with_crlf
from mail.smtp.settings import DkimSettings


def sign(content: bytes, settings: DkimSettings) -> bytes:
    """The message with a DKIM signature in front, as it will travel (CRLF line ends).

    To be called once, when the message is rendered, so that each attempt sends the same bytes (MAIL2). It costs
    some ten milliseconds of a core: off the event loop use `SmtpChannel.sign`. Every header is covered, the
    one-click unsubscribe pair too (RFC 8058), and From, To, Subject and Date against a second one. Only RSA keys.
    Raises dkim.DKIMException for an unreadable key or a message without From.
    """
    content = with_crlf(content)
    signer = dkim.DKIM(content)
    signer.add_frozen([b"from", b"to", b"subject", b"date"])
    headers = signer.all_sign_headers() + sorted(signer.frozen_sign)
    signature: bytes = signer.sign(
        settings.selector.encode("ascii"),
        settings.domain.encode("ascii"),
        settings.private_key.encode("ascii"),
        include_headers=headers,
    )
    return signature + content
