"""Odd dates by hand, then properties over all zones, clock changes and weekdays."""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import holidays
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rules.calendar import (
    Calendar,
    Hours,
    add_months,
    calendar_for,
    instant_in,
    known_zone,
    local_in,
    months_between,
)
from rules.holiday_data import HolidayChange, known_country, known_subdivision, public_holidays
from rules.pauses import Pause, days_paused, reached_on
from tests.support.limits import examples

MONDAY_TO_FRIDAY = frozenset(range(5))
HOURS = Hours(
    working_week=MONDAY_TO_FRIDAY,
    closing_days=frozenset(),
    send_time=time(9),
    close_of_business=time(17),
    country="US",
    subdivision=None,
    zone="America/New_York",
)
NEW_YORK = calendar_for(HOURS, "America/New_York", "US", None)
BOGOTA = calendar_for(HOURS, "America/Bogota", "CO", None)
BERLIN = calendar_for(HOURS, "Europe/Berlin", "DE", None)
MUNICH = calendar_for(HOURS, "Europe/Berlin", "DE", "BY")


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


# --- T1: business days


@pytest.mark.rule("T1")
@pytest.mark.parametrize(
    ("calendar", "day", "works"),
    [
        (NEW_YORK, date(2026, 11, 25), True),
        (NEW_YORK, date(2026, 11, 26), False),
        (BOGOTA, date(2026, 11, 26), True),
        (BOGOTA, date(2026, 11, 16), False),
        (NEW_YORK, date(2026, 11, 16), True),
        (NEW_YORK, date(2026, 11, 28), False),
        (NEW_YORK, date(2026, 11, 29), False),
    ],
    ids=["eve", "thanksgiving", "not in Colombia", "Cartagena's day", "not in the US", "Saturday", "Sunday"],
)
def test_holiday_counts_only_in_the_persons_country(calendar: Calendar, day: date, works: bool) -> None:
    assert calendar.is_business_day(day) is works


@pytest.mark.rule("T1")
def test_subdivision_holiday_counts_only_there() -> None:
    epiphany = date(2026, 1, 6)
    assert BERLIN.is_business_day(epiphany)
    assert not MUNICH.is_business_day(epiphany)


@pytest.mark.rule("T1")
def test_observed_holiday_counts_too() -> None:
    friday_before_independence_day = date(2026, 7, 3)
    friday_before_new_year = date(2027, 12, 31)
    assert not NEW_YORK.is_business_day(friday_before_independence_day)
    assert not NEW_YORK.is_business_day(friday_before_new_year)


@pytest.mark.rule("T1")
def test_closing_days_and_working_week_come_from_the_program() -> None:
    sunday_to_thursday = frozenset({6, 0, 1, 2, 3})
    hours = replace(HOURS, working_week=sunday_to_thursday, closing_days=frozenset({date(2026, 3, 10)}))
    calendar = calendar_for(hours, "Asia/Dubai", "US", None)
    first_of_march = date(2026, 3, 8)
    assert [calendar.is_business_day(first_of_march + timedelta(days=n)) for n in range(7)] == [
        True,
        True,
        False,
        True,
        True,
        False,
        False,
    ]


WEEKENDS_BY_COUNTRY = replace(HOURS, working_week=None)


@pytest.mark.rule("T1")
@pytest.mark.parametrize(
    ("country", "zone", "weekend"),
    [
        ("SA", "Asia/Riyadh", [4, 5]),
        ("EG", "Africa/Cairo", [4, 5]),
        ("IL", "Asia/Jerusalem", [4, 5]),
        ("BD", "Asia/Dhaka", [4, 5]),
        ("AE", "Asia/Dubai", [5, 6]),
        ("IR", "Asia/Tehran", [4]),
        ("US", "America/New_York", [5, 6]),
    ],
)
def test_weekend_is_that_of_the_persons_country(country: str, zone: str, weekend: list[int]) -> None:
    calendar = calendar_for(WEEKENDS_BY_COUNTRY, zone, country, None)
    tenth_of_july = date(2028, 7, 10)
    days = [tenth_of_july + timedelta(days=n) for n in range(7)]
    assert [day.weekday() for day in days if not calendar.is_business_day(day)] == weekend


@pytest.mark.rule("T1", "T2")
@pytest.mark.parametrize(
    ("country", "zone"),
    [("SA", "Asia/Riyadh"), ("EG", "Africa/Cairo"), ("IL", "Asia/Jerusalem"), ("BD", "Asia/Dhaka")],
)
def test_wednesdays_request_is_due_on_sunday_in_the_east(country: str, zone: str) -> None:
    calendar = calendar_for(WEEKENDS_BY_COUNTRY, zone, country, None)
    wednesday, sunday = at("2028-07-12T11:00", zone), at("2028-07-16T17:00", zone)
    assert calendar.deadline(wednesday, 2) == sunday
    assert calendar.send_at(date(2028, 7, 14)) == at("2028-07-16T09:00", zone)


@pytest.mark.rule("T1")
@pytest.mark.parametrize(
    ("country", "day", "works"),
    [
        ("AU", date(2027, 12, 27), False),
        ("AU", date(2027, 12, 28), False),
        ("AU", date(2027, 3, 8), True),
        ("AU", date(2027, 10, 4), False),
        ("GB", date(2027, 3, 29), False),
        ("GB", date(2027, 8, 2), True),
        ("CH", date(2027, 3, 29), False),
        ("CH", date(2027, 11, 1), True),
    ],
    ids=[
        "Christmas in lieu",
        "Boxing Day in lieu",
        "four of nine",
        "five of nine",
        "Easter Monday",
        "Scotland alone",
        "Easter Monday in most cantons",
        "thirteen of 27",
    ],
)
def test_unknown_subdivision_has_the_holidays_of_at_least_half(country: str, day: date, works: bool) -> None:
    assert calendar_for(WEEKENDS_BY_COUNTRY, None, country, None).is_business_day(day) is works


