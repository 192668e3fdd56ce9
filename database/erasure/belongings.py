"""What belongs to a person: the ids by which their data are found."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.audit import chain_of, confidential_chain
from database.models import (
    Claim,
    CohortMember,
    Engagement,
    MeetupInvitation,
    Member,
    Message,
    PersonKey,
    Profile,
    Request,
    Survey,
)
from rules.text import ERASED


@dataclass(frozen=True, slots=True)
class Belongings:
    """A member with all that is theirs, and all that they share with one other person."""

    member: str
    is_known: bool
    addresses: frozenset[str] = frozenset()
    """In lower case."""
    profiles: frozenset[str] = frozenset()
    pairs: frozenset[str] = frozenset()
    """The ids of requests and engagements, in which the other side writes about them as well."""
    lifecycles: frozenset[str] = frozenset()
    """The workflows of their own and of their pairs."""
    gatherings: frozenset[str] = frozenset()
    """The workflows of cohorts and meetups, which are those of many."""
    deliveries: frozenset[str] = frozenset()
    """What names the mail to them: deliveries and Message-IDs."""

    @property
    def subjects(self) -> frozenset[str]:
        """What tasks, events and audit records about them are about."""
        mails = {f"mail/{each}" for each in self.deliveries}
        return self.lifecycles | mails | {f"member/{self.member}"}

    @property
    def chains(self) -> frozenset[str]:
        """The audit chains whose words may be about them."""
        confidential = {confidential_chain(f"engagement/{each}") for each in self.pairs}
        return frozenset(chain_of(each) for each in self.subjects) | confidential


async def belongings_of(session: AsyncSession, member: str) -> Belongings:
    """Return what belongs to a member."""
    row = await session.get(Member, member)
    key = await session.get(PersonKey, member)
    profiles = await _all(session, select(Profile.id).where(Profile.member_id == member))
    pairs: set[str] = set()
    for table in (Request, Engagement):
        of_pair = or_(table.mentee_id.in_(profiles), table.mentor_id.in_(profiles))
        pairs |= await _all(session, select(table.id).where(of_pair))
    lifecycles = {f"onboarding/{each}" for each in profiles}
    for pair in pairs:
        lifecycles |= {f"request/{pair}", f"engagement/{pair}"}
    for closing in (Claim, Survey):
        lifecycles |= await _all(session, select(closing.workflow).where(closing.engagement_id.in_(pairs)))
    mails = (
        await session.execute(
            select(Message.delivery, Message.message_id, Message.recipient).where(of_member(member, profiles))
        )
    ).all()
    addresses = {each.recipient for each in mails} | ({row.email, row.email_given} if row else set())
    cohorts = await _all(session, select(CohortMember.cohort_id).where(CohortMember.profile_id.in_(profiles)))
    meetups = await _all(
        session, select(MeetupInvitation.workflow).where(MeetupInvitation.member_id == member)
    )
    return Belongings(
        member,
        row is not None or key is not None,
        frozenset(each.lower() for each in addresses if each and each != ERASED),
        frozenset(profiles),
        frozenset(pairs),
        frozenset(lifecycles),
        frozenset(meetups | {f"cohort/{each}" for each in cohorts}),
        frozenset(name for each in mails for name in (each.delivery, each.message_id) if name),
    )


def of_member(member: str, profiles: Collection[str]) -> ColumnElement[bool]:
    """Return the condition of the messages to a member."""
    return or_(Message.member_id == member, Message.to_profile.in_(profiles))


async def _all(session: AsyncSession, query: object) -> set[str]:
    return set(await session.scalars(query))  # type: ignore[call-overload]
