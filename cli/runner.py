"""Running a command: one event loop, one exit status, no child process left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

TIME_TO_LEAVE: Final = 10
"""Seconds in which an interrupted command stops the servers that it started; then the process exits anyway."""

Result = TypeVar("Result")

before_work: list[Callable[[], None]] = []
"""What `run` calls first. The console script sets up logging here; a test that calls a command in process does not."""


class Interrupted(Exception):
    """A signal stopped the command; `status` is its exit status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a command's work to its end. Raises Interrupted after SIGINT or SIGTERM, once the clean-up is done."""
    for prepare in before_work:
        prepare()
    stopped = 0

    async def watched() -> Result:
        task = asyncio.ensure_future(work)
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
        return await task

    try:
        return asyncio.run(watched())
    except asyncio.CancelledError:
        raise Interrupted(stopped or 130) from None


def leave(status: int) -> None:
    """Exit at once. The servers that this process started are killed."""
    for child in _children():
        with suppress(OSError):
            os.kill(child, signal.SIGKILL)
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    # Temporal's core may abort the interpreter at its regular exit, which would lose the status.
    os._exit(status)


def _children() -> list[int]:
    """Return the ids of the child processes that still run."""
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
