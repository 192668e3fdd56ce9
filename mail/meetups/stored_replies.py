"""Replies of calendars, stored as events: an answer by mail is the same as one by link (MEE1)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database import events
from database.models import MeetupInvitation, Member, Message
from database.session import Database
from mail.meetups.calendar_reply import SOURCE, CalendarReply
from rules.events import Envelope, check_event
from rules.mail_address import AddressRejected, mail_address
from rules.meetup import STEPS, step_of

log = structlog.get_logger()

TYPE = "meetup.answered"


async def store_replies(database: Database, found: Sequence[CalendarReply], at: datetime) -> int:
    """Store an event for each reply that is not known yet; return how many are new.

    The entry's UID is in the invitation alone, and the attendee must be the address that was invited: anybody can send
    a reply. What does not fit is dropped and counted in the log. The answer's time is the calendar's own, never after
    `at` and never before the invitation.
    """
    if not found:
        return 0
    envelopes: list[Envelope] = []
    async with database.reading() as session:
        for reply in found:
            if envelope := await _envelope(session, reply, at):
                envelopes.append(envelope)
    if refused := len(found) - len(envelopes):
        log.warning("calendar_replies_refused", count=refused, reason="they answer no invitation of ours")
    if not envelopes:
        return 0
    async with database.begin() as session:
        return await events.store(session, envelopes, at)


async def _envelope(session: AsyncSession, reply: CalendarReply, at: datetime) -> Envelope | None:
    invitation = await session.scalar(
        select(MeetupInvitation).where(MeetupInvitation.uid == reply.uid.partition("@")[0])
    )
    if invitation is None or _plain(reply.attendee) not in await _addresses(session, invitation):
        return None
    meetup = invitation.workflow.partition("/")[2]
    given = {"meetup": meetup, "by": invitation.profile_id, "answer": reply.answer}
    data, problems = check_event(TYPE, given)
    if problems:
        return None
    stated = datetime.fromisoformat(reply.at) if reply.at else at
    return Envelope(reply.id, SOURCE, TYPE, max(min(stated, at), min(invitation.invited_at, at)), data)


async def _addresses(session: AsyncSession, invitation: MeetupInvitation) -> set[str]:
    """Return the addresses that an invited person has, or was mailed at about this meetup."""
    member = await session.get_one(Member, invitation.member_id)
    steps = [step_of(what, invitation.number) for what in STEPS]
    mailed = await session.scalars(
        select(Message.recipient).where(Message.workflow == invitation.workflow, Message.step.in_(steps))
    )
    return {_plain(each) for each in (member.email, member.email_given, *mailed) if each}


def _plain(address: str) -> str:
    """Return an address for comparison: its domain in ASCII, all in lower case."""
    try:
        return mail_address(address).ascii.lower()
    except AddressRejected:
        return address.lower()
