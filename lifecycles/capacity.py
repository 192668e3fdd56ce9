"""Whether a mentor has a place left (MEM4)."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Engagement, Profile, Request
from lifecycles.participants import Participant
from lifecycles.requests import RequestSituation
from rules.agenda import Refused
from rules.request import RequestFacts


async def places_left(session: AsyncSession, mentor: Profile, excluding: str = "") -> int | None:
    """Return how many more mentees a mentor takes now, None for any number (MEM4). Locks the mentor's row.

    `excluding` is an engagement that does not count.
    """
    await session.execute(select(Profile.id).where(Profile.id == mentor.id).with_for_update())
    if mentor.withdrawn_at is not None:
        return 0
    if mentor.mentees_at_a_time is None:
        return None
    active = await session.scalar(
        select(func.count())
        .select_from(Engagement)
        .where(Engagement.mentor_id == mentor.id, Engagement.closed_at.is_(None), Engagement.id != excluding)
    )
    return max(mentor.mentees_at_a_time - (active or 0), 0)


async def refuse_without_place(session: AsyncSession, situation: RequestSituation, request_id: str) -> None:
    """Raise Refused where a mentor has no place for another mentee (MEM4). Lapsed standing is no reason (MEM2)."""
    if await places_left(session, situation.mentor.profile, excluding=request_id) == 0:
        raise Refused("the mentor has no place left: the number of mentees at a time is reached")


async def superseded_by(session: AsyncSession, accepted: RequestFacts) -> list[str]:
    """Return the other open requests of the same mentee to the same mentor (REQ11)."""
    return list(
        await session.scalars(
            select(Request.workflow).where(
                Request.mentee_id == accepted.mentee,
                Request.mentor_id == accepted.mentor,
                Request.id != accepted.request,
                Request.closed_at.is_(None),
            )
        )
    )


async def without_place(session: AsyncSession, mentor: Participant) -> list[str]:
    """Return the open requests to a mentor who now has no place left (MEM4)."""
    if await places_left(session, mentor.profile) != 0:
        return []
    return list(
        await session.scalars(
            select(Request.workflow).where(
                Request.mentor_id == mentor.profile.id, Request.closed_at.is_(None)
            )
        )
    )
