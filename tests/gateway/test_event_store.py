"""The inbox workflow is notified of stored events, whatever is down in between."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from database import events
from database.models import Event
from embedded.faults import DatabaseFault
from gateway.event_store import UNAPPLIED, EventStore
from rules.events import Envelope
from tests.support.gateway import NOW, GatewayFixture, Switch, eventually, gateway_fixture, member_updated

LEO = Envelope("e-1", "/members", "member.updated", NOW, member_updated("leo")["data"])


async def test_event_during_a_temporal_outage_is_delivered_after_it(gateway: GatewayFixture) -> None:
    gateway.poke.broken = True
    with capture_logs() as logs:
        assert (await gateway.send(member_updated(id="1"))).status_code == 202
        assert (await gateway.send(member_updated(id="2"))).status_code == 202
        gateway.poke.broken = False
        await gateway.poke.has_worked(1)
    assert "inbox_notification_failed" in {log["event"] for log in logs}
    assert "hunter2" not in str(logs)


async def test_failed_notification_delays_no_request(sqlite_url: str) -> None:
    async with gateway_fixture(sqlite_url, []) as made:
        poke = Switch()
        poke.broken = True
        inbox = EventStore(made.database, poke)
        with capture_logs():
            for number in range(5):
                await inbox.put([replace(LEO, id=str(number))])
        assert poke.asked == 1


async def test_hanging_notification_does_not_hold_the_request(sqlite_url: str) -> None:
    async with gateway_fixture(sqlite_url, []) as made:

        async def hang() -> None:
            await asyncio.Event().wait()

        with capture_logs() as logs:
            assert await EventStore(made.database, hang, notify_timeout=0.05).put([LEO]) == 1
        assert logs[0]["error"] == "TimeoutError"


@pytest.mark.parametrize("state", UNAPPLIED)
async def test_starting_gateway_notifies_of_unapplied_events(sqlite_url: str, state: str) -> None:
    left = Event(
        source="/members",
        event_id="1",
        type="member.updated",
        subject="member/leo",
        data=LEO.data,
        state=state,
    )
    async with gateway_fixture(sqlite_url, [left]) as made:
        await made.poke.has_worked(1)


@pytest.mark.rule("MAIL7")
async def test_running_gateway_finds_events_that_another_process_stored(sqlite_url: str) -> None:
    """As `mail bounces` does while Temporal is away: it can store its reports, but notify nobody."""
    async with gateway_fixture(sqlite_url, []) as made:
        poke = Switch()
        inbox = EventStore(made.database, poke, look_every=0.05)
        running = asyncio.create_task(inbox.run())
        await asyncio.sleep(0)
        async with made.database.begin() as session:
            await events.store(session, [LEO])
        await poke.has_worked(1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_starting_gateway_without_open_events_notifies_nobody(sqlite_url: str) -> None:
    done = [
        Event(source="/m", event_id=state, type="member.updated", subject="member/leo", data={}, state=state)
        for state in ("applied", "refused")
    ]
    async with gateway_fixture(sqlite_url, done) as made:
        await made.send(member_updated())
        await made.poke.has_worked(1)
        assert made.poke.asked == 1


async def test_gateway_can_start_before_its_database(sqlite_url: str) -> None:
    async with gateway_fixture(sqlite_url, []) as made:
        await made.send(member_updated())
        fault = DatabaseFault(made.database)
        fault.down = True
        poke = Switch()
        inbox = EventStore(made.database, poke, first_delay=0.01)
        with capture_logs() as logs:
            running = asyncio.create_task(inbox.run())
            await eventually(lambda: len(logs) > 0)
            fault.down = False
            await poke.has_worked(1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_notification_back_off_grows_to_its_limit_and_resets(sqlite_url: str) -> None:
    async with gateway_fixture(sqlite_url, []) as made:
        poke = Switch()
        poke.broken = True
        inbox = EventStore(made.database, poke, first_delay=0.001, longest_delay=0.004)
        with capture_logs() as logs:
            await inbox.put([LEO])
            running = asyncio.create_task(inbox.run())
            await eventually(lambda: len(logs) >= 6)
            poke.broken = False
            await poke.has_worked(1)
        assert [log.get("retry_in_seconds") for log in logs[:6]] == [None, 0.001, 0.002, 0.004, 0.004, 0.004]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
