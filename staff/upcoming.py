"""What lies ahead of a lifecycle if nobody acts, apart from its mail: states, staff tasks, dates.

Computed by the rules that plans use, from the facts that its row keeps. A paused one has nothing with a known day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Engagement, Lifecycle
from lifecycles.facts import facts_from_row
from lifecycles.registry import agenda_of
from lifecycles.situation import pinned_program
from rules import engagement
from rules.agenda import Agenda, closing_change
from rules.engagement import EngagementFacts
from rules.program import Program, program_calendar


@dataclass(frozen=True, slots=True)
class UpcomingChange:
    """Something that comes at an instant (UTC) if nobody acts: its kind is `state`, `task` or `date`."""

    at: datetime
    kind: str
    what: str
    why: str


async def coming(
    session: AsyncSession, row: Lifecycle, programs: Mapping[str, Program], at: datetime
) -> list[UpcomingChange]:
    """What lies ahead of a lifecycle after an instant of program time, in order; nothing once it is closed."""
    if row.closed_at or row.program not in programs:
        return []
    return coming_of(await agenda_of(session, row, programs, at), at)


def coming_of(agenda: Agenda, at: datetime) -> list[UpcomingChange]:
    """Return what lies ahead in an agenda after an instant, in order; nothing once it has closed."""
    if closing_change(agenda, at) or (agenda.closes_at and agenda.closes_at <= at):
        return []
    found = [
        UpcomingChange(change.due, "state", change.state, change.cause) for change in agenda.state_changes
    ]
    found += [UpcomingChange(task.due, "task", task.kind, task.action) for task in agenda.tasks]
    if agenda.closes_at:
        found.append(UpcomingChange(agenda.closes_at, "date", "closes", "answers can be changed until then"))
    return sorted((each for each in found if each.at > at), key=lambda each: (each.at, each.kind))


async def dates_of(
    session: AsyncSession, row: Lifecycle, programs: Mapping[str, Program], at: datetime
) -> dict[str, Any]:
    """The days that decide an engagement: its first, the planned end or the last, and the gate of credit (CPE1)."""
    if not isinstance(row, Engagement) or row.program not in programs:
        return {}
    program = await pinned_program(session, programs, row)
    calendar, facts = program_calendar(program), facts_from_row(EngagementFacts, row.facts)
    days: dict[str, Any] = {"started": engagement.start_day(facts, calendar)}
    if row.closed_at:
        days["ended"] = calendar.date_of(row.closed_at)
    else:
        days["planned_end"] = engagement.planned_end(facts, program.engagement, calendar, at)
    until = row.closed_at or at
    days["credit_gate"] = engagement.gate_day(facts, program.credit.gate_months, calendar, until)
    return {name: day.isoformat() for name, day in days.items()}
