"""Handler of `member.erased`, and the refusal of what comes about somebody afterwards (STA5)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from activities.event_handlers.base import HandlerContext, RefusedEvent, StoredEvent
from database import person_keys
from database.erased_file import ErasedFileError
from database.erasure import erase
from database.models import Event, Message, PersonKey, Profile
from lifecycles.cohorts.membership import leave
from lifecycles.erased_ends import LifecycleEnd, ends_of
from lifecycles.workflow_commands import WorkflowCommand
from rules.acts import PROGRAM
from rules.events.parties import Parties, parties_of

ERASING = "member.erased"
"""The event that is applied whatever is known of its member."""


async def member_erased(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Erase a member, and have what runs for them end quietly; a repeat ends what is still open.

    The file outside of the database has the erasure before the database commits it.
    """
    session, member, at = context.session, event.data["member"], event.heard_at
    is_known = await person_keys.is_destroyed(session, member)
    profiles = (await session.scalars(select(Profile).where(Profile.member_id == member))).all()
    commands = [_signal(end, event) for end in await ends_of(session, member)]
    for profile in profiles:
        if profile.withdrawn_at is None:
            await leave(session, profile, at)
    await erase(session, member, event.data["actor"], True, at)
    if context.erased is not None and not is_known:
        try:
            await context.erased.add([(member, at)])
        except ErasedFileError as error:
            raise RefusedEvent(f"nobody is erased while the file of erased people fails: {error}") from None
    return commands


def _signal(end: LifecycleEnd, event: StoredEvent) -> WorkflowCommand:
    """Return the signal that ends a lifecycle.

    A signal, not an update: one whose workflow is gone, as after a database was restored, has nothing left to end.
    """
    actor = event.data["actor"]
    argument = {
        "withdrawn": event.instants,
        "withdraw": event.act(),
        "unavailable": event.act(reason="the mentor's profile was withdrawn", actor=PROGRAM),
        "end": event.act(reason="other", actor=actor),
        "cancel": event.act(actor=actor),
    }[end.signal]
    return WorkflowCommand("signal", end.workflow, end.signal, argument)


async def erased_party(session: AsyncSession, event: Event) -> str | None:
    """Return the first erased member whom an event names; None where it names nobody of them."""
    parties = parties_of(event.data)
    if event.type == ERASING or not (parties.members or parties.profiles or parties.mails):
        return None
    found: str | None = await session.scalar(
        select(PersonKey.member_id)
        .where(PersonKey.wrapped.is_(None), PersonKey.member_id.in_(_members_of(parties)))
        .order_by(PersonKey.member_id)
        .limit(1)
    )
    return found


def _members_of(parties: Parties) -> Any:
    """Return the query of the members behind ids."""
    return (
        select(Profile.member_id)
        .where(Profile.id.in_(parties.profiles))
        .union(
            select(PersonKey.member_id).where(PersonKey.member_id.in_(parties.members)),
            select(Message.member_id).where(
                Message.delivery.in_(parties.mails) | Message.message_id.in_(parties.mails),
                Message.member_id.is_not(None),
            ),
        )
    )
