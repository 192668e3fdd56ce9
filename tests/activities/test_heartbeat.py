"""Heartbeats follow the timeout of the activity that sends them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from temporalio.testing import ActivityEnvironment

from activities.heartbeat import BEATS_PER_TIMEOUT, heartbeats
from tests.support.limits import PATIENCE


def environment(timeout: timedelta | None) -> ActivityEnvironment:
    """An attempt of an activity with this heartbeat timeout."""
    made = ActivityEnvironment()
    made.info = replace(made.info, heartbeat_timeout=timeout)
    return made


async def test_several_heartbeats_fit_into_the_timeout() -> None:
    """A long attempt sends one each quarter of its timeout."""
    timeout = timedelta(seconds=1)
    loop = asyncio.get_running_loop()
    beats: list[float] = []
    enough = asyncio.Event()

    def on_heartbeat(*details: object) -> None:
        beats.append(loop.time())
        if len(beats) == BEATS_PER_TIMEOUT:
            enough.set()

    async def attempt() -> None:
        async with heartbeats(), asyncio.timeout(PATIENCE):
            await enough.wait()

    made = environment(timeout)
    made.on_heartbeat = on_heartbeat
    began = loop.time()
    await made.run(attempt)
    # A busy machine may delay a heartbeat, but none comes early.
    intervals = [later - earlier for earlier, later in zip([began, *beats], beats, strict=False)]
    assert min(intervals) >= 0.9 * timeout.total_seconds() / BEATS_PER_TIMEOUT


async def tasks_in_block(timeout: timedelta | None) -> int:
    """How many tasks heartbeats add while their block runs; none may be there after it."""

    async def attempt() -> int:
        before = asyncio.all_tasks()
        async with heartbeats():
            added = len(asyncio.all_tasks() - before)
        assert not asyncio.all_tasks() - before
        return added

    return await environment(timeout).run(attempt)


async def test_heartbeats_end_with_their_block() -> None:
    assert await tasks_in_block(timedelta(seconds=20)) == 1


async def test_activity_without_heartbeat_timeout_sends_none() -> None:
    assert await tasks_in_block(None) == 0
