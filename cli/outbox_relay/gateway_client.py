"""Signed events to a gateway, answered one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

from gateway.webhook_signatures import sign_events

LONGEST_WAIT: Final = 3600.0
"""Seconds that `Retry-After` may ask for."""


class GatewayUnavailable(Exception):
    """The gateway has taken nothing, or nobody knows; the same events are to be sent again.

    `retry_after` is how long it asks to wait, in seconds.
    """

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class RequestRefused(Exception):
    """The gateway refuses a request for what it contains, without saying which event is wrong."""


@dataclass(frozen=True, slots=True)
class SentEvent:
    """What became of an event that was sent."""

    is_new: bool
    refused: str = ""
    """Why the gateway refuses it; empty for one that it has."""


class GatewayClient:
    """Sends events to the gateway at an address, signed with a secret.

    Raises ValueError for a secret that cannot be read.
    """

    def __init__(self, address: str, secret: str, *, timeout: float = 30.0) -> None:
        sign_events(secret, [])
        self._address, self._secret = address, secret
        self._client = httpx.AsyncClient(timeout=timeout)

    async def send(self, events: Sequence[Mapping[str, Any]]) -> list[SentEvent]:
        """Send events in one request; return what became of each. Raises GatewayUnavailable, RequestRefused."""
        headers, body = sign_events(self._secret, events)
        try:
            answer = await self._client.post(
                f"{self._address}/events", content=body, headers={**headers, "prefer": "handling=lenient"}
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise GatewayUnavailable(f"cannot be reached: {error or type(error).__name__}") from None
        said = _object(answer)
        detail = f"answered {answer.status_code}: {said.get('detail') or answer.reason_phrase}"
        if answer.status_code in (400, 413):
            raise RequestRefused(detail)
        answers = said.get("events")
        if answer.status_code not in (202, 207) or not isinstance(answers, list):
            raise GatewayUnavailable(detail, _retry_after(answer))
        if len(answers) != len(events):
            raise GatewayUnavailable("answered about another number of events than were sent")
        return [_sent(each) for each in answers]

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


def _object(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, Mapping) else {}


def _sent(answer: Any) -> SentEvent:
    """Return an answer as it was meant. Raises GatewayUnavailable for one that says nothing."""
    outcome = answer.get("outcome") if isinstance(answer, Mapping) else None
    if outcome in ("accepted", "known"):
        return SentEvent(outcome == "accepted")
    if outcome != "refused":
        raise GatewayUnavailable("answered what no gateway says")
    reasons = []
    for wrong in answer.get("errors") or []:
        # Pointers lead into the list, whose order means nothing to a reader of one row.
        place = str(wrong.get("pointer", "")).lstrip("/").partition("/")[2].replace("/", ".")
        reasons.append(f"{place}: {wrong.get('reason')}" if place else str(wrong.get("reason")))
    return SentEvent(False, "; ".join(reasons) or "refused without a reason")


def _retry_after(answer: httpx.Response) -> float:
    given = answer.headers.get("retry-after", "")
    return min(float(given), LONGEST_WAIT) if given.isascii() and given.isdigit() else 0.0
