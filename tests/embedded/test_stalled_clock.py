"""A rehearsal whose clock stands still: real activities that never end, on the real skipping server."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio import activity, workflow
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from embedded.progress import ClockStalled
from embedded.stack import embedded_stack
from worker.assembly import load_programs

QUEUE = "stalling"


@activity.defn
async def wait_for_ever() -> None:
    """Never end."""
    await asyncio.Event().wait()


@workflow.defn
class Stalling:
    """Waits for an activity that never ends."""

    @workflow.run
    async def run(self) -> None:
        """Run the activity."""
        await workflow.execute_activity(wait_for_ever, start_to_close_timeout=timedelta(days=300))


async def test_stalled_clock_names_the_activity_it_waits_for() -> None:
    async with embedded_stack(
        load_programs(Path("programs")), Path("templates/mail"), Path("programs")
    ) as ready:
        ready.progress.stall_limit = timedelta(seconds=3)
        worker = Worker(
            ready.clock.client,
            task_queue=QUEUE,
            workflows=[Stalling],
            activities=[wait_for_ever],
            interceptors=[ready.progress],
            workflow_runner=UnsandboxedWorkflowRunner(),
            graceful_shutdown_timeout=timedelta(0),
        )
        async with worker:
            await ready.clock.client.start_workflow(Stalling.run, id="stalling", task_queue=QUEUE)
            async with asyncio.timeout(10):
                while not ready.progress.running:  # noqa: ASYNC110 - the worker starts it when it can
                    await asyncio.sleep(0.05)
            now = await ready.clock.now()
            with pytest.raises(ClockStalled) as stalled:
                async with asyncio.timeout(60):
                    await ready.advance(now + timedelta(days=30))
    text = str(stalled.value)
    assert text.startswith("the clock has stood still at ")
    assert text.endswith("for 3 seconds, waiting for the activity wait_for_ever of stalling")
    assert "\n" not in text
