"""Figures as named rows, the same for a table, CSV, JSON and a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from staff.figures.computation import Figures, Share, Spread


@dataclass(frozen=True, slots=True)
class FigureLine:
    """One figure over one or several periods."""

    key: str
    """A name that stays, such as `answer_hours.median`."""
    words: str
    """What it is, with its unit."""
    values: tuple[float | None, ...]
    """One for each period; None where nothing was there to count from."""


def lines(periods: Sequence[Figures]) -> tuple[FigureLine, ...]:
    """Return every figure of the periods, in the order in which people read them. None has free text."""
    rows: list[dict[str, tuple[str, float | None]]] = [
        {key: (words, value) for key, words, value in _rows(each)} for each in periods
    ]
    names: dict[str, str] = {}
    for row in rows:
        for key, (words, _) in row.items():
            names.setdefault(key, words)
    order = {group: place for place, group in enumerate(_GROUPS)}
    keys = sorted(names, key=lambda key: order[key.partition(".")[0]])
    return tuple(
        FigureLine(key, names[key], tuple(row[key][1] if key in row else _absent(key) for row in rows))
        for key in keys
    )


_GROUPS = (
    *("sign_ups", "people", "match_rate", "requests", "answers", "answer_hours", "answered_in_time"),
    *("matches", "days_to_match", "active", "completed", "extended", "ended", "credit", "satisfaction"),
    "survey",
)
_COUNTED = ("answers", "ended", "survey")
"""The groups in which a figure that a period lacks is none, so many as zero."""


def _absent(key: str) -> float | None:
    return 0 if key.partition(".")[0] in _COUNTED and not key.endswith(".average") else None


Row = tuple[str, str, float | None]


def _rows(each: Figures) -> Iterator[Row]:
    for role, count in each.sign_ups.items():
        yield f"sign_ups.{role}", f"sign-ups of {role}s", count
    yield "people.new", "people who signed up for the first time", each.new_people
    yield "people.returning", "people who signed up again", each.returning_people
    for role, share in each.match_rate.items():
        yield from _share(f"match_rate.{role}", f"{role}s who signed up then and have a match", share)
    yield "requests", "requests made", each.requests
    for state, count in each.answers.items():
        yield f"answers.{state}", f"of these: {state.replace('_', ' ')}", count
    yield from _spread("answer_hours", "business hours to the answer", each.answer_hours)
    yield from _share("answered_in_time", "requests answered by their deadline", each.answered_in_time)
    yield "matches", "matches", each.matches
    yield from _spread("days_to_match", "days from sign-up to match", each.days_to_match)
    yield "active", "engagements active at the end", each.active
    yield "completed", "engagements completed", each.completed
    yield "extended", "engagements extended", each.extended
    for reason, count in each.ended.items():
        yield f"ended.{reason}", f"engagements ended: {reason.replace('_', ' ')}", count
    yield "credit.ready", "claims of credit ready", each.credit_ready
    yield "credit.submitted", "claims of credit submitted", each.credit_submitted
    for role, average in each.satisfaction.items():
        yield f"satisfaction.{role}", f"satisfaction of {role}s, average rating", round(average, 2)
    yield from _survey(each)


def _survey(each: Figures) -> Iterator[Row]:
    for result in each.surveys:
        key, asked = f"survey.{result.role}.{result.question}", f"{result.role}: {result.words}"
        yield f"{key}.answers", f"{asked} (answers)", result.answers
        if result.average is not None:
            yield f"{key}.average", f"{asked} (average)", round(result.average, 2)
        for answer, count in result.counts:
            yield f"{key}.{answer}", f"{asked} {answer}", count


def _share(key: str, words: str, share: Share) -> Iterator[Row]:
    yield f"{key}.percent", f"{words}, %", None if share.percent is None else round(share.percent, 1)
    yield f"{key}.of", f"{words}: out of", share.whole


def _spread(key: str, words: str, spread: Spread) -> Iterator[Row]:
    yield f"{key}.median", f"{words}, median", None if spread.median is None else round(spread.median, 1)
    yield f"{key}.p90", f"{words}, 90th percentile", None if spread.p90 is None else round(spread.p90, 1)
