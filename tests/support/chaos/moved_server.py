"""A Temporal dev server on its file whose clock a test moves, and which it kills and starts again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from temporalio.client import Client

from embedded.temporal_servers import HOST, binary, free_port
from tests.support.limits import PATIENCE

LAUNCHER = Path(__file__).with_name("clock_launcher.py")

# The queue of timers looks at the clock so often. A server whose clock nobody moves has no need to.
LOOKS = {"history.timerProcessorMaxPollInterval": '"100ms"', "history.timerProcessorMaxTimeShift": '"1ms"'}
# These scan the server's own tables every half day of its clock.
SCANNERS = {
    f"worker.{name}ScannerEnabled": "false" for name in ("taskQueue", "history", "executions", "buildId")
}
SETTINGS = {"frontend.enableServerVersionCheck": "false", **LOOKS, **SCANNERS}


@dataclass
class MovedTemporalServer:
    """The server: program time is its clock."""

    file: Path
    port: int = field(default_factory=free_port)
    _ahead: int = 0
    _process: asyncio.subprocess.Process | None = None

    def now(self) -> datetime:
        """Return the present instant of the server's clock."""
        return datetime.now(UTC) + timedelta(seconds=self._ahead)

    async def start(self) -> Client:
        """Start it at the instant that its clock has come to, and wait until it answers."""
        command = [binary("temporal"), "server", "start-dev", "--ip", HOST, "--port", str(self.port)]
        command += ["--headless", "--log-level", "error", "--db-filename", str(self.file)]
        for name, value in SETTINGS.items():
            command += ["--dynamic-config-value", f"{name}={value}"]
        with self.file.with_suffix(".log").open("ab") as said:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(LAUNCHER), str(self._ahead), *command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
            )
        async with asyncio.timeout(PATIENCE):
            while True:
                assert self._process.returncode is None, "the Temporal server ended at once"
                try:
                    return await Client.connect(f"{HOST}:{self.port}")
                except RuntimeError:
                    await asyncio.sleep(0.1)

    async def move_to(self, instant: datetime) -> None:
        """Set the clock to an instant that lies ahead."""
        seconds = (instant - self.now()).total_seconds()
        if seconds > 0:
            self._ahead += int(seconds) + 1
            await self._tell()

    async def kill(self) -> None:
        """End it as a crash would. Its launcher takes it along."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _tell(self) -> None:
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            return
        self._process.stdin.write(f"{self._ahead}\n".encode())
        await self._process.stdin.drain()
        while line := await self._process.stdout.readline():
            if line == b"ok\n":
                return
