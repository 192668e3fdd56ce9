"""What figures are computed from, in the order of time: a period is a slice of it, found without a look at the rest."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from staff.figures.source import Asked, FigureSource, NewProfile, Pair

Span = tuple[datetime, datetime]
"""The instant at which a period begins, and the one at which it is over."""

_Row = TypeVar("_Row")


class _Timeline(Generic[_Row]):
    """Rows in the order of an instant of each; rows of one instant stay in theirs."""

    def __init__(self, rows: Iterable[_Row], at: Callable[[_Row], datetime]) -> None:
        self.rows = sorted(rows, key=at)
        self._at = [at(row) for row in self.rows]

    def within(self, span: Span) -> Sequence[_Row]:
        since, until = span
        return self.rows[bisect_left(self._at, since) : bisect_left(self._at, until)]

    def before(self, at: datetime) -> int:
        return bisect_left(self._at, at)


class OrderedSource:
    """The source of figures with its rows in the order of time."""

    def __init__(self, source: FigureSource) -> None:
        self.source = source
        self.signed_up: Mapping[str, datetime] = {each.profile: each.at for each in source.sign_ups}
        """When a profile was made."""
        self._sign_ups = _Timeline(source.sign_ups, lambda each: each.at)
        self.first_sign_up: dict[str, datetime] = {}
        """When a member signed up for the first time."""
        for each in self._sign_ups.rows:
            self.first_sign_up.setdefault(each.member, each.at)
        self.matched = frozenset(of for pair in source.pairs for of in (pair.mentor, pair.mentee))
        """The profiles that had a match at any time."""
        self._requests = _Timeline(source.requests, lambda each: each.at)
        self._started = _Timeline(source.pairs, lambda pair: pair.started_at)
        closed = [(pair.closed_at, pair) for pair in source.pairs if pair.closed_at]
        self._closed = _Timeline(closed, lambda row: row[0])
        # An event can be late: the end of a pair may be on record before its start.
        self._over = _Timeline((max(at, pair.started_at) for at, pair in closed), lambda at: at)
        self._extended = [pair for pair in source.pairs if pair.extended_at]
        self._credit = {
            state: _Timeline([at for at, of, _ in source.credit if of == state], lambda at: at)
            for state in ("ready", "submitted")
        }

    def sign_ups(self, span: Span) -> Sequence[NewProfile]:
        """Return the profiles that were made in a period."""
        return self._sign_ups.within(span)

    def requests(self, span: Span) -> Sequence[Asked]:
        """Return the requests that were made in a period."""
        return self._requests.within(span)

    def started(self, span: Span) -> Sequence[Pair]:
        """Return the pairs that began in a period."""
        return self._started.within(span)

    def closed(self, span: Span) -> Sequence[Pair]:
        """Return the pairs that ended in a period."""
        return [pair for _, pair in self._closed.within(span)]

    def active_at(self, at: datetime) -> int:
        """Return how many pairs ran at an instant: those that began before it without those that ended before it."""
        return self._started.before(at) - self._over.before(at)

    def extended(self, span: Span) -> int:
        """Return how many pairs were extended in a period."""
        since, until = span
        return sum(any(since <= at < until for at in pair.extended_at) for pair in self._extended)

    def credit(self, state: str, span: Span) -> int:
        """Return how many claims became `ready` or `submitted` in a period."""
        return len(self._credit[state].within(span))

    def answers(self, span: Span) -> list[tuple[str, Mapping[str, Any]]]:
        """Return the answers to surveys of a period, each with its role, in the order of the source."""
        since, until = span
        return [(role, answers) for at, role, answers in self.source.answers if since <= at < until]
