"""Engagements on a real server, driven by a plain client: signals and updates with plain input."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from database.models import AuditRecord, Engagement
from tests.support.limits import PATIENCE
from tests.support.temporal_workers import TemporalFixture, temporal

__all__ = ["temporal"]


def words(error: WorkflowUpdateFailedError) -> str:
    """The words of a refused update."""
    assert isinstance(error.cause, ApplicationError)
    return error.cause.message


@pytest.mark.rule("STA1", "ENG6")
async def test_plain_signal_cancels_an_engagement(temporal: TemporalFixture) -> None:
    engagement = await temporal.match()
    before = len(temporal.catcher.caught)
    await engagement.signal("cancel", {"reason": "moved", "actor": "lina"})
    assert await engagement.result() == "canceled"
    await temporal.catcher_has(before + 2)
    decided = await temporal.decisions(engagement.id)
    assert decided["mentor.canceled"] == decided["mentee.canceled"] == "sent"
    assert {
        decision for message, decision in decided.items() if message.endswith((".pulse", ".wrap_up"))
    } == {"cancelled"}


@pytest.mark.rule("STA1", "ENG6")
async def test_extend_update_returns_the_moved_messages(temporal: TemporalFixture) -> None:
    engagement = await temporal.match()
    answer = await engagement.execute_update("extend", {"months": 3, "actor": "lina", "reason": "going well"})
    assert answer["state"] == "active"
    moved = {shift["message"]: (shift["was"], shift["due"]) for shift in answer["moved"]}
    assert {"mentor.wrap_up", "mentee.wrap_up", "mentor.completed", "mentee.completed"} <= set(moved)
    assert all(was < due for was, due in moved.values())
    await temporal.close(engagement)


@pytest.mark.rule("STA1", "ENG5", "ENG6")
@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ({"end": "2020-01-01"}, "the new end lies in the past"),
        ({"end": "soon"}, "a date is written like 2028-03-14"),
        ({}, "a new end is either a day or a number of months"),
        ({"end": "2099-01-01"}, "an end lies at most 20 years ahead; it can be extended again later"),
    ],
)
async def test_invalid_extension_is_refused_with_the_reason(
    temporal: TemporalFixture, argument: dict[str, str], reason: str
) -> None:
    engagement = await temporal.match()
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await engagement.execute_update("extend", argument)
    assert words(refused.value) == reason
    await temporal.close(engagement)


@pytest.mark.rule("STA1", "ENG11")
async def test_pause_holds_every_message_and_a_second_one_is_refused(temporal: TemporalFixture) -> None:
    engagement = await temporal.match()
    answer = await engagement.execute_update("pause", {"actor": "lina", "reason": "holiday"})
    assert answer["state"] == "paused"
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await engagement.execute_update("pause")
    assert words(refused.value) == "it is paused already"
    assert (await engagement.execute_update("resume"))["state"] == "active"
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await engagement.execute_update("resume")
    assert words(refused.value) == "it is not paused"
    await temporal.close(engagement)


@pytest.mark.rule("ENG11", "STA3")
async def test_pause_and_resume_at_one_instant_leave_it_active(temporal: TemporalFixture) -> None:
    engagement = await temporal.match()
    staff = {"target": engagement.id, "actor": "lina", "reason": "a slip"}
    await temporal.send_events(("staff.pause", staff), ("staff.resume", staff))
    async with asyncio.timeout(PATIENCE):
        while len(await temporal.events(engagement.id, "applied")) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    async with temporal.database.reading() as session:
        paused, resumed = await temporal.events(engagement.id, "applied")
        assert paused.occurred_at == resumed.occurred_at
        records = await session.scalars(
            select(AuditRecord.data)
            .where(AuditRecord.subject == engagement.id, AuditRecord.kind == "state")
            .order_by(AuditRecord.id)
        )
        assert [data["state"] for data in records] == ["active", "paused", "active"]
        assert (await session.get_one(Engagement, engagement.id)).state == "active"
    await temporal.close(engagement)


@pytest.mark.rule("STA1", "ENG7")
async def test_party_ends_it_by_a_plain_signal_and_a_stranger_cannot(temporal: TemporalFixture) -> None:
    engagement = await temporal.match()
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await engagement.execute_update("end", {"by": "stranger", "reason": "no_fit"})
    assert words(refused.value) == "only the mentor and the mentee of an engagement can do this"
    await engagement.signal("end", {"by": temporal.profile("mentee"), "reason": "goals_met"})
    assert await engagement.result() == "completed"
    async with temporal.database.reading() as session:
        assert (await session.get_one(Engagement, engagement.id)).end_reason == "goals_met"


@pytest.mark.rule("STA1", "ENG4")
async def test_met_signal_takes_only_yes_or_no(temporal: TemporalFixture) -> None:
    engagement = await temporal.match()
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await engagement.execute_update("met", {"by": temporal.profile("mentee"), "answer": "maybe"})
    assert words(refused.value) == "the answer is yes or no"
    await temporal.close(engagement)


@pytest.mark.rule("STA3", "ENG3")
async def test_agreed_plan_is_recorded_as_an_act_of_both(temporal: TemporalFixture) -> None:
    engagement = await temporal.match()
    plan = {"engagement": engagement.id.removeprefix("engagement/"), "months": 8}
    await temporal.send_events(("engagement.plan_agreed", plan))
    async with asyncio.timeout(PATIENCE):
        while not await temporal.events(engagement.id, "applied"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    async with temporal.database.reading() as session:
        record = await session.scalar(
            select(AuditRecord).where(AuditRecord.subject == engagement.id, AuditRecord.kind == "act")
        )
    assert record is not None
    assert (record.data["act"], record.actor) == ("plan_agreed", "mentor and mentee")
    await temporal.close(engagement)
