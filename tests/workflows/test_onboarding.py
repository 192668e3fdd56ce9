"""Onboardings on a real server, told by a plain client: what Temporal's own command line sends, and what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from database.models import AuditRecord, Member, Message, Onboarding, Profile
from rules.onboarding import OnboardingFacts
from tests.support.limits import PATIENCE
from tests.support.temporal_workers import Office, office

__all__ = ["office"]

Handle = WorkflowHandle[Any, Any]


async def signed_up(office: Office, role: str = "mentee", standing: str = "good") -> str:
    """A new profile of a new member, in the database only; its id."""
    profile = f"{role}-{uuid4().hex[:8]}-{office.mark}"
    at = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
    async with office.database.begin() as session:
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
    told = asdict(OnboardingFacts(profile, profile.partition("-")[0], created))
    return {**told, "created_at": created.isoformat()}


async def now(office: Office) -> datetime:
    """The server's present instant, to the second."""
    started = await office.client.get_workflow_handle("inbox").describe()
    return max(started.start_time, started.execution_time or started.start_time).replace(microsecond=0)


async def begun(office: Office, role: str = "mentee", **start: Any) -> Handle:
    """An onboarding that has just begun, once it is planned."""
    profile = await signed_up(office, role)
    handle: Handle = await office.client.start_workflow(
        "Onboarding",
        facts(profile, await now(office)),
        id=f"onboarding/{profile}",
        task_queue="throughline",
        **start,
    )
    await until(office, handle, lambda state: state is not None)
    return handle


async def rows(office: Office, handle: Handle) -> list[Message]:
    """The messages of an onboarding, in order."""
    async with office.database.reading() as session:
        query = select(Message).where(Message.workflow == handle.id).order_by(Message.occurrence)
        return list(await session.scalars(query))


async def state(office: Office, handle: Handle) -> str | None:
    """The state of an onboarding in the database."""
    async with office.database.reading() as session:
        return await session.scalar(select(Onboarding.state).where(Onboarding.workflow == handle.id))


async def until(office: Office, handle: Handle, holds: Callable[[str | None], bool]) -> None:
    """Wait until something holds of the state of an onboarding."""
    async with asyncio.timeout(PATIENCE):
        while not holds(await state(office, handle)):  # noqa: ASYNC110 - the database tells nobody of a change
            await asyncio.sleep(0.02)


async def becomes(office: Office, handle: Handle, wanted: str) -> None:
    """Wait until an onboarding has a state."""
    await until(office, handle, lambda state: state == wanted)


async def acts(office: Office, handle: Handle) -> list[tuple[str | None, str, str | None]]:
    """The recorded acts: who, what, why."""
    async with office.database.reading() as session:
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
async def test_cancel_signal_of_the_temporal_cli_works(office: Office) -> None:
    onboarding = await begun(office)
    await onboarding.signal("cancel", {"reason": "moved", "actor": "lina"})
    assert await onboarding.result() == "canceled"
    assert [(row.state, row.reason) for row in await rows(office, onboarding)] == [
        ("cancelled", "cancelled by staff: moved")
    ] * 4
    assert await acts(office, onboarding) == [("lina", "cancel", "moved")]


@pytest.mark.rule("STA1", "ONB5")
async def test_signal_without_input_is_applied(office: Office) -> None:
    onboarding = await begun(office)
    await onboarding.signal("pause")
    await becomes(office, onboarding, "paused")
    await onboarding.signal("resume")
    await becomes(office, onboarding, "waiting")
    await onboarding.signal("extend")
    await onboarding.signal("cancel")
    assert await onboarding.result() == "canceled"
    assert len(await rows(office, onboarding)) in (4, 5)
    assert [what for _, what, _ in await acts(office, onboarding)] == ["pause", "resume", "extend", "cancel"]


