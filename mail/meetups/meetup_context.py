"""What a mail says of a meetup, and the calendar file that goes with it (MEE1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Meetup, MeetupInvitation, Message
from lifecycles.facts import facts_from_row
from lifecycles.participants import Participant
from mail.meetups.calendar_files import CalendarEntry, CalendarFile, Method, calendar_file
from rules.meetup import MeetupFacts, parts_of_step
from rules.program import Program

_METHODS: Mapping[str, Method] = MappingProxyType(
    {"invitation": "REQUEST", "changed": "REQUEST", "canceled": "CANCEL"}
)
"""The method of the calendar file, by what the mail is. A reminder has none: the entry is in the calendar already."""


async def meetup_context(session: AsyncSession, row: Message) -> dict[str, object]:
    """Return the data of a mail about a meetup."""
    meetup = await session.get_one(Meetup, row.workflow)
    invitation = await _invitation(session, row)
    return {
        "meetup": {
            "id": meetup.id,
            "title": meetup.title,
            "link": meetup.link or "",
            "minutes": int((meetup.ends_at - meetup.starts_at).total_seconds() // 60),
            "answer": invitation.answer or "",
            "material": [
                {"title": str(each["title"]), "link": str(each["link"])} for each in meetup.resources
            ],
        },
        "dates": {"starts": meetup.starts_at},
    }


async def calendar_of(
    session: AsyncSession, row: Message, reader: Participant, program: Program, at: datetime
) -> CalendarFile | None:
    """Return the calendar file of a mail; None for one that has none."""
    if not row.workflow.startswith("meetup/"):
        return None
    what, _ = parts_of_step(row.step)
    if what not in _METHODS:
        return None
    meetup = await session.get_one(Meetup, row.workflow)
    invitation = await _invitation(session, row)
    entry = CalendarEntry(
        uid=uid_of(invitation, program),
        sequence=facts_from_row(MeetupFacts, meetup.facts).sequence,
        title=meetup.title,
        link=meetup.link or "",
        starts_at=meetup.starts_at,
        ends_at=meetup.ends_at,
        organizer_name=program.name,
        organizer=program.mailbox,
        attendee_name=reader.member.name,
        attendee=reader.member.email,
        answer=invitation.answer or "",
    )
    return calendar_file(entry, _METHODS[what], at)


def uid_of(invitation: MeetupInvitation, program: Program) -> str:
    """Return the UID of a person's calendar entry (RFC 5545, 3.8.4.7)."""
    return f"{invitation.uid}@{program.sender.rpartition('@')[2]}"


async def _invitation(session: AsyncSession, row: Message) -> MeetupInvitation:
    _, number = parts_of_step(row.step)
    found = await session.scalars(
        select(MeetupInvitation).where(
            MeetupInvitation.workflow == row.workflow, MeetupInvitation.number == number
        )
    )
    return found.one()
