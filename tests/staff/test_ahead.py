"""Every message to come: of the next days and of one person, page by page, on both clocks (MAIL1, T4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import text

from database import ledger, staff_orders
from staff.ahead import AheadFilter, PageEnd, ahead, count_by_day
from tests.support.delivery import DUE, NUDGE, WORKFLOW, DeliveryFixture, deliveries, migrated_url

__all__ = ["deliveries", "migrated_url"]

pytestmark = pytest.mark.rule("MAIL1")

DAY = timedelta(days=1)
_ONLY_BY_INDEX = {True: "SELECT 1", False: "SET LOCAL enable_seqscan = off"}
"""PostgreSQL scans an empty table whatever its indexes, unless that counts as dear."""
LATE = DUE.replace(hour=3)
"""The evening before in Bogotá, and in the zone of the program."""


async def test_messages_to_come_are_paged_in_order_with_rule_and_clocks(deliveries: DeliveryFixture) -> None:
    """Overdue ones come first; of a person also what is held, last; each with the orders that make sense."""
    dues = [DUE + 9 * DAY, LATE, DUE, DUE, None]
    await deliveries.plan(*(replace(NUDGE, occurrence=n, number=n, due=due) for n, due in enumerate(dues, 1)))
    async with deliveries.database.begin() as session:
        row = await ledger.locked(session, WORKFLOW, "check-in/3")
        assert row is not None
        await staff_orders.give(session, row, "hold", "lina", "away", LATE)
    week = AheadFilter(until=DUE + 7 * DAY, limit=2)
    async with deliveries.database.reading() as session:
        first = await ahead(session, week, deliveries.programs)
        assert [each.view.number for each in first.messages] == [2, 3]
        assert first.next == PageEnd(DUE, row.id)
        rest = await ahead(session, replace(week, after=first.next), deliveries.programs)
        assert ([each.view.number for each in rest.messages], rest.next) == ([4], None)
        early, held = first.messages
        assert (early.recipient, early.member, early.view.rule) == ("Ana Pérez (p-ana)", "ana", "ONB2")
        assert (early.view.zone, early.manager_zone) == ("America/Bogota", "America/New_York")
        assert (early.day, early.manager_day) == (date(2028, 3, 12), date(2028, 3, 12))
        assert (early.orders, held.orders) == (("skip", "hold", "send"), ("release", "send"))
        counts = await count_by_day(session, week, "America/New_York")
        assert counts == {date(2028, 3, 12): 1, date(2028, 3, 13): 2}
        mine = AheadFilter(member="ana", limit=4)
        whole = await ahead(session, mine, deliveries.programs)
        assert [each.view.number for each in whole.messages] == [2, 3, 4, 1]
        last = await ahead(session, replace(mine, after=whole.next), deliveries.programs)
        assert [(each.view.number, each.view.state, each.day) for each in last.messages] == [
            (5, "held", None)
        ]
        assert last.messages[0].orders == ("skip", "hold")
        for other in (AheadFilter(member="bob"), AheadFilter(program="another")):
            assert (await ahead(session, other, deliveries.programs)).messages == ()


async def test_lists_of_messages_are_read_by_their_indexes(deliveries: DeliveryFixture) -> None:
    """With ten thousand engagements a scan of the ledger would take seconds."""
    queries = {
        "state IN ('planned', 'claimed') AND due_at IS NOT NULL AND due_at < '2028-03-06'": "ix_messages_open",
        "state IN ('planned', 'claimed') AND member_id = 'ana'": "ix_messages_waiting",
    }
    async with deliveries.database.reading() as session:
        for condition, index in queries.items():
            await session.execute(text(_ONLY_BY_INDEX[deliveries.database.is_sqlite]))
            explain = "EXPLAIN QUERY PLAN" if deliveries.database.is_sqlite else "EXPLAIN"
            plan = await session.execute(text(f"{explain} SELECT * FROM messages WHERE {condition}"))
            assert index in " ".join(str(row) for row in plan)
