"""What a mail server's answer means for a delivery (MAIL3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from rules.text import from_mail_server

CROWDED_BACK_OFF = 300.0
"""Seconds to keep away from a server that refused for too many connections or too high a rate."""

MAILBOX_FULL_BACK_OFF = 6 * 3600.0
"""Seconds to keep away from a full mailbox."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server took the message over: its code and its words (often a queue id)."""

    code: int
    response: str


class DeliveryError(Exception):
    """A message was not confirmed. `str()` holds no words of the server: they quote addresses (MEM6).

    `code` is the SMTP code and `enhanced` the enhanced one, where there was an answer; `response` the server's
    words, or ours where it said nothing, for the database only.
    """

    def __init__(self, response: str, *, code: int | None = None, enhanced: str | None = None) -> None:
        named = (type(self).__name__, code, enhanced)
        super().__init__(" ".join(str(part) for part in named if part is not None))
        self.response = from_mail_server(response)
        self.code = code
        self.enhanced = enhanced


class TryLater(DeliveryError):
    """The server certainly does not have the message, and may take it later (MAIL3).

    `after` is a hint: not within so many seconds. None leaves it to the caller's growing delays.
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
    """The address will not take mail, now or later: suppress it (MAIL3)."""


class ContentRefused(DeliveryError):
    """This message will not be taken; nothing is said against the address (MAIL3)."""


class AuthenticationRefused(DeliveryError):
    """The server does not let us in: the channel stops (MAIL3)."""


class Ambiguous(DeliveryError):
    """The message went out whole and no clear answer came back: the server may have it (MAIL2)."""


class Stage(StrEnum):
    """What the server answered to."""

    CONNECT = "connect"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    END = "end"


_NOT_LET_IN = {530, 534, 535, 538}
_NOT_UNDERSTOOD = {500, 502, 504}
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
_CROWDED_WORDS = re.compile(
    r"too many (?:\w+ )*(?:connections|sessions|messages)|concurren|simultaneous"
    r"|connection (?:rate|limit|count)|(?:maximum|max)\.? (?:number of )?connections|rate.?limit|throttl"
)
_ENHANCED = re.compile(r"(?:^\W{0,2}|#)([245]\.\d{1,3}\.\d{1,3})(?!\.?\d)")
_QUOTED_ADDRESS = re.compile(r"\S*@\S*")


def classify(stage: Stage, code: int, response: str) -> DeliveryError:
    """The verdict on an answer that is not a yes, by the table of this module (MAIL3)."""
    found = _ENHANCED.search(response)
    enhanced = found[1] if found else None
    words = _QUOTED_ADDRESS.sub(" ", response).lower()
    kind = _kind(stage, code, enhanced, words)
    if kind is not TryLater:
        return kind(response, code=code, enhanced=enhanced)
    after = None
    if _CROWDED_WORDS.search(words):
        after = CROWDED_BACK_OFF
    elif enhanced in _MAILBOX_FULL or (stage is Stage.RCPT and code == 552):
        after = MAILBOX_FULL_BACK_OFF
    return TryLater(response, code=code, enhanced=enhanced, after=after)


def _kind(stage: Stage, code: int, enhanced: str | None, words: str) -> type[DeliveryError]:
    if code not in range(500, 600) or stage is Stage.CONNECT:
        return TryLater
    if stage is Stage.AUTH or code in _NOT_LET_IN:
        return AuthenticationRefused
    if code == 503 or (enhanced or "").startswith("4."):
        return TryLater
    if stage in (Stage.RCPT, Stage.END):
        if enhanced in _NO_SUCH_MAILBOX:
            return RecipientRefused
        if enhanced in _MAILBOX_FULL:
            return TryLater
    if stage is Stage.RCPT:
        if code in _NOT_UNDERSTOOD or (code == 552 and enhanced is None):
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
