"""Bounds how often one link may store something, so that its holder cannot flood the program."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from database.links import Link

MOST_IN_AN_HOUR = 12
"""Forms that one person may have stored for one question within an hour: many changes of mind, and no flood."""

_HOUR = timedelta(hours=1)

_Question = tuple[str, str, str]


class LinkLimiter:
    """Counts what was stored per purpose, person and subject, whichever mail the link came in.

    Each gateway process counts for itself. Only signed links are counted, and a question is forgotten after an hour,
    so that memory is bounded by the links that are in use.
    """

    def __init__(self, most: int = MOST_IN_AN_HOUR) -> None:
        self._most = most
        self._stored: dict[_Question, deque[datetime]] = {}

    def is_exhausted(self, link: Link, at: datetime) -> bool:
        """Return whether nothing more may be stored now; `at` is program time."""
        self._forget(at)
        times = self._stored.get(_question(link))
        return times is not None and len(times) >= self._most and times[0] > at - _HOUR

    def count(self, link: Link, at: datetime) -> None:
        """Count a form that was stored."""
        # The latest question goes to the end, so that the oldest are the first to forget.
        times = self._stored.pop(_question(link), None) or deque(maxlen=self._most)
        times.append(at)
        self._stored[_question(link)] = times

    def _forget(self, at: datetime) -> None:
        while self._stored:
            question, times = next(iter(self._stored.items()))
            if times[-1] > at - _HOUR:
                break
            del self._stored[question]


def _question(link: Link) -> _Question:
    return link.purpose, link.profile, link.subject
