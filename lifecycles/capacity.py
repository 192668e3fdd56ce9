"""Whether a mentor has a place left (MEM4)."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Engagement, Profile, Request
from lifecycles.participants import Participant
from rules.agenda import Refused


async def places_left(session: AsyncSession, mentor: Profile, besides: str = "") -> int | None:
    """How many more mentees a mentor takes now, None for any number (MEM4). Locks the mentor's row."""
    await session.execute(select(Profile.id).where(Profile.id == mentor.id).with_for_update())
    if mentor.withdrawn_at is not None:
        return 0
    if mentor.mentees_at_a_time is None:
        return None
    active = await session.scalar(
        select(func.count())
        .select_from(Engagement)
        .where(Engagement.mentor_id == mentor.id, Engagement.closed_at.is_(None), Engagement.id != besides)
    )
    return max(mentor.mentees_at_a_time - (active or 0), 0)


async def refuse_without_place(
    session: AsyncSession, mentor: Participant, mentee: Participant, request_id: str
) -> None:
    """Capacity and standing are looked at when a request is accepted (MEM1, MEM4). Raises Refused."""
    for who, word in ((mentor, "mentor"), (mentee, "mentee")):
        if not who.good_standing:
            raise Refused(f"the {word} is not in good standing now")
    if await places_left(session, mentor.profile, besides=request_id) == 0:
        raise Refused("the mentor has no place left: the number of mentees at a time is reached")


async def without_place(session: AsyncSession, mentor: Participant) -> list[str]:
    """The open requests to a mentor who now has no place left (MEM4)."""
    if await places_left(session, mentor.profile) != 0:
        return []
    return list(
        await session.scalars(
            select(Request.workflow).where(
                Request.mentor_id == mentor.profile.id, Request.closed_at.is_(None)
            )
        )
    )
