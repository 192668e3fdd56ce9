"""The figures of a program: pure computations over any period, and what they are read from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.calendar import Calendar, calendar_for
from staff.figures import FigureSource, Period, Spread, figures, figures_of, lines
from staff.figures.business_clock import BusinessClock, business_hours
from staff.figures.source import Asked, NewProfile, Pair
from tests.support.cli import CliFixture, cli
from tests.support.delivery import bundled

__all__ = ["cli"]

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MONDAY = datetime(2028, 3, 6, 15, tzinfo=UTC)
"""Monday, 10:00 in Bogotá and in New York."""
MARCH = Period(date(2028, 3, 1), date(2028, 3, 31))
INSTANTS = st.integers(0, 130_000).map(lambda minutes: MONDAY - 60 * DAY + timedelta(minutes=minutes))


def bogota() -> Calendar:
    return calendar_for(bundled().hours, "America/Bogota", "CO", None)


@pytest.mark.rule("T1", "T2")
@pytest.mark.parametrize(
    ("since", "until", "hours"),
    [
        (MONDAY, MONDAY + HOUR, 1),
        (MONDAY - 5 * HOUR, MONDAY + 20 * HOUR, 8),
        (MONDAY + 4 * DAY + 6 * HOUR, MONDAY + 7 * DAY, 2),  # Friday 16:00 to Monday 10:00
        (MONDAY + 11 * DAY + 6 * HOUR, MONDAY + 15 * DAY, 2),  # the Monday is Saint Joseph
        (MONDAY + HOUR, MONDAY, 0),
    ],
)
def test_business_hours_are_those_of_the_mentors_days(since: datetime, until: datetime, hours: float) -> None:
    assert business_hours(bogota(), since, until) == hours


@pytest.mark.rule("T1", "T2")
@given(INSTANTS, INSTANTS, INSTANTS)
def test_business_hours_add_up_over_any_instant_between(a: datetime, b: datetime, c: datetime) -> None:
    first, second, third = sorted((a, b, c))
    whole = business_hours(bogota(), first, third)
    parts = business_hours(bogota(), first, second) + business_hours(bogota(), second, third)
    assert abs(whole - parts) < 1e-6
    assert whole <= (third - first) / HOUR + 1e-6


@pytest.mark.rule("T2")
@given(INSTANTS, st.integers(1, 20))
def test_deadline_of_a_clock_is_the_deadline_of_its_calendar(since: datetime, days: int) -> None:
    clock = BusinessClock(bogota(), date(2028, 1, 1), date(2028, 3, 31))
    assert clock.deadline(since, days) == bogota().deadline(since, days)


def test_spread_has_median_and_smallest_value_for_nine_of_ten() -> None:
    assert Spread.of(range(1, 11)) == Spread(10, 5.5, 9)
    assert Spread.of([3]) == Spread(1, 3, 3)
    assert Spread.of([]) == Spread(0, None, None)


def test_period_has_months_and_refuses_a_wrong_order() -> None:
    quarter = Period(date(2028, 1, 15), date(2028, 3, 2))
    assert [(each.first.day, each.last) for each in quarter.months()] == [
        (15, date(2028, 1, 31)),
        (1, date(2028, 2, 29)),
        (1, date(2028, 3, 2)),
    ]
    assert MARCH.beginning(date(2027, 3, 1)).last == date(2027, 3, 31)
    with pytest.raises(ValueError, match="before it begins"):
        Period(date(2028, 3, 2), date(2028, 3, 1))


def source() -> FigureSource:
    """Six requests of March, three pairs, people of March and before."""
    since = MONDAY - 40 * DAY
    sign_ups = (
        NewProfile("m-old", "m", "mentor", since),
        NewProfile("a", "ana", "mentee", MONDAY - DAY),
        NewProfile("m-new", "m", "mentee", MONDAY),
        NewProfile("b", "bob", "mentor", MONDAY),
    )
    asked = [
        Asked(MONDAY, state, closed, bogota())
        for state, closed in (
            ("accepted", MONDAY + HOUR),
            ("declined", MONDAY + 4 * DAY),
            ("expired", MONDAY + 14 * DAY),
            ("past_due", None),
            ("canceled", MONDAY + DAY),
        )
    ]
    pairs = (
        Pair("a", "m-old", MONDAY, "active", None, None, ()),
        Pair("x", "m-old", since, "completed", MONDAY, None, (MONDAY - DAY,)),
        Pair("y", "b", since, "ended", MONDAY, "no_time", (since,)),
        Pair("z", "b", since, "canceled", since + DAY, None, ()),
    )
    answers = tuple((MONDAY, "mentee", {"rating": rating}) for rating in (4, 5))
    credit = ((MONDAY, "ready", "claim/x"), (MONDAY + 40 * DAY, "submitted", "claim/x"))
    late = Asked(datetime(2028, 3, 31, 23, tzinfo=UTC), "open", None, bogota())
    return FigureSource(bundled(), sign_ups, (*asked, late), pairs, answers, credit)


@pytest.mark.rule("REQ2", "SUR3")
def test_figures_of_a_month_count_what_lies_in_it() -> None:
    found = figures(source(), MARCH, datetime(2028, 4, 1, 12, tzinfo=UTC))
    assert found.sign_ups == {"mentor": 1, "mentee": 2}
    assert (found.new_people, found.returning_people) == (2, 1)
    assert found.match_rate["mentee"].percent == 50
    assert found.match_rate["mentor"].percent == 100
    assert (found.requests, found.answers["past_due"]) == (6, 1)
    assert found.answer_hours == Spread(2, 16.5, 32)
    assert (found.answered_in_time.part, found.answered_in_time.whole) == (1, 4)
    assert (found.matches, found.days_to_match) == (1, Spread(1, 1, 1))
    assert (found.active, found.completed, found.extended) == (1, 1, 1)
    assert found.ended == {"no_time": 1}
    assert (found.credit_ready, found.credit_submitted) == (1, 0)
    assert found.satisfaction == {"mentee": 4.5}
    before = figures(source(), MARCH.beginning(date(2027, 3, 1)), MONDAY)
    rows = {row.key: row.values for row in lines([found, before])}
    assert rows["ended.no_time"] == (1, 0)
    assert rows["answer_hours.median"] == (16.5, None)
    assert rows["survey.mentee.rating.average"] == (4.5, None)
    assert rows["survey.mentee.rating.answers"] == (2, 0)
    assert rows["match_rate.mentor.percent"] == (100, None)


def test_figures_of_several_periods_are_those_of_each() -> None:
    periods, now = Period(date(2028, 1, 1), date(2028, 4, 30)).months(), datetime(2028, 5, 1, tzinfo=UTC)
    backward = replace(
        source(),
        sign_ups=source().sign_ups[::-1],
        requests=source().requests[::-1],
        pairs=source().pairs[::-1],
    )
    assert figures_of(source(), periods, now) == [figures(backward, each, now) for each in periods]


@pytest.mark.rule("SUR3")
async def test_figures_command_prints_table_csv_and_json(cli: CliFixture) -> None:
    """The periods are columns; a month without anything has no median."""
    await cli.request("r-1", "p-ana", "p-bob")
    await cli.engage("r-2", "p-ana", "p-bob")
    now = cli.now.astimezone(UTC).date()
    period = ("--since", f"{now - 3 * DAY}", "--until", f"{now + DAY}")
    one = (await cli.throughline("figures", *period, "--json")).json
    assert (one["sign_ups.mentor"], one["requests"], one["matches"], one["active"]) == (1, 1, 1, 1)
    assert one["match_rate.mentee.percent"] == 100
    both = (await cli.throughline("figures", *period, "--against", "2020-01-01", "--json")).lines
    assert [(each["first"], each["requests"]) for each in both] == [
        (f"{now - 3 * DAY}", 1),
        ("2020-01-01", 0),
    ]
    table = await cli.throughline("figures", *period)
    assert "engagements active at the end" in table.out
    assert "business hours to the answer" not in table.out
    sheet = await cli.throughline("figures", *period, "--by-month", "--csv")
    assert sheet.out.startswith("figure,words,")
    assert "\nrequests,requests made," in sheet.out.replace("\r", "")
    unknown = await cli.throughline("figures", *period, "--cohort", "laac-1999")
    assert (unknown.status, "has no cohort laac-1999; it has: none" in unknown.err) == (1, True)
    wrong = await cli.throughline("figures", "--since", f"{now}", "--until", f"{now - DAY}")
    assert (wrong.status, "before it begins" in wrong.err) == (2, True)


def test_figures_of_nothing_are_zero_or_none() -> None:
    empty = replace(source(), sign_ups=(), requests=(), pairs=(), answers=(), credit=())
    rows = {row.key: row.values[0] for row in lines([figures(empty, MARCH, MONDAY)])}
    assert (rows["requests"], rows["match_rate.mentor.percent"]) == (0, None)
