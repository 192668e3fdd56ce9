"""The delivery ledger: one intent, one row, one decision, however many ask at once (MAIL1–MAIL4)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from database import audit, ledger, suppressions
from database.key_ring import KeyRing
from database.ledger import AgendaChanges
from database.models import DECISIONS, AuditRecord, Message, Task
from database.session import Database
from database.tasks import close_task, open_task, snooze_task
from rules.agenda import PlannedMail
from tests.support.limits import PATIENCE

AT = datetime(2028, 3, 6, 15, 0, tzinfo=UTC)
DUE = datetime(2028, 3, 13, 13, 0, tzinfo=UTC)
WORKFLOW = "onboarding/p-1"
KEYS = KeyRing(("a secret for tests only",))


def check_ins(count: int = 4) -> list[PlannedMail]:
    return [
        PlannedMail(
            "check-in", DUE + timedelta(days=14 * n), "mentee.checkin", "p-1", occurrence=n + 1, number=n + 1
        )
        for n in range(count)
    ]


async def plan(
    database: Database, mails: Sequence[PlannedMail], at: datetime = AT, because: str = "no longer due"
) -> AgendaChanges:
    async with database.begin() as session:
        return await ledger.plan(session, WORKFLOW, "asis-global", mails, at, because, {"p-1": "ana"})


async def rows(database: Database) -> list[Message]:
    async with database.reading() as session:
        return list(await session.scalars(select(Message).order_by(Message.occurrence)))


async def claim(database: Database, key: str, by: str, at: datetime = DUE) -> int:
    async with database.begin() as session:
        row = await ledger.locked(session, WORKFLOW, key)
        assert row is not None
        row.state, row.claimed_by, row.claimed_at, row.content = "claimed", by, at, b"the bytes"
        row.attempts += 1
        return row.id


async def hand_over(database: Database, message: int, by: str, at: datetime = DUE) -> bool:
    async with database.begin() as session:
        return message in await ledger.hand_over(session, WORKFLOW, {message: by}, at)


async def decide(database: Database, key: str, decision: str, reason: str | None = None) -> None:
    async with database.begin() as session:
        row = await ledger.locked(session, WORKFLOW, key)
        assert row is not None
        await ledger.decide(session, row, decision, reason, DUE, response="250 kept")


async def mail_records(database: Database) -> list[AuditRecord]:
    async with database.reading() as session:
        return list(
            await session.scalars(
                select(AuditRecord).where(AuditRecord.kind == "mail").order_by(AuditRecord.id)
            )
        )


# --- planning


@pytest.mark.rule("MAIL1")
async def test_planning_writes_a_row_for_every_mail(database: Database) -> None:
    changes = await plan(database, check_ins())
    assert [change.key for change in changes.added] == [f"check-in/{n}" for n in (1, 2, 3, 4)]
    assert (changes.moved, changes.dropped) == ([], [])
    first = (await rows(database))[0]
    assert (first.workflow, first.step, first.occurrence, first.message) == (
        WORKFLOW,
        "check-in",
        1,
        "mentee.checkin",
    )
    assert (first.state, first.due_at, first.planned_at, first.member_id) == ("planned", DUE, AT, "ana")
    assert first.message_class == "nudge"
    assert first.attempts == 0
    assert first.content is None


@pytest.mark.rule("MAIL1")
async def test_planning_the_same_agenda_again_changes_nothing(database: Database) -> None:
    await plan(database, check_ins())
    before = [(row.id, row.due_at, row.planned_at) for row in await rows(database)]
    assert await plan(database, check_ins(), AT + timedelta(days=1)) == AgendaChanges()
    assert [(row.id, row.due_at, row.planned_at) for row in await rows(database)] == before
    assert await mail_records(database) == []


@pytest.mark.rule("ONB5", "STA1")
async def test_plan_result_names_old_and_new_dates_and_held_mail(database: Database) -> None:
    await plan(database, check_ins())
    held = [replace(mail, due=None) for mail in check_ins()]
    changes = await plan(database, held)
    assert [(change.key, change.was, change.due) for change in changes.moved] == [
        (mail.key, mail.due, None) for mail in check_ins()
    ]
    assert [row.due_at for row in await rows(database)] == [None] * 4
    later = [replace(mail, due=mail.due + timedelta(days=7)) for mail in check_ins() if mail.due]
    changes = await plan(database, later)
    assert [(change.was, change.due) for change in changes.moved] == [(None, mail.due) for mail in later]


@pytest.mark.rule("ONB5", "ENG11", "T8", "MAIL4")
@pytest.mark.parametrize("state", ["planned", "claimed"])
async def test_undecided_mail_moves_behind_the_pause_decided_stays(database: Database, state: str) -> None:
    """Mail that a pause finds undecided is due after it; mail that is decided keeps its date."""
    await plan(database, check_ins(2))
    await decide(database, "check-in/1", "sent")
    if state == "claimed":
        await claim(database, "check-in/2", "a worker")
    await plan(database, [replace(mail, due=None) for mail in check_ins(2)])
    resumed = DUE + timedelta(days=60)
    late = [replace(mail, after_pause=resumed) for mail in check_ins(3)]
    changes = await plan(database, late)
    assert [(change.key, change.was, change.due) for change in changes.moved] == [
        ("check-in/2", None, resumed)
    ]
    assert [(change.key, change.due) for change in changes.added] == [("check-in/3", resumed)]
    assert [row.due_at for row in await rows(database)] == [DUE, resumed, resumed]
    assert await plan(database, late) == AgendaChanges()


@pytest.mark.rule("ONB5", "STA1", "MAIL1", "MAIL4")
async def test_dropped_mail_is_cancelled_with_a_reason(database: Database) -> None:
    await plan(database, check_ins())
    await decide(database, "check-in/1", "sent")
    changes = await plan(database, [], AT + timedelta(days=9), because="cancelled by staff: moved")
    assert [(change.key, change.due) for change in changes.dropped] == [
        (f"check-in/{n}", None) for n in (2, 3, 4)
    ]
    assert [(row.state, row.reason) for row in await rows(database)] == [
        ("sent", None),
        *[("cancelled", "cancelled by staff: moved")] * 3,
    ]
    assert all(row.decided_at for row in await rows(database))
    assert await plan(database, [], AT + timedelta(days=10), because="another reason") == AgendaChanges()


@pytest.mark.rule("STA1")
async def test_preview_lists_changes_and_writes_nothing(database: Database) -> None:
    await plan(database, check_ins(2))
    moved = replace(check_ins(3)[1], due=DUE)
    async with database.reading() as session:
        changes = ledger.compare(await ledger.rows_of(session, WORKFLOW), [moved, check_ins(3)[2]])
    assert [change.key for change in changes.added] == ["check-in/3"]
    assert [change.key for change in changes.moved] == ["check-in/2"]
    assert [change.key for change in changes.dropped] == ["check-in/1"]
    assert [row.state for row in await rows(database)] == ["planned"] * 2


@pytest.mark.rule("MAIL1")
async def test_decided_message_is_never_moved_dropped_or_replanned(database: Database) -> None:
    await plan(database, check_ins(2))
    await decide(database, "check-in/1", "skipped", "held up")
    moved = [replace(mail, due=mail.due + timedelta(days=1)) for mail in check_ins(2) if mail.due]
    changes = await plan(database, moved)
    assert [change.key for change in changes.moved] == ["check-in/2"]
    assert (await rows(database))[0].due_at == DUE
    await plan(database, [])
    assert [row.state for row in await rows(database)] == ["skipped", "cancelled"]
    assert (await plan(database, check_ins(2))).added == []


@pytest.mark.rule("MAIL1")
async def test_concurrent_plans_write_each_row_once(database: Database) -> None:
    async def plan_until_it_holds() -> None:
        try:
            await plan(database, check_ins())
        except IntegrityError:
            await plan(database, check_ins())

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(plan_until_it_holds() for _ in range(5)))
    assert [row.occurrence for row in await rows(database)] == [1, 2, 3, 4]


@pytest.mark.rule("MAIL1")
async def test_concurrent_cancels_decide_each_message_once(database: Database) -> None:
    await plan(database, check_ins())
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(plan(database, [], because=f"reason {n}") for n in range(4)))
    assert {row.state for row in await rows(database)} == {"cancelled"}
    assert len({row.reason for row in await rows(database)}) == 1
    assert len(await mail_records(database)) == 4


@pytest.mark.rule("MAIL2", "MAIL7")
async def test_delivery_id_depends_on_its_key_and_the_secret() -> None:
    first = ledger.delivery_id(KEYS, WORKFLOW, "check-in", 1)
    assert first == ledger.delivery_id(KEYS, WORKFLOW, "check-in", 1)
    others = [
        ledger.delivery_id(KEYS, WORKFLOW, "check-in", 2),
        ledger.delivery_id(KEYS, WORKFLOW, "welcome", 1),
        ledger.delivery_id(KEYS, "onboarding/p-2", "check-in", 1),
        ledger.delivery_id(KeyRing(("another secret of ours",)), WORKFLOW, "check-in", 1),
        ledger.plain_delivery_id(WORKFLOW, "check-in", 1),
        *(ledger.delivery_id(None, WORKFLOW, "check-in", 1) for _ in range(2)),
    ]
    assert len({first, *others}) == 8
    assert {len(one) for one in (first, *others)} == {32}


@pytest.mark.rule("MAIL7")
async def test_planned_message_has_an_id_that_nobody_can_compute(database: Database) -> None:
    signed = Database(database.url, keys=KEYS)
    await plan(signed, check_ins(1))
    await signed.close()
    (row,) = await rows(database)
    assert row.delivery == ledger.delivery_id(KEYS, WORKFLOW, "check-in", 1)


# --- deciding


@pytest.mark.rule("MAIL1")
@pytest.mark.parametrize("decision", sorted(DECISIONS))
async def test_decision_is_final_recorded_once_and_drops_the_bytes(database: Database, decision: str) -> None:
    await plan(database, check_ins(1))
    await claim(database, "check-in/1", "first")
    await decide(database, "check-in/1", decision, "the reason")
    (row,) = await rows(database)
    assert (row.state, row.reason, row.decided_at, row.response) == (decision, "the reason", DUE, "250 kept")
    assert (row.content is None) == (decision != "ambiguous")
    with pytest.raises(ValueError, match="already decided"):
        await decide(database, "check-in/1", "sent")
    (record,) = await mail_records(database)
    assert record.data["decision"] == decision
    assert (record.subject, record.at) == (WORKFLOW, DUE)


@pytest.mark.rule("MAIL1", "T8")
@pytest.mark.parametrize(
    ("late", "recorded"),
    [
        (timedelta(0), DUE),
        (timedelta(seconds=59, microseconds=999_999), DUE),
        (timedelta(seconds=60), DUE + timedelta(seconds=60)),
        (timedelta(hours=6, seconds=1, microseconds=5), DUE + timedelta(hours=6, seconds=1)),
    ],
)
async def test_mail_sent_within_a_minute_counts_as_on_time(
    database: Database, late: timedelta, recorded: datetime
) -> None:
    await plan(database, check_ins(1))
    async with database.begin() as session:
        row = await ledger.locked(session, WORKFLOW, "check-in/1")
        assert row is not None
        await ledger.decide(session, row, "sent", None, DUE + late)
    assert (await rows(database))[0].decided_at == recorded


# --- MAIL4: the race between a delivery and a cancel


@pytest.mark.rule("MAIL4")
async def test_cancel_between_claim_and_last_byte_stops_the_message(database: Database) -> None:
    await plan(database, check_ins(1))
    message = await claim(database, "check-in/1", "first")
    changes = await plan(database, [], because="cancelled by staff")
    assert [change.key for change in changes.dropped] == ["check-in/1"]
    assert not await hand_over(database, message, "first")
    assert [row.state for row in await rows(database)] == ["cancelled"]


@pytest.mark.rule("MAIL4")
async def test_cancel_after_the_last_byte_leaves_the_reply_to_decide(database: Database) -> None:
    await plan(database, check_ins(1))
    message = await claim(database, "check-in/1", "first")
    assert await hand_over(database, message, "first")
    assert await plan(database, [], because="cancelled by staff") == AgendaChanges()
    assert [row.state for row in await rows(database)] == ["handed_over"]
    await decide(database, "check-in/1", "sent")
    assert [row.state for row in await rows(database)] == ["sent"]


@pytest.mark.rule("MAIL4")
async def test_cancel_and_last_byte_at_once_have_one_winner(database: Database) -> None:
    for number in range(10):
        mail = replace(check_ins(1)[0], occurrence=number + 1)
        async with database.begin() as session:
            await ledger.plan(session, f"onboarding/q-{number}", "asis-global", [mail], AT, "", {})
            row = await ledger.locked(session, f"onboarding/q-{number}", mail.key)
            assert row is not None
            row.state, row.claimed_by = "claimed", "first"
            message = row.id

        async def cancel(workflow: str = f"onboarding/q-{number}") -> AgendaChanges:
            async with database.begin() as session:
                return await ledger.plan(session, workflow, "asis-global", [], AT, "cancelled", {})

        async with asyncio.timeout(PATIENCE):
            handed, changes = await asyncio.gather(hand_over(database, message, "first"), cancel())
        async with database.reading() as session:
            state = await session.scalar(select(Message.state).where(Message.id == message))
        assert state == ("handed_over" if handed else "cancelled")
        assert len(changes.dropped) == (0 if handed else 1)


@pytest.mark.rule("MAIL2")
async def test_only_the_claimant_hands_over_and_only_once(database: Database) -> None:
    await plan(database, check_ins(1))
    message = await claim(database, "check-in/1", "first")
    await claim(database, "check-in/1", "second")
    assert not await hand_over(database, message, "first")
    async with asyncio.timeout(PATIENCE):
        won = await asyncio.gather(*(hand_over(database, message, "second") for _ in range(4)))
    assert sorted(won) == [False, False, False, True]


@pytest.mark.rule("MAIL3")
async def test_failed_attempt_releases_the_message_with_bytes_and_error(
    database: Database,
) -> None:
    await plan(database, check_ins(1))
    message = await claim(database, "check-in/1", "first")
    async with database.begin() as session:
        await ledger.release(session, message, "first", "451 later", DUE)
    (row,) = await rows(database)
    assert (row.state, row.claimed_by, row.trouble, row.content) == (
        "planned",
        None,
        "451 later",
        b"the bytes",
    )
    assert row.attempted_at == DUE


@pytest.mark.rule("MAIL2", "MAIL3")
async def test_release_needs_an_own_undecided_claim(database: Database) -> None:
    await plan(database, check_ins(1))
    message = await claim(database, "check-in/1", "first")
    async with database.begin() as session:
        await ledger.release(session, message, "second", "451 later", DUE)
    assert (await rows(database))[0].state == "claimed"
    await decide(database, "check-in/1", "sent")
    async with database.begin() as session:
        await ledger.release(session, message, "first", "451 later", DUE)
    assert (await rows(database))[0].state == "sent"


# --- suppressions (MAIL3, MAIL7) and tasks (STA2)


async def reason(database: Database) -> str | None:
    async with database.reading() as session:
        return await suppressions.reason_for(session, "ana@EXAMPLE.org")


@pytest.mark.rule("MAIL3", "MAIL7")
async def test_hard_bounce_suppresses_at_once_and_staff_can_lift_it(database: Database) -> None:
    async with database.begin() as session:
        assert await suppressions.suppress(session, "ANA@example.org", "hard", "no such mailbox", AT)
    async with database.begin() as session:
        later = AT + timedelta(days=1)
        assert not await suppressions.suppress(session, "ana@example.org", "hard", "no such mailbox", later)
    assert await reason(database) == "the address is suppressed since 2028-03-06: no such mailbox"
    async with database.reading() as session:
        assert [row.address for row in await suppressions.listed(session)] == ["ana@example.org"]
    async with database.begin() as session:
        assert await suppressions.lift(session, "ana@example.org")
        assert not await suppressions.lift(session, "ana@example.org")
        assert not await suppressions.lift(session, "bob@example.org")
    assert await reason(database) is None


@pytest.mark.rule("STA2")
async def test_repeated_cause_opens_one_task(database: Database) -> None:
    async def again(cause: str, subject: str = WORKFLOW) -> bool:
        async with database.begin() as session:
            return await open_task(session, "mail_failed", subject, cause, "Look at it.", AT)

    assert await again("mail_failed check-in/1")
    assert not await again("mail_failed check-in/1")
    async with database.begin() as session:
        for task in await session.scalars(select(Task)):
            task.state = "dismissed"
    assert not await again("mail_failed check-in/1")
    assert await again("mail_failed check-in/2")
    assert await again("mail_failed check-in/1", "onboarding/p-2")
    async with database.reading() as session:
        records = await session.scalars(select(AuditRecord).where(AuditRecord.kind == "task"))
        assert len(list(records)) == 3


@pytest.mark.rule("MAIL2", "STA3")
async def test_resend_is_planned_once_however_often_staff_ask(
    database: Database,
) -> None:
    await plan(database, check_ins(1))
    await decide(database, "check-in/1", "ambiguous", "no answer")
    original = (await rows(database))[0].delivery

    async def again() -> str:
        async with database.begin() as session:
            copied = await ledger.copy(session, original, "lina", "Ana asked for it", AT)
            return copied.delivery

    async with asyncio.timeout(PATIENCE):
        first = await again()
        assert set(await asyncio.gather(*(again() for _ in range(3)))) == {first}
    copied = (await rows(database))[1]
    assert (copied.state, copied.due_at, copied.delivery) == ("planned", AT, first)
    assert first != original
    assert await plan(database, check_ins(1)) == AgendaChanges()
    assert await plan(database, []) == AgendaChanges()
    assert [row.state for row in await rows(database)] == ["ambiguous", "planned"]


@pytest.mark.rule("MAIL1", "MAIL2")
@pytest.mark.parametrize("decision", ["sent", "suppressed", "cancelled"])
async def test_sent_or_cancelled_message_cannot_be_resent(database: Database, decision: str) -> None:
    await plan(database, check_ins(1))
    await decide(database, "check-in/1", decision, "the reason")
    delivery = (await rows(database))[0].delivery
    async with database.begin() as session:
        with pytest.raises(ValueError, match=f"is {decision}"):
            await ledger.copy(session, delivery, "lina", "", AT)
        with pytest.raises(ValueError, match="no delivery"):
            await ledger.copy(session, "unknown", "lina", "", AT)


@pytest.mark.rule("STA2", "STA3")
async def test_task_is_snoozed_and_closed_by_a_person_and_stays_closed(database: Database) -> None:
    async with database.begin() as session:
        await open_task(session, "mail_failed", WORKFLOW, "cause", "Look at it.", AT)
    async with database.begin() as session:
        task = (await session.scalars(select(Task))).one()
        assert (task.state, task.due_at) == ("open", AT + timedelta(days=2))
        with pytest.raises(ValueError, match="later day"):
            await snooze_task(session, task, AT, "lina", "", AT)
        await snooze_task(session, task, AT + timedelta(days=7), "lina", "asked", AT)
        await close_task(session, task, "done", "lina", "she has it", AT + timedelta(days=1))
        with pytest.raises(ValueError, match="done already"):
            await close_task(session, task, "dismissed", "carlos", "", AT)
        with pytest.raises(ValueError, match="done already"):
            await snooze_task(session, task, AT + timedelta(days=9), "carlos", "", AT)
    async with database.reading() as session:
        task = (await session.scalars(select(Task))).one()
        assert (task.state, task.closed_by, task.note) == ("done", "lina", "she has it")
        acts = select(AuditRecord).where(AuditRecord.kind == "act").order_by(AuditRecord.sequence)
        assert [(record.actor, record.data["act"]) for record in await session.scalars(acts)] == [
            ("lina", "task snoozed"),
            ("lina", "task done"),
        ]


@pytest.mark.rule("STA5", "STA3")
async def test_words_in_the_reason_of_a_decision_can_be_erased(database: Database) -> None:
    await plan(database, check_ins())
    await plan(database, [], AT + timedelta(days=9), because="cancelled by staff: moved")
    async with database.reading() as session:
        record = await session.scalar(select(AuditRecord).where(AuditRecord.kind == "mail").limit(1))
    assert record is not None
    assert record.data["reason"] == "cancelled by staff"
    assert record.veiled == {"reason": "cancelled by staff: moved"}
    assert audit.breaks([record]) == []
