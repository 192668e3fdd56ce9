"""How mail fares: decisions by day, punctuality, what came back and from where, the channel (MAIL1, MAIL10)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import select

from database import ledger, suppressions
from database.models import ChannelStop, Message
from database.tasks import open_task
from mail.decisions import CHANNEL
from staff.figures import MailHealth, Period, Share, channel_state, mail_health
from tests.support.cli import CliFixture, cli
from tests.support.delivery import DUE, NUDGE, WORKFLOW, DeliveryFixture, bundled, deliveries, migrated_url

__all__ = ["cli", "deliveries", "migrated_url"]

pytestmark = pytest.mark.rule("MAIL10")

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
MARCH = Period(date(2028, 3, 1), date(2028, 3, 31))


async def health(fixture: DeliveryFixture, period: Period = MARCH) -> MailHealth:
    async with fixture.database.reading() as session:
        return await mail_health(session, bundled(), period, DUE + 10 * DAY)


async def decided(fixture: DeliveryFixture, count: int, faults: dict[int, str]) -> None:
    """So many mails, the even ones a second late and the odd ones a minute; some came back."""
    await fixture.plan(*(replace(NUDGE, occurrence=n, number=n) for n in range(1, count + 1)))
    async with fixture.database.begin() as session:
        for row in await ledger.rows_of(session, WORKFLOW):
            late = SECOND if row.occurrence % 2 == 0 else 60 * SECOND
            row.attempted_at, row.recipient = DUE + late, f"Ana{row.occurrence % 2}@example.org"
            await ledger.decide(session, row, "sent", None, DUE + late, response="250 ok")
            if kind := faults.get(row.occurrence):
                await ledger.came_back(session, row, kind, "no such mailbox (550)", DUE + DAY)


async def test_decisions_are_counted_by_day_and_punctuality(deliveries: DeliveryFixture) -> None:
    await decided(deliveries, 5, {})
    found = await health(deliveries)
    assert found.days == {date(2028, 3, 13): {"sent": 5}}
    assert found.punctual == Share(2, 5)
    assert [rate.level for rate in found.rates.values()] == ["ok"] * 3
    assert (found.came_back, found.addresses) == ({}, ())
    nothing = await health(deliveries, Period(date(2028, 4, 1), date(2028, 4, 30)))
    assert (nothing.days, nothing.punctual.percent) == ({}, None)


@pytest.mark.parametrize(
    ("count", "bounced", "level"), [(20, 2, "ok"), (100, 3, "warning"), (20, 3, "alarm"), (200, 3, "ok")]
)
async def test_rate_has_a_level_once_enough_came_back(
    deliveries: DeliveryFixture, count: int, bounced: int, level: str
) -> None:
    await decided(deliveries, count, dict.fromkeys(range(1, bounced + 1), "hard"))
    rate = (await health(deliveries)).rates["bounces"]
    assert (rate.share, rate.level) == (Share(bounced, count), level)


async def test_what_came_back_is_listed_by_domain_and_address(deliveries: DeliveryFixture) -> None:
    await decided(deliveries, 4, {1: "hard", 2: "refused", 3: "complaint"})
    await deliveries.plan(*(replace(NUDGE, occurrence=n, number=n) for n in range(1, 6)))
    async with deliveries.database.begin() as session:
        row = await ledger.locked(session, WORKFLOW, "check-in/5")
        assert row is not None
        row.recipient = "ana@example.com"
        reason = "the address was refused (550)"
        await ledger.decide(session, row, "failed", reason, DUE, response="550 no")
        await suppressions.suppress(session, "Ana1@example.org", "hard", "no such mailbox", DUE)
    found = await health(deliveries)
    assert found.came_back == {
        ("hard", "example.org"): 1,
        ("refused", "example.org"): 1,
        ("complaint", "example.org"): 1,
        ("hard", "example.com"): 1,
    }
    assert [(each.address, each.faults, each.suppressed) for each in found.addresses] == [
        ("ana1@example.org", {"hard": 1, "complaint": 1}, True),
        ("ana0@example.org", {"refused": 1}, False),
        ("ana@example.com", {"hard": 1}, False),
    ]
    assert found.addresses[2].cause == reason
    assert found.rates["bounces"].share == Share(2, 5)
    assert [each.address for each in found.suppressed] == ["ana1@example.org"]


async def test_channel_shows_its_stop_its_tasks_and_what_waits(deliveries: DeliveryFixture) -> None:
    await deliveries.plan(NUDGE, replace(NUDGE, occurrence=2, number=2, due=DUE + DAY))
    async with deliveries.database.begin() as session:
        assert (await channel_state(session, DUE)).is_open
        row = await session.scalar(select(Message).where(Message.occurrence == 1))
        assert row is not None
        row.trouble = "421 later"
        session.add(ChannelStop(id=1, stopped_at=DUE, reason="our account"))
        await open_task(session, "mail_channel", CHANNEL, "authentication refused on 2028-03-13", "fix", DUE)
        state = await channel_state(session, DUE + DAY)
    assert not state.is_open
    assert (state.stopped_at, state.reason) == (DUE, "our account")
    assert state.tasks == ("authentication refused on 2028-03-13",)
    assert (state.waiting, state.oldest, state.trouble) == (1, DUE, "421 later")


async def test_health_command_prints_facts_and_json(cli: CliFixture) -> None:
    async with cli.database.begin() as session:
        row = (await ledger.rows_of(session, "onboarding/p-ana"))[0]
        row.attempted_at, row.recipient = cli.now, "ana@example.org"
        await ledger.decide(session, row, "sent", None, cli.now, response="250 ok")
        await ledger.came_back(session, row, "hard", "no such mailbox (550)", cli.now)
    shown = await cli.throughline("mail", "health")
    assert all(words in shown.out for words in ("channel", "open", "100.0 % of 1", "ana@example.org"))
    found = (await cli.throughline("mail", "health", "--days", "2", "--json")).json
    assert found["rates"]["bounces"] == {"part": 1, "whole": 1, "percent": 100.0, "level": "ok"}
    assert found["came_back"] == [{"class": "hard", "domain": "example.org", "count": 1}]
    assert found["channel"]["open"] is True
