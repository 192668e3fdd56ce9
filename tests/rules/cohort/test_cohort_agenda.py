"""The life of a cohort from its facts: states, tasks, proposals, and what staff do to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from rules import cohort
from rules.acts import Act
from rules.agenda import Refused
from rules.calendar import Calendar
from rules.cohort import CohortFacts
from rules.program import load_program, program_calendar

ANNOUNCED = datetime(2028, 1, 10, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def calendar() -> Calendar:
    """That of the program in Mexico City."""
    return program_calendar(load_program(Path("programs/asis-laac.toml")))


def facts(**changed: object) -> CohortFacts:
    given = CohortFacts("asis-laac-2028", "asis-laac", ANNOUNCED, "2028-04-21", "2028-05-06", "2028-05-23", 6)
    return replace(given, **changed)  # type: ignore[arg-type]


def local(calendar: Calendar, text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return calendar.instant(at.date(), at.time())


def states(given: CohortFacts, calendar: Calendar) -> list[tuple[str, str]]:
    changes = sorted(cohort.agenda(given, calendar).state_changes, key=lambda change: change.due)
    return [(calendar.local(change.due).isoformat()[:16], change.state) for change in changes]


@pytest.mark.rule("COH1", "COH2", "COH3")
def test_cohort_runs_from_its_window_to_the_day_after_its_end(calendar: Calendar) -> None:
    """6 May 2028 is a Saturday, so that the business day after the window is Monday, 8 May."""
    done = facts(
        proposals=1,
        proposed_at=local(calendar, "2028-05-08T09:00"),
        confirmations=1,
        confirmed_at=local(calendar, "2028-05-11T16:30"),
    )
    assert states(done, calendar) == [
        ("2028-01-10T09:00", "announced"),
        ("2028-04-21T00:00", "open"),
        ("2028-05-08T09:00", "pairing"),
        ("2028-05-08T09:00", "review"),
        ("2028-05-11T16:30", "confirmed"),
        ("2028-05-23T09:00", "running"),
        ("2028-11-24T09:00", "closed"),
    ]


@pytest.mark.rule("COH3")
def test_pairs_that_are_confirmed_late_start_at_once(calendar: Calendar) -> None:
    late = local(calendar, "2028-06-02T12:00")
    given = facts(proposals=1, proposed_at=local(calendar, "2028-05-08T09:00"))
    after = cohort.apply(given, Act("a", "confirm", "lina"), late, calendar)
    assert cohort.starts_at(after, calendar) == late
    assert cohort.state_at(after, calendar, late) == "running"


@pytest.mark.rule("COH2")
def test_staff_are_asked_to_review_and_again_at_the_kick_off(calendar: Calendar) -> None:
    given = facts(proposals=1, proposed_at=local(calendar, "2028-05-08T09:00"))
    tasks = cohort.agenda(given, calendar).tasks
    assert [(calendar.local(task.due).isoformat()[:16], task.kind) for task in tasks] == [
        ("2028-05-08T09:00", "pairing_review"),
        ("2028-05-23T09:00", "pairing_review"),
    ]
    confirmed = cohort.apply(given, Act("a", "confirm", "lina"), tasks[0].due, calendar)
    assert cohort.agenda(confirmed, calendar).tasks == ()


@pytest.mark.rule("COH2")
def test_cohort_that_nobody_confirms_closes_after_its_end(calendar: Calendar) -> None:
    changes = cohort.agenda(facts(), calendar).state_changes
    assert changes[-1].closes
    assert changes[-1].cause == "its last day is over, and nobody confirmed its pairs"


@pytest.mark.rule("COH2")
def test_proposal_is_due_after_the_window_and_whenever_staff_ask(calendar: Calendar) -> None:
    given, review = facts(), local(calendar, "2028-05-08T09:00")
    assert cohort.proposal_due(given, calendar, review - timedelta(seconds=1)) == 0
    assert cohort.proposal_due(given, calendar, review) == 1
    pair = Act("a", "pair", "lina")
    assert cohort.apply(given, pair, review, calendar) == given  # the first one is being made
    made = cohort.apply(given, Act("p", "proposed", "program", details={"number": "1"}), review, calendar)
    assert (made.proposals, made.proposed_at) == (1, review)
    again = cohort.apply(made, pair, review, calendar)
    assert cohort.proposal_due(again, calendar, review) == 2
    with pytest.raises(Refused, match="another proposal is being made"):
        cohort.apply(again, Act("c", "confirm", "lina"), review, calendar)


@pytest.mark.rule("COH2")
@pytest.mark.parametrize(("act", "reason"), [("pair", "ends on 2028-05-06"), ("confirm", "no proposal")])
def test_pairs_are_neither_asked_for_nor_confirmed_before(calendar: Calendar, act: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        cohort.apply(facts(), Act("a", act, "lina"), local(calendar, "2028-05-01T12:00"), calendar)


@pytest.mark.rule("COH1")
def test_days_change_until_the_window_opens(calendar: Calendar) -> None:
    details = {"opens": "2028-05-02", "closes": "2028-05-12", "kick_off": "2028-06-01", "months": "4"}
    act = Act("a", "reschedule", "program", details={**details, "partners": "uno\ndos"}, event="7")
    after = cohort.apply(facts(), act, local(calendar, "2028-04-20T23:59"), calendar)
    assert (after.opens, after.kick_off, after.months) == ("2028-05-02", "2028-06-01", 4)
    assert (after.partners, after.by_event) == (["uno", "dos"], "7")
    with pytest.raises(Refused, match="is open since 2028-04-21"):
        cohort.apply(facts(), act, local(calendar, "2028-04-21T00:00"), calendar)
    over = replace(act, details={**act.details, "opens": "2028-04-01", "closes": "2028-04-10"})
    with pytest.raises(Refused, match="was over on 2028-04-10"):
        cohort.apply(facts(), over, local(calendar, "2028-04-20T12:00"), calendar)


@pytest.mark.rule("COH1", "COH5")
def test_yearly_cohort_follows_a_new_program_file_until_it_opens(calendar: Calendar) -> None:
    days = replace(facts().days, opens=date(2028, 4, 24))
    before = local(calendar, "2028-04-20T12:00")
    assert cohort.follow_program(facts(), days, before, calendar).opens == "2028-04-24"
    opened = local(calendar, "2028-04-22T12:00")
    assert cohort.follow_program(facts(), days, opened, calendar) == facts()
    by_event = facts(by_event="7")
    assert cohort.follow_program(by_event, days, before, calendar) == by_event


@pytest.mark.rule("COH1")
def test_cohort_that_is_scheduled_inside_its_window_opens_at_once(calendar: Calendar) -> None:
    given = facts(announced_at=local(calendar, "2028-04-25T10:00"))
    assert states(given, calendar)[:2] == [("2028-04-25T10:00", "announced"), ("2028-04-25T10:00", "open")]


@pytest.mark.rule("STA1")
def test_cancel_drops_what_is_ahead_and_nothing_follows(calendar: Calendar) -> None:
    at = local(calendar, "2028-05-01T12:00")
    after = cohort.apply(facts(), Act("a", "cancel", "lina", reason="too few"), at, calendar)
    assert states(after, calendar)[-1] == ("2028-05-01T12:00", "canceled")
    assert cohort.agenda(after, calendar).dropped_because == "cancelled by staff: too few"
    assert cohort.proposal_due(after, calendar, local(calendar, "2028-05-08T09:00")) == 0
    for act in ("cancel", "pair", "confirm"):
        with pytest.raises(Refused, match="the cohort is over: canceled on 2028-05-01"):
            cohort.apply(after, Act("b", act, "lina"), at + timedelta(days=1), calendar)


@pytest.mark.rule("COH3")
def test_engagement_of_a_pair_has_a_short_id_of_its_own() -> None:
    assert cohort.engagement_id("laac-2028", "p-1", "q-1") == "laac-2028.p-1.q-1"
    long = [cohort.engagement_id("laac-2028", "p" * 64, "q" * n) for n in (60, 61)]
    assert [len(each) for each in long] == [64, 64]
    assert long[0] != long[1]
    dotted = {cohort.engagement_id("c", "a.b", "d"), cohort.engagement_id("c", "a", "b.d")}
    assert len(dotted) == 2
