"""Orders of staff about one message: skip, hold, send now, release; they outlast every new plan (MAIL1, STA3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from activities.delivery import Outcome
from database import ledger
from database.models import AuditRecord
from database.staff_orders import HOLD, RELEASE, SEND, SKIP, OrderRefused
from mail.turns.nudge_cap import is_capped
from rules.agenda import PlannedMail
from staff.message_orders import MessageOrder, OrderResult, UnknownMessage, give_order, offered, preview_order
from staff.views.messages import message_views
from tests.support.delivery import (
    AT,
    COMPLIANCE,
    DUE,
    NUDGE,
    OWED,
    WORKFLOW,
    DeliveryFixture,
    bundled,
    deliveries,
    migrated_url,
    received,
    refused_for_now,
    send,
)
from tests.support.servers.hostile_smtp import HostileSmtp, hostile_smtp, say

__all__ = ["deliveries", "hostile_smtp", "migrated_url"]

pytestmark = pytest.mark.rule("MAIL1", "STA3")

DAY = timedelta(days=1)
KEY = NUDGE.key


async def ordered(
    fixture: DeliveryFixture,
    order: str,
    key: str = KEY,
    after: timedelta = timedelta(),
    how: Callable[..., Awaitable[OrderResult]] = give_order,
) -> OrderResult:
    """Lina gives an order, so long after the message was planned; or previews it."""
    given = MessageOrder(order, (await fixture.row(key)).delivery, "she is away", "lina")
    client = (None,) if how is give_order else ()
    return await how(fixture.database, *client, fixture.programs, given, AT + after)


async def waiting(fixture: DeliveryFixture, *mails: PlannedMail) -> list[str]:
    """The keys that a workflow would wait for after planning these."""
    async with fixture.database.begin() as session:
        changes = await ledger.plan(
            session, WORKFLOW, "asis-global", mails, AT + DAY, "no longer due", {"p-ana": "ana"}
        )
    return [row.key for row in changes.waiting]


AGENDAS = [replace(NUDGE, due=due) for due in (DUE + 30 * DAY, None, DUE - DAY, DUE)]
"""An extension, a pause, its end, and the first plan again."""


async def test_skip_outlasts_every_plan_and_decides_at_its_instant(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    await deliveries.plan(NUDGE, OWED)
    assert (await ordered(deliveries, SKIP)).outcome == "skipped"
    for agenda in AGENDAS:
        assert KEY in await waiting(deliveries, agenda, OWED) or agenda.due is None
        assert (await deliveries.row(KEY)).staff_order == SKIP
    async with deliveries.mailing(hostile_smtp) as mail:
        outcomes = await send(mail, KEY, OWED.key)
    assert [outcome.decision for outcome in outcomes] == ["skipped", "sent"]
    assert len(received(hostile_smtp)) == 1
    row = await deliveries.row(KEY)
    assert (row.reason, row.ordered_by, row.order_reason) == ("skipped by staff", "lina", "she is away")
    await deliveries.plan(NUDGE, OWED)
    assert (await deliveries.row(KEY)).state == "skipped"
    with pytest.raises(OrderRefused, match="skipped already; mail resend"):
        await ordered(deliveries, RELEASE)
    async with deliveries.database.reading() as session:
        acts = await session.scalars(select(AuditRecord).where(AuditRecord.kind == "act"))
        assert [(act.actor, act.data["act"], act.veiled) for act in acts] == [
            ("lina", "skip message", {"reason": "she is away"})
        ]
        (view,) = await message_views(session, [row], deliveries.programs)
    assert view.why.startswith("skipped by order of lina: she is away")
    assert offered(view) == ()


@pytest.mark.rule("T8")
async def test_hold_outlasts_every_plan_until_release_sends_it(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    await deliveries.plan(NUDGE)
    async with deliveries.mailing(hostile_smtp) as mail:
        assert (await ordered(deliveries, HOLD)).message.state == "held"
        for agenda in AGENDAS:
            assert await waiting(deliveries, agenda) == []
        # A workflow that asks all the same is sent to plan again, not to ask for ever.
        assert await send(mail, KEY) == [Outcome(KEY, "held", DUE)]
        assert (await ordered(deliveries, RELEASE, after=DUE + DAY - AT)).outcome == "sent_now"
        assert await waiting(deliveries, NUDGE) == [KEY]
        assert [outcome.decision for outcome in await send(mail, KEY, at=DUE + DAY)] == ["sent"]


@pytest.mark.rule("T8")
@pytest.mark.parametrize(("planned", "outcome"), [(NUDGE, "skipped"), (COMPLIANCE, "sent_now")])
async def test_released_late_message_follows_the_limit_of_its_class(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, planned: PlannedMail, outcome: str
) -> None:
    await deliveries.plan(planned)
    await ordered(deliveries, HOLD, planned.key)
    late = timedelta(days=bundled().mail.stale_after["nudge"] + 1)
    seen = await ordered(deliveries, RELEASE, planned.key, DUE + late - AT, preview_order)
    assert (await deliveries.row(planned.key)).staff_order == HOLD
    assert seen.outcome == outcome
    assert await ordered(deliveries, RELEASE, planned.key, DUE + late - AT) == replace(
        seen,
        message=replace(seen.message, state="planned", order=None, ordered_by=None, why=seen.message.day),
        reached=False,
    )
    async with deliveries.mailing(hostile_smtp) as mail:
        (decided,) = await send(mail, planned.key, at=DUE + late)
    assert decided.decision == {"skipped": "skipped", "sent_now": "sent"}[outcome]


async def test_send_now_outlasts_plans_and_yields_to_a_pause(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp
) -> None:
    await deliveries.plan(NUDGE)
    assert (await ordered(deliveries, SEND)).due == AT
    await deliveries.plan(replace(NUDGE, due=DUE + 30 * DAY))
    row = await deliveries.row(KEY)
    assert (row.due_at, row.postponed_from) == (AT, DUE)
    assert not is_capped(row, replace(bundled(), mail=replace(bundled().mail, nudges_per_day=1)))
    await ordered(deliveries, RELEASE)
    await deliveries.plan(NUDGE)
    row = await deliveries.row(KEY)
    assert (row.due_at, row.postponed_from, row.staff_order) == (DUE, None, None)
    await ordered(deliveries, SEND)
    await deliveries.plan(replace(NUDGE, due=None))
    with pytest.raises(OrderRefused, match="a pause holds it"):
        await ordered(deliveries, SEND)
    await deliveries.plan(NUDGE)
    assert (await deliveries.row(KEY)).due_at == DUE
    await ordered(deliveries, SEND)
    async with deliveries.mailing(hostile_smtp) as mail:
        assert [outcome.decision for outcome in await send(mail, KEY, at=AT)] == ["sent"]
    async with deliveries.database.reading() as session:
        (view,) = await message_views(session, [await deliveries.row(KEY)], deliveries.programs)
    assert "sent early by order of lina: she is away" in view.why


@pytest.mark.rule("MAIL4")
@pytest.mark.parametrize("order", [SKIP, HOLD])
async def test_order_takes_back_a_message_that_waits_for_its_server(
    deliveries: DeliveryFixture, hostile_smtp: HostileSmtp, order: str
) -> None:
    await deliveries.plan(NUDGE)
    hostile_smtp.answers("DATA", say("451 4.3.0 not now"))
    async with deliveries.mailing(hostile_smtp) as mail:
        await refused_for_now(mail, KEY)
        async with deliveries.database.begin() as session:
            row = await ledger.locked(session, WORKFLOW, KEY)
            assert row is not None
            row.state, row.claimed_by = "claimed", "another worker"
        await ordered(deliveries, order)
        (outcome,) = await send(mail, KEY, attempt=2)
    assert outcome.decision == {SKIP: "skipped", HOLD: "held"}[order]


async def test_orders_that_make_no_sense_are_refused(deliveries: DeliveryFixture) -> None:
    to_staff = replace(OWED, step="misconduct", message="staff.misconduct", to="staff")
    await deliveries.plan(NUDGE, to_staff)
    for order, key, words in (
        (RELEASE, KEY, "no order to release"),
        (SKIP, to_staff.key, "the program's own people"),
        ("drop", KEY, "an order is one of skip, hold, send, release"),
    ):
        with pytest.raises(OrderRefused, match=words):
            await ordered(deliveries, order, key)
    with pytest.raises(OrderRefused, match="due already"):
        await ordered(deliveries, SEND, after=DUE - AT)
    delivery = (await deliveries.row(KEY)).delivery
    for given, refused, words in (
        (MessageOrder(SKIP, delivery, " ", "lina"), OrderRefused, "needs a reason"),
        (MessageOrder(SKIP, "none", "x", "lina"), UnknownMessage, "there is no delivery none"),
    ):
        with pytest.raises(refused, match=words):
            await preview_order(deliveries.database, deliveries.programs, given, AT)
    await ordered(deliveries, HOLD)
    with pytest.raises(OrderRefused, match="the order hold is given already, by lina"):
        await ordered(deliveries, HOLD)
    assert (await ordered(deliveries, SKIP)).message.order == SKIP
    async with deliveries.database.begin() as session:
        row = await ledger.locked(session, WORKFLOW, KEY)
        assert row is not None
        row.state = "handed_over"
    with pytest.raises(OrderRefused, match="taking it at this moment"):
        await ordered(deliveries, RELEASE)
