"""The arithmetic of `docs/scaling.md`, with numbers that one can follow on paper."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.sizing import Association, PairConstants, needs_of

PAIR = PairConstants(
    mails=25,
    events_in=10,
    actions=50,
    history_events=500,
    history_bytes=100_000,
    rows=200,
    database_bytes=300_000,
)
ASSOCIATION = Association(
    200_000, engaged=0.01, changes=1, busiest=3, window=10, kept_years=5, retention_days=0
)


def test_needs_follow_from_the_numbers_of_a_pair() -> None:
    needs = needs_of(ASSOCIATION, PAIR)
    assert needs.pairs == 1_000
    assert needs.mails_a_year == 25_000
    assert needs.events_a_day == (10_000 + 200_000) / 250
    assert needs.peak_mails == 300, "a hundred on a usual morning"
    assert needs.mails_a_second == pytest.approx(0.5)
    assert needs.peak_transitions == pytest.approx(10), "twenty events a mail"
    assert needs.shortest_window == pytest.approx(0.2)
    assert needs.history_gigabytes == pytest.approx(0.1)
    assert needs.database_gigabytes == pytest.approx(1.5 + 0.4)


def test_wider_window_needs_less_of_the_server() -> None:
    wider = needs_of(replace(ASSOCIATION, window=20), PAIR)
    assert wider.peak_transitions == needs_of(ASSOCIATION, PAIR).peak_transitions / 2
    assert wider.shortest_window == needs_of(ASSOCIATION, PAIR).shortest_window
