"""The least that is durable at all, written by hand: a workflow with one activity, and one that waits.

Alone in its module, because the sandbox loads a workflow's module again for each run."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow


@workflow.defn
class ByHand:
    """One workflow, one activity."""

    @workflow.run
    async def run(self, number: str) -> None:
        """Send it."""
        await workflow.execute_activity(
            "insert_and_send", number, start_to_close_timeout=timedelta(minutes=1)
        )


@workflow.defn
class Bare:
    """A workflow that waits, and hears of changes."""

    def __init__(self) -> None:
        self._changes = 0

    @workflow.run
    async def run(self) -> None:
        """Wait for ever."""
        await workflow.wait_condition(lambda: self._changes < 0)

    @workflow.signal
    def changed(self) -> None:
        """Something changed."""
        self._changes += 1