@pytest.mark.rule("T1")
def test_exactly_half_of_the_subdivisions_makes_a_holiday() -> None:
    """Two of the four parts of the United Kingdom are given the day."""
    added = date(2027, 6, 16)
    parts = [HolidayChange("GB", part, frozenset(), frozenset({"06-16"})) for part in ("SCT", "WLS")]
    half = replace(WEEKENDS_BY_COUNTRY, holidays=tuple(parts))
    quarter = replace(WEEKENDS_BY_COUNTRY, holidays=tuple(parts[:1]))
    assert not calendar_for(half, None, "GB", None).is_business_day(added)
    assert calendar_for(quarter, None, "GB", None).is_business_day(added)
    assert not calendar_for(quarter, None, "GB", "SCT").is_business_day(added)


@pytest.mark.rule("T1")
def test_program_strikes_and_adds_holidays_by_place() -> None:
    texas = HolidayChange(
        "US",
        "TX",
        frozenset({"Texas Independence Day", "03-31", "2027-04-21", "Christmas Eve"}),
        frozenset({"02-29", "2027-06-14"}),
    )
    hours = replace(
        WEEKENDS_BY_COUNTRY,
        holidays=(texas, HolidayChange("US", None, frozenset({"Columbus Day"}), frozenset())),
    )
    dallas, boston = (calendar_for(hours, None, "US", part) for part in ("TX", "MA"))
    plain = calendar_for(WEEKENDS_BY_COUNTRY, None, "US", "TX")
    struck = [date(2027, 3, 2), date(2027, 3, 31), date(2027, 4, 21), date(2027, 12, 23)]
    assert [plain.is_business_day(day) for day in struck] == [False] * 4
    assert [dallas.is_business_day(day) for day in struck] == [True] * 4
    christmas_observed_and_its_eve = date(2027, 12, 24)
    assert not dallas.is_business_day(christmas_observed_and_its_eve)
    assert not dallas.is_business_day(date(2028, 4, 21))
    assert not dallas.is_business_day(date(2027, 6, 14))
    assert not dallas.is_business_day(date(2028, 2, 29))
    assert boston.is_business_day(date(2027, 6, 14))
    assert boston.is_business_day(date(2027, 10, 11))
    assert not calendar_for(WEEKENDS_BY_COUNTRY, None, "US", "MA").is_business_day(date(2027, 10, 11))


@pytest.mark.rule("T1")
def test_year_of_holidays_is_computed_once() -> None:
    hours = replace(
        WEEKENDS_BY_COUNTRY, holidays=(HolidayChange("GB", "SCT", frozenset(), frozenset({"06-16"})),)
    )
    public_holidays.cache_clear()
    for n in range(300):
        calendar_for(hours, None, "US", None).is_business_day(date(2028, 1, 3) + timedelta(days=n))
    assert public_holidays.cache_info().misses == 1


@pytest.mark.rule("T1", "T5")
def test_day_skipped_by_the_zone_is_no_business_day() -> None:
    apia = calendar_for(HOURS, "Pacific/Apia", "US", None)
    friday = date(2011, 12, 30)
    assert not apia.is_business_day(friday)
    assert calendar_for(HOURS, "Pacific/Pago_Pago", "US", None).is_business_day(friday)
    assert apia.business_day_on_or_after(friday) == date(2012, 1, 3)
    assert apia.plus_business_days(date(2011, 12, 28), 2) == date(2012, 1, 3)


@pytest.mark.rule("T1", "T5")
def test_day_with_a_skipped_midnight_is_a_business_day() -> None:
    cairo = calendar_for(replace(HOURS, working_week=frozenset({4})), "Africa/Cairo", "US", None)
    assert cairo.is_business_day(date(2026, 4, 24))


@pytest.mark.rule("T1")
@pytest.mark.parametrize("country", [None, "", "ZZ", "Atlantis", "US."])
def test_unknown_country_falls_back_to_the_programs_place(country: str | None) -> None:
    hours = replace(HOURS, country="DE", subdivision="BY")
    calendar = calendar_for(hours, "America/Bogota", country, "CA")
    assert calendar == Calendar(hours, "America/Bogota", "DE", "BY")


@pytest.mark.rule("T1")
def test_unknown_subdivision_is_ignored() -> None:
    hours = replace(HOURS, country="DE", subdivision="BY")
    assert calendar_for(hours, None, "DE", "XX").subdivision is None
    assert calendar_for(hours, None, "DE", None).subdivision is None
    assert calendar_for(hours, None, "CO", "BY").subdivision is None


@pytest.mark.rule("T1")
@pytest.mark.parametrize(
    ("country", "subdivision"), [("DE", "BY"), ("de", "by"), ("DE", "DE-BY"), (" DE ", "de-by")]
)
def test_place_codes_ignore_case_and_accept_a_country_prefix(country: str, subdivision: str) -> None:
    calendar = calendar_for(HOURS, None, country, subdivision)
    assert (calendar.country, calendar.subdivision) == ("DE", "BY")


@pytest.mark.rule("T1")
@pytest.mark.parametrize("zone", [None, "", "Mars/Olympus", "America", "../etc/passwd", "localtime", "\0"])
def test_absent_or_unknown_zone_falls_back_to_the_programs(zone: str | None) -> None:
    assert calendar_for(HOURS, zone, "CO", None).zone == "America/New_York"


