"""The verdict on a mail server's reply (MAIL3): which reply at which point means what for a delivery.

| when                   | reply                                                 | verdict                          |
|------------------------|-------------------------------------------------------|----------------------------------|
| before the final dot   | none: no connection, time-out, end of file, garbage   | TryLater                         |
| at any time            | 4xx                                                   | TryLater                         |
| at any time            | 5xx with an enhanced code 4.x.x, or 503               | TryLater                         |
| greeting, EHLO, TLS    | 5xx; STARTTLS not offered; certificate not trusted    | TryLater                         |
| AUTH                   | 5xx; no usable method offered                         | AuthenticationRefused            |
| from MAIL FROM on      | 530, 534, 535, 538                                    | AuthenticationRefused            |
| from MAIL FROM on      | our account, tenant, sending quota or domain          | AccountRefused                   |
| from MAIL FROM on      | mailbox full, rate, name server, temporary failure    | TryLater, after minutes or hours |
| RCPT TO                | words or codes that name the mailbox                  | RecipientRefused                 |
| final dot              | a code that names the mailbox                         | RecipientRefused                 |
| RCPT TO                | 500, 502, 504: the command was not understood         | TryLater                         |
| from MAIL FROM on      | any other 5xx (policy, size, sender, content, unclear) | ContentRefused                  |
| after the final dot    | none: time-out, end of file, garbage                  | Ambiguous                        |

`mail.smtp.refusals` reads words and codes. A wrong RecipientRefused silences a person for good, so what does not
clearly speak of the mailbox is not one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from mail.smtp.refusals import ENHANCED_CODE, Cause, RefusalClass, classify_refusal
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
    the server's text, or ours where it sent none; it is for the database only. `cause` is what the server's words speak
    of.
    """

    cause: Cause | None = None
    final = True
    """Whether the server has judged the message, so that it is not tried again."""

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

    final = False

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


class ChannelRefused(DeliveryError):
    """The server refuses us, not this message: the circuit opens, and messages stay planned (MAIL3, MAIL10)."""

    final = False


class AuthenticationRefused(ChannelRefused):
    """The server refuses our login (MAIL3)."""


class AccountRefused(ChannelRefused):
    """The server refuses our account, sender or quota (MAIL10)."""


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
_NAMES_MAILBOX = re.compile(r"5\.(?:1\.(?:[12346]|10)|2\.1|4\.[14]|7\.1[78])")
_RATE_LIMIT_WORDS = re.compile(
    r"too many (?:\w+ )*(?:connections|sessions|messages)|concurren|simultaneous"
    r"|connection (?:rate|limit|count)|(?:maximum|max)\.? (?:number of )?connections|rate.?limit|throttl"
)
_RETRIED = {Cause.FULL, Cause.RATE, Cause.NAME_SERVER, Cause.TEMPORARY}


def classify(stage: Stage, code: int, response: str) -> DeliveryError:
    """Return the verdict on a reply that is not positive, by the table of this module (MAIL3, MAIL10)."""
    found = ENHANCED_CODE.search(response)
    enhanced = found[1] if found else None
    cause = classify_refusal(code, enhanced, response).cause
    kind = _kind(stage, code, enhanced, cause)
    error = kind(response, code=code, enhanced=enhanced)
    error.cause = cause
    if isinstance(error, TryLater):
        if cause is Cause.FULL and stage in (Stage.RCPT, Stage.END):
            error.after = MAILBOX_FULL_BACK_OFF
        elif cause is Cause.RATE or _RATE_LIMIT_WORDS.search(response.lower()):
            error.after = RATE_LIMIT_BACK_OFF
    return error


def _kind(stage: Stage, code: int, enhanced: str | None, cause: Cause) -> type[DeliveryError]:
    if code not in range(500, 600) or stage is Stage.CONNECT:
        return TryLater
    if stage is Stage.AUTH or code in _LOGIN_REFUSED:
        return AuthenticationRefused
    if code == 503 or (enhanced or "").startswith("4."):
        return TryLater
    if cause is Cause.ACCOUNT:
        return AccountRefused
    if stage is Stage.RCPT and code in _COMMAND_UNKNOWN:
        return TryLater
    if cause is Cause.FULL and code == 552 and stage is not Stage.RCPT and enhanced is None:
        # Without an enhanced code, 552 after the text speaks of its size (RFC 5321, 4.2.3).
        return ContentRefused
    if cause in _RETRIED:
        return TryLater
    if cause.refusal_class is RefusalClass.HARD and (
        stage is Stage.RCPT or (stage is Stage.END and _NAMES_MAILBOX.fullmatch(enhanced or ""))
    ):
        return RecipientRefused
    return ContentRefused
