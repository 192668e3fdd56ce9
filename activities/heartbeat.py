"""Signs of life of a running activity, so that another worker soon takes over from one that died."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from temporalio import activity


@asynccontextmanager
async def heartbeats(every: float = 5.0) -> AsyncIterator[None]:
    """Tell the server every few seconds that the attempt lives, as long as the block lasts."""

    async def beat() -> None:
        while True:
            # The attempt's start is a sign of life by itself: most end before they owe another.
            await asyncio.sleep(every)
            activity.heartbeat()

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
