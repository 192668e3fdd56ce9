"""Durations: what is read, what is refused, and where they lead across clock changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.calendar import add_months
from rules.durations import Duration, parse_duration
from tests.support.limits import examples

NEW_YORK = "America/New_York"


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.rule("COH5")
@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("P7D", Duration(days=7)),
        ("P0D", Duration()),
        ("PT0S", Duration()),
        ("PT6H", Duration(seconds=6 * 3600)),
        ("P9M", Duration(months=9)),
        ("PT9M", Duration(seconds=9 * 60)),
        ("P2W", Duration(days=14)),
        ("P1Y2M3DT4H5M6S", Duration(months=14, days=3, seconds=4 * 3600 + 5 * 60 + 6)),
        ("P1M2W3D", Duration(months=1, days=17)),
        ("PT36H", Duration(seconds=36 * 3600)),
        ("P007D", Duration(days=7)),
        ("P1000Y", Duration(months=12_000)),
    ],
)
def test_duration_is_parsed(text: str, duration: Duration) -> None:
    assert parse_duration(text) == duration


@pytest.mark.rule("T8", "COH5")
@pytest.mark.parametrize(
    "text",
    [
        "", "P", "PT", "P7DT", "7D", "p7d", "P7d", "P-7D", "-P7D", "+P7D", "P1.5D", "PT1.5S", "P1,5D", " P7D", "P7D ",
        "P7D\n", "P6H", "PT7D", "P3D2M", "P1D1D", "P7", "P٧D", "P2026-01-01", "7", "none", "PTT1H",
    ],
)  # fmt: skip
def test_invalid_duration_is_refused_by_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="is no ISO 8601 duration") as refusal:
        parse_duration(text)
    assert repr(text) in str(refusal.value)


@pytest.mark.rule("T8")
@pytest.mark.parametrize("text", ["P1001Y", "P12001M", "P366001D", "PT99999999999S", f"P{'9' * 5000}D"])
def test_duration_over_a_thousand_years_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="longer than a thousand years"):
        parse_duration(text)


@pytest.mark.rule("T8")
@pytest.mark.parametrize("part", ["months", "days", "seconds"])
def test_negative_part_is_refused(part: str) -> None:
    with pytest.raises(ValueError, match="never negative"):
        Duration(**{part: -1})


@pytest.mark.rule("T3", "T5")
@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("P1D", "2026-03-07T12:00", "2026-03-08T12:00"),
        ("P1D", "2026-03-07T02:30", "2026-03-08T03:00"),
        ("P1D", "2026-10-31T01:30", "2026-11-01T01:30"),
        ("P7DT1H", "2026-03-01T02:30", "2026-03-08T04:00"),
        ("P6M", "2027-08-31T10:00", "2028-02-29T10:00"),
        ("P6M", "2026-08-31T10:00", "2027-02-28T10:00"),
        ("P2M", "2026-01-31T10:00", "2026-03-31T10:00"),
        ("P1M1D", "2026-01-31T10:00", "2026-03-01T10:00"),
        ("P1Y", "2028-02-29T10:00", "2029-02-28T10:00"),
        ("P9M", "2028-03-06T10:00", "2028-12-06T10:00"),
        ("P2W", "2026-03-01T10:00:15.25", "2026-03-15T10:00:15.25"),
    ],
)
def test_months_and_days_follow_the_local_calendar(text: str, start: str, end: str) -> None:
    assert parse_duration(text).after(at(start, NEW_YORK), NEW_YORK) == at(end, NEW_YORK)


@pytest.mark.rule("T5")
def test_hours_are_exact_across_a_dst_change() -> None:
    noon_before_the_change = at("2026-03-07T12:00", NEW_YORK)
    assert Duration(seconds=86_400).after(noon_before_the_change, NEW_YORK) == at(
        "2026-03-08T13:00", NEW_YORK
    )
    assert Duration(days=1).after(noon_before_the_change, NEW_YORK) == at("2026-03-08T12:00", NEW_YORK)


@pytest.mark.rule("T5")
def test_hours_after_a_repeated_time_count_from_the_given_one() -> None:
    second_half_past_one = at("2026-11-01T06:30")
    assert Duration().after(second_half_past_one, NEW_YORK) == second_half_past_one
    assert Duration(seconds=60).after(second_half_past_one, NEW_YORK) == at("2026-11-01T06:31")


@pytest.mark.rule("T5")
def test_zone_decides_the_local_day() -> None:
    last_evening_of_january = at("2026-01-31T20:00", NEW_YORK)
    assert Duration(months=1).after(last_evening_of_january, NEW_YORK) == at("2026-02-28T20:00", NEW_YORK)
    assert Duration(months=1).after(last_evening_of_january, "Asia/Tokyo") == at(
        "2026-03-01T10:00", "Asia/Tokyo"
    )


@pytest.mark.rule("T8")
@pytest.mark.parametrize("duration", [Duration(), Duration(months=1), Duration(seconds=1)])
def test_naive_start_and_unknown_zone_are_errors(duration: Duration) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        duration.after(at("2026-01-01T00:00").replace(tzinfo=None), NEW_YORK)
    with pytest.raises(ValueError, match="Mars"):
        duration.after(at("2026-01-01T00:00"), "Mars/Olympus")


@pytest.mark.rule("T3")
def test_only_durations_without_months_have_an_exact_length() -> None:
    assert parse_duration("P1DT2H").timedelta() == timedelta(hours=26)
    assert Duration().timedelta() == timedelta(0)
    for text in ("P1M", "P1Y", "P1M1D"):
        with pytest.raises(ValueError, match="no exact length"):
            parse_duration(text).timedelta()


@pytest.mark.rule("COH5")
@settings(max_examples=examples(100), deadline=None)
@given(
    st.dictionaries(st.sampled_from(["Y", "M", "W", "D"]), st.integers(0, 400)),
    st.dictionaries(st.sampled_from(["H", "M", "S"]), st.integers(0, 10_000)),
)
def test_every_iso_duration_is_parsed_as_the_sum_of_its_parts(
    calendar: dict[str, int], clock: dict[str, int]
) -> None:
    text = "P" + "".join(f"{calendar[unit]}{unit}" for unit in "YMWD" if unit in calendar)
    if clock:
        text += "T" + "".join(f"{clock[unit]}{unit}" for unit in "HMS" if unit in clock)
    if text == "P":
        text = "P0D"
    read = parse_duration(text)
    assert read.months == 12 * calendar.get("Y", 0) + calendar.get("M", 0)
    assert timedelta(days=read.days, seconds=read.seconds) == timedelta(
        weeks=calendar.get("W", 0),
        days=calendar.get("D", 0),
        hours=clock.get("H", 0),
        minutes=clock.get("M", 0),
        seconds=clock.get("S", 0),
    )


@pytest.mark.rule("T3", "T5")
@settings(max_examples=examples(100), deadline=None)
@given(
    st.integers(0, 78 * 365 * 24 * 60).map(lambda n: at("2012-01-01T00:00") + timedelta(minutes=n)),
    st.integers(0, 60),
    st.integers(0, 60),
    st.sampled_from([NEW_YORK, "America/Santiago", "Australia/Lord_Howe", "Asia/Beirut", "Asia/Tokyo"]),
)
def test_end_falls_on_the_day_of_the_local_calendar(
    start: datetime, months: int, days: int, zone: str
) -> None:
    end = Duration(months=months, days=days).after(start, zone)
    local_start: date = start.astimezone(ZoneInfo(zone)).date()
    assert end.astimezone(ZoneInfo(zone)).date() == add_months(local_start, months) + timedelta(days=days)
    assert end >= start
