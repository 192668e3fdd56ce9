"""Requests on a real server, driven by a plain client: what the Temporal CLI sends, and what it gets."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from database.models import AuditRecord, Request, Task
from tests.support.limits import PATIENCE
from tests.support.temporal_workers import TemporalFixture, temporal

__all__ = ["temporal"]

AHEAD = {
    "mentor.request_reminder",
    "mentor.request_past_due",
    "mentee.request_unanswered",
    "mentor.request_expired",
    "mentee.request_expired",
}


def refusal(error: WorkflowUpdateFailedError) -> str:
    """The words of a refused update."""
    assert isinstance(error.cause, ApplicationError)
    return error.cause.message


@pytest.mark.rule("STA1", "REQ9")
async def test_plain_signal_cancels_a_request(temporal: TemporalFixture) -> None:
    request = await temporal.ask()
    before = len(temporal.catcher.caught)
    await request.signal("cancel", {"reason": "moved", "actor": "lina"})
    assert await request.result() == "canceled"
    await temporal.catcher_has(before + 2)
    assert await temporal.decisions(request.id) == {
        **dict.fromkeys(AHEAD, "cancelled"),
        **dict.fromkeys(("mentor.request_received", "mentee.request_sent"), "sent"),
        **dict.fromkeys(("mentor.request_canceled", "mentee.request_canceled"), "sent"),
    }


@pytest.mark.rule("STA1", "REQ9")
async def test_cancel_signal_without_input_works(temporal: TemporalFixture) -> None:
    request = await temporal.ask()
    await request.signal("cancel")
    assert await request.result() == "canceled"


@pytest.mark.rule("STA1", "REQ9")
async def test_cancel_update_returns_the_dropped_messages(temporal: TemporalFixture) -> None:
    request = await temporal.ask()
    answer = await request.execute_update("cancel", {"reason": "moved", "actor": "lina"})
    assert answer["state"] == "canceled"
    assert {shift["message"] for shift in answer["dropped"]} == AHEAD
    assert all(shift["was"] and shift["due"] is None for shift in answer["dropped"])
    await request.result()


@pytest.mark.rule("STA1", "REQ9")
async def test_extend_update_returns_old_and_new_dates(temporal: TemporalFixture) -> None:
    request = await temporal.ask()
    answer = await request.execute_update("extend", {"business_days": 2, "actor": "lina", "reason": "ill"})
    assert answer["state"] == "open"
    assert {shift["message"] for shift in answer["moved"]} == AHEAD
    assert all(shift["was"] < shift["due"] for shift in answer["moved"])
    assert answer["dropped"] == []
    await temporal.close(request)


@pytest.mark.rule("STA1", "REQ9")
@pytest.mark.parametrize("days", [0, -1, 61])
async def test_extension_by_zero_or_too_many_days_is_refused(temporal: TemporalFixture, days: int) -> None:
    request = await temporal.ask()
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await request.execute_update("extend", {"business_days": days})
    assert refusal(refused.value) == "an extension is 1 to 60 business days"
    answer = await request.execute_update("extend", {"business_days": 1})
    assert len(answer["moved"]) == len(AHEAD)
    await temporal.close(request)


@pytest.mark.rule("REQ10", "REQ5")
async def test_first_of_two_concurrent_answers_counts(temporal: TemporalFixture) -> None:
    request = await temporal.ask()
    await request.signal("decline", {"reason": "no time"})
    await request.signal("accept")
    assert await request.result() == "declined"
    started = await temporal.decisions(request.id.replace("request/", "engagement/"))
    assert started == {}


@pytest.mark.rule("STA1", "REQ10")
async def test_repeated_update_returns_the_same_result(temporal: TemporalFixture) -> None:
    request = await temporal.ask()
    first = await request.execute_update("extend", {"business_days": 1}, id="once")
    again = await request.execute_update("extend", {"business_days": 1}, id="once")
    assert again == first
    await temporal.close(request)


@pytest.mark.rule("MEM6")
async def test_history_contains_no_personal_data(temporal: TemporalFixture) -> None:
    request = await temporal.ask()
    await request.execute_update("decline", {"reason": "no time"})
    await request.result()
    history = (await request.fetch_history()).to_json()
    assert "example.org" not in history
    assert "Vega" not in history


@pytest.mark.rule("REQ10", "REQ6")
async def test_late_answer_is_refused_and_changes_nothing(
    temporal: TemporalFixture,
) -> None:
    request = await temporal.ask()
    name = request.id.removeprefix("request/")
    await temporal.send_events(("request.declined", {"request": name, "reason": "no time this year"}))
    assert await request.result() == "declined"
    before = len(temporal.catcher.caught)
    await temporal.send_events(
        ("request.accepted", {"request": name, "reason": "after all"}),
        ("request.canceled", {"request": name, "reason": "found somebody else"}),
    )
    refused = {"request.accepted", "request.canceled"}
    async with asyncio.timeout(PATIENCE):
        while {event.type for event in await temporal.events(request.id, "refused")} != refused:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert {event.reason for event in await temporal.events(request.id, "refused")} == {
        "the request was already declined"
    }
    async with temporal.database.reading() as session:
        row = await session.get_one(Request, request.id)
        assert (row.state, row.answer_reason) == ("declined", "no time this year")
    assert len(temporal.catcher.caught) == before


@pytest.mark.rule("STA1", "REQ5", "ENG4")
@pytest.mark.parametrize("how", ["signal", "update"])
async def test_early_event_is_applied_when_a_plain_client_accepts(
    temporal: TemporalFixture, how: str
) -> None:
    request = await temporal.ask()
    engagement = request.id.replace("request/", "engagement/")
    met = {"engagement": engagement.partition("/")[2], "by": temporal.profile("mentee"), "answer": "yes"}
    await temporal.send_events(("engagement.met", met))
    await becomes(temporal, engagement, "held")
    if how == "signal":
        await request.signal("accept", {"actor": "lina"})
    else:
        await request.execute_update("accept", {"actor": "lina"})
    assert await request.result() == "accepted"
    await becomes(temporal, engagement, "applied")
    await temporal.close(temporal.client.get_workflow_handle(engagement))


async def becomes(temporal: TemporalFixture, about: str, state: str) -> None:
    """Wait until an event about a lifecycle has a state."""
    async with asyncio.timeout(PATIENCE):
        while not await temporal.events(about, state):  # noqa: ASYNC110 - the database tells nobody of a change
            await asyncio.sleep(0.02)


@pytest.mark.rule("MEM2", "STA2", "STA3")
async def test_lapse_task_closes_on_return_and_reopens_on_a_new_lapse(
    temporal: TemporalFixture,
) -> None:
    request = await temporal.ask()
    found = []
    for good in (False, True, False):
        await request.signal("standing", {"by": temporal.profile("mentor"), "good": good})
        await request.execute_update("extend", {"business_days": 1, "actor": "lina"})
        async with temporal.database.reading() as session:
            tasks = await session.scalars(select(Task).where(Task.subject == request.id))
            found.append([(task.kind, task.state, task.closed_by, task.note) for task in tasks])
    lost = [("member_lapsed", "open", None, None)]
    assert found == [lost, [("member_lapsed", "done", "program", "good standing has returned")], lost]
    await temporal.close(request)


@pytest.mark.rule("STA3", "REQ6")
async def test_answer_by_a_plain_client_is_recorded_as_the_partys_act(temporal: TemporalFixture) -> None:
    request = await temporal.ask()
    await request.execute_update("decline", {"reason": "no time"})
    assert await request.result() == "declined"
    async with temporal.database.reading() as session:
        record = await session.scalar(
            select(AuditRecord).where(AuditRecord.subject == request.id, AuditRecord.kind == "act")
        )
    assert record is not None
    assert (record.data["act"], record.actor) == ("decline", "mentor")