@pytest.mark.rule("STA1", "ONB5")
async def test_cancel_update_returns_the_dropped_messages(office: Office) -> None:
    onboarding = await begun(office)
    due = [row.due_at for row in await rows(office, onboarding)]
    answer = await onboarding.execute_update("cancel", {"reason": "moved", "actor": "lina"})
    assert answer["state"] == "canceled"
    assert answer["moved"] == []
    assert [(shift["key"], shift["number"]) for shift in answer["dropped"]] == CHECK_INS
    assert [datetime.fromisoformat(shift["was"]) for shift in answer["dropped"]] == due
    assert {shift["due"] for shift in answer["dropped"]} == {None}
    assert await onboarding.result() == "canceled"


@pytest.mark.rule("STA1", "ONB5")
async def test_extend_update_returns_the_added_check_ins(office: Office) -> None:
    onboarding = await begun(office)
    before = [row.due_at for row in await rows(office, onboarding)]
    answer = await onboarding.execute_update(
        "extend", {"check_ins": 2, "actor": "lina", "reason": "asked for it"}
    )
    assert (answer["state"], answer["moved"], answer["dropped"]) == ("waiting", [], [])
    assert [(shift["key"], shift["number"]) for shift in answer["added"]] == [
        ("check-in/5", 5),
        ("check-in/6", 6),
    ]
    after = [row.due_at for row in await rows(office, onboarding)]
    assert [datetime.fromisoformat(shift["due"]) for shift in answer["added"]] == after[4:]
    assert after[:4] == before
    assert len(after) == 6
    assert await acts(office, onboarding) == [("lina", "extend", "asked for it")]
    await onboarding.signal("cancel")


@pytest.mark.rule("STA1", "ONB5")
async def test_pause_and_resume_updates_return_the_moved_messages(office: Office) -> None:
    onboarding = await begun(office)
    due = [row.due_at for row in await rows(office, onboarding)]
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
    ("update", "told", "state"),
    [("matched", {"request": "r-1"}, "matched"), ("withdrawn", {"actor": "directory"}, "withdrawn")],
)
async def test_match_and_withdraw_updates_return_the_dropped_messages(
    office: Office, update: str, told: dict[str, str], state: str
) -> None:
    onboarding = await begun(office)
    answer = await onboarding.execute_update(update, told)
    assert answer["state"] == state
    assert [(shift["key"], shift["number"]) for shift in answer["dropped"]] == CHECK_INS
    assert await onboarding.result() == state


@pytest.mark.rule("STA1", "ONB5")
async def test_act_refused_by_the_rules_changes_nothing(office: Office) -> None:
    onboarding, mentor = await begun(office), await begun(office, "mentor")
    for handle, update, told, why in (
        (onboarding, "extend", {"check_ins": 0}, "an extension is 1 to 26 check-ins"),
        (onboarding, "extend", {"check_ins": 27}, "an extension is 1 to 26 check-ins"),
        (onboarding, "extend", {"reason": "how many?"}, "an extension is 1 to 26 check-ins"),
        (onboarding, "resume", {}, "it is not paused by staff"),
        (mentor, "extend", {"check_ins": 1}, "only a mentee's onboarding has check-ins to extend"),
    ):
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update(update, told)
        assert refusal(refused.value) == why
    await onboarding.execute_update("pause", {"actor": "lina"})
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await onboarding.execute_update("pause", {"actor": "lina"})
    assert refusal(refused.value) == "it is paused already"
    assert len(await rows(office, onboarding)) == 4
    assert len(await rows(office, mentor)) == 1
    assert [what for _, what, _ in await acts(office, onboarding)] == ["pause"]
    for handle in (onboarding, mentor):
        await handle.signal("cancel")
        assert await handle.result() == "canceled"


@pytest.mark.rule("STA1", "ONB5")
async def test_closed_onboarding_refuses_every_update(office: Office) -> None:
    onboarding = await begun(office)
    await onboarding.execute_update("cancel", {"actor": "lina"})
    await onboarding.result()
    for update in ("cancel", "extend", "pause", "resume"):
        with pytest.raises(RPCError) as over:
            await onboarding.execute_update(update, {"check_ins": 1})
        assert over.value.status == RPCStatusCode.NOT_FOUND


