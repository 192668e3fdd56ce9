"""Watches the activities of a rehearsal, so that a clock that stands still is noticed and explained."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from embedded.temporal_servers import SkippingClock

STALL_LIMIT = timedelta(seconds=120)
"""Real time without progress after which a rehearsal gives up: far above one activity on a busy machine."""

POLL_INTERVAL = timedelta(seconds=1)

_SKIPPED = 1.5
"""Seconds by which the clock must run ahead of real time to count as skipping, not only as ticking."""


class ClockStalled(RuntimeError):
    """The clock stood still for too long. The text says at which instant, and what it was waiting for."""


class ProgressMonitor(Interceptor):
    """Counts the attempts of activities, and holds those that are running."""

    def __init__(self, stall_limit: timedelta = STALL_LIMIT) -> None:
        self.stall_limit = stall_limit
        self.steps = 0
        self.running: dict[object, str] = {}

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap the activities."""
        return _WatchedActivity(next, self)

    async def until_stalled(self, clock: SkippingClock) -> None:
        """Raise ClockStalled once neither the clock nor an activity has moved for `stall_limit` of real time.

        The clock of the skipping server ticks in real time while an activity runs, so only a jump is progress.
        """
        loop = asyncio.get_running_loop()
        ahead, steps, since = float("-inf"), -1, loop.time()
        while True:
            now = await clock.now()
            present = now.timestamp() - loop.time()
            if present > ahead + _SKIPPED or steps != self.steps:
                ahead, steps, since = max(present, ahead), self.steps, loop.time()
            elif loop.time() - since >= self.stall_limit.total_seconds():
                raise ClockStalled(
                    f"the clock has stood still at {now:%Y-%m-%d %H:%M} UTC "
                    f"for {self.stall_limit.total_seconds():g} seconds, waiting for {self._awaited()}"
                )
            await asyncio.sleep(POLL_INTERVAL.total_seconds())

    def _awaited(self) -> str:
        if not self.running:
            return "a worker to take a workflow task or an activity"
        first, *others = self.running.values()
        return f"{first} and {len(others)} other activities" if others else first


class _WatchedActivity(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, monitor: ProgressMonitor) -> None:
        super().__init__(next)
        self._monitor = monitor

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info, attempt, monitor = activity.info(), object(), self._monitor
        monitor.running[attempt] = f"the activity {info.activity_type} of {info.workflow_id}"
        monitor.steps += 1
        try:
            return await super().execute_activity(input)
        finally:
            del monitor.running[attempt]
            monitor.steps += 1
