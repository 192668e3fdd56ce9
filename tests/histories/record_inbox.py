"""Records histories of the inbox: of the one of before, which hands over, and of its shards.

    python -m tests.histories.record_inbox 0.5

runs a worker with the one inbox of before, then the workers of today, and writes a file for each inbox into the folder.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from structlog.testing import capture_logs
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from activities.inbox.wakeup import SHARD_IDS
from database.session import Database
from tests.conftest import program
from tests.histories.record import HISTORIES, history
from tests.support.temporal_workers import running_workers
from tests.workflows.test_inbox import begins, joins, store, until_applied, until_status, worker_of_before
from workflows.inbox import INBOX
from workflows.starting import notify_inbox


async def record(folder: Path) -> list[Path]:
    """Let the one inbox hand over, and write one file for each inbox. Raises FileExistsError if a file is there."""
    folder.mkdir(exist_ok=True)
    written = []
    with capture_logs(), tempfile.TemporaryDirectory() as data:
        url = f"sqlite:///{data}/throughline.db"
        async with await WorkflowEnvironment.start_local(
            dev_server_existing_path=program("temporal")
        ) as server:
            database = Database(url)
            await database.upgrade()
            async with worker_of_before(server.client, database):
                await store(database, *joins("early"))
                await begins(server.client)
                await until_applied(database)
            await store(database, *joins("late"), ("profile.withdrawn", {"profile": "p-unknown"}))
            async with running_workers(server.client, url):
                await notify_inbox(server.client, database)
                await until_applied(database)
                await until_status(server.client, INBOX, WorkflowExecutionStatus.COMPLETED)
                for workflow in (INBOX, *SHARD_IDS):
                    try:
                        found = await history(server.client, workflow)
                    except RPCError:
                        continue  # No event came for this shard.
                    file = folder / f"{workflow.replace('/', '.shard-')}.json"
                    with file.open("x", encoding="utf-8") as opened:
                        opened.write(found)
                    written.append(file)
            await database.close()
    return written


if __name__ == "__main__":
    logging.basicConfig(handlers=[logging.NullHandler()])
    if len(sys.argv) != 2:
        sys.exit("Name the folder: python -m tests.histories.record_inbox 0.5")
    for path in asyncio.run(record(HISTORIES / sys.argv[1])):
        print(path)
