"""Handlers of `cohort.*`: a window is planned, and what staff decide about its pairs (COH1, COH2)."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from activities.event_handlers.base import HandlerContext, RefusedEvent, RepeatedEvent, StoredEvent
from database import audit
from database.models import Cohort
from lifecycles.cohorts.cohort_situation import load_cohort
from lifecycles.cohorts.membership import keep_cohort
from lifecycles.cohorts.pair_marks import FORBIDDEN, LOCKED, StaffDecision, change_pair, mark_pair
from lifecycles.facts import facts_from_row
from lifecycles.workflow_commands import WorkflowCommand, start
from rules.agenda import Refused
from rules.cohort import CohortFacts, refuse_past
from rules.program import Program, program_calendar

_MARKS = {"cohort.pair_locked": LOCKED, "cohort.pair_forbidden": FORBIDDEN}


async def cohort_scheduled(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Announce a cohort, or give one that has not opened other days (COH1)."""
    session, data = context.session, event.data
    program = _cohort_program(context, data["program"])
    workflow = f"cohort/{data['cohort']}"
    known = await session.get(Cohort, workflow)
    if known is not None and known.program != program.id:
        raise RefusedEvent(f"{workflow} is a cohort of {known.program}")
    facts = _facts_of(event, program)
    if known is not None and known.facts.get("by_event") == facts.by_event:
        # The handler runs again for the same event: its command follows.
        return [start("Cohort", workflow, facts)]
    await _refuse_overlap(session, facts)
    if known is not None:
        if known.closed_at is not None:
            raise RepeatedEvent(f"{workflow} is {known.state} already")
        return [WorkflowCommand("update", workflow, "reschedule", event.act(actor="program"))]
    try:
        refuse_past(facts.days, program_calendar(program), event.heard_at)
    except Refused as refused:
        raise RefusedEvent(str(refused)) from None
    await keep_cohort(session, facts, program)
    return [start("Cohort", workflow, facts)]


async def cohort_confirmed(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Confirm the proposed pairs (COH2)."""
    workflow = f"cohort/{event.data['cohort']}"
    return [WorkflowCommand("update", workflow, "confirm", event.act(actor=event.data["actor"]))]


async def pair_marked(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Keep two people together or apart (COH2)."""
    row = await _locked(context.session, event)
    try:
        await mark_pair(context.session, row, _decision(event), _MARKS[event.type], event.heard_at)
    except Refused as refused:
        raise RefusedEvent(str(refused)) from None
    return []


async def pair_changed(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Put a mentee with another mentor in the proposal (COH2)."""
    session, at = context.session, event.heard_at
    row = await _locked(session, event)
    facts = facts_from_row(CohortFacts, row.facts)
    situation = await load_cohort(session, context.programs, facts, at, row)
    try:
        await change_pair(session, row, facts, situation.program, _decision(event), at)
    except Refused as refused:
        raise RefusedEvent(str(refused)) from None
    return []


async def _locked(session: AsyncSession, event: StoredEvent) -> Cohort:
    workflow = f"cohort/{event.data['cohort']}"
    await audit.lock(session, workflow)
    return await session.get_one(Cohort, workflow, with_for_update=True)


def _decision(event: StoredEvent) -> StaffDecision:
    data = event.data
    return StaffDecision(data["mentee"], data["mentor"], data["actor"], data["reason"], f"event {event.id}")


def _cohort_program(context: HandlerContext, name: str) -> Program:
    program = context.programs.get(name)
    if program is None:
        raise RefusedEvent(f"program {name} is not one of {', '.join(context.programs)}")
    if program.cohort is None or program.pairing is None:
        raise RefusedEvent(f"program {name} has no cohorts: its file has no [cohort] and [pairing]")
    return program


def _facts_of(event: StoredEvent, program: Program) -> CohortFacts:
    data, policy = event.data, program.cohort
    return CohortFacts(
        data["cohort"],
        program.id,
        event.heard_at,
        data["opens"],
        data["closes"],
        data["kick_off"],
        data.get("months") or (policy.months if policy else 0),
        list(data.get("partners") or []),
        by_event=str(event.id),
    )


async def _refuse_overlap(session: AsyncSession, facts: CohortFacts) -> None:
    """Raise RefusedEvent where a sign-up would be for two cohorts: their windows overlap, and their partners."""
    rows = await session.scalars(
        select(Cohort).where(
            Cohort.program == facts.program,
            Cohort.id != facts.cohort,
            Cohort.closed_at.is_(None),
            Cohort.opens_on <= facts.closes,
            Cohort.closes_on >= facts.opens,
        )
    )
    for row in rows:
        ours, theirs = set(facts.partners), set(row.partners)
        if ours & theirs or not (ours or theirs):
            raise RefusedEvent(
                f"its window overlaps with that of {row.workflow}, {row.opens_on} to {row.closes_on}: "
                "nobody could say which one a sign-up is for"
            )
