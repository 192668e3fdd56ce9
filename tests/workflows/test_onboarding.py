"""Onboardings on a real server, driven by a plain client: what the Temporal CLI sends, and what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from database import ledger
from database.models import AuditRecord, Event, Member, Message, Onboarding, Profile
from rules.agenda import PlannedMail
from rules.onboarding import OnboardingFacts
from staff.message_orders import MessageOrder, give_order
from tests.support.limits import PATIENCE
from tests.support.temporal_workers import TemporalFixture, temporal
from worker.assembly import load_programs
from workflows.inbox import shard_id

__all__ = ["temporal"]

Handle = WorkflowHandle[Any, Any]


async def signed_up(temporal: TemporalFixture, role: str = "mentee", standing: str = "good") -> str:
    """A new profile of a new member, in the database only; its id."""
    profile = f"{role}-{uuid4().hex[:8]}-{temporal.mark}"
    at = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
    async with temporal.database.begin() as session:
        session.add(
            Member(
                id=profile,
                name="Ana Vega",
                email=f"{profile}@example.org",
                standing=standing,
                standing_since=at,
                updated_at=at,
            )
        )
        await session.flush()
        session.add(
            Profile(
                id=profile, member_id=profile, role=role, program="asis-global", created_at=at, updated_at=at
            )
        )
    return profile


def facts(profile: str, created: datetime) -> dict[str, Any]:
    """What an onboarding is started with, as JSON."""
    values = asdict(OnboardingFacts(profile, profile.partition("-")[0], created))
    return {**values, "created_at": created.isoformat()}


async def now(temporal: TemporalFixture) -> datetime:
    """The server's present instant, to the second."""
    async with temporal.database.reading() as session:
        shard = await session.scalar(select(Event.shard).limit(1))
    assert shard is not None
    started = await temporal.client.get_workflow_handle(shard_id(shard)).describe()
    return max(started.start_time, started.execution_time or started.start_time).replace(microsecond=0)


async def begun(temporal: TemporalFixture, role: str = "mentee", **start: Any) -> Handle:
    """An onboarding that has just begun, once it is planned."""
    profile = await signed_up(temporal, role)
    handle: Handle = await temporal.client.start_workflow(
        "Onboarding",
        facts(profile, await now(temporal)),
        id=f"onboarding/{profile}",
        task_queue="throughline",
        **start,
    )
    await until(temporal, handle, lambda state: state is not None)
    return handle


async def rows(temporal: TemporalFixture, handle: Handle) -> list[Message]:
    """The messages of an onboarding, in order."""
    async with temporal.database.reading() as session:
        query = select(Message).where(Message.workflow == handle.id).order_by(Message.occurrence)
        return list(await session.scalars(query))


async def state(temporal: TemporalFixture, handle: Handle) -> str | None:
    """The state of an onboarding in the database."""
    async with temporal.database.reading() as session:
        return await session.scalar(select(Onboarding.state).where(Onboarding.workflow == handle.id))


async def until(temporal: TemporalFixture, handle: Handle, holds: Callable[[str | None], bool]) -> None:
    """Wait until something holds of the state of an onboarding."""
    async with asyncio.timeout(PATIENCE):
        while not holds(await state(temporal, handle)):  # noqa: ASYNC110 - the database tells nobody of a change
            await asyncio.sleep(0.02)


async def becomes(temporal: TemporalFixture, handle: Handle, wanted: str) -> None:
    """Wait until an onboarding has a state."""
    await until(temporal, handle, lambda state: state == wanted)


async def acts(temporal: TemporalFixture, handle: Handle) -> list[tuple[str | None, str, str | None]]:
    """The recorded acts: who, what, why."""
    async with temporal.database.reading() as session:
        records = await session.scalars(
            select(AuditRecord)
            .where(AuditRecord.subject == handle.id, AuditRecord.kind == "act")
            .order_by(AuditRecord.sequence)
        )
        return [(record.actor, record.data["act"], (record.veiled or {}).get("reason")) for record in records]


def refusal(error: WorkflowUpdateFailedError) -> str:
    """The words of a refused update."""
    assert isinstance(error.cause, ApplicationError)
    return error.cause.message


CHECK_INS = [("check-in/1", 1), ("check-in/2", 2), ("check-in/3", 3), ("check-in/4", 4)]


