"""What ends when a member is erased: their own lifecycles, and those of their pairs (STA5)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Claim, Engagement, Onboarding, Profile, Request, Survey

Ending = tuple[
    type[Onboarding | Request | Engagement | Claim | Survey], ColumnElement[bool], ColumnElement[bool], str
]


@dataclass(frozen=True, slots=True)
class LifecycleEnd:
    """An open lifecycle that ends, by a signal."""

    workflow: str
    signal: str


async def ends_of(session: AsyncSession, member: str) -> list[LifecycleEnd]:
    """Return the open lifecycles that end with a member's erasure. What only the other side of a pair has goes on."""
    profiles = list(await session.scalars(select(Profile.id).where(Profile.member_id == member)))
    return [
        LifecycleEnd(workflow, signal)
        for table, theirs, is_open, signal in _endings(profiles)
        for workflow in await session.scalars(
            select(table.workflow).where(theirs, is_open).order_by(table.workflow)
        )
    ]


def _endings(profiles: Collection[str]) -> list[Ending]:
    of_pair = Engagement.mentee_id.in_(profiles) | Engagement.mentor_id.in_(profiles)
    return [
        (Onboarding, Onboarding.profile_id.in_(profiles), Onboarding.closed_at.is_(None), "withdrawn"),
        (Request, Request.mentee_id.in_(profiles), Request.closed_at.is_(None), "withdraw"),
        (Request, Request.mentor_id.in_(profiles), Request.closed_at.is_(None), "unavailable"),
        (Engagement, of_pair, Engagement.closed_at.is_(None), "end"),
        (Claim, Claim.profile_id.in_(profiles), Claim.closed_at.is_(None), "cancel"),
        (Survey, Survey.profile_id.in_(profiles), Survey.closed_at.is_(None), "cancel"),
    ]
