"""Records the history of the weekly digest.

    python -m tests.histories.record_digest 0.6

plays three weeks on a skipping clock, and writes the history of the digest's workflow into the folder.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from structlog.testing import capture_logs

from activities.inbox import QUEUE
from embedded.stack import embedded_stack
from tests.histories.record import HISTORIES, PROGRAMS, TEMPLATES, history
from tests.support.rehearsals import instant
from worker.assembly import load_programs
from workflows.upkeep.digest import DIGEST, DigestWorkflow


async def record(folder: Path) -> Path:
    """Let three digests go out, and write the file. Raises FileExistsError if it is there."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{DIGEST}.json"
    with capture_logs():
        async with embedded_stack(load_programs(PROGRAMS), TEMPLATES, PROGRAMS) as ready:
            await ready.advance(instant("2035-03-07T18:00"))
            await ready.clock.client.start_workflow(DigestWorkflow.run, id=DIGEST, task_queue=QUEUE)
            member = {"member": "ana", "name": "Ana", "email": "ana@example.org", "standing": "good"}
            await ready.send_events(instant("2035-03-07T18:00"), [("member.updated", member)])
            await ready.advance(instant("2035-03-26T12:00"))
            found = await history(ready.clock.client, DIGEST)
            await ready.clock.client.get_workflow_handle(DIGEST).terminate()
    with file.open("x", encoding="utf-8") as opened:
        opened.write(found)
    return file


if __name__ == "__main__":
    logging.basicConfig(handlers=[logging.NullHandler()])
    if len(sys.argv) != 2:
        sys.exit("Name the folder: python -m tests.histories.record_digest 0.6")
    print(asyncio.run(record(HISTORIES / sys.argv[1])))