@pytest.mark.rule("T1", "T8")
def test_program_with_an_unknown_country_or_zone_fails_at_first_use() -> None:
    nowhere = replace(HOURS, country="ZZ", zone="Mars/Olympus")
    assert calendar_for(nowhere, "America/Bogota", "CO", None).country == "CO"
    with pytest.raises(ValueError, match="country 'ZZ'"):
        calendar_for(nowhere, "America/Bogota", None, None)
    with pytest.raises(ValueError, match="zone 'Mars/Olympus'"):
        calendar_for(nowhere, None, "CO", None)


@pytest.mark.rule("T1")
def test_known_countries_and_zones_are_recognized() -> None:
    assert known_zone("America/Bogota")
    assert known_zone("UTC")
    assert not any(
        known_zone(name) for name in ("america/bogota", "Factory", "EST9", "posix/UTC", "right/UTC", "")
    )
    assert known_country("CO")
    assert known_country("co")
    assert not any(known_country(code) for code in ("ZZ", "", "Colombia", "C"))
    assert all(known_subdivision("US", code) for code in ("CA", "US-CA", "us-ca"))
    assert known_subdivision("BR", "São Paulo Capital")
    assert not any(known_subdivision("US", code) for code in ("", "XX", "US-", "CO-CA"))
    assert not known_subdivision("ZZ", "CA")


@pytest.mark.rule("T1")
def test_unknown_country_or_zone_never_means_a_holiday_free_calendar() -> None:
    for wrong in (
        replace(NEW_YORK, country="ZZ"),
        replace(NEW_YORK, subdivision="XX"),
        replace(NEW_YORK, zone="Mars/Olympus"),
    ):
        with pytest.raises(ValueError, match=r"ZZ|XX|Mars"):
            wrong.is_business_day(date(2026, 3, 10))


@pytest.mark.rule("T1")
def test_holidays_end_with_the_year_2100() -> None:
    christmas_of_2100 = date(2100, 12, 25)
    assert not BOGOTA.is_business_day(date(2099, 12, 25))
    assert christmas_of_2100 in public_holidays("CO", None, 2100)
    assert public_holidays("CO", None, 2101) == frozenset()
    assert BOGOTA.is_business_day(date(2101, 1, 6))


@pytest.mark.rule("T1")
def test_partly_known_holiday_year_raises_no_warning() -> None:
    public_holidays.cache_clear()
    republic_day = date(2060, 1, 26)
    assert not calendar_for(HOURS, "Asia/Kolkata", "IN", None).is_business_day(republic_day)


@pytest.mark.rule("T1")
@pytest.mark.parametrize(
    "hours",
    [
        replace(HOURS, working_week=frozenset()),
        replace(HOURS, closing_days=frozenset(date(2020, 1, 1) + timedelta(days=n) for n in range(12 * 366))),
    ],
    ids=["no working week", "always closed"],
)
def test_program_without_business_days_is_an_error(hours: Hours) -> None:
    calendar = calendar_for(hours, None, None, None)
    day, since = date(2026, 3, 10), at("2026-03-10T12:00")
    searches: list[Callable[[], object]] = [
        lambda: calendar.business_day_on_or_after(day),
        lambda: calendar.business_day_before(day),
        lambda: calendar.plus_business_days(day, 1),
        lambda: calendar.send_at(day),
        lambda: calendar.next_send_after(since),
        lambda: calendar.deadline(since, 2),
    ]
    for search in searches:
        with pytest.raises(ValueError, match="no business day within three years of 2026-03-"):
            search()


@pytest.mark.rule("T1")
def test_business_day_within_three_years_is_found() -> None:
    closed = frozenset(date(2026, 1, 1) + timedelta(days=n) for n in range(2 * 365))
    calendar = calendar_for(replace(HOURS, closing_days=closed), None, None, None)
    assert calendar.business_day_on_or_after(date(2026, 1, 1)) == date(2028, 1, 3)
    assert calendar.business_day_before(date(2027, 12, 31)) == date(2025, 12, 31)


@pytest.mark.rule("T1")
def test_previous_business_day_skips_weekends_and_holidays() -> None:
    day_after_boxing_weekend = date(2026, 12, 28)
    assert NEW_YORK.business_day_before(day_after_boxing_weekend) == date(2026, 12, 24)
    assert NEW_YORK.business_day_before(date(2026, 12, 24)) == date(2026, 12, 23)
    assert NEW_YORK.business_day_before(date(2026, 12, 27)) == date(2026, 12, 24)


# --- T2: deadlines


@pytest.mark.rule("T2", "REQ2")
@pytest.mark.parametrize(
    ("calendar", "since", "days", "until"),
    [
        (NEW_YORK, "2026-03-13T16:59", 2, "2026-03-17T17:00"),
        (NEW_YORK, "2026-03-14T10:00", 2, "2026-03-17T17:00"),
        (NEW_YORK, "2026-03-15T23:59:59.999999", 2, "2026-03-17T17:00"),
        (NEW_YORK, "2026-03-16T00:00", 2, "2026-03-18T17:00"),
        (NEW_YORK, "2026-03-13T17:01", 2, "2026-03-17T17:00"),
        (NEW_YORK, "2026-03-13T16:59", 3, "2026-03-18T17:00"),
        (NEW_YORK, "2026-11-25T12:00", 1, "2026-11-27T17:00"),
        (NEW_YORK, "2026-11-26T12:00", 1, "2026-11-27T17:00"),
        (BOGOTA, "2026-11-25T12:00", 1, "2026-11-26T17:00"),
        (BOGOTA, "2026-12-24T12:00", 2, "2026-12-29T17:00"),
        (BOGOTA, "2026-12-31T12:00", 2, "2027-01-05T17:00"),
        (MUNICH, "2026-01-05T12:00", 1, "2026-01-07T17:00"),
        (BERLIN, "2026-01-05T12:00", 1, "2026-01-06T17:00"),
    ],
)
def test_deadline_is_the_close_of_the_nth_business_day_after_today(
    calendar: Calendar, since: str, days: int, until: str
) -> None:
    assert calendar.deadline(at(since, calendar.zone), days) == at(until, calendar.zone)


