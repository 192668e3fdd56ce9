"""Records the histories that tests/workflows/test_replay.py replays.

    python -m tests.histories.record 0.1

plays tests/scenarios/recorded.toml and writes the history of every workflow in it to tests/histories/0.1/. Do that at
each release, and whenever a workflow learns a new way: what runs in production then was begun by such code. A folder
that is there is never written again; its histories go only when nothing that they stand for can still be running.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import select
from structlog.testing import capture_logs
from temporalio.client import Client, WorkflowHistory

from database.session import Database
from embedded.scenario import Scenario, read_scenario
from embedded.stack import EmbeddedStack, embedded_stack
from lifecycles.registry import LIFECYCLES
from worker.assembly import load_programs
from workflows.inbox import INBOX

HISTORIES = Path("tests/histories")
SCENARIO = Path("tests/scenarios/recorded.toml")
PROGRAMS = Path("programs")
TEMPLATES = Path("templates/mail")
IN_PLACE = {"identity": "worker", "stackTrace": ""}


async def record(folder: Path) -> list[Path]:
    """Play the scenario and write one file for each workflow. Raises FileExistsError if the folder is there."""
    folder.mkdir()
    programs = load_programs(PROGRAMS)
    scenario = read_scenario(SCENARIO, programs)
    written = []
    with capture_logs():
        async with embedded_stack(programs, TEMPLATES, PROGRAMS) as ready:
            await play(scenario, ready)
            for workflow in [INBOX, *await lifecycles(ready.database)]:
                file = folder / f"{workflow.replace('/', '.')}.json"
                file.write_text(await history(ready.clock.client, workflow), encoding="utf-8")
                written.append(file)
    return written


async def play(scenario: Scenario, ready: EmbeddedStack) -> None:
    """Let all of a scenario happen."""
    await ready.advance(scenario.start)
    faults = {mark for fault in scenario.faults for mark in (fault.since, fault.until)}
    for mark in sorted({event.at for event in scenario.events} | faults):
        await ready.advance(mark)
        wrong = [fault.kind for fault in scenario.faults if fault.since <= mark < fault.until]
        ready.catcher.fault = wrong[0] if wrong else ""
        events = [(event.type, event.data) for event in scenario.events if event.at == mark]
        if events:
            await ready.send_events(mark, events)
    await ready.advance(scenario.until)


async def lifecycles(database: Database) -> list[str]:
    """The ids of all lifecycles in a database."""
    async with database.reading() as session:
        found = [
            workflow
            for table in (entry.table for entry in LIFECYCLES.values())
            for workflow in await session.scalars(select(table.workflow).order_by(table.workflow))
        ]
    return found


async def history(client: Client, workflow: str) -> str:
    """The history of a workflow's last run as JSON, without the names of machines."""
    fetched = await client.get_workflow_handle(workflow).fetch_history()
    return json.dumps(nameless(json.loads(fetched.to_json())), indent=1, sort_keys=True) + "\n"


def nameless(value: Any) -> Any:
    """Return a history's JSON without traces of the machine: identities are `worker`, stack traces empty."""
    if isinstance(value, dict):
        return {key: IN_PLACE[key] if key in IN_PLACE else nameless(item) for key, item in value.items()}
    return [nameless(item) for item in value] if isinstance(value, list) else value


def recorded() -> dict[str, WorkflowHistory]:
    """All recorded histories by file, as `0.1/onboarding.mentor`."""
    return {
        f"{file.parent.name}/{file.stem}": WorkflowHistory.from_json(
            file.stem.replace(".", "/"), file.read_text(encoding="utf-8")
        )
        for file in sorted(HISTORIES.glob("*/*.json"))
    }


if __name__ == "__main__":
    logging.basicConfig(handlers=[logging.NullHandler()])  # the scenario's fault is meant
    if len(sys.argv) != 2:
        sys.exit("Name the folder: python -m tests.histories.record 0.1")
    try:
        for path in asyncio.run(record(HISTORIES / sys.argv[1])):
            print(path)
    except FileExistsError as error:
        sys.exit(f"{error.filename} is there already, and histories are never changed: name another folder")
