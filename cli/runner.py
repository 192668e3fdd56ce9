"""Running a command: one event loop, one exit status, no traceback."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

PATIENCE: Final = 2.0
"""Seconds after which something that is not done yet shows that it is under way."""

TIME_TO_LEAVE: Final = 10
"""Seconds in which an interrupted command takes down what it put up; then it is ended all the same."""

Result = TypeVar("Result")


class Interrupted(Exception):
    """The command was told to stop by a signal; `status` is what it exits with."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a command's work to its end. Raises Interrupted after SIGINT or SIGTERM, when all is taken down."""
    stopped = 0

    async def watched() -> Result:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()

        def stop(number: int) -> None:
            nonlocal stopped
            if stopped:
                leave(stopped)
            stopped = 128 + number
            task.cancel()
            loop.call_later(TIME_TO_LEAVE, leave, stopped)

        with suppress(ValueError, RuntimeError, NotImplementedError):
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop, number)
        return await work

    try:
        return asyncio.run(watched())
    except asyncio.CancelledError:
        raise Interrupted(stopped or 130) from None


def leave(status: int) -> None:
    """End this process now, with the servers that it started."""
    for child in _children():
        with suppress(OSError):
            os.kill(child, signal.SIGKILL)
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    # Temporal's core may abort the interpreter while it is taken down.
    os._exit(status)


def _children() -> list[int]:
    """The processes that this one started and that still run."""
    own = str(os.getpid())
    if Path("/proc/self/stat").exists():
        found = []
        for file in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                if file.read_text().rpartition(")")[2].split()[1] == own:
                    found.append(int(file.parent.name))
        return found
    with suppress(OSError, subprocess.SubprocessError):
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, timeout=5)
        pairs = (line.split() for line in listed.stdout.splitlines())
        return [int(pid) for pid, parent in pairs if parent == own]
    return []
