"""Temporal servers that come with the product: a skipping clock to rehearse with, a dev server to run on.

Everything that is peculiar to the skipping test server stands here, so that another clock can take its place:
it has one global clock, stands still while a workflow task or an activity runs, and must never be asked for a
workflow's result.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from temporalio.api.testservice.v1 import SleepRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment


def binary(name: str) -> str:
    """The path of a bundled command. Raises RuntimeError if it is not installed."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise RuntimeError(f"the command {name} is missing: run make setup")
    return found


class SkippingClock:
    """A Temporal server whose clock one driver moves."""

    def __init__(self, environment: WorkflowEnvironment) -> None:
        self._environment = environment
        self.client: Client = environment.client

    async def now(self) -> datetime:
        """The server's present instant."""
        return await self._environment.get_current_time()

    async def advance(self, target: datetime) -> None:
        """Let the clock run to `target`; returns at once if it is there already.

        All that falls due on the way happens at its own instant.
        """
        remaining = target - await self.now()
        if remaining > timedelta(0):
            duration = Duration()
            duration.FromTimedelta(remaining)
            # The environment's own `sleep` gives the server ten seconds of real time; a busy month needs more.
            await self.client.test_service.unlock_time_skipping_with_sleep(
                SleepRequest(duration=duration), timeout=timedelta(hours=1)
            )


@asynccontextmanager
async def skipping_clock() -> AsyncIterator[SkippingClock]:
    """A server with a skipping clock, stopped at the end of the block."""
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=binary("temporal-test-server")
    )
    try:
        yield SkippingClock(environment)
    finally:
        await environment.shutdown()


@asynccontextmanager
async def dev_server(
    file: Path | None, *, port: int | None = None, ui_port: int | None = None
) -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal dev server in real time; with `file` it keeps its state over restarts."""
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=binary("temporal"),
        dev_server_database_filename=str(file) if file else None,
        port=port,
        ui=ui_port is not None,
        ui_port=ui_port,
        dev_server_log_level="error",
    )
    try:
        yield environment
    finally:
        await asyncio.shield(environment.shutdown())
