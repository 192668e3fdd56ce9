"""The one inbox as versions up to 0.4 ran it. Alone in its module: the sandbox loads a workflow's module again."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.inbox import InboxActivities


@workflow.defn(name="Inbox")
class InboxOfBefore:
    """Applies stored events when some arrive, and again when the hold of one expires."""

    def __init__(self) -> None:
        self._arrived = True

    @workflow.run
    async def run(self) -> None:
        """Run for ever; continue as new whenever the server suggests it."""
        while True:
            self._arrived = False
            applied = await workflow.execute_activity_method(
                InboxActivities.apply_events,
                start_to_close_timeout=timedelta(minutes=10),
                heartbeat_timeout=timedelta(seconds=20),
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=5)
                ),
                summary="apply stored events",
            )
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new()
            if applied.more or self._arrived:
                continue
            timeout = None
            if applied.next_deadline:
                timeout = max(applied.next_deadline - workflow.now(), timedelta(0))
            try:
                await workflow.wait_condition(lambda: self._arrived, timeout=timeout)
            except TimeoutError:
                continue

    @workflow.signal
    def arrived(self) -> None:
        """Events were stored."""
        self._arrived = True