@pytest.mark.rule("T2")
def test_first_day_of_a_deadline_is_the_persons_local_day() -> None:
    monday_evening_in_new_york = at("2026-03-16T20:00", "America/New_York")
    tokyo = calendar_for(HOURS, "Asia/Tokyo", "JP", None)
    assert NEW_YORK.deadline(monday_evening_in_new_york, 2) == at("2026-03-18T17:00", "America/New_York")
    assert tokyo.deadline(monday_evening_in_new_york, 2) == at("2026-03-19T17:00", "Asia/Tokyo")


@pytest.mark.rule("T2", "T5")
def test_deadline_across_a_dst_change_has_its_own_days_offset() -> None:
    assert NEW_YORK.deadline(at("2026-03-06T12:00", "America/New_York"), 2) == at("2026-03-10T21:00")
    assert NEW_YORK.deadline(at("2026-10-30T12:00", "America/New_York"), 2) == at("2026-11-03T22:00")


@pytest.mark.rule("T2")
def test_zero_or_negative_business_days_are_refused() -> None:
    assert NEW_YORK.plus_business_days(date(2026, 3, 14), 0) == date(2026, 3, 14)
    with pytest.raises(ValueError, match="-1"):
        NEW_YORK.plus_business_days(date(2026, 3, 14), -1)
    for days in (0, -1):
        with pytest.raises(ValueError, match="at least one business day"):
            NEW_YORK.deadline(at("2026-03-13T12:00"), days)


@pytest.mark.rule("T8")
def test_datetime_without_a_zone_is_an_error_everywhere() -> None:
    naive = at("2026-03-10T12:00").replace(tzinfo=None)
    uses: list[Callable[[], object]] = [
        lambda: NEW_YORK.local(naive),
        lambda: NEW_YORK.date_of(naive),
        lambda: NEW_YORK.deadline(naive, 2),
        lambda: NEW_YORK.next_send_after(naive),
        lambda: NEW_YORK.plus_days(naive, 1),
        lambda: NEW_YORK.plus_days(naive, 0),
        lambda: days_paused([Pause(naive, at("2026-03-12T12:00"))], NEW_YORK),
        lambda: days_paused([Pause(at("2026-03-10T12:00"), naive)], NEW_YORK),
        lambda: days_paused([], NEW_YORK, before=naive),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="no time zone"):
            use()


# --- T3: months


@pytest.mark.rule("T3", "CPE1")
@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        ("2027-08-31", 6, "2028-02-29"),
        ("2026-08-31", 6, "2027-02-28"),
        ("2027-08-30", 6, "2028-02-29"),
        ("2027-08-29", 6, "2028-02-29"),
        ("2026-01-31", 1, "2026-02-28"),
        ("2026-01-31", 2, "2026-03-31"),
        ("2026-01-31", 3, "2026-04-30"),
        ("2028-02-29", 12, "2029-02-28"),
        ("2028-02-29", 48, "2032-02-29"),
        ("2096-02-29", 48, "2100-02-28"),
        ("2026-12-15", 1, "2027-01-15"),
        ("2026-05-31", -3, "2026-02-28"),
        ("2026-01-15", -1, "2025-12-15"),
        ("2026-01-31", 0, "2026-01-31"),
    ],
)
def test_months_are_calendar_months_clamped_to_the_last_day(start: str, months: int, end: str) -> None:
    assert add_months(date.fromisoformat(start), months) == date.fromisoformat(end)


@pytest.mark.rule("T3")
def test_months_from_the_anchor_are_never_clamped_twice() -> None:
    anchor = date(2026, 1, 31)
    assert [add_months(anchor, n).day for n in range(13)] == [
        31,
        28,
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
        31,
    ]


@pytest.mark.rule("T3", "CPE1")
@pytest.mark.parametrize(
    ("start", "day", "months"),
    [
        ("2027-08-31", "2028-02-28", 5),
        ("2027-08-31", "2028-02-29", 6),
        ("2026-08-31", "2027-02-27", 5),
        ("2026-08-31", "2027-02-28", 6),
        ("2026-01-31", "2026-01-31", 0),
        ("2026-01-31", "2026-02-27", 0),
        ("2026-01-31", "2026-02-28", 1),
        ("2026-01-31", "2026-03-30", 1),
        ("2026-01-31", "2026-03-31", 2),
        ("2028-02-29", "2029-02-28", 12),
        ("2026-01-31", "2026-01-30", -1),
        ("2026-03-31", "2026-02-28", -1),
        ("2026-03-31", "2026-02-27", -2),
    ],
)
def test_month_is_complete_on_its_clamped_day_not_before(start: str, day: str, months: int) -> None:
    assert months_between(date.fromisoformat(start), date.fromisoformat(day)) == months


# --- T4: send times


@pytest.mark.rule("T4")
@pytest.mark.parametrize(
    ("calendar", "day", "sent"),
    [
        (NEW_YORK, date(2026, 3, 13), "2026-03-13T09:00"),
        (NEW_YORK, date(2026, 3, 14), "2026-03-16T09:00"),
        (NEW_YORK, date(2026, 11, 26), "2026-11-27T09:00"),
        (BOGOTA, date(2026, 11, 26), "2026-11-26T09:00"),
        (BOGOTA, date(2026, 12, 25), "2026-12-28T09:00"),
        (NEW_YORK, date(2026, 3, 7), "2026-03-09T09:00"),
        (MUNICH, date(2026, 1, 6), "2026-01-07T09:00"),
    ],
)
def test_scheduled_mail_waits_for_nine_on_a_business_day(calendar: Calendar, day: date, sent: str) -> None:
    assert calendar.send_at(day) == at(sent, calendar.zone)


