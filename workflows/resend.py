"""One message that belongs to no running lifecycle: a copy that staff resend, or a checkpoint's mail (MAIL2, MAIL3)."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.delivery import MailActivities, Outcome, SendMail

from workflows.agenda_loop import DEAD_AFTER, MAIL_QUEUE


@workflow.defn(name="Resend")
class ResendWorkflow:
    """Brings one message to its decision, as a lifecycle does with its own. Id `resend/{delivery}` for a copy.

    A copy has its own workflow because its lifecycle may have ended long ago.
    """

    @workflow.run
    async def run(self, order: SendMail) -> list[Outcome]:
        """Send it, and return its decision."""
        return await workflow.execute_activity_method(
            MailActivities.send_mail,
            order,
            task_queue=MAIL_QUEUE,
            start_to_close_timeout=timedelta(minutes=15),
            heartbeat_timeout=DEAD_AFTER,
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=1),
                backoff_coefficient=2,
                maximum_interval=timedelta(minutes=5),
            ),
            summary=", ".join(order.keys),
        )
