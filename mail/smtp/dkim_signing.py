"""DKIM signatures."""

from __future__ import annotations

import dkim

from mail.smtp.mail_transaction import with_crlf
from mail.smtp.settings import DkimSettings


def sign(content: bytes, settings: DkimSettings) -> bytes:
    """Return the message with a DKIM signature in front, with the CRLF line ends that it is sent with.

    Call it once, when the message is rendered, so that each attempt sends the same bytes (MAIL2). It takes about ten
    milliseconds of a core; `SmtpChannel.sign` runs it off the event loop. The signature covers every header, with
    the one-click unsubscribe pair (RFC 8058). From, To, Subject and Date are signed twice, so that a second one
    added on the way breaks the signature. Only RSA keys. Raises dkim.DKIMException for an unreadable key or a
    message without From.
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
