"""Handlers of `profile.*`: who takes part as mentor or mentee, and who no longer does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from activities.event_handlers.base import HandlerContext, RefusedEvent, RepeatedEvent, StoredEvent
from activities.event_handlers.meetups import invite_commands
from database.models import Engagement, Member, Profile, Request
from database.tasks import settle_tasks
from lifecycles.capacity import places_left
from lifecycles.cohorts.membership import join, leave, next_window, takes_part
from lifecycles.onboardings import onboarding_row
from lifecycles.workflow_commands import WorkflowCommand, start
from rules.onboarding import OnboardingFacts
from rules.program import Program, program_calendar


async def profile_created(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Write a profile and start its onboarding, or have it join a cohort (ONB1, MEM1, COH1)."""
    session, data, at = context.session, event.data, event.occurred_at
    program = data.get("program") or next(iter(context.programs))
    if program not in context.programs:
        raise RefusedEvent(f"program {program} is not one of {', '.join(context.programs)}")
    if await session.get(Profile, data["profile"]):
        raise RepeatedEvent(f"profile {data['profile']} exists already")
    member = await session.get_one(Member, data["member"])
    profile = Profile(
        id=data["profile"],
        member_id=member.id,
        role=data["role"],
        program=program,
        partner=_partner(data, context.programs[program]),
        mentees_at_a_time=data.get("mentees_at_a_time"),
        areas=data.get("areas", []),
        interests=data.get("interests", []),
        goals=data.get("goals"),
        languages=data.get("languages", []),
        created_at=at,
        updated_at=at,
    )
    session.add(profile)
    await session.flush()
    facts = OnboardingFacts(
        data["profile"],
        data["role"],
        at,
        blocked=member.standing != "good",
        heard_at=event.late_heard_at,
        taken_over_at=event.taken_over_at,
    )
    if context.programs[program].cohort is not None:
        commands = await _signed_up(context, event, facts)
    else:
        commands = [_onboarding(context, facts, program)]
    return [*commands, *await invite_commands(context, profile, event)]


def _onboarding(context: HandlerContext, facts: OnboardingFacts, program: str) -> WorkflowCommand:
    """Write an onboarding, and return its start."""
    workflow = f"onboarding/{facts.profile}"
    context.session.add(onboarding_row(workflow, facts, context.programs[program]))
    return start("Onboarding", workflow, facts)


async def _signed_up(
    context: HandlerContext, event: StoredEvent, facts: OnboardingFacts
) -> list[WorkflowCommand]:
    """Have a new profile join a cohort; who cannot take part now gets a notice, and no onboarding (COH1, MEM1)."""
    commands = await _joined(context, event)
    if event.history:
        return commands
    profile = await context.session.get_one(Profile, facts.profile)
    program = context.programs[profile.program]
    facts = replace(facts, cohort_program=True, outside_window=not await takes_part(context.session, profile))
    if facts.outside_window and (opening := await next_window(context.session, program, event.heard_at)):
        calendar = program_calendar(program)
        last = opening.closes_at(calendar) - timedelta(minutes=1)
        facts = replace(facts, window_opens=opening.opens_at(calendar), window_closes=last)
    if facts.outside_window or facts.blocked:
        commands.append(_onboarding(context, facts, program.id))
    return commands


async def profile_updated(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Write what a profile changed; a mentor without a place left takes no open request any more (MEM4)."""
    session = context.session
    profile = await session.get_one(Profile, event.data["profile"])
    if profile.program in context.programs:
        _partner(event.data, context.programs[profile.program])
    for name in ("mentees_at_a_time", "areas", "interests", "goals", "languages", "partner"):
        if name in event.data:
            setattr(profile, name, event.data[name])
    profile.updated_at = event.occurred_at
    joined = await _joined(context, event)
    if profile.role != "mentor" or "mentees_at_a_time" not in event.data:
        return joined
    await session.flush()
    if await places_left(session, profile) != 0:
        return joined
    reason = "the mentor's profile is on hold"
    if profile.mentees_at_a_time:
        reason = "the mentor has no place left"
    return joined + await _close_requests_to(session, profile, reason, event)


async def _joined(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Have a profile take part in the cohort whose window it signs up in (COH1, COH3)."""
    profile = await context.session.get_one(Profile, event.data["profile"])
    program = context.programs.get(profile.program)
    if program is None:
        return []
    return await join(
        context.session, program, profile, event.occurred_at, event.heard_at, history=event.history
    )


def _partner(data: Mapping[str, Any], program: Program) -> str | None:
    """Return the partner that a profile names. Raises RefusedEvent for one that its program does not have (COH4)."""
    partner = data.get("partner")
    if partner and program.partners and program.partner(partner) is None:
        known = ", ".join(each.id for each in program.partners)
        raise RefusedEvent(f"partner {partner} is none of {program.id}: {known}")
    return partner


async def profile_withdrawn(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Withdraw a profile: its onboarding and its open requests end, its engagements pause (ONB6, MEM4, MEM7)."""
    session = context.session
    profile = await session.get_one(Profile, event.data["profile"])
    if profile.withdrawn_at:
        return []
    profile.withdrawn_at = event.occurred_at
    await leave(session, profile, event.occurred_at)
    for kind in ("mentee_unmatched", "mentor_review"):
        why = "the profile was withdrawn"
        await settle_tasks(session, f"onboarding/{profile.id}", kind, (), why, event.occurred_at)
    at = event.instants
    commands = [WorkflowCommand("signal", f"onboarding/{profile.id}", "withdrawn", at)]
    part = Engagement.mentor_id if profile.role == "mentor" else Engagement.mentee_id
    engagements = await session.scalars(
        select(Engagement.workflow).where(part == profile.id, Engagement.closed_at.is_(None))
    )
    left = event.act(by=profile.id, actor="program")
    commands += [WorkflowCommand("signal", workflow, "party_withdrawn", left) for workflow in engagements]
    if profile.role == "mentor":
        reason = "the mentor's profile was withdrawn"
        return commands + await _close_requests_to(session, profile, reason, event)
    requests = await session.scalars(
        select(Request.workflow).where(Request.mentee_id == profile.id, Request.closed_at.is_(None))
    )
    return commands + [WorkflowCommand("signal", workflow, "withdraw", at) for workflow in requests]


async def _close_requests_to(
    session: AsyncSession, mentor: Profile, reason: str, event: StoredEvent
) -> list[WorkflowCommand]:
    """Return the commands that make the open requests to a mentor unavailable (MEM4)."""
    requests = await session.scalars(
        select(Request.workflow).where(Request.mentor_id == mentor.id, Request.closed_at.is_(None))
    )
    act = event.act(reason=reason, actor="program")
    return [WorkflowCommand("signal", workflow, "unavailable", act) for workflow in requests]
