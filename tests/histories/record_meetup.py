"""Records histories of a meetup's workflow: invitations in several batches, a change, a pause, a cancellation.

    python -m tests.histories.record_meetup 0.7

plays it on the time-skipping server, and writes the history of its run into the folder.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from embedded.stack import embedded_stack
from tests.histories.record import HISTORIES, PROGRAMS, TEMPLATES, history
from tests.support.programs.many_members import many_members, scheduled
from worker.assembly import load_programs

PEOPLE = 130


async def record(folder: Path) -> list[Path]:
    """Play two meetups, and write one file for each. Raises FileExistsError if a file is there."""
    folder.mkdir(exist_ok=True)
    written = []
    with capture_logs():
        async with embedded_stack(load_programs(PROGRAMS), TEMPLATES, PROGRAMS) as ready:
            await many_members(ready.database, PEOPLE)
            at = await ready.clock.now() + timedelta(days=1)
            starts = at + timedelta(days=20)
            given: dict[str, Any] = {"starts_at": starts.isoformat(timespec="seconds"), "title": "Meetup"}
            staff = {"actor": "lina", "reason": "a test"}
            steps = [
                [scheduled("held", **given), scheduled("canceled", **given)],
                [("meetup.answered", {"meetup": "held", "by": "p-00001", "answer": "no"})],
                [("meetup.changed", {"meetup": "held", "link": "https://meet.example.org/other"})],
                [("staff.pause", {"target": "meetup/held", **staff})],
                [("staff.resume", {"target": "meetup/held", **staff})],
                [("meetup.canceled", {"meetup": "canceled"})],
            ]
            for number, events in enumerate(steps):
                await ready.advance(at + timedelta(hours=6 * number))
                await ready.send_events(at + timedelta(hours=6 * number), events)
            await ready.advance(starts + timedelta(days=1))
            resources = {"Slides": "https://files.example.org/slides"}
            given = {"meetup": "held", "resources": [{"title": t, "link": k} for t, k in resources.items()]}
            await ready.send_events(starts + timedelta(days=1), [("meetup.changed", given)])
            await ready.advance(starts + timedelta(days=2))
            for name in ("held", "canceled"):
                file = folder / f"meetup.{name}.json"
                with file.open("x", encoding="utf-8") as opened:
                    opened.write(await history(ready.clock.client, f"meetup/{name}"))
                written.append(file)
    return written


def main() -> None:
    """Record into the folder named on the command line."""
    logging.disable(logging.WARNING)
    for file in asyncio.run(record(HISTORIES / sys.argv[1])):
        sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main()
