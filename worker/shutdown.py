"""Ctrl-C and SIGTERM as an event to wait for, so that a command stops its parts in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import structlog

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM)

STOP_MARGIN: Final = 8.0
"""Seconds for the end of connections, after the time of running work: 28 in all by default. Kubernetes kills at 30."""

log = structlog.get_logger()


class Stop:
    """Whether this process was asked to stop. With a `deadline`, it ends that many seconds later at the latest."""

    def __init__(self, deadline: float | None = None) -> None:
        self._asked = asyncio.Event()
        self._deadline = deadline

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Ask the process to stop."""
        if self._deadline is not None and not self.asked:
            # A thread of its own: a server that hangs may hold the event loop, and whatever waits in it.
            timer = threading.Timer(self._deadline, _give_up, [self._deadline])
            timer.daemon = True
            timer.start()
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
async def stopping(deadline: float | None = None) -> AsyncIterator[Stop]:
    """Within the block, turn the signals into a request to stop, which the block obeys when it can.

    `deadline` is in seconds from the signal; then the process ends with status 1, whatever it waits for.
    """
    stop, loop = Stop(deadline), asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop.ask)
    try:
        yield stop
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


def _give_up(seconds: float) -> None:
    """End the process as a kill would, before the one that asked it to stop does so."""
    log.error("shutdown_deadline_exceeded", seconds=seconds)
    sys.stderr.flush()
    os._exit(1)