@pytest.mark.rule("STA1", "STA3", "ONB5")
async def test_cancel_signal_of_the_temporal_cli_works(temporal: TemporalFixture) -> None:
    onboarding = await begun(temporal)
    await onboarding.signal("cancel", {"reason": "moved", "actor": "lina"})
    assert await onboarding.result() == "canceled"
    assert [(row.state, row.reason) for row in await rows(temporal, onboarding)] == [
        ("cancelled", "cancelled by staff: moved")
    ] * 4
    assert await acts(temporal, onboarding) == [("lina", "cancel", "moved")]


@pytest.mark.rule("STA1", "ONB5")
async def test_signal_without_input_is_applied(temporal: TemporalFixture) -> None:
    onboarding = await begun(temporal)
    await onboarding.signal("pause")
    await becomes(temporal, onboarding, "paused")
    await onboarding.signal("resume")
    await becomes(temporal, onboarding, "waiting")
    await onboarding.signal("extend")
    await onboarding.signal("cancel")
    assert await onboarding.result() == "canceled"
    assert len(await rows(temporal, onboarding)) in (4, 5)
    assert [what for _, what, _ in await acts(temporal, onboarding)] == [
        "pause",
        "resume",
        "extend",
        "cancel",
    ]


@pytest.mark.rule("STA1", "ONB5")
async def test_cancel_update_returns_the_dropped_messages(temporal: TemporalFixture) -> None:
    onboarding = await begun(temporal)
    due = [row.due_at for row in await rows(temporal, onboarding)]
    answer = await onboarding.execute_update("cancel", {"reason": "moved", "actor": "lina"})
    assert answer["state"] == "canceled"
    assert answer["moved"] == []
    assert [(shift["key"], shift["number"]) for shift in answer["dropped"]] == CHECK_INS
    assert [datetime.fromisoformat(shift["was"]) for shift in answer["dropped"]] == due
    assert {shift["due"] for shift in answer["dropped"]} == {None}
    assert await onboarding.result() == "canceled"


@pytest.mark.rule("STA1", "ONB5")
async def test_extend_update_returns_the_added_check_ins(temporal: TemporalFixture) -> None:
    onboarding = await begun(temporal)
    before = [row.due_at for row in await rows(temporal, onboarding)]
    answer = await onboarding.execute_update(
        "extend", {"check_ins": 2, "actor": "lina", "reason": "asked for it"}
    )
    assert (answer["state"], answer["moved"], answer["dropped"]) == ("waiting", [], [])
    assert [(shift["key"], shift["number"]) for shift in answer["added"]] == [
        ("check-in/5", 5),
        ("check-in/6", 6),
    ]
    after = [row.due_at for row in await rows(temporal, onboarding)]
    assert [datetime.fromisoformat(shift["due"]) for shift in answer["added"]] == after[4:]
    assert after[:4] == before
    assert len(after) == 6
    assert await acts(temporal, onboarding) == [("lina", "extend", "asked for it")]
    await onboarding.signal("cancel")


@pytest.mark.rule("STA1", "ONB5")
async def test_pause_and_resume_updates_return_the_moved_messages(temporal: TemporalFixture) -> None:
    onboarding = await begun(temporal)
    due = [row.due_at for row in await rows(temporal, onboarding)]
    answer = await onboarding.execute_update("pause", {"actor": "lina", "reason": "away"})
    assert answer["state"] == "paused"
    assert [(shift["key"], shift["number"]) for shift in answer["moved"]] == CHECK_INS
    assert [datetime.fromisoformat(shift["was"]) for shift in answer["moved"]] == due
    assert {shift["due"] for shift in answer["moved"]} == {None}
    answer = await onboarding.execute_update("resume", {"actor": "lina", "reason": "back"})
    assert answer["state"] == "waiting"
    assert {shift["was"] for shift in answer["moved"]} == {None}
    for shift, was in zip(answer["moved"], due, strict=True):
        assert was is not None
        assert timedelta(0) <= datetime.fromisoformat(shift["due"]) - was <= timedelta(days=4)
    await onboarding.signal("cancel")


