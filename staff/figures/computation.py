"""The figures of a program over a period, computed from what was read once; pure functions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from statistics import median

from rules.calendar import instant_in
from rules.program import Program
from staff.figures.business_clock import BusinessClocks
from staff.figures.ordered_source import OrderedSource
from staff.figures.source import Asked, FigureSource
from staff.figures.survey_results import SurveyResult, results_of

_DAY = timedelta(days=1)
_ANSWERED = ("accepted", "declined")
_COUNTED = ("open", "past_due", "expired", *_ANSWERED)
"""The states of requests that count for the share answered in time."""


@dataclass(frozen=True, slots=True)
class Period:
    """Local days of a program, both included."""

    first: date
    last: date

    def __post_init__(self) -> None:
        """Raise ValueError for a period that ends before it begins."""
        if self.last < self.first:
            raise ValueError(f"the period ends on {self.last}, before it begins on {self.first}")

    def instants(self, zone: str) -> tuple[datetime, datetime]:
        """Return the instant at which it begins, and the one at which it is over."""
        return instant_in(zone, self.first, time()), instant_in(zone, self.last + _DAY, time())

    def months(self) -> tuple[Period, ...]:
        """Return its calendar months; the first and the last may be parts of one."""
        found, first = [], self.first
        while first <= self.last:
            end = (first.replace(day=1) + timedelta(days=32)).replace(day=1) - _DAY
            found.append(Period(first, min(end, self.last)))
            first = end + _DAY
        return tuple(found)

    def beginning(self, first: date) -> Period:
        """Return a period of the same length that begins on another day."""
        return Period(first, first + (self.last - self.first))


@dataclass(frozen=True, slots=True)
class Spread:
    """How a quantity is spread: its number of values, the median and the 90th percentile."""

    count: int
    median: float | None
    p90: float | None

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of values. The percentile is the smallest value that 90 of 100 do not exceed."""
        found = sorted(values)
        if not found:
            return cls(0, None, None)
        return cls(len(found), median(found), found[math.ceil(0.9 * len(found)) - 1])


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole."""

    part: int
    whole: int

    @property
    def percent(self) -> float | None:
        """The part of a hundred; None of nothing."""
        return 100 * self.part / self.whole if self.whole else None


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a period."""

    period: Period
    sign_ups: dict[str, int]
    """Profiles that were made, by role."""
    new_people: int
    """Members who signed up for the first time."""
    returning_people: int
    """Members who signed up again, in this role or the other."""
    match_rate: dict[str, Share]
    """Of those who signed up in the period, by role, how many had a match by now."""
    requests: int
    answers: dict[str, int]
    """What became of the requests made in the period, by state."""
    answer_hours: Spread
    """Business hours of the mentor from a request to the answer."""
    answered_in_time: Share
    """Of the requests whose deadline is over, or that were answered, how many were answered by it (REQ2)."""
    matches: int
    days_to_match: Spread
    """Calendar days from the mentee's sign-up to the match."""
    active: int
    """Engagements that ran at the end of the period."""
    completed: int
    extended: int
    """Engagements that were extended in the period."""
    ended: dict[str, int]
    """Engagements that ended otherwise, by the reason of the rules, else by state."""
    credit_ready: int
    credit_submitted: int
    satisfaction: dict[str, float]
    """The average of the ratings, by role."""
    surveys: tuple[SurveyResult, ...]


def figures(source: FigureSource, period: Period, now: datetime) -> Figures:
    """Return the figures of a period, as an instant knows them."""
    return figures_of(source, [period], now)[0]


def figures_of(source: FigureSource, periods: Sequence[Period], now: datetime) -> list[Figures]:
    """Return the figures of several periods. The source is put in order once for all of them."""
    ordered, clocks = OrderedSource(source), BusinessClocks(source.requests)
    return [_figures(ordered, clocks, period, now) for period in periods]


# long: one line for each figure
def _figures(ordered: OrderedSource, clocks: BusinessClocks, period: Period, now: datetime) -> Figures:
    program = ordered.source.program
    span = period.instants(program.hours.zone)
    made, asked, started = ordered.sign_ups(span), ordered.requests(span), ordered.started(span)
    closed = ordered.closed(span)
    people = {each.member for each in made}
    known = sum(ordered.first_sign_up[member] < span[0] for member in people)
    results = results_of(program, ordered.answers(span))
    return Figures(
        period=period,
        sign_ups={role: sum(each.role == role for each in made) for role in ("mentor", "mentee")},
        new_people=len(people) - known,
        returning_people=known,
        match_rate=_match_rates(ordered.matched, [(each.profile, each.role) for each in made]),
        requests=len(asked),
        answers=dict(sorted(Counter(each.state for each in asked).items())),
        answer_hours=Spread.of(
            clocks.of(each).hours(each.at, each.closed_at)
            for each in asked
            if each.state in _ANSWERED and each.closed_at
        ),
        answered_in_time=_in_time(asked, clocks, program.request.answer_business_days, now),
        matches=len(started),
        days_to_match=Spread.of(
            (pair.started_at - ordered.signed_up[pair.mentee]) / _DAY
            for pair in started
            if pair.mentee in ordered.signed_up
        ),
        active=ordered.active_at(span[1]),
        completed=sum(pair.state == "completed" for pair in closed),
        extended=ordered.extended(span),
        ended=dict(
            sorted(Counter(p.end_reason or p.state for p in closed if p.state != "completed").items())
        ),
        credit_ready=ordered.credit("ready", span),
        credit_submitted=ordered.credit("submitted", span),
        satisfaction=_satisfaction(program, results),
        surveys=results,
    )


def _in_time(asked: Sequence[Asked], clocks: BusinessClocks, business_days: int, now: datetime) -> Share:
    part = whole = 0
    for each in asked:
        # Who withdrew, or was never asked, says nothing of the mentor.
        if each.state not in _COUNTED:
            continue
        deadline = clocks.of(each).deadline(each.at, business_days)
        answered = each.closed_at if each.state in _ANSWERED else None
        if answered or deadline <= now:
            whole += 1
            part += answered is not None and answered <= deadline
    return Share(part, whole)


def _match_rates(matched: frozenset[str], made: Sequence[tuple[str, str]]) -> dict[str, Share]:
    return {
        role: Share(
            sum(of == role and profile in matched for profile, of in made), sum(of == role for _, of in made)
        )
        for role in ("mentor", "mentee")
    }


def _satisfaction(program: Program, results: Sequence[SurveyResult]) -> dict[str, float]:
    found = {}
    for role in ("mentor", "mentee"):
        ratings = {each.id for each in program.survey.questions(role) if each.kind == "rating"}
        rated = [r for r in results if r.role == role and r.question in ratings and r.average is not None]
        answers = sum(each.answers for each in rated)
        if answers:
            found[role] = sum((each.average or 0) * each.answers for each in rated) / answers
    return found
