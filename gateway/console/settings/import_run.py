"""A run of `throughline event import` for the console: the command itself, in a process of its own.

A dry run needs a Temporal server, a database and workers of its own, which no gateway has. So the page and the command
cannot differ. A run belongs to the gateway that began it, and is gone with it; what it has stored stays and is applied.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

log = structlog.get_logger()

LONGEST_RUN: Final = 3600.0
"""Seconds after which a run is given up."""

MOST_LINES: Final = 50
"""Lines of what a command refused that are kept."""

_COMMAND: Final = (sys.executable, "-c", "from cli.main import main; main()", "event", "import")


@dataclass(slots=True)
class ImportRun:
    """An import that runs, or has ended."""

    name: str
    """Of the file, as it was chosen."""
    content: bytes
    is_dry: bool
    result: dict[str, Any] | None = None
    """What the command printed about it, once it has ended well."""
    refused: tuple[str, ...] = ()
    """What the command said instead."""
    _task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._task is not None and not self._task.done()

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the file."""
        return hashlib.sha256(self.content).hexdigest()

    def start(self) -> None:
        """Begin in the background."""
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._ended()
        except (OSError, TimeoutError) as error:
            log.warning("import_run_failed", error=type(error).__name__)
            self.refused = (f"the import could not be run: {type(error).__name__}",)

    async def _ended(self) -> None:
        """Run the command to its end. Raises OSError, TimeoutError."""
        with tempfile.TemporaryDirectory(prefix="throughline-import-") as folder:
            file = Path(folder) / "history.jsonl"
            await asyncio.to_thread(file.write_bytes, self.content)
            dry = ("--dry-run",) if self.is_dry else ()
            process = await asyncio.create_subprocess_exec(
                *(*_COMMAND, str(file), "--json", *dry),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                async with asyncio.timeout(LONGEST_RUN):
                    out, error = await process.communicate()
            finally:
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()
            try:
                self.result = json.loads(out)
            except ValueError:
                lines = error.decode("utf-8", "replace").replace(f"{file}: ", "").splitlines()
                self.refused = tuple(lines[:MOST_LINES]) or ("the import ended without a word",)