@pytest.mark.rule("STA1", "ONB5", "MAIL1")
async def test_repeated_signals_leave_one_onboarding_with_four_check_ins(
    office: Office,
) -> None:
    onboarding = await begun(office)
    for signal in ("pause", "pause", "resume", "resume", "replan", "replan", "resume", "pause", "resume"):
        await onboarding.signal(signal)
    answer = await onboarding.execute_update("pause", {"actor": "lina"})
    assert answer["state"] == "paused"
    await onboarding.execute_update("resume", {"actor": "lina"})
    assert [(row.state, row.occurrence) for row in await rows(office, onboarding)] == [
        ("planned", number) for number in (1, 2, 3, 4)
    ]
    for _ in range(3):
        await onboarding.signal("cancel", {"reason": "moved", "actor": "lina"})
    assert await onboarding.result() == "canceled"
    assert {row.reason for row in await rows(office, onboarding)} == {"cancelled by staff: moved"}


@pytest.mark.rule("STA1", "ONB3", "ONB6")
@pytest.mark.parametrize(
    ("signal", "told", "ended"),
    [
        ("matched", {"request": "r-1"}, "matched"),
        ("withdrawn", {}, "withdrawn"),
        ("cancel", {"reason": "moved", "actor": "lina"}, "canceled"),
    ],
)
async def test_signal_at_the_start_is_applied_before_any_mail(
    office: Office, signal: str, told: dict[str, Any], ended: str
) -> None:
    onboarding = await begun(office, start_signal=signal, start_signal_args=[told])
    assert await onboarding.result() == ended
    assert {row.state for row in await rows(office, onboarding)} <= {"cancelled"}
    assert await state(office, onboarding) == ended


@pytest.mark.rule("STA1", "ONB5")
async def test_extension_at_the_start_counts(office: Office) -> None:
    onboarding = await begun(office, start_signal="extend", start_signal_args=[{"check_ins": 3}])
    answer = await onboarding.execute_update("cancel", {"actor": "lina"})
    assert len(answer["dropped"]) == 7


@pytest.mark.rule("ONB3")
async def test_match_does_not_end_a_mentors_onboarding(office: Office) -> None:
    mentor = await begun(office, "mentor")
    await mentor.signal("matched", {"request": "r-1"})
    assert (await mentor.execute_update("pause", {"actor": "lina"}))["state"] == "paused"
    await mentor.signal("cancel")
    assert await mentor.result() == "canceled"


@pytest.mark.rule("MEM2")
async def test_lost_standing_holds_mail_until_it_returns(office: Office) -> None:
    onboarding = await begun(office)
    await onboarding.signal("standing", {"good": False})
    await becomes(office, onboarding, "paused")
    assert [row.due_at for row in await rows(office, onboarding)] == [None] * 4
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await onboarding.execute_update("resume", {"actor": "lina"})
    assert refusal(refused.value) == "it is not paused by staff"
    await onboarding.signal("standing", {"good": True})
    await becomes(office, onboarding, "waiting")
    assert all(row.due_at for row in await rows(office, onboarding))
    await onboarding.signal("cancel")


@pytest.mark.rule("STA1")
@pytest.mark.parametrize(
    "nonsense",
    ["moved", 7, ["moved"], {"at": "yesterday"}, {"check_ins": "two"}, {"reason": {"text": "moved"}}],
    ids=str,
)
async def test_malformed_signal_is_dropped_and_the_onboarding_continues(
    office: Office, nonsense: object
) -> None:
    onboarding = await begun(office)
    await onboarding.signal("extend", nonsense)
    answer = await onboarding.execute_update("cancel", {"reason": "moved", "actor": "lina"})
    assert answer["state"] == "canceled"
    assert len(answer["dropped"]) == 4


