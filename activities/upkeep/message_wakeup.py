"""Having one message go out that staff released or send early, whether its lifecycle still runs or not (MAIL1)."""

from __future__ import annotations

from datetime import datetime

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.delivery import SendMail
from activities.inbox import QUEUE
from database.models import Message


async def wake_sender(client: Client, row: Message, at: datetime) -> None:
    """Let the lifecycle of a message plan again; where it is over, let a workflow of its own send it when it is due.

    Raises RPCError where Temporal cannot be reached.
    """
    try:
        await client.get_workflow_handle(row.workflow).signal("replan")
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        await start_sending(client, row, at)


async def start_sending(client: Client, row: Message, at: datetime) -> None:
    """Start the workflow of one message, unless it runs already."""
    await client.start_workflow(
        "Resend",
        SendMail(row.workflow, [row.key]),
        id=own_sender(row),
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        static_summary=own_sender(row),
        start_delay=row.due_at - at if row.due_at and row.due_at > at else None,
    )


def own_sender(row: Message) -> str:
    """Return the id of the workflow that sends a message which no lifecycle sends."""
    return f"resend/{row.delivery}"
