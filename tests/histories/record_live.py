"""Records histories of what a scenario does not do: refusals, plain signals, cancellations, runs that continue as new.

    python -m tests.histories.record_live 0.4

runs the workers on a dev server that suggests to continue as new after a few events, and writes the histories into the
folder. It is to be run after tests/histories/record.py, or alone into a new folder.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.testing import WorkflowEnvironment

from activities.delivery import SendMail
from rules.credit import ClaimFacts
from rules.credit.facts import Record
from tests.conftest import program
from tests.histories.record import HISTORIES, nameless
from tests.support.temporal_workers import TemporalFixture, running_workers
from workflows.starting import start_housekeeping
from workflows.upkeep.checkpoints import CHECKPOINTS
from workflows.upkeep.watchdog import WATCHDOG

EVENTS_OF_A_RUN = 40
"""How many events a run has before the server suggests to continue as new."""

UNREADABLE = RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b"{"))

Handle = WorkflowHandle[Any, Any]


async def record(folder: Path) -> list[Path]:
    """Let it all happen, and write one file for each run. Raises FileExistsError if a file is there."""
    folder.mkdir(exist_ok=True)
    limit = ["--dynamic-config-value", f"limit.historyCount.suggestContinueAsNew={EVENTS_OF_A_RUN}"]
    written: list[Path] = []
    with capture_logs(), tempfile.TemporaryDirectory() as data:
        async with (
            await WorkflowEnvironment.start_local(
                dev_server_existing_path=program("temporal"), dev_server_extra_args=limit
            ) as server,
            running_workers(server.client, f"sqlite:///{data}/throughline.db") as (database, catcher),
        ):
            fixture = TemporalFixture(server.client, database, catcher, mark="live")
            for name, handle in (await live(fixture)).items():
                for number, run in enumerate(await runs(server.client, handle.id), start=1):
                    file = folder / f"{name}.run-{number}.json"
                    with file.open("x", encoding="utf-8") as opened:
                        opened.write(await history(server.client, handle.id, run))
                    written.append(file)
    return written


async def live(fixture: TemporalFixture) -> dict[str, Handle]:
    """All the lives, by the names of their files."""
    await fixture.sign_up()
    await start_housekeeping(fixture.client)
    found = {
        "engagement.acted-on": await acted_on(fixture),
        "engagement.ended": await ended(fixture),
        "engagement.cancelled-by-temporal": await cancelled(fixture),
        "engagement.misconduct": await reported(fixture),
        "engagement.party-withdrawn": await withdrawn(fixture),
        "onboarding.refusals": await refusing(fixture),
    }
    found["claim.signals"] = await claim(fixture, found["engagement.misconduct"])
    order = asdict(SendMail(found["engagement.ended"].id, ["ended-mentor/1"]))
    found["resend.copy"] = await fixture.client.start_workflow(
        "Resend", order, id="resend/live", task_queue="throughline"
    )
    for name in (WATCHDOG, CHECKPOINTS):
        found[f"{name}.first"] = fixture.client.get_workflow_handle(name)
    await asyncio.sleep(3)
    return found


async def acted_on(fixture: TemporalFixture) -> Handle:
    """An engagement that continues as new under many acts, some of them refused."""
    engagement = await fixture.match()
    for number in range(12):
        await engagement.signal("extend", {"months": 1, "actor": "lina"})
        await engagement.signal("standing", {})
        await engagement.signal("resume", {"actor": "lina"})
        await engagement.execute_update("pause", {"actor": "lina"}, id=f"pause-{number % 8}")
        await refused(engagement, "extend", {"end": "2020-01-01"})
        await engagement.execute_update("resume", {"actor": "lina"}, id=f"resume-{number % 8}")
    await engagement.signal("agree_extension", {"by": fixture.profile("mentor"), "end": "2031-01-01"})
    await engagement.signal("extend", UNREADABLE)
    await engagement.signal("cancel", {"actor": "lina", "reason": "moved"})
    await engagement.result()
    return engagement


async def ended(fixture: TemporalFixture) -> Handle:
    """An engagement that a party ends by a plain signal."""
    engagement = await fixture.match()
    by = fixture.profile("mentee")
    await engagement.execute_update("plan_agreed", {"months": 8, "actor": "lina"})
    await engagement.execute_update("discovery", {"by": by, "answer": "good_fit"})
    await engagement.execute_update("met", {"by": by, "answer": "yes"})
    await engagement.signal("replan")
    await engagement.signal("end", {"by": by, "reason": "no_time"})
    await engagement.result()
    return engagement


async def cancelled(fixture: TemporalFixture) -> Handle:
    """An engagement that Temporal itself cancels."""
    engagement = await fixture.match()
    await engagement.cancel(reason="a slip")
    await engagement.result()
    return engagement


async def reported(fixture: TemporalFixture) -> Handle:
    """An engagement that a report stops, that staff resume, and that goes on."""
    engagement = await fixture.match()
    await engagement.execute_update("misconduct", {"by": fixture.profile("mentee")})
    await engagement.signal("pause", {"actor": "lina"})
    await engagement.signal("resume", {"actor": "lina"})
    await engagement.execute_update("extend", {"months": 1, "actor": "lina"})
    return engagement


async def withdrawn(fixture: TemporalFixture) -> Handle:
    """An engagement whose mentor withdraws the profile, and that staff end (MEM7)."""
    engagement = await fixture.match()
    await engagement.signal("party_withdrawn", {"by": fixture.profile("mentor")})
    await engagement.signal("cancel", {"actor": "lina", "reason": "the mentor left"})
    await engagement.result()
    return engagement


async def refusing(fixture: TemporalFixture) -> Handle:
    """An onboarding that refuses signals and updates, and is then withdrawn."""
    profile = "late-live"
    member = {"member": profile, "name": "Lou Vega", "email": "lou@example.org", "standing": "good"}
    created = {"profile": profile, "member": profile, "role": "mentee", "program": "asis-global"}
    await fixture.send_events(("member.updated", member), ("profile.created", created))
    onboarding: Handle = fixture.client.get_workflow_handle(f"onboarding/{profile}")
    while not await fixture.decisions(onboarding.id):  # noqa: ASYNC110 - the database tells nobody of a change
        await asyncio.sleep(0.05)
    for argument in ({"check_ins": 2.5}, {"check_ins": 99}, UNREADABLE, ["two"]):
        await onboarding.signal("extend", argument)
    await refused(onboarding, "extend", {"check_ins": 99})
    await onboarding.signal("standing", {"good": False})
    await onboarding.signal("unheard_of", {})
    await onboarding.signal("standing", {"good": True})
    await onboarding.execute_update("extend", {"check_ins": 2})
    await onboarding.signal("withdrawn")
    await onboarding.result()
    return onboarding


async def claim(fixture: TemporalFixture, engagement: Handle) -> Handle:
    """A claim that gets each of its signals before its time."""
    now = datetime.now(UTC).replace(microsecond=0)
    mentor, mentee = fixture.profile("mentor"), fixture.profile("mentee")
    name = engagement.id.partition("/")[2]
    facts = asdict(
        ClaimFacts(
            name, "mentor", mentor, mentee, "CPP", now.date().isoformat(), now, [Record(now, True, None)]
        )
    )
    started: Handle = await fixture.client.start_workflow(
        "Claim", facts, id=f"claim/{name}/mentor/CPP", task_queue="throughline"
    )
    staff = {"actor": "lina", "reason": "tried"}
    for signal in ("accept", "reject", "revoke", "reopen"):
        await started.signal(signal, staff)
    await started.signal("submit", {"by": mentor})
    await started.signal("sign", {"by": mentee})
    await started.signal("choose_domains", {"by": mentor, "domains": ["unheard of"]})
    await started.signal("engagement_changed")
    await started.signal("standing", {})
    await started.signal("replan")
    await refused(started, "accept", staff)
    await started.signal("cancel", staff)
    await started.result()
    return started


async def refused(lifecycle: Handle, name: str, argument: dict[str, Any]) -> None:
    """Send an update that the rules refuse."""
    try:
        await lifecycle.execute_update(name, argument)
    except WorkflowUpdateFailedError:
        return
    raise RuntimeError(f"{name} of {lifecycle.id} was not refused")


async def runs(client: Client, workflow: str) -> list[str]:
    """The runs of a workflow, the first one first."""
    description = await client.get_workflow_handle(workflow).describe()
    run: str | None = description.raw_description.workflow_execution_info.first_run_id or description.run_id
    found = []
    while run:
        found.append(run)
        events = (await client.get_workflow_handle(workflow, run_id=run).fetch_history()).events
        run = events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id or None
    return found


async def history(client: Client, workflow: str, run: str) -> str:
    """The history of a run as JSON, without the names of machines."""
    fetched = await client.get_workflow_handle(workflow, run_id=run).fetch_history()
    return json.dumps(nameless(json.loads(fetched.to_json())), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    logging.basicConfig(handlers=[logging.NullHandler()])
    if len(sys.argv) != 2:
        sys.exit("Name the folder: python -m tests.histories.record_live 0.4")
    for path in asyncio.run(record(HISTORIES / sys.argv[1])):
        print(path)