@pytest.mark.rule("STA1", "ONB3", "ONB6")
@pytest.mark.parametrize(
    ("update", "argument", "state"),
    [("matched", {"request": "r-1"}, "matched"), ("withdrawn", {"actor": "directory"}, "withdrawn")],
)
async def test_match_and_withdraw_updates_return_the_dropped_messages(
    temporal: TemporalFixture, update: str, argument: dict[str, str], state: str
) -> None:
    onboarding = await begun(temporal)
    answer = await onboarding.execute_update(update, argument)
    assert answer["state"] == state
    assert [(shift["key"], shift["number"]) for shift in answer["dropped"]] == CHECK_INS
    if update == "matched":
        await onboarding.signal("match_ended", {"request": "r-1"})
    assert await onboarding.result() == state


@pytest.mark.rule("ONB8", "STA1")
async def test_match_without_fit_lets_the_check_ins_go_on(temporal: TemporalFixture) -> None:
    onboarding = await begun(temporal)
    matched = await onboarding.execute_update("matched", {"request": "r-1"})
    assert matched["state"] == "matched"
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await onboarding.execute_update("pause", {"actor": "lina"})
    assert refusal(refused.value) == "the onboarding is over: matched"
    await onboarding.signal("match_ended", {"request": "r-other", "no_fit": True})
    await onboarding.signal("match_ended", {"request": "r-1", "no_fit": True})
    await becomes(temporal, onboarding, "active")
    planned = [row for row in await rows(temporal, onboarding) if row.state == "planned"]
    assert [(row.step, row.occurrence, row.number) for row in planned] == [
        ("check-in.2", number, number) for number in (1, 2, 3, 4)
    ]
    await onboarding.signal("cancel", {"actor": "lina"})
    assert await onboarding.result() == "canceled"


@pytest.mark.rule("STA1", "ONB5")
async def test_act_refused_by_the_rules_changes_nothing(temporal: TemporalFixture) -> None:
    onboarding, mentor = await begun(temporal), await begun(temporal, "mentor")
    for handle, update, argument, why in (
        (onboarding, "extend", {"check_ins": 0}, "an extension is 1 to 26 check-ins"),
        (onboarding, "extend", {"check_ins": 27}, "an extension is 1 to 26 check-ins"),
        (onboarding, "extend", {"reason": "how many?"}, "extend: check_ins is missing"),
        (onboarding, "resume", {}, "it is not paused by staff"),
        (mentor, "extend", {"check_ins": 1}, "only a mentee's onboarding has check-ins to extend"),
    ):
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update(update, argument)
        assert refusal(refused.value) == why
    await onboarding.execute_update("pause", {"actor": "lina"})
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await onboarding.execute_update("pause", {"actor": "lina"})
    assert refusal(refused.value) == "it is paused already"
    assert len(await rows(temporal, onboarding)) == 4
    assert len(await rows(temporal, mentor)) == 1
    assert [what for _, what, _ in await acts(temporal, onboarding)] == ["pause"]
    for handle in (onboarding, mentor):
        await handle.signal("cancel")
        assert await handle.result() == "canceled"


@pytest.mark.rule("STA1", "ONB5")
async def test_closed_onboarding_refuses_every_update(temporal: TemporalFixture) -> None:
    onboarding = await begun(temporal)
    await onboarding.execute_update("cancel", {"actor": "lina"})
    await onboarding.result()
    for update in ("cancel", "extend", "pause", "resume"):
        with pytest.raises(RPCError) as over:
            await onboarding.execute_update(update, {"check_ins": 1})
        assert over.value.status == RPCStatusCode.NOT_FOUND


@pytest.mark.rule("STA1", "ONB5", "MAIL1")
async def test_repeated_signals_leave_one_onboarding_with_four_check_ins(
    temporal: TemporalFixture,
) -> None:
    onboarding = await begun(temporal)
    for signal in ("pause", "pause", "resume", "resume", "replan", "replan", "resume", "pause", "resume"):
        await onboarding.signal(signal)
    answer = await onboarding.execute_update("pause", {"actor": "lina"})
    assert answer["state"] == "paused"
    await onboarding.execute_update("resume", {"actor": "lina"})
    assert [(row.state, row.occurrence) for row in await rows(temporal, onboarding)] == [
        ("planned", number) for number in (1, 2, 3, 4)
    ]
    for _ in range(3):
        await onboarding.signal("cancel", {"reason": "moved", "actor": "lina"})
    assert await onboarding.result() == "canceled"
    assert {row.reason for row in await rows(temporal, onboarding)} == {"cancelled by staff: moved"}


