"""The folder in which the embedded parts keep their data: for its owner alone, and for one process at a time."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from worker.connection_file import LOCK
from worker.errors import Failure

SECONDS_FOR_THE_LOCK: Final = 3.0
"""How long the servers of a command that was killed may take to be gone."""


class FolderInUse(Failure):
    """Another `throughline up` or `demo` runs in the folder."""


def private_folder(data: Path) -> Path:
    """Return a folder that only its owner may enter, made if it is missing. Raises Failure."""
    folder = data.expanduser().resolve()
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        # Names, addresses and secrets are in it. A folder of an earlier version may be open to all.
        folder.chmod(0o700)
    except OSError as error:
        raise Failure(f"{folder} cannot be used: {error.strerror}") from None
    return folder


@asynccontextmanager
async def locked(folder: Path, seconds: float = SECONDS_FOR_THE_LOCK) -> AsyncIterator[int]:
    """Hold the lock of a folder within the block; yield its descriptor.

    Raises FolderInUse if another process has it for longer than `seconds`, Failure if the folder cannot be written.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Failure(f"{folder} cannot be written: {error.strerror}") from None
    try:
        await _taken(descriptor, folder, seconds)
        yield descriptor
    finally:
        os.close(descriptor)


async def _taken(descriptor: int, folder: Path, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not _take(descriptor):  # noqa: ASYNC110 - a lock has no way to wait for its release
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise FolderInUse(
            f"{folder} is in use by another throughline up or demo: stop that, or name another --data"
        ) from None


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
