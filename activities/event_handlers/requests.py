"""Handlers of `request.*`: a mentee asks a mentor, and the answer."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from activities.event_handlers.base import HandlerContext, RefusedEvent, RepeatedEvent, StoredEvent
from database.models import Request
from lifecycles.capacity import places_left
from lifecycles.facts import facts_to_row
from lifecycles.participants import Participant, participants
from lifecycles.workflow_commands import WorkflowCommand, start
from rules.program import Program
from rules.request import RequestFacts

_ACTS = {"request.accepted": "accept", "request.declined": "decline", "request.canceled": "withdraw"}


async def request_created(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Write a request and start it; it ends at once where the mentor cannot take another mentee (REQ1, MEM4)."""
    session, data, at = context.session, event.data, event.occurred_at
    workflow = f"request/{data['request']}"
    if await session.get(Request, workflow):
        raise RepeatedEvent(f"{workflow} exists already")
    people = await participants(session, [data["mentee"], data["mentor"]])
    mentee, mentor = people[data["mentee"]], people[data["mentor"]]
    _refuse_impossible(mentee, mentor)
    if context.programs[mentor.profile.program].cohort is not None:
        raise RefusedEvent(f"{mentor.profile.program} pairs its people in cohorts: members send no requests")
    # What a take-over reports has happened, whatever the standing and the places of today (T10).
    unavailable = "" if event.history else await _unavailable_because(session, mentor)
    if not event.history:
        _refuse_absent(mentee)
    facts = RequestFacts(
        data["request"],
        data["mentee"],
        data["mentor"],
        at,
        unavailable,
        heard_at=event.late_heard_at,
        taken_over_at=event.taken_over_at,
    )
    session.add(_request_row(event, facts, context.programs[mentor.profile.program]))
    return [start("Request", workflow, facts)]


async def request_answered(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Accept, decline or withdraw a request (REQ5, REQ6, REQ10)."""
    act = _ACTS[event.type]
    row = await context.session.get_one(Request, f"request/{event.data['request']}")
    by = row.mentee_id if act == "withdraw" else row.mentor_id
    reason = f"event:{event.id}" if event.data.get("reason") else ""
    return [WorkflowCommand("update", row.workflow, act, event.act(by=by, reason=reason))]


async def keep_answer_reason(context: HandlerContext, event: StoredEvent) -> None:
    """Keep the reason of an answer that the request has accepted (REQ10)."""
    if reason := event.data.get("reason"):
        row = await context.session.get_one(Request, event.subject)
        row.answer_reason = reason


def _refuse_impossible(mentee: Participant, mentor: Participant) -> None:
    """Raise RefusedEvent for a request that these two can never have (REQ1, MEM5)."""
    if mentee.profile.role != "mentee" or mentor.profile.role != "mentor":
        raise RefusedEvent("a request is from a mentee's profile to a mentor's")
    if mentee.member.id == mentor.member.id:
        raise RefusedEvent("nobody can request themselves")
    if mentee.profile.program != mentor.profile.program:
        raise RefusedEvent("the two profiles are in different programs")


def _refuse_absent(mentee: Participant) -> None:
    """Raise RefusedEvent for a mentee who takes part no more (MEM1)."""
    if not mentee.good_standing:
        raise RefusedEvent("the mentee is not in good standing")
    if mentee.profile.withdrawn_at:
        raise RefusedEvent("the mentee's profile was withdrawn")


async def _unavailable_because(session: AsyncSession, mentor: Participant) -> str:
    """Return why a mentor cannot take another mentee now; empty if the mentor can (MEM4)."""
    if mentor.profile.withdrawn_at:
        return "the mentor's profile was withdrawn"
    if not mentor.good_standing:
        return "the mentor is not in good standing"
    if mentor.profile.mentees_at_a_time == 0:
        return "the mentor's profile is on hold"
    if await places_left(session, mentor.profile) == 0:
        return "the mentor has no place left"
    return ""


def _request_row(event: StoredEvent, facts: RequestFacts, program: Program) -> Request:
    data = event.data
    return Request(
        workflow=f"request/{facts.request}",
        id=facts.request,
        mentee_id=facts.mentee,
        mentor_id=facts.mentor,
        message=data.get("message"),
        areas=data.get("areas", []),
        months=data.get("months"),
        created_at=facts.created_at,
        program=program.id,
        policy_version=program.policy_version,
        program_version=program.fingerprint,
        state="unavailable" if facts.unavailable_because else "open",
        state_since=facts.created_at,
        facts=facts_to_row(facts),
    )