@pytest.mark.rule("STA1", "ONB3", "ONB6")
@pytest.mark.parametrize(
    ("signal", "argument", "ended"),
    [
        ("matched", {"request": "r-1"}, "matched"),
        ("withdrawn", {}, "withdrawn"),
        ("cancel", {"reason": "moved", "actor": "lina"}, "canceled"),
    ],
)
async def test_signal_at_the_start_is_applied_before_any_mail(
    temporal: TemporalFixture, signal: str, argument: dict[str, Any], ended: str
) -> None:
    onboarding = await begun(temporal, start_signal=signal, start_signal_args=[argument])
    if signal == "matched":
        await onboarding.signal("match_ended", argument)
    assert await onboarding.result() == ended
    assert {row.state for row in await rows(temporal, onboarding)} <= {"cancelled"}
    assert await state(temporal, onboarding) == ended


@pytest.mark.rule("STA1", "ONB5")
async def test_extension_at_the_start_counts(temporal: TemporalFixture) -> None:
    onboarding = await begun(temporal, start_signal="extend", start_signal_args=[{"check_ins": 3}])
    answer = await onboarding.execute_update("cancel", {"actor": "lina"})
    assert len(answer["dropped"]) == 7


@pytest.mark.rule("ONB3")
async def test_match_does_not_end_a_mentors_onboarding(temporal: TemporalFixture) -> None:
    mentor = await begun(temporal, "mentor")
    await mentor.signal("matched", {"request": "r-1"})
    assert (await mentor.execute_update("pause", {"actor": "lina"}))["state"] == "paused"
    await mentor.signal("cancel")
    assert await mentor.result() == "canceled"


@pytest.mark.rule("MEM2")
async def test_lost_standing_holds_mail_until_it_returns(temporal: TemporalFixture) -> None:
    onboarding = await begun(temporal)
    await onboarding.signal("standing", {"good": False})
    await becomes(temporal, onboarding, "paused")
    assert [row.due_at for row in await rows(temporal, onboarding)] == [None] * 4
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await onboarding.execute_update("resume", {"actor": "lina"})
    assert refusal(refused.value) == "it is not paused by staff"
    await onboarding.signal("standing", {"good": True})
    await becomes(temporal, onboarding, "waiting")
    assert all(row.due_at for row in await rows(temporal, onboarding))
    await onboarding.signal("cancel")


@pytest.mark.rule("STA1")
@pytest.mark.parametrize(
    "nonsense",
    ["moved", 7, ["moved"], {"at": "yesterday"}, {"check_ins": "two"}, {"reason": {"text": "moved"}}],
    ids=str,
)
async def test_malformed_signal_is_dropped_and_the_onboarding_continues(
    temporal: TemporalFixture, nonsense: object
) -> None:
    onboarding = await begun(temporal)
    await onboarding.signal("extend", nonsense)
    answer = await onboarding.execute_update("cancel", {"reason": "moved", "actor": "lina"})
    assert answer["state"] == "canceled"
    assert len(answer["dropped"]) == 4


@pytest.mark.rule("STA1", "T8")
@pytest.mark.parametrize("signal", ["pause", "cancel", "matched", "standing"])
async def test_signal_with_a_naive_time_is_dropped(temporal: TemporalFixture, signal: str) -> None:
    onboarding = await begun(temporal)
    await onboarding.signal(signal, {"at": "2027-01-01T00:00:00", "request": "r-1", "good": False})
    answer = await onboarding.execute_update("pause", {"reason": "away", "actor": "lina"})
    assert answer["state"] == "paused"
    await onboarding.signal("cancel")


@pytest.mark.rule("STA1", "STA3")
async def test_unstorable_text_is_sanitized_and_kept(
    temporal: TemporalFixture,
) -> None:
    onboarding = await begun(temporal)
    argument = {"reason": "mo\x00ved\x1b[2J\ud800 see event:\u00b2\n" + 20_000 * "x", "actor": "li\x07na"}
    await onboarding.signal("cancel", argument)
    assert await onboarding.result() == "canceled"
    [(actor, act, reason)] = await acts(temporal, onboarding)
    assert (actor, act) == ("li na", "cancel")
    assert reason is not None
    assert reason.startswith("mo ved [2J  see event:\u00b2\nxxx")
    assert len(reason) == 10_000


