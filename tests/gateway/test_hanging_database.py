"""The gateway while PostgreSQL hangs: it answers that it cannot, within its time, and goes on when it can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.gateway import GatewayFixture, gateway_fixture, member_updated
from tests.support.limits import PATIENCE
from tests.support.servers.freezing_proxy import FreezingProxy


@pytest.fixture
async def hanging(proxy: FreezingProxy, postgres_database_url: str) -> AsyncIterator[GatewayFixture]:
    """A gateway with connections of its own to a database that hangs, and is given up after three seconds."""
    async with gateway_fixture(proxy.through(postgres_database_url), timeout=3) as made:
        await asyncio.gather(*(made.events() for _ in range(5)))
        proxy.freeze()
        yield made
        proxy.thaw()


async def test_hanging_database_gives_503_and_recovers(hanging: GatewayFixture, proxy: FreezingProxy) -> None:
    page = hanging.path("unsubscribe", "p-ana", "mentee.checkin")
    batch = [member_updated(f"m-{number}", f"e-{number}") for number in range(20)]
    async with asyncio.timeout(PATIENCE):
        answers = await asyncio.gather(*map(hanging.send, batch), hanging.client.get(page))
    assert {(answer.status_code, answer.headers["Retry-After"]) for answer in answers} == {(503, "10")}
    assert (await hanging.client.get("/healthz")).status_code == 200
    proxy.thaw()
    assert (await hanging.send(batch)).json() == {"accepted": 20, "known": 0}
    assert (await hanging.client.get(page)).status_code == 200


async def test_unconfirmed_commit_is_503_and_a_retry_is_a_repeat(
    hanging: GatewayFixture, proxy: FreezingProxy
) -> None:
    """The event may be stored; it is accepted only when it comes again."""
    proxy.thaw()
    proxy.keep_answers_to(b"COMMIT")
    assert (await hanging.send(member_updated())).status_code == 503
    proxy.thaw()
    assert (await hanging.send(member_updated())).json() == {"accepted": 0, "known": 1}
    assert len(await hanging.events()) == 1


async def test_readiness_answers_at_once_while_the_database_hangs(
    proxy: FreezingProxy, postgres_database_url: str
) -> None:
    async with gateway_fixture(proxy.through(postgres_database_url), timeout=60) as made:
        proxy.freeze()
        async with asyncio.timeout(PATIENCE):
            response = await made.client.get("/readyz")
        proxy.thaw()
    assert response.status_code == 503
    part = response.json()["parts"]["database"]
    assert part == {"ready": False, "reason": "no answer within 5 seconds"}
