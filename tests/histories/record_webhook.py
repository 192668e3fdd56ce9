"""Records histories of an endpoint's workflow: runs that continue as new, and one that ends when it is disabled.

    python -m tests.histories.record_webhook 0.6

delivers some events on a dev server that suggests to continue as new after a few of its own, and writes a file for each
run into the folder.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from structlog.testing import capture_logs
from temporalio.testing import WorkflowEnvironment

from database.session import Database
from tests.conftest import program
from tests.histories.record import HISTORIES
from tests.histories.record_live import history, runs
from tests.workflows.test_webhook import delivering, disable

EVENTS_OF_A_RUN = 20
"""How many events a run has before the server suggests to continue as new."""


async def record(folder: Path) -> list[Path]:
    """Deliver, disable, and write one file for each run. Raises FileExistsError if a file is there."""
    folder.mkdir(exist_ok=True)
    limit = ["--dynamic-config-value", f"limit.historyCount.suggestContinueAsNew={EVENTS_OF_A_RUN}"]
    written = []
    with capture_logs(), tempfile.TemporaryDirectory() as data:
        url = f"sqlite:///{data}/throughline.db"
        database = Database(url)
        await database.upgrade()
        await database.close()
        async with (
            await WorkflowEnvironment.start_local(
                dev_server_existing_path=program("temporal"), dev_server_extra_args=limit
            ) as server,
            delivering(server.client, url, 1) as ready,
        ):
            handle = await ready.start()
            for number in range(4):
                await ready.happen("r-1")
                await ready.until_taken(number + 1)
                await asyncio.sleep(2)
            await disable(ready)
            await server.client.get_workflow_handle(handle.id).result()
            for number, run in enumerate(await runs(server.client, handle.id), start=1):
                file = folder / f"webhook.members.run-{number}.json"
                with file.open("x", encoding="utf-8") as opened:
                    opened.write(await history(server.client, handle.id, run))
                written.append(file)
    return written


if __name__ == "__main__":
    logging.basicConfig(handlers=[logging.NullHandler()])
    if len(sys.argv) != 2:
        sys.exit("Name the folder: python -m tests.histories.record_webhook 0.6")
    for path in asyncio.run(record(HISTORIES / sys.argv[1])):
        print(path)
