"""Ctrl-C and SIGTERM as an event to wait for, so that a command stops its parts in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether this process was asked to stop."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Ask the process to stop."""
        self._asked.set()

    async def wait(self) -> None:
        """Wait until the process is asked to stop."""
        await self._asked.wait()

    async def or_done(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return the result of the work; None if a signal cancelled it."""
        working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(self.wait())
        try:
            await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
            return await working if working.done() else None
        finally:
            for task in (working, waiting):
                task.cancel()
            await asyncio.gather(working, waiting, return_exceptions=True)


@asynccontextmanager
async def stopping() -> AsyncIterator[Stop]:
    """Within the block, turn the signals into a request to stop, which the block obeys when it can."""
    stop, loop = Stop(), asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop.ask)
    try:
        yield stop
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
