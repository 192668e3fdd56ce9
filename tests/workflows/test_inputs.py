"""Whatever a client sends to a lifecycle, it is applied or refused with a reason, and the lifecycle goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, update
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.command_sender import CommandSender
from activities.event_handlers.base import WorkflowNotRunning
from activities.upkeep.watchdog import GONE_AFTER, WatchdogActivities
from database.models import AuditRecord, Engagement, Member, Task
from lifecycles.workflow_commands import WorkflowCommand
from tests.support.limits import PATIENCE
from tests.support.temporal_workers import TemporalFixture, temporal
from worker.assembly import load_programs

__all__ = ["temporal"]

Handle = WorkflowHandle[Any, Any]

AT_ONCE = 10.0
"""Seconds in which a refusal comes: an input that the SDK failed on held the workflow for 20 to 45."""


def raw(data: bytes, encoding: bytes = b"json/plain") -> RawValue:
    """A payload of these bytes."""
    return RawValue(Payload(metadata={"encoding": encoding}, data=data))


NOTHING: list[Any] = []
UNREADABLE = [
    pytest.param("extend", [[1, 2]], "its input is no JSON object", id="list"),
    pytest.param("extend", ["moved"], "its input is no JSON object", id="text"),
    pytest.param("extend", [raw(b'{"months": ')], "its input cannot be read as JSON", id="half an object"),
    pytest.param("extend", [raw(b"\xff\xfe\x00")], "its input cannot be read as JSON", id="no text"),
    pytest.param(
        "extend", [raw(b"x", b"binary/unheard-of")], "its input cannot be read as JSON", id="encoding"
    ),
    pytest.param("extend", [raw(b"x", b"binary/plain")], "its input is no JSON object", id="bytes"),
    pytest.param("extend", [raw(b"[" * 100_000)], "its input cannot be read as JSON", id="deep"),
    pytest.param(
        "extend", [raw(b'{"months": ' + b"9" * 5_000 + b"}")], "its input cannot be read as JSON", id="digits"
    ),
    pytest.param("extend", [{"months": 3}, {"months": 4}], "it takes one input, not 2", id="two inputs"),
    pytest.param("extend", [{"months": 2.5}], "months is a whole number", id="half"),
    pytest.param("extend", [{"months": True}], "months is a whole number", id="true"),
    pytest.param("extend", [{"months": "3"}], "months is a whole number", id="digit as text"),
    pytest.param("extend", [{"months": 1e300}], "months is at most 10000", id="huge number"),
    pytest.param("cancel", [{"reason": {"text": "moved"}}], "reason is text", id="reason"),
    pytest.param("cancel", [{"actor": 300 * "x"}], "actor is longer than 200 characters", id="long actor"),
    pytest.param(
        "pause",
        [{"at": "2027-01-01T00:00:00"}],
        "at is a time with its offset, like 2028-03-14T09:00:00-05:00",
        id="no offset",
    ),
    pytest.param(
        "pause", [{"at": "0001-01-01T00:00:00+14:00"}], "at lies outside the years of a calendar", id="year 1"
    ),
]


async def records_of(temporal: TemporalFixture, lifecycle: Handle, kind: str) -> list[AuditRecord]:
    """The audit records of a lifecycle of one kind, in order."""
    async with temporal.database.reading() as session:
        query = select(AuditRecord).where(AuditRecord.subject == lifecycle.id, AuditRecord.kind == kind)
        return list(await session.scalars(query.order_by(AuditRecord.sequence)))


async def recorded(temporal: TemporalFixture, lifecycle: Handle, refusals: int) -> list[AuditRecord]:
    """The refusals of a lifecycle, once there are so many."""
    async with asyncio.timeout(PATIENCE):
        while len(found := await records_of(temporal, lifecycle, "refused")) < refusals:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return found


async def refusal_of(lifecycle: Handle, name: str, given: list[Any]) -> str:
    """The words in which an update is refused, at once."""
    async with asyncio.timeout(AT_ONCE):
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await lifecycle.execute_update(name, args=given)
    assert isinstance(refused.value.cause, ApplicationError)
    return refused.value.cause.message


@pytest.fixture(scope="module")
async def engagement(temporal: TemporalFixture) -> AsyncIterator[Handle]:
    """An engagement that all of it is sent to: it goes on after each."""
    found = await temporal.match()
    yield found
    await temporal.close(found)


@pytest.mark.rule("STA1")
@pytest.mark.parametrize(("name", "given", "reason"), UNREADABLE)
async def test_update_with_wrong_input_is_refused_at_once(
    engagement: Handle, name: str, given: list[Any], reason: str
) -> None:
    assert await refusal_of(engagement, name, given) == f"{name}: {reason}"


@pytest.mark.rule("STA1")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("end", "end: it needs an input with reason"),
        ("met", "met: it needs an input with by and answer"),
        ("extend", "a new end is either a day or a number of months"),
        (
            "dance",
            "dance: there is no update of this name, only agree_extension, cancel, curriculum_done, "
            "discovery, end, extend, met, "
            "misconduct, pause, plan_agreed, resume",
        ),
    ],
)
async def test_update_without_input_is_refused_at_once(engagement: Handle, name: str, reason: str) -> None:
    assert await refusal_of(engagement, name, NOTHING) == reason


@pytest.mark.rule("STA1", "STA3")
@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [
        *UNREADABLE,
        pytest.param("standing", [{}], "by is missing", id="standing of nobody"),
        pytest.param("standing", [{"by": "x"}], "good is missing", id="standing of no kind"),
        pytest.param("standing", NOTHING, "it needs an input with by and good", id="standing without input"),
        pytest.param("dance", [{}], "there is no signal of this name", id="unknown signal"),
        pytest.param("resume", [{}], "it is not paused", id="refused by the rules"),
    ],
)
async def test_wrong_signal_is_on_record_and_blocks_nothing(
    temporal: TemporalFixture, engagement: Handle, name: str, given: list[Any], reason: str
) -> None:
    before = len(await records_of(temporal, engagement, "refused"))
    await engagement.signal(name, args=given)
    *_, record = await recorded(temporal, engagement, before + 1)
    assert (record.data["event"], record.data["reason"], record.actor) == (name, reason, "unknown")
    async with asyncio.timeout(AT_ONCE):
        assert (await engagement.execute_update("extend", {"months": 1}))["state"] == "active"


@pytest.mark.rule("STA3")
async def test_refusal_names_its_actor(temporal: TemporalFixture, engagement: Handle) -> None:
    before = len(await records_of(temporal, engagement, "refused"))
    await engagement.signal("resume", {"actor": "lina", "reason": "back again"})
    *_, record = await recorded(temporal, engagement, before + 1)
    assert (record.actor, record.data["event"]) == ("lina", "resume")


@pytest.mark.rule("STA1")
async def test_huge_reason_is_cut_and_the_act_applied(temporal: TemporalFixture, engagement: Handle) -> None:
    async with asyncio.timeout(PATIENCE):
        answer = await engagement.execute_update("pause", {"reason": 1_500_000 * "x", "actor": "lina"})
        assert answer["state"] == "paused"
        assert (await engagement.execute_update("resume", {"actor": "lina"}))["state"] == "active"
    paused = [each for each in await records_of(temporal, engagement, "act") if each.data["act"] == "pause"]
    assert len((paused[-1].veiled or {})["reason"]) == 10_000


@pytest.mark.rule("STA1", "ENG6")
async def test_update_sent_twice_under_one_id_is_applied_once(
    temporal: TemporalFixture, engagement: Handle
) -> None:
    before = len(await records_of(temporal, engagement, "act"))
    first = await engagement.execute_update("extend", {"months": 1, "actor": "lina"}, id="ticket 4711")
    again = await engagement.execute_update("extend", {"months": 1, "actor": "lina"}, id="ticket 4711")
    assert first == again
    acts = [each.data for each in await records_of(temporal, engagement, "act")][before:]
    assert [(act["id"], act["act"]) for act in acts] == [("update ticket 4711", "extend")]


@pytest.mark.rule("STA3")
async def test_each_of_many_refused_signals_is_recorded_once(temporal: TemporalFixture) -> None:
    engagement = await temporal.match()
    await asyncio.gather(*(engagement.signal("resume", {"actor": f"client-{n}"}) for n in range(150)))
    await temporal.close(engagement)
    records = await records_of(temporal, engagement, "refused")
    assert sorted(record.actor or "" for record in records) == sorted(f"client-{n}" for n in range(150))
    assert len({record.data["id"] for record in records}) == 150


@pytest.mark.rule("STA3")
async def test_refusals_of_one_lifecycle_are_bounded(temporal: TemporalFixture) -> None:
    engagement = await temporal.match()
    await asyncio.gather(*(engagement.signal("resume", {"actor": f"client-{n}"}) for n in range(260)))
    await temporal.close(engagement)
    records = await records_of(temporal, engagement, "refused")
    assert 201 <= len(records) <= 202
    assert all("last_of" in record.data for record in records[200:])


@pytest.mark.rule("STA1", "ENG6")
@pytest.mark.parametrize("reason", ["a slip of the hand", ""])
async def test_cancellation_by_temporal_is_the_act_cancel(temporal: TemporalFixture, reason: str) -> None:
    engagement = await temporal.match()
    before = len(temporal.catcher.caught)
    await engagement.cancel(reason=reason)
    assert await engagement.result() == "canceled"
    await temporal.catcher_has(before + 2)
    decided = await temporal.decisions(engagement.id)
    assert decided["mentor.canceled"] == decided["mentee.canceled"] == "sent"
    assert {
        decision for message, decision in decided.items() if message.endswith((".pulse", ".wrap_up"))
    } == {"cancelled"}
    [act] = await records_of(temporal, engagement, "act")
    assert (act.data["act"], act.actor) == ("cancel", "temporal")
    assert (act.veiled or {})["reason"] == (reason or "cancelled in Temporal")
    async with temporal.database.reading() as session:
        row = await session.get_one(Engagement, engagement.id)
        assert (row.state, row.closed_at is None) == ("canceled", False)


async def signed_up(temporal: TemporalFixture) -> Handle:
    """The onboarding of a new mentee, once it is planned."""
    name = f"mentee-{uuid4().hex[:8]}-{temporal.mark}"
    member = {"member": name, "name": "Bea Vega", "email": f"{name}@example.org", "standing": "good"}
    profile = {"profile": name, "member": name, "role": "mentee", "program": "asis-global"}
    await temporal.send_events(("member.updated", member), ("profile.created", profile))
    async with asyncio.timeout(PATIENCE):
        while not await temporal.decisions(f"onboarding/{name}"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return temporal.client.get_workflow_handle(f"onboarding/{name}")


@pytest.mark.rule("STA1", "ONB5")
async def test_half_a_check_in_is_refused_and_adds_none(temporal: TemporalFixture) -> None:
    onboarding = await signed_up(temporal)
    await onboarding.signal("extend", {"check_ins": 2.5, "actor": "lina"})
    assert (
        await refusal_of(onboarding, "extend", [{"check_ins": 2.5}]) == "extend: check_ins is a whole number"
    )
    [record] = await recorded(temporal, onboarding, 1)
    assert record.data["reason"] == "check_ins is a whole number"
    assert len((await onboarding.execute_update("cancel"))["dropped"]) == 4


@pytest.mark.rule("STA1", "STA2", "T7")
async def test_lifecycle_that_cannot_be_planned_goes_on(temporal: TemporalFixture) -> None:
    """A malformed certification in the database stops each plan: acts are refused, and staff get one task."""
    onboarding = await signed_up(temporal)
    mentee = onboarding.id.partition("/")[2]

    async def hold(certifications: list[dict[str, Any]]) -> None:
        async with temporal.database.begin() as session:
            (await session.get_one(Member, mentee)).certifications = certifications

    async def tasks(kind: str) -> list[tuple[str, str]]:
        async with temporal.database.reading() as session:
            query = select(Task).where(Task.subject == onboarding.id, Task.kind == kind)
            return [(task.cause, task.state) for task in await session.scalars(query)]

    await hold([{"name": "CPP"}])
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await onboarding.execute_update("extend", {"check_ins": 2, "actor": "lina"})
    assert isinstance(refused.value.cause, ApplicationError)
    reason = "the program failed on it (KeyError); staff have been notified"
    assert refused.value.cause.message == reason
    assert await tasks("plan_failed") == [("it cannot be planned", "open")]
    assert await tasks("act_failed") == [("extend: KeyError", "open")]
    [record] = await records_of(temporal, onboarding, "refused")
    assert (record.data["event"], record.data["reason"], record.actor) == ("extend", reason, "lina")
    assert set((await temporal.decisions(onboarding.id)).values()) == {"planned"}
    await hold([])
    answer = await onboarding.execute_update("extend", {"check_ins": 2, "actor": "lina"})
    assert len(answer["added"]) == 2
    assert await tasks("plan_failed") == [("it cannot be planned", "done")]
    assert len((await onboarding.execute_update("cancel"))["dropped"]) == 6


@pytest.mark.rule("STA1", "REQ10")
async def test_update_whose_workflow_ends_first_is_held_for_it(temporal: TemporalFixture) -> None:
    """The plan of the update waits for the database while the workflow is terminated: its row is open."""
    engagement = await temporal.match()
    sender = CommandSender(temporal.database, load_programs(Path("programs")), temporal.client)
    command = WorkflowCommand("update", engagement.id, "pause", {"event": "4711"})
    async with temporal.database.begin() as session:
        await session.execute(update(Task).values(note=Task.note))
        sending = asyncio.create_task(sender.send(command, "event-4711", timedelta(seconds=PATIENCE)))
        async with asyncio.timeout(PATIENCE):
            while not (await accepted(engagement)):  # noqa: ASYNC110 - the server tells nobody of an acceptance
                await asyncio.sleep(0.05)
        await engagement.terminate()
        with pytest.raises(WorkflowNotRunning):
            await sending


async def accepted(lifecycle: Handle) -> bool:
    """Whether a workflow has accepted an update."""
    events = (await lifecycle.fetch_history()).events
    return any(event.HasField("workflow_execution_update_accepted_event_attributes") for event in events)


@pytest.mark.rule("STA2")
async def test_terminated_workflow_is_one_task_until_it_runs_again(temporal: TemporalFixture) -> None:
    engagement = await temporal.match()
    watchdog = WatchdogActivities(temporal.database, load_programs(Path("programs")), temporal.client)

    async def look() -> list[tuple[str, str]]:
        looking = ActivityEnvironment()
        looking.info = replace(looking.info, started_time=datetime.now(UTC) + 2 * GONE_AFTER)
        await looking.run(watchdog.look_for_overdue)
        async with temporal.database.reading() as session:
            query = select(Task).where(Task.subject == engagement.id, Task.kind == "workflow_gone")
            return [(task.state, task.action) for task in await session.scalars(query)]

    assert await look() == []
    await engagement.terminate()
    [(state, action)] = await look()
    assert state == "open"
    assert "its last state is active" in action
    assert len(await look()) == 1
    await temporal.client.start_workflow(
        "Engagement",
        {
            "engagement": engagement.id.partition("/")[2],
            "mentee": temporal.profile("mentee"),
            "mentor": temporal.profile("mentor"),
            "started_at": datetime.now(UTC).isoformat(),
        },
        id=engagement.id,
        task_queue="throughline",
    )
    assert [state for state, _ in await look()] == ["done"]
    await temporal.close(engagement)
