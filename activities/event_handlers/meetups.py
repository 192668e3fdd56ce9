"""Handlers of `meetup.*`: what is planned, changed and cancelled, and who comes (MEE1)."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from activities.event_handlers.base import (
    HandlerContext,
    NotOpenYet,
    RefusedEvent,
    RepeatedEvent,
    StoredEvent,
)
from database import audit
from database.models import Meetup, MeetupInvitation, Profile
from lifecycles.meetups.meetup_situation import USUAL_LENGTH, coming_meetups, meetup_row, period
from lifecycles.workflow_commands import WorkflowCommand, start
from mail.meetups.calendar_reply import SOURCE as CALENDAR
from rules.meetup import MeetupFacts

WAYS = {"/links": "link", CALENDAR: "mail"}
"""How an answer came, by the source of its event; all others are events of other systems."""


async def meetup_scheduled(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Write a meetup, and start it: its people are invited. Raises RefusedEvent."""
    session, data = context.session, event.data
    workflow, program = f"meetup/{data['meetup']}", data["program"]
    if program not in context.programs:
        raise RefusedEvent(f"program {program} is not one of {', '.join(context.programs)}")
    if await session.get(Meetup, workflow):
        raise RepeatedEvent(f"{workflow} exists already")
    starts_at, ends_at = period(data["starts_at"], data["time_zone"], data.get("duration") or USUAL_LENGTH)
    if starts_at <= event.heard_at and not event.history:
        raise RefusedEvent("the meetup starts at a time that is past")
    facts = MeetupFacts(
        meetup=data["meetup"],
        program=program,
        scheduled_at=event.occurred_at,
        starts_at=starts_at,
        ends_at=ends_at,
        cohort=data.get("cohort") or "",
        resources_at=event.occurred_at if data.get("resources") else None,
        heard_at=event.late_heard_at,
        taken_over_at=event.taken_over_at,
    )
    session.add(meetup_row(facts, data, context.programs[program]))
    return [start("Meetup", workflow, facts)]


async def meetup_changed(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Pass on a change; its words stay in the event. Raises RefusedEvent for another program."""
    row = await _row(context.session, event)
    program = event.data.get("program")
    if program and program != row.program:
        raise RefusedEvent(f"it is a meetup of {row.program}: schedule another one for {program}")
    return [WorkflowCommand("update", row.workflow, "changed", event.act(actor="program"))]


async def meetup_canceled(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Pass on a cancellation."""
    row = await _row(context.session, event)
    return [WorkflowCommand("update", row.workflow, "cancel", event.act(actor="program"))]


async def meetup_answered(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Write the answer of an invited person; the latest by its time counts (MEE1).

    Raises RefusedEvent for who is not invited, and after the end; NotOpenYet for who may be invited any moment.
    """
    session, data, at = context.session, event.data, event.occurred_at
    row = await _row(session, event)
    if row.state == "canceled":
        raise RefusedEvent("the meetup is cancelled")
    if at >= row.ends_at or row.state != "scheduled":
        raise RefusedEvent("the meetup has taken place")
    profile = await session.get_one(Profile, data["by"])
    await audit.lock(session, row.workflow)
    invitation = await session.get(MeetupInvitation, (row.workflow, profile.member_id), with_for_update=True)
    if invitation is None:
        if profile.program == row.program and not event.was_held:
            raise NotOpenYet(row.workflow, at)
        raise RefusedEvent(f"{data['by']} is not invited to {row.workflow}")
    if invitation.answered_at and invitation.answered_at > at:
        return []
    if (invitation.answered_at, invitation.answer) == (at, data["answer"]):
        return []
    before, invitation.answer = invitation.answer, data["answer"]
    invitation.answered_at, invitation.answered_by = at, WAYS.get(event.source, "event")
    await _record_answer(session, row, event, invitation)
    if "no" not in (before, data["answer"]) or before == data["answer"]:
        return []
    # A decline stops the reminder, and another answer brings it back.
    invitation.planned_for = 0
    return [WorkflowCommand("signal", row.workflow, "replan")]


async def _record_answer(
    session: AsyncSession, row: Meetup, event: StoredEvent, invitation: MeetupInvitation
) -> None:
    given = {
        "id": f"answered by event {event.id}",
        "answer": invitation.answer,
        "by": event.data["by"],
        "way": invitation.answered_by,
    }
    await audit.append(session, row.workflow, "answer", event.occurred_at, given, actor=event.data["by"])


async def _row(session: AsyncSession, event: StoredEvent) -> Meetup:
    return await session.get_one(Meetup, f"meetup/{event.data['meetup']}")


async def invite_commands(
    context: HandlerContext, profile: Profile, event: StoredEvent
) -> list[WorkflowCommand]:
    """Return the commands by which the coming meetups of a program invite who has joined it (MEE1)."""
    found = await context.session.scalars(coming_meetups(profile.program, event.heard_at))
    return [WorkflowCommand("signal", workflow, "replan") for workflow in found]
