"""The figures of a program over a period, computed from what was read once; pure functions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from statistics import median

from rules.calendar import Calendar, instant_in
from staff.figures.source import Asked, FigureSource
from staff.figures.survey_results import SurveyResult, results_of

_DAY = timedelta(days=1)
_ANSWERED = ("accepted", "declined")


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


# long: one line for each figure
def figures(source: FigureSource, period: Period, now: datetime) -> Figures:
    """Return the figures of a period, as an instant knows them."""
    zone = source.program.hours.zone
    since, until = period.instants(zone)

    def within(at: datetime | None) -> bool:
        return at is not None and since <= at < until

    made = [each for each in source.sign_ups if within(each.at)]
    known_before = {each.member for each in source.sign_ups if each.at < since}
    people = {each.member for each in made}
    asked = [each for each in source.requests if within(each.at)]
    started = [pair for pair in source.pairs if within(pair.started_at)]
    closed = [pair for pair in source.pairs if within(pair.closed_at)]
    signed_up = {each.profile: each.at for each in source.sign_ups}
    given = [(role, answers) for at, role, answers in source.answers if within(at)]
    results = results_of(source.program, given)
    return Figures(
        period=period,
        sign_ups={role: sum(each.role == role for each in made) for role in ("mentor", "mentee")},
        new_people=len(people - known_before),
        returning_people=len(people & known_before),
        match_rate=_match_rates(source, [(each.profile, each.role) for each in made]),
        requests=len(asked),
        answers=dict(sorted(Counter(each.state for each in asked).items())),
        answer_hours=Spread.of(
            business_hours(each.mentor, each.at, each.closed_at)
            for each in asked
            if each.state in _ANSWERED and each.closed_at
        ),
        answered_in_time=_in_time(asked, source.program.request.answer_business_days, now),
        matches=len(started),
        days_to_match=Spread.of(
            (pair.started_at - signed_up[pair.mentee]) / _DAY for pair in started if pair.mentee in signed_up
        ),
        active=sum(
            pair.started_at < until and (pair.closed_at is None or pair.closed_at >= until)
            for pair in source.pairs
        ),
        completed=sum(pair.state == "completed" for pair in closed),
        extended=sum(any(map(within, pair.extended_at)) for pair in source.pairs),
        ended=dict(
            sorted(Counter(p.end_reason or p.state for p in closed if p.state != "completed").items())
        ),
        credit_ready=sum(state == "ready" and within(at) for at, state, _ in source.credit),
        credit_submitted=sum(state == "submitted" and within(at) for at, state, _ in source.credit),
        satisfaction=_satisfaction(source, results),
        surveys=results,
    )


def business_hours(calendar: Calendar, since: datetime, until: datetime) -> float:
    """Return the hours between two instants that lie in a person's business days, from send time to close (T1, T2)."""
    total, day, last = timedelta(), calendar.date_of(since), calendar.date_of(until)
    while day <= last:
        if calendar.is_business_day(day):
            opens = calendar.instant(day, calendar.hours.send_time)
            closes = calendar.instant(day, calendar.hours.close_of_business)
            total += max(min(closes, until) - max(opens, since), timedelta())
        day += _DAY
    return total / timedelta(hours=1)


def _in_time(asked: Sequence[Asked], business_days: int, now: datetime) -> Share:
    part = whole = 0
    for each in asked:
        deadline = each.mentor.deadline(each.at, business_days)
        answered = each.closed_at if each.state in _ANSWERED else None
        # Who withdrew, or was never asked, says nothing of the mentor.
        counts = each.state in ("open", "past_due", "expired", *_ANSWERED)
        if counts and (answered or deadline <= now):
            whole += 1
            part += answered is not None and answered <= deadline
    return Share(part, whole)


def _match_rates(source: FigureSource, made: Sequence[tuple[str, str]]) -> dict[str, Share]:
    matched = {pair.mentor for pair in source.pairs} | {pair.mentee for pair in source.pairs}
    return {
        role: Share(
            sum(of == role and profile in matched for profile, of in made), sum(of == role for _, of in made)
        )
        for role in ("mentor", "mentee")
    }


def _satisfaction(source: FigureSource, results: Sequence[SurveyResult]) -> dict[str, float]:
    found = {}
    for role in ("mentor", "mentee"):
        ratings = {each.id for each in source.program.survey.questions(role) if each.kind == "rating"}
        rated = [r for r in results if r.role == role and r.question in ratings and r.average is not None]
        answers = sum(each.answers for each in rated)
        if answers:
            found[role] = sum((each.average or 0) * each.answers for each in rated) / answers
    return found
