"""The morning peak: scheduled mail spread over the minutes after nine, the same each time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.agenda import (
    Agenda,
    PlannedMail,
    PlannedTask,
    StateChange,
    WindowRecipient,
    send_offset,
    spread_mails,
)
from rules.calendar import Calendar, calendar_for
from rules.program import load_program

PROGRAM = load_program(Path("programs") / "asis-global.toml")
DAY = date(2028, 3, 14)


def calendar(minutes: int, zone: str = "America/Bogota") -> Calendar:
    return calendar_for(replace(PROGRAM.hours, send_window=minutes), zone, "CO", None)


def mail(due: datetime | None, to: str = "p-ana", step: str = "check_in") -> PlannedMail:
    return PlannedMail(step, due, "mentee.check_in", to)


def spread_dues(minutes: int, *mails: PlannedMail) -> list[datetime | None]:
    agenda = Agenda(mails, (StateChange(calendar(0).send_at(DAY), "open"),))
    found = spread_mails(agenda, {"p-ana": WindowRecipient("ana", calendar(minutes))})
    assert found.state_changes == agenda.state_changes
    return [one.due for one in found.mails]


@pytest.mark.rule("T4")
@given(member=st.text(max_size=30), minutes=st.integers(0, 480))
def test_offset_is_the_same_each_time_and_within_the_window(member: str, minutes: int) -> None:
    found = send_offset(member, minutes)
    assert found == send_offset(member, minutes)
    assert timedelta(0) <= found <= timedelta(minutes=minutes)
    assert found.microseconds == 0


@pytest.mark.rule("T4")
def test_thousand_people_are_spread_evenly() -> None:
    by_quarter = Counter(
        int(send_offset(f"m-{number}", 60) / timedelta(minutes=15)) for number in range(4000)
    )
    assert set(by_quarter) == set(range(4))
    assert all(850 < count < 1150 for count in by_quarter.values())


@pytest.mark.rule("T4")
def test_mail_of_the_send_time_moves_and_nothing_else() -> None:
    nine = calendar(0).send_at(DAY)
    at_once, close = nine + timedelta(seconds=1), calendar(0).instant(DAY, time(17))
    weekend = calendar(0).instant(date(2028, 3, 18), time(9))
    due = spread_dues(
        30, mail(nine), mail(at_once), mail(close), mail(weekend), mail(None), mail(nine, "p-x")
    )
    assert due == [nine + send_offset("ana", 30), at_once, close, weekend, None, nine]
    assert nine < nine + send_offset("ana", 30) < nine + timedelta(minutes=30)


@pytest.mark.rule("T4")
def test_mails_of_one_person_on_a_morning_stay_together() -> None:
    nine = calendar(0).send_at(DAY)
    first, second = spread_dues(120, mail(nine), mail(nine, step="digest"))
    assert first == second


@pytest.mark.rule("T4")
def test_mail_after_a_pause_is_spread_too() -> None:
    nine = calendar(0).send_at(DAY)
    held = PlannedMail("check_in", None, "mentee.check_in", "p-ana", after_pause=nine)
    found = spread_mails(Agenda((held,), ()), {"p-ana": WindowRecipient("ana", calendar(30))})
    assert found.mails[0].due_if_waiting == nine + send_offset("ana", 30)


@pytest.mark.rule("T4")
def test_tasks_keep_their_instants() -> None:
    task = PlannedTask(calendar(0).send_at(DAY), "inactive", "cause", "Ask them.")
    agenda = Agenda((), (), (task,))
    assert spread_mails(agenda, {"p-ana": WindowRecipient("ana", calendar(30))}) == agenda


@pytest.mark.rule("T4", "T5")
@given(
    zone=st.sampled_from(["Africa/Cairo", "America/Sao_Paulo", "Asia/Kolkata", "Europe/Madrid"]),
    days=st.integers(0, 400),
)
def test_spread_mail_stays_on_its_day_in_every_zone(zone: str, days: int) -> None:
    theirs = calendar(480, zone)
    due = theirs.send_at(DAY + timedelta(days=days))
    found = spread_mails(Agenda((mail(due),), ()), {"p-ana": WindowRecipient("ana", theirs)}).mails[0].due
    assert found is not None
    assert theirs.date_of(found) == theirs.date_of(due)
    assert time(9) <= theirs.local(found).time() < time(17)


@pytest.mark.rule("T4")
def test_window_of_zero_changes_nothing_and_is_the_bundled_one() -> None:
    nine = calendar(0).send_at(DAY)
    assert spread_dues(0, mail(nine)) == [nine]
    for file in Path("programs").glob("*.toml"):
        if file.stem != "catalogue":
            assert load_program(file).hours.send_window == 0


def test_utc_is_kept() -> None:
    (due,) = spread_dues(30, mail(calendar(0).send_at(DAY)))
    assert due is not None
    assert due.tzinfo is UTC
