"""Handlers of `member.*`: what the association's member directory reports."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from activities.event_handlers.base import HandlerContext, StoredEvent
from database.models import Claim, Engagement, Member, Onboarding, Profile, Request, Survey
from lifecycles.workflow_commands import WorkflowCommand

_FIELDS = (
    *("name", "email", "time_zone", "country", "subdivision", "languages"),
    *("nationality", "birth_year", "years_management", "certifications"),
)
_LISTS = ("languages", "certifications")


async def member_updated(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Write a member, and have the open lifecycles plan again where the change concerns them (MEM1, MEM2, T4).

    An event older than the last one that was applied changes nothing.
    """
    session, data, at = context.session, event.data, event.occurred_at
    member = await session.get(Member, data["member"])
    is_new = member is None
    if member is None:
        member = Member(id=data["member"], standing=data["standing"], standing_since=at, updated_at=at)
        session.add(member)
    elif member.updated_at > at:
        return []
    standing_changed = member.standing != data["standing"]
    before = _planning_inputs(member)
    _write(member, data, is_new=is_new)
    member.updated_at = at
    if standing_changed:
        member.standing, member.standing_since = data["standing"], at
    await session.flush()
    if is_new or not (standing_changed or before != _planning_inputs(member)):
        return []
    lifecycles = await _open_lifecycles(session, member.id)
    if not standing_changed:
        return [WorkflowCommand("signal", workflow, "replan") for workflow, _ in lifecycles]
    standing = {**event.act(), "good": member.standing == "good"}
    return [
        # Good standing is no condition of a survey (SUR2).
        WorkflowCommand("signal", workflow, "replan")
        if workflow.startswith("survey/")
        else WorkflowCommand("signal", workflow, "standing", {**standing, "by": profile})
        for workflow, profile in lifecycles
    ]


def _write(member: Member, data: dict[str, Any], *, is_new: bool) -> None:
    """Set the fields that an event names; a new member gets all of them."""
    for name in _FIELDS:
        if name in data or is_new:
            setattr(member, name, data.get(name, [] if name in _LISTS else None))


def _planning_inputs(member: Member) -> tuple[Any, ...]:
    """Return the fields of a member from which agendas are computed."""
    return member.time_zone, member.country, member.subdivision, list(member.certifications or [])


async def _open_lifecycles(session: AsyncSession, member: str) -> list[tuple[str, str]]:
    """Return the open lifecycles that depend on a member, each with the profile concerned."""
    queries = [
        select(Onboarding.workflow, Profile.id)
        .join(Profile, Profile.id == Onboarding.profile_id)
        .where(Profile.member_id == member, Onboarding.closed_at.is_(None))
    ]
    for table in (Request, Engagement):
        queries += [
            select(table.workflow, Profile.id)
            .join(Profile, Profile.id == part)
            .where(Profile.member_id == member, table.closed_at.is_(None))
            for part in (table.mentee_id, table.mentor_id)
        ]
    # A claim depends on both: on the record of the one, and on the calendar of the other, who signs (T4, CPE5).
    queries += [
        select(Claim.workflow, Profile.id)
        .join(Engagement, Engagement.id == Claim.engagement_id)
        .join(Profile, Profile.id == part)
        .where(Profile.member_id == member, Claim.closed_at.is_(None))
        for part in (Engagement.mentee_id, Engagement.mentor_id)
    ]
    queries.append(
        select(Survey.workflow, Survey.profile_id)
        .join(Profile, Profile.id == Survey.profile_id)
        .where(Profile.member_id == member, Survey.closed_at.is_(None))
    )
    return [(workflow, profile) for query in queries for workflow, profile in await session.execute(query)]
