"""The inbox: a workflow for each shard, which has its events applied; and the one inbox of earlier versions."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.inbox import INBOX, Applied, InboxActivities, shard_id

from workflows.agenda_loop import DEAD_AFTER

__all__ = ["INBOX", "SHARDED", "InboxShardWorkflow", "InboxWorkflow", "shard_id"]

SHARDED = "sharded inbox"
"""The patch since which the one inbox hands over. Its name has the number of the turn in which that is asked."""


class _Turns:
    """An inbox's wait for events, and for the end of the hold of one."""

    def __init__(self) -> None:
        self._arrived = True

    @workflow.signal
    def arrived(self) -> None:
        """Events were stored."""
        self._arrived = True

    async def _apply(self, *shard: int) -> Applied:
        """Have stored events applied: those of a shard, or of all."""
        self._arrived = False
        return await workflow.execute_activity(
            InboxActivities.apply_events,
            args=shard,
            start_to_close_timeout=timedelta(minutes=10),
            heartbeat_timeout=DEAD_AFTER,
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=5)
            ),
            summary="apply stored events",
        )

    async def _wait(self, applied: Applied) -> None:
        """Wait until there is something to do."""
        if applied.more or self._arrived:
            return
        timeout = None
        if applied.next_deadline:
            timeout = max(applied.next_deadline - workflow.now(), timedelta(0))
        try:
            await workflow.wait_condition(lambda: self._arrived, timeout=timeout)
        except TimeoutError:
            return


@workflow.defn(name="InboxShard")
class InboxShardWorkflow(_Turns):
    """Applies the stored events of a shard when some arrive, and again when the hold of one expires."""

    @workflow.run
    async def run(self, shard: int) -> None:
        """Run for ever; continue as new whenever the server suggests it."""
        while True:
            applied = await self._apply(shard)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(shard)
            await self._wait(applied)


@workflow.defn(name="Inbox")
class InboxWorkflow(_Turns):
    """Hands over to the shards. Before there were shards, it applied all events.

    The next turn of one that runs hands over; each turn asks for a patch of its own, as a replay of the turns before
    it answers no.
    """

    @workflow.run
    async def run(self) -> None:
        """Wake the shards, and end."""
        turn = 0
        while not workflow.patched(f"{SHARDED} {turn}"):
            applied = await self._apply()
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new()
            await self._wait(applied)
            turn += 1
        await workflow.execute_activity_method(
            InboxActivities.hand_over_inbox,
            start_to_close_timeout=timedelta(minutes=1),
            retry_policy=RetryPolicy(maximum_interval=timedelta(minutes=5)),
            summary="hand over to the shards",
        )
