"""The verdict on a mail server's reply (MAIL3): which reply at which point means what for a delivery.

| when                   | reply                                                 | verdict                          |
|------------------------|-------------------------------------------------------|----------------------------------|
| before the final dot   | none: no connection, time-out, end of file, garbage   | TryLater                         |
| at any time            | 4xx                                                   | TryLater                         |
| at any time            | 5xx with an enhanced code 4.x.x, or 503               | TryLater                         |
| greeting, EHLO, TLS    | 5xx; STARTTLS not offered; certificate not trusted    | TryLater                         |
| AUTH                   | 5xx; no usable method offered                         | AuthenticationRefused            |
| from MAIL FROM on      | 530, 534, 535, 538                                    | AuthenticationRefused            |
| RCPT TO, final dot     | 5.1.1–4, 5.1.6, 5.1.10, 5.2.1, 5.4.1, 5.4.4, 5.7.17–18 | RecipientRefused                 |
| RCPT TO, final dot     | 5.2.2 (mailbox full); at RCPT TO also a bare 552      | TryLater, after hours            |
| RCPT TO                | 501, 550, 551, 553, 556 with another 5.0.x, 5.1.x,    | RecipientRefused, unless the text |
|                        | 5.2.x, 5.5.x or no enhanced code                      | speaks of policy or the sender   |
| RCPT TO                | 500, 502, 504: the command was not understood         | TryLater                         |
| from MAIL FROM on      | any other 5xx (policy 5.7.x, size, sender, media)     | ContentRefused                   |
| after the final dot    | none: time-out, end of file, garbage                  | Ambiguous                        |

A wrong RecipientRefused silences a person for good, so what does not clearly speak of the mailbox is not one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from rules.text import from_mail_server

RATE_LIMIT_BACK_OFF = 300.0
"""Seconds to back off after a refusal for too many connections or too high a rate."""

MAILBOX_FULL_BACK_OFF = 6 * 3600.0
"""Seconds to back off from a full mailbox."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The server took responsibility for the message: the code and the text of its reply (often a queue id)."""

    code: int
    response: str


class DeliveryError(Exception):
    """A message was not confirmed. `str()` holds no text of the server: that quotes addresses (MEM6).

    `code` is the SMTP code and `enhanced` the enhanced status code (RFC 3463), where there was a reply. `response` is
    the server's text, or ours where it sent none; it is for the database only.
    """

    def __init__(self, response: str, *, code: int | None = None, enhanced: str | None = None) -> None:
        named = (type(self).__name__, code, enhanced)
        super().__init__(" ".join(str(part) for part in named if part is not None))
        self.response = from_mail_server(response)
        self.code = code
        self.enhanced = enhanced


class TryLater(DeliveryError):
    """The server certainly does not have the message, and may accept it later (MAIL3).

    `after` is a hint: the least number of seconds to wait. None leaves it to the caller's growing delays.
    """

    def __init__(
        self,
        response: str,
        *,
        code: int | None = None,
        enhanced: str | None = None,
        after: float | None = None,
    ) -> None:
        super().__init__(response, code=code, enhanced=enhanced)
        self.after = after


class RecipientRefused(DeliveryError):
    """The address takes no mail, now or later: suppress it (MAIL3)."""


class ContentRefused(DeliveryError):
    """The server refuses this message for good; the address stays usable (MAIL3)."""


class AuthenticationRefused(DeliveryError):
    """The server refuses our login: the circuit opens (MAIL3)."""


class Ambiguous(DeliveryError):
    """The whole message went out and no clear reply came back: the server may have it (MAIL2)."""


class Stage(StrEnum):
    """The point of the dialogue that a reply belongs to."""

    CONNECT = "connect"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    END = "end"


_LOGIN_REFUSED = {530, 534, 535, 538}
_COMMAND_UNKNOWN = {500, 502, 504}
_NO_SUCH_MAILBOX = {
    *("5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.6", "5.1.10"),
    *("5.2.1", "5.4.1", "5.4.4", "5.7.17", "5.7.18"),
}
_MAILBOX_FULL = {"4.2.2", "5.2.2"}
_ABOUT_SENDER_OR_SIZE = {"5.1.7", "5.1.8", "5.1.9", "5.2.3"}
_MAYBE_MAILBOX_CODES = {501, 550, 551, 553, 556}
_MAYBE_MAILBOX_SUBJECTS = {"0", "1", "2", "5"}
_POLICY_WORDS = re.compile(
    r"spam|junk|polic|black.?list|block.?list|deny.?list|\bblock|\bban|\brbl\b|dnsbl|spamhaus|reputation"
    r"|\bspf\b|dkim|dmarc|relay|\brate\b|too many|sender|gr[ae]y.?list|content|virus"
    r"|access denied|not permitted|not allowed|authenti"
)
_RATE_LIMIT_WORDS = re.compile(
    r"too many (?:\w+ )*(?:connections|sessions|messages)|concurren|simultaneous"
    r"|connection (?:rate|limit|count)|(?:maximum|max)\.? (?:number of )?connections|rate.?limit|throttl"
)
_ENHANCED = re.compile(r"(?:^\W{0,2}|#)([245]\.\d{1,3}\.\d{1,3})(?!\.?\d)")
_QUOTED_ADDRESS = re.compile(r"\S*@\S*")


def classify(stage: Stage, code: int, response: str) -> DeliveryError:
    """Return the verdict on a reply that is not positive, by the table of this module (MAIL3)."""
    found = _ENHANCED.search(response)
    enhanced = found[1] if found else None
    words = _QUOTED_ADDRESS.sub(" ", response).lower()
    kind = _kind(stage, code, enhanced, words)
    if kind is not TryLater:
        return kind(response, code=code, enhanced=enhanced)
    after = None
    if _RATE_LIMIT_WORDS.search(words):
        after = RATE_LIMIT_BACK_OFF
    elif enhanced in _MAILBOX_FULL or (stage is Stage.RCPT and code == 552):
        after = MAILBOX_FULL_BACK_OFF
    return TryLater(response, code=code, enhanced=enhanced, after=after)


def _kind(stage: Stage, code: int, enhanced: str | None, words: str) -> type[DeliveryError]:
    if code not in range(500, 600) or stage is Stage.CONNECT:
        return TryLater
    if stage is Stage.AUTH or code in _LOGIN_REFUSED:
        return AuthenticationRefused
    if code == 503 or (enhanced or "").startswith("4."):
        return TryLater
    if stage in (Stage.RCPT, Stage.END):
        if enhanced in _NO_SUCH_MAILBOX:
            return RecipientRefused
        if enhanced in _MAILBOX_FULL:
            return TryLater
    if stage is Stage.RCPT:
        if code in _COMMAND_UNKNOWN or (code == 552 and enhanced is None):
            return TryLater
        subject = enhanced.split(".")[1] if enhanced else "0"
        if (
            code in _MAYBE_MAILBOX_CODES
            and subject in _MAYBE_MAILBOX_SUBJECTS
            and enhanced not in _ABOUT_SENDER_OR_SIZE
            and not _POLICY_WORDS.search(words)
        ):
            return RecipientRefused
    return ContentRefused
