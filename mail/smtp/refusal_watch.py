"""The breaker that needs no wording: one answer to several recipients is about us, not about them (MAIL10)."""

from __future__ import annotations

from dataclasses import dataclass, field

from mail.smtp.refusals import Cause, normalized_answer
from mail.smtp.verdicts import AccountRefused, ContentRefused, DeliveryError, TryLater

RECIPIENTS = 3
"""Different recipients with the same answer, and no message accepted in between, that stop the channel."""

WINDOW = 24 * 3600.0
"""Seconds for which an answer is remembered."""

CONFIRMED_AFTER = 300.0
"""Seconds after which a refusal that names no fault of the message is asked for once more before it is final."""

_OF_THE_MESSAGE = {Cause.SIZE, Cause.CONTENT}
_MOST_REMEMBERED = 1_000


@dataclass(frozen=True, slots=True)
class _Refused:
    recipient: str
    at: float


@dataclass(slots=True)
class RefusalWatch:
    """Compares refusals of messages across recipients, in the memory of one process.

    A refusal that speaks of the message is final at once. Any other is tried a second time, so that the messages before
    the one that stops the channel stay planned too.
    """

    _seen: dict[tuple[str, str], _Refused] = field(default_factory=dict)
    _accepted_at: float = float("-inf")

    def accept(self, now: float) -> None:
        """Note that the server has accepted a message: earlier refusals were not about us."""
        self._accepted_at = now

    def judge(self, refusal: ContentRefused, delivery: str, recipient: str, now: float) -> DeliveryError:
        """Return the verdict: the refusal itself, TryLater to ask once more, or AccountRefused to stop the channel."""
        if refusal.cause is Cause.PROVIDER_LIST:
            # A provider's list is about each address on it, in the same words for all of them.
            return refusal
        answer = f"{refusal.code} {normalized_answer(refusal.response)}"
        self._forget(now)
        first = self._seen.setdefault((answer, delivery), _Refused(recipient.lower(), now))
        if first.at <= self._accepted_at:
            return refusal
        recipients = {
            seen.recipient
            for (said, _), seen in self._seen.items()
            if said == answer and seen.at > self._accepted_at
        }
        if len(recipients) >= RECIPIENTS:
            return AccountRefused(refusal.response, code=refusal.code, enhanced=refusal.enhanced)
        if first.at < now or refusal.cause in _OF_THE_MESSAGE:
            return refusal
        return TryLater(refusal.response, code=refusal.code, enhanced=refusal.enhanced, after=CONFIRMED_AFTER)

    def _forget(self, now: float) -> None:
        for key in [key for key, seen in self._seen.items() if seen.at <= now - WINDOW]:
            del self._seen[key]
        while len(self._seen) >= _MOST_REMEMBERED:
            del self._seen[next(iter(self._seen))]
