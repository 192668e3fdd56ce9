"""The days of a cohort and its instants: the odd dates first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.calendar import Calendar, calendar_for
from rules.cohort import CohortDays, cohort_of_year, days_of_year, in_window, next_opening, window_at
from rules.program import CohortPolicy, Program, load_program, parse_program, program_calendar
from rules.program.toml_schema import ProgramError

PROGRAMS = Path(__file__).resolve().parents[3] / "programs"
LAAC = load_program(PROGRAMS / "asis-laac.toml")
POLICY = CohortPolicy(opens="04-21", closes="05-06", kick_off="05-23", months=6)
BY_EVENT = CohortPolicy(months=6)

pytestmark = pytest.mark.rule("COH1", "COH3")


def calendar(zone: str, country: str = "MX") -> Calendar:
    return calendar_for(replace(LAAC.hours, zone=zone, country=country), None, None, None)


def days(policy: CohortPolicy = POLICY, year: int = 2028) -> CohortDays:
    found = days_of_year(policy, year)
    assert found
    return found


def test_generation_of_a_year_has_its_days() -> None:
    generation = days(LAAC.cohort or POLICY)
    home = program_calendar(LAAC)
    assert generation == CohortDays(date(2028, 4, 21), date(2028, 5, 6), date(2028, 5, 23), 6)
    assert generation.opens_at(home) == datetime(2028, 4, 21, 6, tzinfo=UTC)
    assert generation.closes_at(home) == datetime(2028, 5, 7, 6, tzinfo=UTC)
    assert generation.ends == date(2028, 11, 23)
    assert generation.graduation_day(14) == date(2028, 11, 9)
    assert cohort_of_year("asis-laac", 2028) == "asis-laac-2028"


@pytest.mark.rule("COH2")
def test_review_is_on_the_business_day_after_the_window() -> None:
    """6 May 2028 is a Saturday; 10 May is Mother's Day and no holiday of Mexico."""
    home = program_calendar(LAAC)
    assert days().review_at(home) == datetime(2028, 5, 8, 15, tzinfo=UTC)
    closed = replace(home, hours=replace(home.hours, closing_days=frozenset({date(2028, 5, 8)})))
    assert days().review_at(closed) == datetime(2028, 5, 9, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "last", "first_out"),
    [
        ("America/Mexico_City", "2028-05-07T05:59:59.999999", "2028-05-07T06:00:00"),
        ("Pacific/Kiritimati", "2028-05-06T09:59:59.999999", "2028-05-06T10:00:00"),
        ("Pacific/Pago_Pago", "2028-05-07T10:59:59.999999", "2028-05-07T11:00:00"),
    ],
)
def test_last_minute_of_the_window_is_in_it(zone: str, last: str, first_out: str) -> None:
    home = calendar(zone)
    assert window_at(POLICY, home, datetime.fromisoformat(last).replace(tzinfo=UTC)) == 2028
    assert window_at(POLICY, home, datetime.fromisoformat(first_out).replace(tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("zone", "closes", "first_out"),
    [
        # Midnight never comes: clocks go from 24:00 to 01:00.
        ("America/Santiago", "09-06", "2025-09-07T04:00:00"),
        # The last hour comes twice: clocks go from 24:00 back to 23:00.
        ("America/Santiago", "04-05", "2025-04-06T04:00:00"),
        # Clocks go from 01:00 back to midnight, an hour after the window closed.
        ("America/Havana", "11-01", "2025-11-02T04:00:00"),
        # Midnight never comes: from 24:00 to 01:00, in another place.
        ("Africa/Cairo", "04-24", "2025-04-24T22:00:00"),
    ],
)
def test_clock_change_at_midnight_leaves_the_last_day_whole(zone: str, closes: str, first_out: str) -> None:
    policy = CohortPolicy(opens="03-28", closes=closes, kick_off="12-20", months=6)
    policy = replace(policy, opens=_ten_days_before(closes))
    home, out = calendar(zone), datetime.fromisoformat(first_out).replace(tzinfo=UTC)
    last = out - timedelta(microseconds=1)
    assert home.date_of(last) == days(policy, 2025).closes
    assert home.date_of(out) == days(policy, 2025).closes + timedelta(days=1)
    assert days(policy, 2025).closes_at(home) == out
    assert (window_at(policy, home, last), window_at(policy, home, out)) == (2025, None)


def _ten_days_before(closes: str) -> str:
    return f"{date.fromisoformat(f'2025-{closes}') - timedelta(days=10):%m-%d}"


def test_kick_off_on_a_holiday_stays_on_its_date() -> None:
    """1 May is a holiday of Mexico, on which the months of an engagement can begin as on any other day."""
    policy = CohortPolicy(opens="03-01", closes="03-15", kick_off="05-01", months=6)
    home = program_calendar(LAAC)
    assert not home.is_business_day(date(2028, 5, 1))
    assert days(policy).kick_off_at(home) == datetime(2028, 5, 1, 15, tzinfo=UTC)
    assert days(policy).ends == date(2028, 11, 1)


def test_window_over_new_year_is_that_of_the_year_it_opens_in() -> None:
    policy = CohortPolicy(opens="12-15", closes="01-10", kick_off="02-01", months=6)
    home = program_calendar(LAAC)
    assert days(policy) == CohortDays(date(2028, 12, 15), date(2029, 1, 10), date(2029, 2, 1), 6)
    assert window_at(policy, home, datetime(2028, 12, 20, tzinfo=UTC)) == 2028
    assert window_at(policy, home, datetime(2029, 1, 10, 23, tzinfo=UTC)) == 2028
    assert window_at(policy, home, datetime(2029, 1, 20, tzinfo=UTC)) is None


def test_window_of_one_day_is_a_whole_day() -> None:
    policy = CohortPolicy(opens="03-01", closes="03-01", kick_off="03-08", months=6)
    assert days(policy).opens == days(policy).closes == date(2028, 3, 1)
    assert window_at(policy, program_calendar(LAAC), datetime(2028, 3, 1, 18, tzinfo=UTC)) == 2028


def test_next_opening_is_in_this_year_or_the_next() -> None:
    home = program_calendar(LAAC)
    before, inside = datetime(2028, 4, 21, 5, 59, tzinfo=UTC), datetime(2028, 4, 21, 6, tzinfo=UTC)
    assert next_opening(POLICY, home, before) == days()
    assert next_opening(POLICY, home, inside) == days(year=2029)
    assert next_opening(POLICY, home, datetime(2028, 12, 31, 23, tzinfo=UTC)) == days(year=2029)


def test_scheduled_cohorts_open_windows_of_their_own() -> None:
    home = program_calendar(LAAC)
    near = CohortDays(date(2028, 8, 1), date(2028, 8, 14), date(2028, 9, 1), 4)
    far = CohortDays(date(2029, 8, 1), date(2029, 8, 14), date(2029, 9, 1), 4)
    at = datetime(2028, 7, 1, tzinfo=UTC)
    assert next_opening(BY_EVENT, home, at) is None
    assert next_opening(BY_EVENT, home, at, [far, near]) == near
    assert next_opening(POLICY, home, at, [far, near]) == near
    assert next_opening(BY_EVENT, home, datetime(2029, 8, 2, tzinfo=UTC), [far, near]) is None
    assert not in_window(BY_EVENT, home, at, [far, near])
    assert in_window(BY_EVENT, home, datetime(2028, 8, 14, 23, tzinfo=UTC), [far, near])
    assert in_window(POLICY, home, datetime(2028, 5, 1, tzinfo=UTC))


@given(
    at=st.integers(0, 7 * 365 * 24 * 60).map(
        lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    ),
    zone=st.sampled_from(["America/Mexico_City", "Pacific/Apia", "America/Santiago", "Asia/Beirut"]),
)
def test_instant_is_in_the_window_by_its_local_date(at: datetime, zone: str) -> None:
    home = calendar(zone)
    local = home.date_of(at)
    assert (window_at(POLICY, home, at) is not None) == (
        date(local.year, 4, 21) <= local <= date(local.year, 5, 6)
    )
    ahead = next_opening(POLICY, home, at)
    assert ahead
    assert ahead.opens > local


@pytest.mark.rule("COH5")
@pytest.mark.parametrize(
    ("table", "key", "part_of_reason"),
    [
        ('opens = "02-29"\ncloses = "03-06"\nkick_off = "03-23"', "opens", "a day that every year has"),
        ('opens = "02-30"\ncloses = "03-06"\nkick_off = "03-23"', "opens", "that the calendar has"),
        ('opens = "13-01"\ncloses = "03-06"\nkick_off = "03-23"', "opens", "that the calendar has"),
        ('opens = "4-21"\ncloses = "05-06"\nkick_off = "05-23"', "opens", "must be a month and a day"),
        ('opens = 2028-04-21\ncloses = "05-06"\nkick_off = "05-23"', "opens", "must be text"),
        ('opens = "04-21"\ncloses = "05-06"', "kick_off", "a yearly window needs"),
        ('kick_off = "05-23"', "opens", "a yearly window needs"),
        ('opens = "05-06"\ncloses = "04-21"\nkick_off = "05-23"', "closes", "at most 183 days after opens"),
        ('opens = "04-21"\ncloses = "05-06"\nkick_off = "05-06"', "kick_off", "must come after closes"),
        ('opens = "04-21"\ncloses = "05-06"\nkick_off = "05-01"', "kick_off", "must come after closes"),
        ("graduation_days = 168", "graduation_days", "must be less than the days of 6 months"),
        ('graduation = "no_such_link"', "graduation", "must be a key of resources"),
    ],
)
def test_wrong_days_of_a_cohort_are_refused(table: str, key: str, part_of_reason: str) -> None:
    with pytest.raises(ProgramError) as refused:
        cohort_program(f"[cohort]\nmonths = 6\n{table}\n")
    found = {mistake.key: mistake.reason for mistake in refused.value.mistakes}
    assert part_of_reason in found[f"cohort.{key}"]


@pytest.mark.rule("COH5")
def test_cohorts_need_no_yearly_window() -> None:
    program = cohort_program("[cohort]\nmonths = 4\n")
    assert program.cohort
    assert not program.cohort.is_yearly
    assert days_of_year(program.cohort, 2028) is None
    assert window_at(program.cohort, program_calendar(program), datetime(2028, 5, 1, tzinfo=UTC)) is None
    shown = {each.key: each.value for each in program.describe() if each.section == "cohort"}
    assert (shown["opens"], shown["months"], shown["graduation_days"]) == ("-", "4", "14")


def cohort_program(table: str) -> Program:
    """The bundled evergreen program as a cohort program."""
    text = (PROGRAMS / "asis-global.toml").read_text(encoding="utf-8")
    link = '[resources]\ngraduation = "https://www.example.org/graduation"'
    return parse_program(text.replace("[resources]", f"{table}\n{link}"), "own")
