"""Onboardings: their agenda from rows, and the open ones of a mentee."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Onboarding, Profile
from lifecycles.participants import Participant
from rules import onboarding
from rules.agenda import Agenda
from rules.onboarding import OnboardingFacts
from rules.program import Program


async def open_onboardings(session: AsyncSession, mentee: Participant, program: Program) -> list[str]:
    """All open onboardings of a mentee in a program: a match ends each of them (ONB3)."""
    return list(
        await session.scalars(
            select(Onboarding.workflow)
            .join(Profile, Profile.id == Onboarding.profile_id)
            .where(
                Profile.member_id == mentee.member.id,
                Profile.role == "mentee",
                Onboarding.program == program.id,
                Onboarding.closed_at.is_(None),
            )
        )
    )


def onboarding_agenda(facts: OnboardingFacts, who: Participant, program: Program) -> Agenda:
    """The agenda of an onboarding for this participant in this program, as the database has them now."""
    codes = [str(item["code"]) for item in who.member.certifications]
    qualified = who.profile.role != "mentor" or onboarding.mentor_is_qualified(
        who.member.years_management, codes, program.onboarding
    )
    return onboarding.agenda(facts, program.onboarding, who.calendar(program), qualified=qualified)
