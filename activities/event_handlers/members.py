"""Handlers of `member.*`: what the association's member directory reports."""

from __future__ import annotations

from typing import Any

from activities.event_handlers.base import HandlerContext, RefusedEvent, StoredEvent
from database.models import MeetupInvitation, Member
from database.suppressions import settle_address_tasks
from lifecycles.meetups.invitations import plan_again
from lifecycles.registry import lifecycle_of, open_lifecycles_of
from lifecycles.workflow_commands import WorkflowCommand
from rules.mail_address import AddressRejected, mail_address

_FIELDS = (
    *("name", "email", "time_zone", "country", "subdivision", "languages"),
    *("nationality", "birth_year", "years_management", "employer", "certifications"),
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
    before, address = _planning_inputs(member), member.email
    _write(member, data, is_new=is_new)
    member.updated_at = at
    if not is_new and member.email != address:
        await settle_address_tasks(session, member.id, "the member has another address", at)
    if standing_changed:
        member.standing, member.standing_since = data["standing"], at
    await session.flush()
    if is_new or not (standing_changed or before != _planning_inputs(member)):
        return []
    # The send time of a reminder is one of the person's own calendar.
    await plan_again(session, MeetupInvitation.member_id == member.id)
    lifecycles = await open_lifecycles_of(session, member.id)
    if not standing_changed:
        return [WorkflowCommand("signal", workflow, "replan") for workflow, _ in lifecycles]
    standing = {**event.act(), "good": member.standing == "good"}
    return [
        WorkflowCommand("signal", workflow, "standing", {**standing, "by": profile})
        if lifecycle_of(workflow).kind.follows_standing
        else WorkflowCommand("signal", workflow, "replan")
        for workflow, profile in lifecycles
    ]


def _write(member: Member, data: dict[str, Any], *, is_new: bool) -> None:
    """Set the fields that an event names; a new member gets all of them. Raises RefusedEvent."""
    for name in _FIELDS:
        if name in data or is_new:
            setattr(member, name, data.get(name, [] if name in _LISTS else None))
    if given := data.get("email"):
        try:
            address = mail_address(given)
        except AddressRejected as rejected:
            raise RefusedEvent(f"the address {rejected}") from None
        member.email, member.email_given = address.ascii, address.given


def _planning_inputs(member: Member) -> tuple[Any, ...]:
    """Return the fields of a member from which agendas are computed."""
    return member.time_zone, member.country, member.subdivision, list(member.certifications or [])