@pytest.mark.rule("T4", "T5")
def test_nine_stays_nine_across_a_dst_change() -> None:
    assert NEW_YORK.send_at(date(2026, 3, 6)) == at("2026-03-06T14:00")
    assert NEW_YORK.send_at(date(2026, 3, 9)) == at("2026-03-09T13:00")


@pytest.mark.rule("T4")
@pytest.mark.parametrize(
    ("after", "slot"),
    [
        ("2026-03-13T08:59:59", "2026-03-13T09:00"),
        ("2026-03-13T09:00", "2026-03-16T09:00"),
        ("2026-03-12T09:00:00.000001", "2026-03-13T09:00"),
        ("2026-03-14T00:00", "2026-03-16T09:00"),
        ("2026-11-25T12:00", "2026-11-27T09:00"),
    ],
)
def test_next_send_time_is_strictly_later(after: str, slot: str) -> None:
    assert NEW_YORK.next_send_after(at(after, NEW_YORK.zone)) == at(slot, NEW_YORK.zone)


# --- T5: gaps and overlaps


@pytest.mark.rule("T5")
@pytest.mark.parametrize(
    ("zone", "skipped", "instant", "shown"),
    [
        ("America/New_York", "2027-03-14T02:00", "2027-03-14T07:00", "2027-03-14T03:00"),
        ("America/New_York", "2027-03-14T02:30", "2027-03-14T07:00", "2027-03-14T03:00"),
        ("America/New_York", "2027-03-14T02:59:59.999999", "2027-03-14T07:00", "2027-03-14T03:00"),
        ("America/Santiago", "2026-09-06T00:00", "2026-09-06T04:00", "2026-09-06T01:00"),
        ("Australia/Lord_Howe", "2026-10-04T02:10", "2026-10-03T15:30", "2026-10-04T02:30"),
        ("Africa/Cairo", "2026-04-24T00:10", "2026-04-23T22:00", "2026-04-24T01:00"),
        ("Asia/Gaza", "2015-03-28T00:00", "2015-03-27T22:00", "2015-03-28T01:00"),
        ("Asia/Gaza", "2016-03-26T01:30", "2016-03-25T23:00", "2016-03-26T02:00"),
        ("Asia/Beirut", "2026-03-29T00:30", "2026-03-28T22:00", "2026-03-29T01:00"),
        ("Pacific/Apia", "2011-12-30T00:00", "2011-12-30T10:00", "2011-12-31T00:00"),
        ("Pacific/Apia", "2011-12-30T09:00", "2011-12-30T10:00", "2011-12-31T00:00"),
        ("Pacific/Apia", "2011-12-30T23:59", "2011-12-30T10:00", "2011-12-31T00:00"),
    ],
)
def test_skipped_time_becomes_the_first_after_the_gap(
    zone: str, skipped: str, instant: str, shown: str
) -> None:
    wall = datetime.fromisoformat(skipped)
    found = instant_in(zone, wall.date(), wall.time())
    assert found == at(instant)
    assert local_in(zone, found).replace(tzinfo=None) == datetime.fromisoformat(shown)


@pytest.mark.rule("T5")
@pytest.mark.parametrize(
    ("zone", "wall", "instant"),
    [
        ("America/New_York", "2027-03-14T01:59", "2027-03-14T06:59"),
        ("America/New_York", "2027-03-14T03:00", "2027-03-14T07:00"),
        ("Pacific/Apia", "2011-12-29T23:59", "2011-12-30T09:59"),
        ("Pacific/Apia", "2011-12-31T00:00", "2011-12-30T10:00"),
        ("Africa/Cairo", "2026-04-24T01:00", "2026-04-23T22:00"),
    ],
)
def test_times_at_the_edges_of_a_gap_are_unchanged(zone: str, wall: str, instant: str) -> None:
    day = datetime.fromisoformat(wall)
    assert instant_in(zone, day.date(), day.time()) == at(instant)


@pytest.mark.rule("T5")
@pytest.mark.parametrize(
    ("zone", "twice", "first"),
    [
        ("America/New_York", "2027-11-07T01:30", "2027-11-07T05:30"),
        ("America/Santiago", "2026-04-04T23:30", "2026-04-05T02:30"),
        ("Australia/Lord_Howe", "2026-04-05T01:40", "2026-04-04T14:40"),
        ("Africa/Cairo", "2026-10-29T23:30", "2026-10-29T20:30"),
        ("Asia/Beirut", "2026-10-24T23:30", "2026-10-24T20:30"),
    ],
)
@pytest.mark.parametrize("fold", [0, 1])
def test_repeated_time_is_the_first_of_the_two(zone: str, twice: str, first: str, fold: int) -> None:
    wall = datetime.fromisoformat(twice).replace(fold=fold)
    found = instant_in(zone, wall.date(), wall.timetz())
    assert found == at(first)
    assert found.tzinfo is UTC


@pytest.mark.rule("T4", "T5")
def test_mail_at_a_skipped_time_goes_out_after_the_gap() -> None:
    hours = replace(HOURS, send_time=time(0, 30), working_week=frozenset(range(7)))
    cairo = calendar_for(hours, "Africa/Cairo", "US", None)
    assert cairo.send_at(date(2026, 4, 24)) == at("2026-04-24T01:00", "Africa/Cairo")
    assert cairo.next_send_after(at("2026-04-23T12:00", "Africa/Cairo")) == at("2026-04-23T22:00")
    assert cairo.next_send_after(at("2026-04-23T22:00")) == at("2026-04-25T00:30", "Africa/Cairo")