@pytest.mark.rule("STA1", "T8")
@pytest.mark.parametrize("signal", ["pause", "cancel", "matched", "standing"])
async def test_signal_with_a_naive_time_is_dropped(office: Office, signal: str) -> None:
    onboarding = await begun(office)
    await onboarding.signal(signal, {"at": "2027-01-01T00:00:00", "request": "r-1", "good": False})
    answer = await onboarding.execute_update("pause", {"reason": "away", "actor": "lina"})
    assert answer["state"] == "paused"
    await onboarding.signal("cancel")


@pytest.mark.rule("STA1", "STA3")
async def test_unstorable_text_is_sanitized_and_kept(
    office: Office,
) -> None:
    onboarding = await begun(office)
    told = {"reason": "mo\x00ved\x1b[2J\ud800 see event:\u00b2\n" + 20_000 * "x", "actor": "li\x07na"}
    await onboarding.signal("cancel", told)
    assert await onboarding.result() == "canceled"
    [(actor, act, reason)] = await acts(office, onboarding)
    assert (actor, act) == ("li na", "cancel")
    assert reason is not None
    assert reason.startswith("mo ved [2J  see event:\u00b2\nxxx")
    assert len(reason) == 10_000


@pytest.mark.rule("STA1")
@pytest.mark.parametrize("number", ["9" * 30, "\u0661", ""])
async def test_reason_that_looks_like_an_event_id_stays_text(office: Office, number: str) -> None:
    onboarding = await begun(office)
    await onboarding.signal("cancel", {"reason": f"event:{number}", "actor": "lina"})
    assert await onboarding.result() == "canceled"
    assert await acts(office, onboarding) == [("lina", "cancel", f"event:{number}")]


@pytest.mark.rule("STA1")
async def test_unknown_signal_field_is_ignored(office: Office) -> None:
    onboarding = await begun(office)
    await onboarding.signal("cancel", {"reason": "moved", "actor": "lina", "ticket": 4711})
    assert await onboarding.result() == "canceled"


@pytest.mark.rule("STA1", "MAIL4")
async def test_concurrent_cancel_and_extension_apply_in_either_order(office: Office) -> None:
    onboarding = await begun(office)
    cancelled = onboarding.execute_update("cancel", {"actor": "lina"})
    extended = onboarding.execute_update("extend", {"check_ins": 1, "actor": "carlos"})
    answers: list[Any] = list(await asyncio.gather(cancelled, extended, return_exceptions=True))
    assert answers[0]["state"] == "canceled"
    assert isinstance(answers[1], dict | WorkflowUpdateFailedError | RPCError)
    assert await onboarding.result() == "canceled"
    assert {row.state for row in await rows(office, onboarding)} == {"cancelled"}


@pytest.mark.rule("MEM6")
async def test_personal_data_of_events_stays_out_of_the_history(office: Office) -> None:
    profile = f"mentee-{uuid4().hex[:8]}-{office.mark}"
    address = f"{profile}@example.org"
    told = {"member": profile, "name": "Bea Cruz", "email": address, "standing": "good"}
    await office.tell(
        ("member.updated", told),
        ("profile.created", {"profile": profile, "member": profile, "role": "mentee"}),
    )
    onboarding = office.client.get_workflow_handle(f"onboarding/{profile}")
    async with asyncio.timeout(PATIENCE):
        while not await rows(office, onboarding):  # noqa: ASYNC110 - the database tells nobody of a change
            await asyncio.sleep(0.02)
    cancel = {"target": onboarding.id, "actor": "lina", "reason": "Bea has moved to Lima"}
    await office.tell(("staff.cancel", cancel))
    await becomes(office, onboarding, "canceled")
    assert await onboarding.result() == "canceled"
    written = b"".join([event.SerializeToString() async for event in onboarding.fetch_history_events()])
    assert profile.encode() in written
    for word in (b"Bea", b"Cruz", address.encode(), b"Lima"):
        assert word not in written
    assert {row.reason for row in await rows(office, onboarding)} == {
        "cancelled by staff: Bea has moved to Lima"
    }
    assert await acts(office, onboarding) == [("lina", "cancel", "Bea has moved to Lima")]
