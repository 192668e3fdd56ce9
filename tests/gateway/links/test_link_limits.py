"""What one link may store within an hour: many changes of mind, and no flood."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from database.links import Link
from database.models import LinkUse
from database.session import Database
from gateway.links.limiter import MOST_IN_AN_HOUR, LinkLimiter
from tests.support.gateway import GatewayFixture

AT = datetime(2028, 3, 6, 15, 0, tzinfo=UTC)
ABOUT = ("p-ana", "engagement/r-2")


async def report(gateway: GatewayFixture, number: int) -> int:
    """Report misconduct by a link of another mail each time; the status of the answer."""
    path = gateway.path("report", *ABOUT, days=60 - number / 10)
    with capture_logs():
        return (await gateway.client.post(path, data={"text": f"Report {number}"})).status_code


@pytest.mark.rule("ENG8", "STA2")
async def test_sixty_reports_store_no_more_than_the_limit(sqlite_gateway: GatewayFixture) -> None:
    statuses = [await report(sqlite_gateway, number) for number in range(60)]
    assert statuses == [200] * MOST_IN_AN_HOUR + [429] * (60 - MOST_IN_AN_HOUR)
    assert len(await sqlite_gateway.events()) == MOST_IN_AN_HOUR
    sqlite_gateway.at += timedelta(hours=1)
    assert await report(sqlite_gateway, 61) == 200


async def test_limited_link_shows_a_page_with_a_contact(sqlite_gateway: GatewayFixture) -> None:
    path = sqlite_gateway.path("feedback", "p-marcus", "")
    for number in range(MOST_IN_AN_HOUR):
        assert (await sqlite_gateway.client.post(path, data={"text": f"{number}"})).status_code == 200
    with capture_logs() as logs:
        answer = await sqlite_gateway.client.post(path, data={"text": "one more"})
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "3600"
    assert "That was a lot in a short time" in answer.text
    assert "mentoring@example.org" in answer.text
    assert [log["event"] for log in logs] == ["personal_link_limited"]
    assert (await sqlite_gateway.client.get(path)).status_code == 200


@pytest.mark.rule("MAIL6")
async def test_limit_holds_per_person_and_question(sqlite_gateway: GatewayFixture) -> None:
    for number in range(MOST_IN_AN_HOUR + 1):
        await report(sqlite_gateway, number)
    others = [("report", "p-marcus", "engagement/r-2"), ("met", *ABOUT)]
    forms = [{"text": "Something."}, {"answer": "yes"}]
    for link, form in zip(others, forms, strict=True):
        answer = await sqlite_gateway.client.post(sqlite_gateway.path(*link), data=form)
        assert answer.status_code == 200
    unsubscribe = sqlite_gateway.path("unsubscribe", "p-ana", "onboarding/p-ana", "mentee.checkin")
    for _ in range(MOST_IN_AN_HOUR + 3):
        answer = await sqlite_gateway.client.post(unsubscribe, data={"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200


async def test_limit_holds_for_all_gateways_and_forms_at_once(database: Database) -> None:
    """Two gateways on one database get thirty forms of one question each, all at the same moment."""
    link = Link("report", "p-ana", "engagement/r-2", AT + timedelta(days=60))
    other = replace(link, profile="p-marcus")
    gateways = [LinkLimiter(database), LinkLimiter(database)]
    taken = await asyncio.gather(*(gateways[number % 2].take(link, AT) for number in range(60)))
    assert taken.count(True) == MOST_IN_AN_HOUR
    assert await gateways[0].take(other, AT)
    await gateways[0].give_back(link, AT)
    assert [await gateways[1].take(link, AT) for _ in range(2)] == [True, False]
    assert await gateways[1].take(link, AT + timedelta(hours=1))
    async with database.reading() as session:
        kept = await session.scalars(select(LinkUse.profile))
        assert kept.all() == ["p-ana"], "a question is forgotten after an hour"