@pytest.mark.rule("STA1")
@pytest.mark.parametrize("number", ["9" * 30, "\u0661", ""])
async def test_reason_that_looks_like_an_event_id_stays_text(temporal: TemporalFixture, number: str) -> None:
    onboarding = await begun(temporal)
    await onboarding.signal("cancel", {"reason": f"event:{number}", "actor": "lina"})
    assert await onboarding.result() == "canceled"
    assert await acts(temporal, onboarding) == [("lina", "cancel", f"event:{number}")]


@pytest.mark.rule("STA1")
async def test_unknown_signal_field_is_ignored(temporal: TemporalFixture) -> None:
    onboarding = await begun(temporal)
    await onboarding.signal("cancel", {"reason": "moved", "actor": "lina", "ticket": 4711})
    assert await onboarding.result() == "canceled"


@pytest.mark.rule("STA1", "MAIL4")
async def test_concurrent_cancel_and_extension_apply_in_either_order(temporal: TemporalFixture) -> None:
    onboarding = await begun(temporal)
    cancelled = onboarding.execute_update("cancel", {"actor": "lina"})
    extended = onboarding.execute_update("extend", {"check_ins": 1, "actor": "carlos"})
    answers: list[Any] = list(await asyncio.gather(cancelled, extended, return_exceptions=True))
    assert answers[0]["state"] == "canceled"
    assert isinstance(answers[1], dict | WorkflowUpdateFailedError | RPCError)
    assert await onboarding.result() == "canceled"
    assert {row.state for row in await rows(temporal, onboarding)} == {"cancelled"}


@pytest.mark.rule("MEM6")
async def test_personal_data_of_events_stays_out_of_the_history(temporal: TemporalFixture) -> None:
    profile = f"mentee-{uuid4().hex[:8]}-{temporal.mark}"
    address = f"{profile}@example.org"
    details = {"member": profile, "name": "Bea Cruz", "email": address, "standing": "good"}
    await temporal.send_events(
        ("member.updated", details),
        ("profile.created", {"profile": profile, "member": profile, "role": "mentee"}),
    )
    onboarding = temporal.client.get_workflow_handle(f"onboarding/{profile}")
    async with asyncio.timeout(PATIENCE):
        while not await rows(temporal, onboarding):  # noqa: ASYNC110 - the database tells nobody of a change
            await asyncio.sleep(0.02)
    cancel = {"target": onboarding.id, "actor": "lina", "reason": "Bea has moved to Lima"}
    await temporal.send_events(("staff.cancel", cancel))
    await becomes(temporal, onboarding, "canceled")
    assert await onboarding.result() == "canceled"
    written = b"".join([event.SerializeToString() async for event in onboarding.fetch_history_events()])
    assert profile.encode() in written
    for word in (b"Bea", b"Cruz", address.encode(), b"Lima"):
        assert word not in written
    assert {row.reason for row in await rows(temporal, onboarding)} == {
        "cancelled by staff: Bea has moved to Lima"
    }
    assert await acts(temporal, onboarding) == [("lina", "cancel", "Bea has moved to Lima")]


@pytest.mark.rule("MAIL1", "STA3")
async def test_staff_send_one_message_now_and_another_after_the_end(temporal: TemporalFixture) -> None:
    """What staff send or release goes out through the running lifecycle, or by itself where that is over."""
    handle = await begun(temporal)
    first, *_ = await rows(temporal, handle)
    programs = load_programs(Path("programs"))

    async def order(name: str, row: Message) -> None:
        given = MessageOrder(name, row.delivery, "she asked", "lina")
        assert (
            await give_order(temporal.database, temporal.client, programs, given, datetime.now(UTC))
        ).reached

    async def is_sent(row: Message) -> bool:
        async with temporal.database.reading() as session:
            return await session.scalar(select(Message.state).where(Message.id == row.id)) == "sent"

    async def sent(row: Message) -> None:
        async with asyncio.timeout(PATIENCE):
            while not await is_sent(row):  # noqa: ASYNC110 - the database sends no notice of a change
                await asyncio.sleep(0.02)

    await order("send", first)
    await sent(first)
    profile, due = await signed_up(temporal), datetime.now(UTC) + timedelta(seconds=2)
    over = f"onboarding/{profile}"
    async with temporal.database.begin() as session:
        mail = PlannedMail("check-in", due, "mentee.checkin", profile, number=1)
        await ledger.plan(session, over, "asis-global", [mail], due, "", {profile: profile})
        (last,) = await ledger.rows_of(session, over)
    await order("hold", last)
    await order("release", last)
    await sent(last)