@pytest.mark.rule("T5")
@pytest.mark.parametrize(
    ("since", "days", "then"),
    [
        ("2026-03-07T09:15:30.5", 1, "2026-03-08T09:15:30.5"),
        ("2026-03-07T02:30", 1, "2026-03-08T03:00"),
        ("2026-03-07T02:30", 2, "2026-03-09T02:30"),
        ("2026-10-31T01:30", 1, "2026-11-01T01:30"),
        ("2026-03-09T09:00", -2, "2026-03-07T09:00"),
    ],
)
def test_days_later_keeps_the_local_time(since: str, days: int, then: str) -> None:
    assert NEW_YORK.plus_days(at(since, NEW_YORK.zone), days) == at(then, NEW_YORK.zone)


@pytest.mark.rule("T5")
def test_zero_days_later_is_the_same_instant_in_a_repeated_hour() -> None:
    second_half_past_one = at("2026-11-01T06:30")
    assert NEW_YORK.local(second_half_past_one).fold == 1
    assert NEW_YORK.plus_days(second_half_past_one, 0) == second_half_past_one
    assert NEW_YORK.plus_days(second_half_past_one, 7) == at("2026-11-08T01:30", NEW_YORK.zone)


@pytest.mark.rule("T5")
def test_instant_in_any_zone_is_returned_in_utc() -> None:
    friday_in_tokyo = datetime(2026, 3, 14, 5, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert NEW_YORK.date_of(friday_in_tokyo) == date(2026, 3, 13)
    for instant in (
        NEW_YORK.deadline(friday_in_tokyo, 1),
        NEW_YORK.next_send_after(friday_in_tokyo),
        NEW_YORK.plus_days(friday_in_tokyo, 0),
        NEW_YORK.plus_days(friday_in_tokyo, 1),
        NEW_YORK.send_at(date(2026, 3, 13)),
    ):
        assert instant.tzinfo is UTC


# --- ENG11: pauses


def pause(since: str, until: str | None = None) -> Pause:
    return Pause(at(since, BOGOTA.zone), at(until, BOGOTA.zone) if until else None)


@pytest.mark.rule("ENG11", "ONB5")
@pytest.mark.parametrize(
    ("pauses", "before", "days"),
    [
        ([], None, 0),
        ([pause("2026-03-02T10:00", "2026-03-02T20:00")], None, 0),
        ([pause("2026-03-02T23:59", "2026-03-03T00:01")], None, 1),
        ([pause("2026-03-02T10:00", "2026-03-12T09:00")], None, 10),
        (
            [pause("2026-03-02T10:00", "2026-03-12T09:00"), pause("2026-03-05T00:00", "2026-03-06T00:00")],
            None,
            10,
        ),
        (
            [pause("2026-03-08T10:00", "2026-03-14T09:00"), pause("2026-03-02T10:00", "2026-03-12T09:00")],
            None,
            12,
        ),
        (
            [pause("2026-03-02T10:00", "2026-03-04T09:00"), pause("2026-03-04T10:00", "2026-03-05T09:00")],
            None,
            3,
        ),
        (
            [pause("2026-03-02T10:00", "2026-03-04T09:00"), pause("2026-04-01T10:00", "2026-04-02T09:00")],
            None,
            3,
        ),
        ([pause("2026-03-02T10:00")], None, 0),
        ([pause("2026-03-02T10:00")], "2026-03-09T09:00", 7),
        ([pause("2026-03-02T10:00")], "2026-03-02T11:00", 0),
        ([pause("2026-03-02T10:00")], "2026-02-02T10:00", 0),
        ([pause("2026-03-02T10:00"), pause("2026-03-01T10:00", "2026-03-04T10:00")], None, 3),
        ([pause("2026-03-02T10:00"), pause("2026-03-01T10:00", "2026-03-04T10:00")], "2026-03-06T10:00", 5),
        ([pause("2026-03-02T10:00", "2026-03-12T09:00")], "2026-03-06T00:00", 4),
        ([pause("2026-03-02T10:00", "2026-03-12T09:00")], "2026-03-20T00:00", 10),
    ],
)
def test_paused_days_count_each_date_once(pauses: list[Pause], before: str | None, days: int) -> None:
    limit = at(before, BOGOTA.zone) if before else None
    assert days_paused(pauses, BOGOTA, limit) == days


@pytest.mark.rule("ENG11")
def test_paused_days_follow_the_persons_local_dates() -> None:
    late_evening_in_bogota = Pause(at("2026-03-03T03:00"), at("2026-03-03T06:00"))
    assert days_paused([late_evening_in_bogota], BOGOTA) == 1
    assert days_paused([late_evening_in_bogota], BERLIN) == 0


TEN_DAYS_IN_MARCH = pause("2026-03-02T10:00", "2026-03-12T09:00")


@pytest.mark.rule("T3", "ENG11", "CPE1")
@pytest.mark.parametrize(
    ("pauses", "before", "gate"),
    [
        ([], None, "2026-07-31"),
        ([TEN_DAYS_IN_MARCH], None, "2026-08-10"),
        ([pause("2026-07-30T10:00", "2026-08-02T09:00")], None, "2026-08-03"),
        ([pause("2026-07-31T10:00", "2026-08-31T09:00")], None, "2026-07-31"),
        ([pause("2026-10-01T10:00", "2026-10-31T09:00")], None, "2026-07-31"),
        ([pause("2026-08-05T10:00", "2026-08-07T09:00"), TEN_DAYS_IN_MARCH], None, "2026-08-12"),
        ([pause("2026-08-10T10:00", "2026-08-17T09:00"), TEN_DAYS_IN_MARCH], None, "2026-08-10"),
        ([pause("2026-01-01T10:00", "2026-02-02T09:00")], None, "2026-08-02"),
        ([pause("2026-07-01T10:00")], None, "2026-07-31"),
        ([pause("2026-07-01T10:00")], "2026-07-11T10:00", "2026-08-10"),
    ],
)
def test_months_are_reached_later_by_the_earlier_paused_days_only(
    pauses: list[Pause], before: str | None, gate: str
) -> None:
    limit = at(before, BOGOTA.zone) if before else None
    assert reached_on(date(2026, 1, 31), 6, pauses, BOGOTA, limit) == date.fromisoformat(gate)


# --- properties: all zones × clock changes × weekdays

ZONES = sorted(name for name in available_timezones() if known_zone(name))
COUNTRIES = ["US", "CO", "DE", "GB", "JP", "SA", "IL", "IN", "CN", "CL", "EG", "LB", "AU", "NZ", "WS", "BR"]

many = settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
some = settings(many, max_examples=examples(60))


@cache
def changes(zone: str, year: int) -> tuple[datetime, ...]:
    """The instants in UTC of a year at which the zone's offset changes."""
    place = ZoneInfo(zone)
    noons = [datetime(year, 1, 1, 12, tzinfo=UTC) + timedelta(days=n) for n in range(-1, 365)]
    found = []
    for noon in noons:
        then = noon.astimezone(place).utcoffset()
        if (noon + timedelta(days=1)).astimezone(place).utcoffset() != then:
            minutes = range(1441)
            index = bisect_left(
                minutes,
                True,
                key=lambda n: (noon + timedelta(minutes=n)).astimezone(place).utcoffset() != then,
            )
            found.append(noon + timedelta(minutes=index))
    return tuple(found)


@st.composite
def moments(draw: st.DrawFn, first_year: int = 2012, last_year: int = 2099) -> tuple[str, datetime]:
    """A zone and an instant, mostly within days or minutes of one of the zone's clock changes."""
    zone = draw(st.sampled_from(ZONES))
    year = draw(st.integers(first_year, last_year))
    around = [
        *changes(zone, year),
        datetime(year, draw(st.integers(1, 12)), draw(st.integers(1, 28)), tzinfo=UTC),
    ]
    near = draw(
        st.one_of(
            st.timedeltas(timedelta(days=-5), timedelta(days=5)),
            st.integers(-200, 200).map(lambda n: timedelta(minutes=n)),
        )
    )
    return zone, draw(st.sampled_from(around)) + near


@st.composite
def calendars(draw: st.DrawFn, zone: str) -> Calendar:
    hours = Hours(
        working_week=draw(st.none() | st.sets(st.integers(0, 6), min_size=3).map(frozenset)),
        closing_days=frozenset(),
        send_time=draw(st.sampled_from([time(9), time(0), time(0, 30), time(2, 15), time(23, 45)])),
        close_of_business=draw(st.sampled_from([time(17), time(0, 30), time(2, 30), time(23, 59)])),
        country="US",
        subdivision=None,
        zone="UTC",
    )
    return calendar_for(hours, zone, draw(st.sampled_from(COUNTRIES)), None)


@st.composite
def people(draw: st.DrawFn) -> tuple[Calendar, datetime]:
    zone, instant = draw(moments())
    return draw(calendars(zone)), instant


def oracle_instant(zone: str, wall: datetime) -> datetime:
    """T5 by trying every minute, with no knowledge of offsets and folds."""
    place = ZoneInfo(zone)
    start = wall.replace(tzinfo=UTC) - timedelta(hours=27)
    shown = [
        (instant, instant.astimezone(place).replace(tzinfo=None))
        for instant in (start + timedelta(minutes=n) for n in range(54 * 60))
    ]
    exact = (instant for instant, local in shown if local == wall)
    after_gap = (instant for instant, local in shown if local > wall)
    return next(exact, None) or next(after_gap)


def oracle_works(calendar: Calendar, day: date) -> bool:
    country = holidays.country_holidays(calendar.country)
    week = calendar.hours.working_week
    works = day.weekday() in week if week is not None else day.weekday() not in country.weekend
    return works and not oracle_holiday(calendar.country, day)


@cache
def oracle_holiday(country: str, day: date) -> bool:
    years = range(day.year - 1, day.year + 2)
    parts: list[str | None] = [*holidays.country_holidays(country).subdivisions] or [None]
    having = [part for part in parts if day in holidays.country_holidays(country, subdiv=part, years=years)]
    return len(having) * 2 >= len(parts)


@pytest.mark.rule("T5")
@many
@given(moments(2000), st.integers(0, 24 * 60 - 1))
@example(("Pacific/Apia", at("2011-12-30T12:00")), 9 * 60)
@example(("America/St_Johns", at("2010-11-07T03:00")), 0)
@example(("Antarctica/Troll", at("2027-03-28T01:00")), 2 * 60)
def test_instant_is_the_first_minute_at_or_after_a_local_time(
    moment: tuple[str, datetime], minute: int
) -> None:
    zone, near = moment
    day = near.date()
    wall = datetime.combine(day, time.min) + timedelta(minutes=minute)
    assert instant_in(zone, day, wall.time()) == oracle_instant(zone, wall)


@pytest.mark.rule("T1", "T2")
@many
@given(people(), st.integers(1, 12))
@pytest.mark.filterwarnings("ignore:Requested Holidays are available only:UserWarning")
def test_deadline_closes_after_exactly_n_business_days(person: tuple[Calendar, datetime], days: int) -> None:
    calendar, since = person
    deadline = calendar.deadline(since, days)
    assert deadline > since
    day, counted = calendar.date_of(since), 0
    while counted < days:
        day += timedelta(days=1)
        counted += oracle_works(calendar, day)
    assert deadline == oracle_instant(calendar.zone, datetime.combine(day, calendar.hours.close_of_business))


@pytest.mark.rule("T2")
@many
@given(people(), st.integers(1, 12), st.timedeltas(timedelta(0), timedelta(days=5)))
def test_deadlines_are_monotone_in_days_and_start(
    person: tuple[Calendar, datetime], days: int, later: timedelta
) -> None:
    calendar, since = person
    assert calendar.deadline(since, days) < calendar.deadline(since, days + 1)
    assert calendar.deadline(since, days) <= calendar.deadline(since + later, days)


@pytest.mark.rule("T1", "T4", "T5")
@many
@given(people())
@pytest.mark.filterwarnings("ignore:Requested Holidays are available only:UserWarning")
def test_scheduled_mail_takes_the_first_business_days_send_time(
    person: tuple[Calendar, datetime],
) -> None:
    calendar, near = person
    day = near.date()
    sent = calendar.send_at(day)
    while not oracle_works(calendar, day):
        day += timedelta(days=1)
    assert sent == oracle_instant(calendar.zone, datetime.combine(day, calendar.hours.send_time))


@pytest.mark.rule("T4")
@many
@given(people())
def test_next_send_time_is_the_earliest_later_one(
    person: tuple[Calendar, datetime],
) -> None:
    calendar, after = person
    slots = {calendar.send_at(after.date() + timedelta(days=n)) for n in range(-5, 30)}
    assert calendar.next_send_after(after) == min(slot for slot in slots if slot > after)


@pytest.mark.rule("T1")
@many
@given(people())
@pytest.mark.filterwarnings("ignore:Requested Holidays are available only:UserWarning")
def test_adjacent_business_days_have_none_between_them(person: tuple[Calendar, datetime]) -> None:
    calendar, near = person
    day = near.date()
    before, after = calendar.business_day_before(day), calendar.business_day_on_or_after(day)
    assert before < day <= after
    span = [before + timedelta(days=n) for n in range((after - before).days + 1)]
    assert [oracle_works(calendar, each) for each in span] == [True, *[False] * (len(span) - 2), True]


@pytest.mark.rule("T5")
@many
@given(people(), st.integers(-400, 400).filter(bool))
def test_days_later_keep_the_time_unless_dst_skips_it(person: tuple[Calendar, datetime], days: int) -> None:
    calendar, since = person
    since = since.replace(second=0, microsecond=0)
    wall = calendar.local(since).replace(tzinfo=None, fold=0) + timedelta(days=days)
    assert calendar.plus_days(since, days) == oracle_instant(calendar.zone, wall)


starts = st.dates(date(2000, 1, 1), date(2090, 12, 31))


@pytest.mark.rule("T3")
@many
@given(starts, st.integers(-24, 120))
@example(date(2028, 2, 29), 12)
def test_months_keep_the_anchor_day_or_the_last_of_a_short_month(start: date, months: int) -> None:
    end = add_months(start, months)
    assert (end.year - start.year) * 12 + end.month - start.month == months
    assert end.day == min(start.day, monthrange(end.year, end.month)[1])


@pytest.mark.rule("T3")
@many
@given(starts, st.integers(-1000, 3000))
def test_months_between_is_the_greatest_count_not_past_the_day(start: date, days: int) -> None:
    day = start + timedelta(days=days)
    months = months_between(start, day)
    assert add_months(start, months) <= day < add_months(start, months + 1)


def spans() -> st.SearchStrategy[list[Pause]]:
    hours = st.integers(0, 24 * 120)
    origin = at("2026-02-01T00:00")

    def build(pair: tuple[int, int]) -> Pause:
        since, length = pair
        return Pause(origin + timedelta(hours=since), origin + timedelta(hours=since + length))

    return st.lists(st.tuples(hours, st.integers(0, 24 * 20)).map(build), max_size=6)


def days_one_by_one(pauses: Iterable[Pause], calendar: Calendar) -> int:
    every = [date(2026, 1, 1) + timedelta(days=n) for n in range(300)]
    return sum(
        any(
            pause.until is not None and calendar.date_of(pause.since) <= day < calendar.date_of(pause.until)
            for pause in pauses
        )
        for day in every
    )


@pytest.mark.rule("ENG11", "ONB5")
@some
@given(
    spans(),
    st.sampled_from(["America/Santiago", "Asia/Tokyo", "Africa/Cairo"]),
)
def test_overlapping_pauses_count_once_in_any_order(pauses: list[Pause], zone: str) -> None:
    calendar = calendar_for(HOURS, zone, None, None)
    assert days_paused(pauses, calendar) == days_one_by_one(pauses, calendar)
    assert days_paused([*reversed(pauses), *pauses], calendar) == days_paused(pauses, calendar)


@pytest.mark.rule("ENG11")
@some
@given(spans(), st.integers(0, 24 * 140))
def test_paused_days_before_an_instant_cut_pauses_at_it(pauses: list[Pause], hour: int) -> None:
    limit = at("2026-02-01T00:00") + timedelta(hours=hour)
    still_open = [replace(each, until=None) for each in pauses]
    ended = [Pause(each.since, max(each.since, limit)) for each in pauses]
    assert days_paused(still_open, BOGOTA, limit) == days_paused(ended, BOGOTA)
    assert days_paused(still_open, BOGOTA) == 0


@pytest.mark.rule("CPE1", "ENG11", "T3")
@some
@given(st.dates(date(2026, 1, 1), date(2026, 6, 30)), st.integers(0, 7), spans())
def test_months_are_reached_after_enough_unpaused_days(start: date, months: int, pauses: list[Pause]) -> None:
    gate = reached_on(start, months, pauses, BOGOTA)
    needed = (add_months(start, months) - start).days
    days = [start + timedelta(days=n) for n in range((gate - start).days)]
    active = [
        day
        for day in days
        if not any(p.until and BOGOTA.date_of(p.since) <= day < BOGOTA.date_of(p.until) for p in pauses)
    ]
    assert len(active) == needed
    assert active[-1:] == days[-1:]
