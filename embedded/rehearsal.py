"""Plays a scenario through the real workflows, activities, templates and database on a skipping clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from database import ledger
from embedded.scenario import Scenario, ScenarioError, ScenarioEvent
from embedded.stack import EmbeddedStack, StackOptions, embedded_stack, set_faults
from lifecycles.timeline import timeline
from rules.program import Program


async def rehearse(
    scenario: Scenario,
    programs: Mapping[str, Program],
    templates: Path,
    program_folder: Path,
    *,
    mail_dir: Path | None = None,
    progress: Callable[[datetime], None] = lambda at: None,
) -> list[dict[str, Any]]:
    """Play a scenario; its timeline.

    Raises ScenarioError if its start lies behind the machine's clock, WorkflowFailed if a workflow failed,
    ClockStalled if the clock stands still.
    """
    small_cache = any(fault.kind == "worker_killed" for fault in scenario.faults)
    options = StackOptions(mail_dir=mail_dir, small_cache=small_cache)
    async with embedded_stack(programs, templates, program_folder, options) as ready:
        if scenario.start <= await ready.clock.now():
            raise ScenarioError(["start: must lie ahead of the machine's clock"])
        await ready.advance(scenario.start)
        await _play(scenario, ready, progress)
        await ready.wait_idle()
        zone = programs[scenario.program].hours.zone
        rows = [row async for row in timeline(ready.database, zone, scenario.until)]
    return rows


async def _play(scenario: Scenario, ready: EmbeddedStack, progress: Callable[[datetime], None]) -> None:
    marks = {event.at for event in scenario.events if event.at <= scenario.until}
    for fault in scenario.faults:
        marks |= {mark for mark in (fault.since, fault.until) if mark <= scenario.until}
    for mark in sorted(marks | {scenario.until}):
        await ready.advance(mark)
        progress(mark)
        await set_faults([fault for fault in scenario.faults if fault.since <= mark < fault.until], ready)
        given = [
            replace(event, data=_with_program(event.type, event.data, scenario))
            for event in scenario.events
            if event.at == mark
        ]
        if given:
            await ready.send_events(mark, [await _with_delivery(ready, event) for event in given])
            if mark == scenario.until:
                await ready.wait_idle()


def _with_program(kind: str, data: dict[str, Any], scenario: Scenario) -> dict[str, Any]:
    return {"program": scenario.program, **data} if kind == "profile.created" else data


async def _with_delivery(ready: EmbeddedStack, event: ScenarioEvent) -> ScenarioEvent:
    """Return an event with the id of the delivery that a scenario names by its key: `onboarding/p-1/check-in/1`.

    Ids of deliveries are signed, so no scenario can know them.
    """
    workflow, _, key = str(event.data.get("delivery", "")).rpartition("/")
    workflow, _, step = workflow.rpartition("/")
    if event.type != "mail.bounced" or not (workflow and key.isdecimal()):
        return event
    async with ready.database.reading() as session:
        row = await ledger.found(session, workflow, f"{step}/{key}")
    return replace(event, data={**event.data, "delivery": row.delivery}) if row else event
