"""When an event that an endpoint did not take is sent again, and when an endpoint is given up."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

WAITS: Final = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
)
"""The waits after the first attempts, which Standard Webhooks recommends; the last one repeats."""

JITTER: Final = 0.1
"""By which part of itself a wait is longer at most: what failed at one moment does not come back at one moment."""

TRIED_FOR: Final = timedelta(days=3)
"""How long after its first attempt an event is sent again."""

LONGEST_REST: Final = timedelta(hours=10)
"""The longest `Retry-After` that is honoured. A longer one counts as this."""

GIVEN_UP_AFTER: Final = timedelta(days=5)
"""How long an endpoint may take nothing before it is disabled."""

KEPT_FOR: Final = timedelta(days=30)
"""How long delivered and failed events are kept for a replay, and how long a disabled endpoint collects."""

GRACE: Final = timedelta(hours=24)
"""How long the old secret signs beside a new one by default."""


def next_attempt(
    event: str, attempts: int, first_tried_at: datetime, at: datetime, rest: timedelta | None
) -> datetime | None:
    """Return when an event is sent again after an attempt at `at` that failed; None when it is given up.

    `attempts` counts this one, and `rest` is what the endpoint asked for by `Retry-After`. The jitter follows from the
    event's id, so that a repeated computation gives the same instant.
    """
    wait = WAITS[min(attempts, len(WAITS)) - 1]
    wait += wait * JITTER * _fraction(f"{event} {attempts}")
    due = at + max(wait, min(rest or timedelta(0), LONGEST_REST))
    return due if due <= first_tried_at + TRIED_FOR else None


def is_given_up(failing_since: datetime | None, at: datetime) -> bool:
    """Return whether an endpoint that failed at `at` has failed for too long."""
    return failing_since is not None and at >= failing_since + GIVEN_UP_AFTER


def _fraction(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32
