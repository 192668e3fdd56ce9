"""The handlers of events: one for each type, on events whose time is always known."""

from __future__ import annotations

import inspect
from datetime import timedelta

import pytest

from activities.event_handlers import AFTER_APPLIED, HANDLERS
from activities.event_handlers.base import StoredEvent
from database.models import Event
from rules.events import EVENT_TYPES
from rules.kinds import KINDS
from tests.support.delivery import AT
from worker.workflow_runtime import WORKFLOWS
from workflows.lifecycle import LifecycleWorkflow


def row(**changed: object) -> Event:
    """A row of a stored event."""
    values = {"id": 7, "source": "/members", "event_id": "e-1", "type": "member.updated", "data": {}}
    return Event(**{**values, "subject": "member/eva", "state": "stored", **changed})


def test_every_event_type_has_one_handler() -> None:
    """A new type in `rules/events` needs a row in `activities/event_handlers`; without one the inbox refuses it."""
    assert sorted(HANDLERS) == sorted(name for name, model in EVENT_TYPES.items() if not model.not_kept)


def test_what_is_kept_after_an_act_belongs_to_a_handled_type() -> None:
    assert set(AFTER_APPLIED) <= set(HANDLERS)


@pytest.mark.parametrize("name", HANDLERS)
def test_handler_is_a_function_in_the_module_of_its_noun(name: str) -> None:
    noun = name.partition(".")[0].replace("letter", "claim")
    assert inspect.iscoroutinefunction(HANDLERS[name])
    module = HANDLERS[name].__module__.rpartition(".")[2]
    assert module.rpartition("_")[2] in (noun, f"{noun}s")


@pytest.mark.rule("T8")
def test_event_without_a_time_occurs_when_it_is_first_read() -> None:
    assert StoredEvent.of(row(), AT).occurred_at == AT
    assert StoredEvent.of(row(occurred_at=AT), AT + timedelta(hours=1)).occurred_at == AT


def test_stored_event_knows_whether_it_was_held() -> None:
    held = StoredEvent.of(row(state="held", waits_for="member/eva", held_until=AT), AT)
    assert (held.was_held, held.waits_for, held.held_until) == (True, "member/eva", AT)
    assert not StoredEvent.of(row(), AT).was_held


def test_key_of_an_event_fits_its_column() -> None:
    assert StoredEvent.of(row(), AT).key == "/members#e-1"
    assert len(StoredEvent.of(row(source="s" * 200), AT).key) == 200


@pytest.mark.rule("MEM6")
def test_act_of_an_event_has_ids_and_no_empty_details() -> None:
    act = StoredEvent.of(row(data={"text": "private"}), AT).act(by="p-eva", end="", months=0)
    assert act == {"event": "7", "at": AT.isoformat(), "by": "p-eva"}


@pytest.mark.rule("MEM2")
def test_kind_that_follows_standing_has_the_signal_for_it() -> None:
    types = {
        found.__name__.removesuffix("Workflow"): found
        for found in WORKFLOWS
        if issubclass(found, LifecycleWorkflow)
    }
    for kind in KINDS.values():
        assert ("standing" in types[kind.workflow].SIGNALS) == kind.follows_standing
        assert "replan" in types[kind.workflow].SIGNALS
