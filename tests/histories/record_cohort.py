"""Records the histories of a cohort: one that runs to its end, and one that staff cancel.

    python -m tests.histories.record_cohort 0.7

plays a generation on a skipping clock, and writes the histories of the workflows into the folder.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from structlog.testing import capture_logs
from temporalio.client import Client

from embedded.stack import EmbeddedStack, embedded_stack
from tests.histories.record import HISTORIES, PROGRAMS, TEMPLATES, history
from tests.support.programs.cohorts import COHORT, at
from worker.assembly import load_programs
from workflows.starting import announce_cohorts

WORKFLOW = f"cohort/{COHORT}"
CANCELED = "cohort/bogota-2028"
BOGOTA = {"opens": "2028-05-01", "closes": "2028-05-19", "kick_off": "2028-06-05"}


async def record(folder: Path) -> list[Path]:
    """Play, and write the files. Raises FileExistsError if one is there."""
    folder.mkdir(exist_ok=True)
    programs = load_programs(PROGRAMS)
    written = []
    with capture_logs():
        async with embedded_stack(programs, TEMPLATES, PROGRAMS) as ready:
            await ready.advance(at("2028-04-20T10:00"))
            laac = {"asis-laac": programs["asis-laac"]}
            await announce_cohorts(ready.clock.client, ready.database, laac, at("2028-04-20T10:00"))
            await _play(ready)
            for workflow in (WORKFLOW, CANCELED):
                file = folder / f"{workflow.replace('/', '.')}.json"
                with file.open("x", encoding="utf-8") as opened:
                    opened.write(await history(ready.clock.client, workflow))
                written.append(file)
    return written


async def _play(ready: EmbeddedStack) -> None:
    """Let two mentees and two mentors sign up; have them paired twice, confirmed, and started."""
    client = ready.clock.client
    bogota = {"cohort": "bogota-2028", "program": "mentors4u-colombia", **BOGOTA}
    await ready.send_events(at("2028-04-20T10:00"), [("cohort.scheduled", bogota)])
    await ready.advance(at("2028-04-22T10:00"))
    later = {**bogota, "kick_off": "2028-06-12"}
    people = [event for name, role in ROLES.items() for event in _signs_up(name, role)]
    await ready.send_events(at("2028-04-22T10:00"), [("cohort.scheduled", later), *people])
    await ready.advance(at("2028-05-08T12:00"))
    await client.get_workflow_handle(WORKFLOW).signal("pair", {"actor": "lina"})
    await _signal(client, CANCELED, "replan", "cancel")
    await ready.advance(at("2028-05-09T12:00"))
    await ready.send_events(
        at("2028-05-09T12:00"), [("cohort.confirmed", {"cohort": COHORT, "actor": "lina"})]
    )
    await ready.advance(at("2028-05-24T12:00"))
    await _signal(client, WORKFLOW, "replan", "confirm", "reschedule")
    await ready.advance(at("2028-11-25T12:00"))


async def _signal(client: Client, workflow: str, *names: str) -> None:
    for name in names:
        given = {"actor": "lina", **({"event": "1"} if name == "reschedule" else {})}
        await client.get_workflow_handle(workflow).signal(name, given)


def _signs_up(name: str, role: str) -> list[tuple[str, dict[str, object]]]:
    member: dict[str, object] = {"member": name, "name": name, "email": f"{name}@example.org"}
    profile: dict[str, object] = {
        "profile": f"p-{name}",
        "member": name,
        "role": role,
        "program": "asis-laac",
    }
    return [
        ("member.updated", {**member, "standing": "good", "languages": ["es"]}),
        ("profile.created", profile),
    ]


ROLES = {"ana": "mentee", "bea": "mentee", "leo": "mentor", "mia": "mentor"}


if __name__ == "__main__":
    logging.basicConfig(handlers=[logging.NullHandler()])
    if len(sys.argv) != 2:
        sys.exit("Name the folder: python -m tests.histories.record_cohort 0.7")
    for path in asyncio.run(record(HISTORIES / sys.argv[1])):
        print(path)
