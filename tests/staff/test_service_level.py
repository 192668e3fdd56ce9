"""The service level: how much of what was due was handed over within ten seconds, by program and day (MAIL1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from database import ledger, staff_orders
from staff.figures import ServiceLevel, Share, by_day, by_program, mail_lateness
from tests.support.cli import CliFixture, cli
from tests.support.delivery import DUE, NUDGE, WORKFLOW, DeliveryFixture, deliveries, migrated_url

__all__ = ["cli", "deliveries", "migrated_url"]

pytestmark = pytest.mark.rule("MAIL1")

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
ZONES = {"asis-global": "America/New_York"}


async def level(fixture: DeliveryFixture, now_after: timedelta = DAY) -> dict[tuple[date, str], ServiceLevel]:
    async with fixture.database.reading() as session:
        return by_day(await mail_lateness(session, DUE - DAY, DUE + 5 * DAY, DUE + now_after), ZONES)


async def given(fixture: DeliveryFixture, *late: timedelta | None, state: str = "sent") -> None:
    """Messages of one instant, each handed over so late; None for one that waits."""
    await fixture.plan(*(replace(NUDGE, occurrence=n, number=n) for n in range(1, len(late) + 1)))
    async with fixture.database.begin() as session:
        for row in await ledger.rows_of(session, WORKFLOW):
            if (after := late[row.occurrence - 1]) is not None:
                row.attempted_at = DUE + after
                await ledger.decide(session, row, state, None, DUE + after)


async def test_share_within_ten_seconds_and_the_slowest(deliveries: DeliveryFixture) -> None:
    await given(deliveries, SECOND, 10 * SECOND, 11 * SECOND, 90 * SECOND)
    [(key, found)] = (await level(deliveries)).items()
    assert key == (date(2028, 3, 13), "asis-global")
    assert (found.share, found.slowest) == (Share(2, 4), 90 * SECOND)
    assert found.slowest_delivery == (await deliveries.row("check-in/4")).delivery


async def test_what_still_waits_is_as_late_as_it_is_by_now(deliveries: DeliveryFixture) -> None:
    await given(deliveries, SECOND, None)
    assert await level(deliveries, 5 * SECOND) == {}
    [found] = (await level(deliveries, timedelta(hours=1))).values()
    assert (found.share, found.slowest) == (Share(1, 2), timedelta(hours=1))


@pytest.mark.parametrize("state", ["skipped", "suppressed", "cancelled"])
async def test_what_the_rules_left_out_does_not_count(deliveries: DeliveryFixture, state: str) -> None:
    await given(deliveries, 90 * SECOND, state=state)
    assert await level(deliveries) == {}


async def test_what_a_pause_holds_or_moved_does_not_count_as_late(deliveries: DeliveryFixture) -> None:
    await deliveries.plan(replace(NUDGE, due=None), replace(NUDGE, occurrence=2, number=2, due=DUE + DAY))
    assert await level(deliveries) == {}
    async with deliveries.database.begin() as session:
        row = await ledger.locked(session, WORKFLOW, "check-in/2")
        assert row is not None
        row.postponed_from, row.attempted_at = DUE, DUE + DAY + SECOND
        await ledger.decide(session, row, "sent", None, row.attempted_at)
    [(key, found)] = (await level(deliveries, 2 * DAY)).items()
    assert (key[0], found.share) == (date(2028, 3, 14), Share(1, 1))


async def test_what_staff_held_and_released_does_not_count(deliveries: DeliveryFixture) -> None:
    await deliveries.plan(NUDGE)
    async with deliveries.database.begin() as session:
        row = await ledger.locked(session, WORKFLOW, "check-in/1")
        assert row is not None
        await staff_orders.give(session, row, staff_orders.HOLD, "lina", "wait", DUE - DAY)
        await staff_orders.give(session, row, staff_orders.RELEASE, "lina", "go", DUE + DAY)
        row.attempted_at = DUE + DAY
        await ledger.decide(session, row, "sent", None, DUE + DAY)
    assert await level(deliveries, 2 * DAY) == {}


async def test_day_is_that_of_the_program(deliveries: DeliveryFixture) -> None:
    await given(deliveries, SECOND)
    async with deliveries.database.reading() as session:
        found = await mail_lateness(session, DUE - DAY, DUE + DAY, DUE + DAY)
    assert [day for day, _ in by_day(found, {"asis-global": "Pacific/Auckland"})] == [date(2028, 3, 14)]
    assert by_program(found)["asis-global"].share == Share(1, 1)


async def test_command_prints_the_days(cli: CliFixture) -> None:
    async with cli.database.begin() as session:
        row = (await ledger.rows_of(session, "onboarding/p-ana"))[0]
        row.due_at = row.planned_at = cli.now - timedelta(hours=2)
        row.attempted_at = row.due_at + 30 * SECOND
        await ledger.decide(session, row, "sent", None, row.attempted_at)
    [found] = (await cli.throughline("mail", "service-level", "--days", "2", "--json")).json
    assert (found["program"], found["due"], found["in_time"]) == ("asis-global", 1, 0)
    assert (found["slowest_seconds"], found["slowest_delivery"]) == (30, row.delivery)
    printed = await cli.throughline("mail", "service-level")
    assert "30 s" in printed.out
    assert "The objective is 99 % of a day." in printed.out
