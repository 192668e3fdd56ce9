"""Heartbeats of a running activity, so that another worker soon takes over from one that died."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from temporalio import activity

BEATS_PER_TIMEOUT = 4
"""So many heartbeats fit into a timeout: one that a busy event loop delays does not make a living worker seem dead."""


@asynccontextmanager
async def heartbeats() -> AsyncIterator[None]:
    """Send heartbeats while the block runs, several in each heartbeat timeout of the activity.

    Sends none for an activity that has no such timeout.
    """
    timeout = activity.info().heartbeat_timeout
    if not timeout:
        yield
        return
    beating = asyncio.create_task(_beat(timeout / BEATS_PER_TIMEOUT))
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating


async def _beat(interval: timedelta) -> None:
    while True:
        # The start of an attempt counts as a heartbeat: most attempts end before the first one is due.
        await asyncio.sleep(interval.total_seconds())
        activity.heartbeat()
