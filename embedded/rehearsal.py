"""Plays a scenario through the real workflows, activities, templates and database on a skipping clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from activities.webhooks import envelope_of
from database import ledger
from database.models import OutboxEvent, WebhookEndpoint
from embedded.scenario import Scenario, ScenarioError, ScenarioEvent
from embedded.stack import EmbeddedStack, StackOptions, embedded_stack, set_faults
from lifecycles.timeline import timeline
from rules.program import Program
from workflows.starting import announce_cohorts

SOURCE_OF_EVENTS = "/throughline/rehearsal"


# long: what is played, on which parts, and where its mail and events are kept
async def rehearse(
    scenario: Scenario,
    programs: Mapping[str, Program],
    templates: Path,
    program_folder: Path,
    *,
    mail_dir: Path | None = None,
    events_file: Path | None = None,
    progress: Callable[[datetime], None] = lambda at: None,
) -> list[dict[str, Any]]:
    """Play a scenario; its timeline. `events_file` gets the events that would go out to an endpoint.

    Raises ScenarioError if its start lies behind the machine's clock, WorkflowFailed if a workflow failed,
    ClockStalled if the clock stands still.
    """
    small_cache = any(fault.kind == "worker_killed" for fault in scenario.faults)
    options = StackOptions(mail_dir=mail_dir, small_cache=small_cache)
    async with embedded_stack(programs, templates, program_folder, options) as ready:
        if scenario.start <= await ready.clock.now():
            raise ScenarioError(["start: must lie ahead of the machine's clock"])
        if events_file is not None:
            await _collect_events(ready)
        await ready.advance(scenario.start)
        program = {scenario.program: programs[scenario.program]}
        await announce_cohorts(ready.clock.client, ready.database, program, scenario.start)
        await _play(scenario, ready, progress)
        await ready.wait_idle()
        zone = programs[scenario.program].hours.zone
        rows = [row async for row in timeline(ready.database, zone, scenario.until)]
        if events_file is not None:
            await _write_events(ready, events_file)
    return rows


async def _collect_events(ready: EmbeddedStack) -> None:
    """Have changes leave events of every type, for an endpoint that gets none of them."""
    async with ready.database.begin() as session:
        nowhere = {"url": "", "types": [], "secret": "", "state": "disabled"}
        session.add(WebhookEndpoint(name="rehearsal", created_at=await ready.clock.now(), **nowhere))


async def _write_events(ready: EmbeddedStack, file: Path) -> None:
    """Write the events in the order of their instants, one line of JSON each."""
    order = (OutboxEvent.at, OutboxEvent.subject, OutboxEvent.sequence)
    async with ready.database.reading() as session:
        rows = await session.scalars(select(OutboxEvent).order_by(*order))
        lines = [json.dumps(envelope_of(row, SOURCE_OF_EVENTS), ensure_ascii=False) for row in rows]
    await asyncio.to_thread(file.write_text, "".join(f"{line}\n" for line in lines), "utf-8")


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
