"""The example of docs/architecture.md is true: its rules run on the real types, and the registry takes what it says."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from database import ledger
from database.models import Message
from lifecycles.registry import LIFECYCLES, LifecycleKind
from lifecycles.situation import Situation
from rules.acts import Act
from rules.agenda import Refused
from rules.calendar import Calendar, calendar_for
from rules.kinds import KINDS, Kind
from rules.program import load_program

PAGE = (Path(__file__).resolve().parent.parent / "docs/architecture.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

INVITED = datetime(2028, 3, 6, 15, tzinfo=UTC)
MONDAY = datetime(2028, 3, 20, 15, tzinfo=UTC)
"""When the call takes place: 10:00 in Bogotá, on a public holiday there."""

CANCEL = Act("act-1", "cancel", "lina", reason="moved away", at=INVITED + timedelta(days=2))


@pytest.fixture(scope="module")
def example() -> Iterator[Any]:
    """The module that the page shows."""
    module = ModuleType("orientation")
    sys.modules[module.__name__] = module
    exec(compile(CODE[0], "docs/architecture.md", "exec"), module.__dict__)
    yield module
    del sys.modules[module.__name__]


@pytest.fixture
def calendar() -> Calendar:
    """The calendar of a mentor in Bogotá."""
    hours = load_program(Path("programs/asis-global.toml")).hours
    return calendar_for(hours, "America/Bogota", "CO", None)


@pytest.fixture
def facts(example: Any) -> Any:
    """An orientation that is ahead."""
    return example.OrientationFacts("p-1", INVITED, MONDAY)


def test_example_is_one_short_block() -> None:
    assert len(CODE) == 1
    assert len(CODE[0].splitlines()) <= 70


def test_reminder_leaves_on_the_business_day_before(example: Any, facts: Any, calendar: Calendar) -> None:
    agenda = example.agenda(facts, calendar)
    assert [(mail.key, mail.due) for mail in agenda.mails] == [
        ("invitation/1", INVITED),
        ("reminder/1", datetime(2028, 3, 17, 14, tzinfo=UTC)),
    ]
    assert agenda.state_at(INVITED) == "scheduled"
    assert agenda.state_at(MONDAY) == "held"
    assert agenda.wakes_after(INVITED) == [MONDAY]


def test_reminder_is_left_out_when_its_time_has_passed(example: Any, facts: Any, calendar: Calendar) -> None:
    late = replace(facts, invited_at=MONDAY - timedelta(hours=1))
    assert [mail.step for mail in example.agenda(late, calendar).mails] == ["invitation"]


def test_cancel_drops_every_message(example: Any, facts: Any, calendar: Calendar) -> None:
    before = example.agenda(facts, calendar)
    after = example.agenda(example.apply(facts, CANCEL, MONDAY), calendar)
    rows = [
        Message(
            step=mail.step,
            occurrence=mail.occurrence,
            message=mail.message,
            to_profile=mail.to,
            due_at=mail.due,
            state="planned",
        )
        for mail in before.mails
    ]
    changes = ledger.compare(rows, after.mails)
    assert [change.key for change in changes.dropped] == ["invitation/1", "reminder/1"]
    assert after.dropped_because == "cancelled by staff: moved away"
    assert after.state_at(MONDAY) == "canceled"


def test_act_after_the_end_and_unknown_act_are_refused(example: Any, facts: Any) -> None:
    canceled = example.apply(facts, CANCEL, MONDAY)
    for wrong_facts, act in [
        (canceled, CANCEL),
        (facts, replace(CANCEL, at=MONDAY)),
        (facts, replace(CANCEL, name="extend")),
    ]:
        with pytest.raises(Refused, match="orientation"):
            example.apply(wrong_facts, act, MONDAY)
    assert example.closed_because(canceled, "canceled", date(2028, 3, 8)).endswith("canceled on 2028-03-08")


def test_kind_of_the_example_fits_the_rules(example: Any, facts: Any, calendar: Calendar) -> None:
    kind = example.ORIENTATION
    assert isinstance(kind, Kind)
    assert kind.name not in KINDS
    agendas = [example.agenda(each, calendar) for each in (facts, example.apply(facts, CANCEL, MONDAY))]
    states = {(change.state, change.closes) for agenda in agendas for change in agenda.state_changes}
    assert {state for state, closes in states if closes} == set(kind.closed_states)
    assert {state for state, closes in states if not closes} == set(kind.open_states)


def test_page_names_what_registry_and_situation_ask_for() -> None:
    asked = [field.name for field in fields(LifecycleKind)]
    asked += sorted(name for name in vars(Situation) if not name.startswith("_"))
    assert [name for name in asked if f"`{name}`" not in PAGE] == []
    assert set(LIFECYCLES) == set(KINDS)
