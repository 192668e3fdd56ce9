"""What holds an event loop: the callbacks that compute for longer than a limit, by name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

LIMIT = 0.1
"""Seconds of processor time that one callback may take: meanwhile no heartbeat leaves, and no request is answered."""


@contextmanager
def watched_loop(limit: float = LIMIT) -> Iterator[list[str]]:
    """Collect what held the event loop for longer than `limit`.

    Processor time of the thread counts, so that a busy machine blames nobody.
    """
    held: list[str] = []
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        if (took := time.thread_time() - began) > limit:
            held.append(f"{handle!r} for {took:.2f} s")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.Handle, "_run", timed)
        yield held
