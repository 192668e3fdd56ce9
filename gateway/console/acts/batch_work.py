"""The work on batches while the gateway runs: at once when somebody asks, else looked for now and then."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from gateway.services import GatewayServices
from staff.batches.steps import BatchSteps

log = structlog.get_logger()

LOOK_EVERY: Final = 30
"""Seconds between two looks for what another gateway began and did not end."""


class BatchWork:
    """Takes the steps of batches, one after the other."""

    def __init__(self, services: GatewayServices) -> None:
        self._steps = BatchSteps(services.database, services.programs, services.temporal, services.now)
        self._asked = asyncio.Event()

    def wake(self) -> None:
        """Look for work at once."""
        self._asked.set()

    async def step(self) -> bool:
        """Take a step, and return whether there was one to take."""
        return await self._steps.step()

    async def run(self) -> None:
        """Take steps until this is cancelled. A failure is logged, and the step is taken again."""
        while True:
            self._asked.clear()
            try:
                worked = await self.step()
            except Exception as error:
                log.warning("staff_batch_step_failed", error=type(error).__name__)
                worked = False
            if not worked:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._asked.wait()
