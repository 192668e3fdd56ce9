"""Onboardings: their agenda from rows, and the open ones of a mentee."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Lifecycle, Onboarding, Profile
from lifecycles.engagements import EngagementContext
from lifecycles.facts import facts_from_row, facts_to_row
from lifecycles.participants import Participant, Programs, participant, program_of
from lifecycles.situation import in_send_window, pinned_program
from lifecycles.workflow_commands import WorkflowCommand
from rules import onboarding
from rules.acts import Act
from rules.agenda import Agenda
from rules.calendar import Calendar
from rules.onboarding import OnboardingFacts
from rules.program import Program


@dataclass(frozen=True, slots=True)
class OnboardingSituation:
    """The person whose onboarding it is, and the program."""

    who: Participant
    program: Program

    @property
    def people(self) -> Mapping[str, Participant]:
        """The one person."""
        return {self.who.profile.id: self.who}

    @property
    def calendar(self) -> Calendar:
        """The person's."""
        return self.who.calendar(self.program)

    def agenda(self, facts: OnboardingFacts) -> Agenda:
        """Return the onboarding's agenda (ONB1–ONB6, MEM1–MEM3)."""
        codes = [str(item["code"]) for item in self.who.member.certifications]
        qualified = self.who.profile.role != "mentor" or onboarding.mentor_is_qualified(
            self.who.member.years_management, codes, self.program.onboarding
        )
        return in_send_window(
            onboarding.agenda(facts, self.program.onboarding, self.calendar, qualified=qualified),
            self.program,
            self.people,
        )

    def apply(self, facts: OnboardingFacts, act: Act, now: datetime) -> OnboardingFacts:
        """Return the facts after an act. Raises Refused."""
        return onboarding.apply(facts, act, now)

    def closed_because(self, facts: OnboardingFacts, state: str, on: date) -> str:
        """Return how the onboarding is over."""
        return onboarding.closed_because(facts, state, on)


async def load_onboarding(
    session: AsyncSession, programs: Programs, facts: OnboardingFacts, at: datetime, row: Lifecycle | None
) -> OnboardingSituation:
    """Return the situation of an onboarding; one without a row begins with the newest program. Raises NotOnRecord."""
    who = await participant(session, facts.profile)
    if row is None:
        return OnboardingSituation(who, program_of(programs, who.profile.program))
    return OnboardingSituation(who, await pinned_program(session, programs, row))


def onboarding_row(workflow: str, facts: OnboardingFacts, program: Program) -> Onboarding:
    """Return the row of an onboarding that begins."""
    return Onboarding(
        workflow=workflow,
        profile_id=facts.profile,
        program=program.id,
        policy_version=program.policy_version,
        program_version=program.fingerprint,
        state="blocked" if facts.blocked else "waiting",
        state_since=facts.created_at,
        facts=facts_to_row(facts),
    )


def onboardings_of(member: str) -> list[Select[str, str]]:
    """Return queries for the open onboardings of a member: workflow id and profile."""
    return [
        select(Onboarding.workflow, Profile.id)
        .join(Profile, Profile.id == Onboarding.profile_id)
        .where(Profile.member_id == member, Onboarding.closed_at.is_(None))
    ]


async def match_ends(session: AsyncSession, context: EngagementContext) -> list[WorkflowCommand]:
    """Return what the end of an engagement reports to the onboardings that it holds silent (ONB8)."""
    closing = context.closing
    if closing is None:
        return []
    facts = context.facts
    mentee = context.who("mentee")
    ended: dict[str, Any] = {"request": facts.engagement, "at": closing.due.isoformat()}
    if facts.ended and facts.ended.heard_at:
        ended["heard_at"] = facts.ended.heard_at.isoformat()
    if facts.taken_over_at and closing.due < facts.taken_over_at:
        ended |= {"heard_at": facts.taken_over_at.isoformat(), "history": True}
    if closing.state == "no_fit" or facts.end_reason == "no_fit":
        ended["no_fit"] = True
    rows = await session.scalars(
        select(Onboarding)
        .join(Profile, Profile.id == Onboarding.profile_id)
        .where(
            Profile.member_id == mentee.member.id,
            Profile.role == "mentee",
            Onboarding.program == context.program.id,
            Onboarding.state == "matched",
            Onboarding.closed_at.is_(None),
        )
    )
    return [
        WorkflowCommand("signal", row.workflow, "match_ended", ended)
        for row in rows
        if any(
            match.request == facts.engagement and match.until is None
            for match in facts_from_row(OnboardingFacts, row.facts).matches
        )
    ]


async def open_onboardings(session: AsyncSession, mentee: Participant, program: Program) -> list[str]:
    """Return the open onboardings of a mentee in a program: a match ends each of them (ONB3)."""
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
