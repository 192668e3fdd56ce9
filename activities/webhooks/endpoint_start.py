"""Starting the workflows of endpoints: one for each that is enabled, for as long as it is."""

from __future__ import annotations

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from activities.command_sender import QUEUE
from database.session import Database
from database.webhook_endpoints import about, enabled


async def start_webhook(client: Client, name: str) -> None:
    """Start the workflow of an endpoint, unless it runs."""
    await client.start_workflow(
        "Webhook",
        name,
        id=about(name),
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        static_summary=about(name),
    )


async def start_webhooks(client: Client, database: Database) -> None:
    """Start the workflows of all enabled endpoints that do not run."""
    async with database.reading() as session:
        names = await enabled(session)
    for name in names:
        await start_webhook(client, name)
