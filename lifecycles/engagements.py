"""Engagements: their agenda from rows, and the context in which their claims and letters are decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from database import ledger
from database.models import (
    DECISIONS,
    Cohort,
    CurriculumProgress,
    Engagement,
    Lifecycle,
    Profile,
    Request,
)
from lifecycles.facts import facts_from_row, facts_to_row
from lifecycles.participants import Participant, Programs, participants_of, program_of
from lifecycles.situation import in_send_window, pinned_program
from rules import credit, engagement
from rules.acts import Act
from rules.agenda import Agenda, StateChange, closing_change
from rules.calendar import Calendar
from rules.credit import GateDays
from rules.engagement import ROLES, EngagementFacts, StepOf
from rules.engagement.curriculum import begun, done_at, moved
from rules.pauses import Pause
from rules.program import Program, program_calendar


@dataclass(frozen=True, slots=True)
class EngagementSituation:
    """The two who work together, by profile, and the program."""

    people: Mapping[str, Participant]
    program: Program

    @property
    def calendar(self) -> Calendar:
        """The program's own: the dates of an engagement are its dates (ENG1)."""
        return program_calendar(self.program)

    def agenda(self, facts: EngagementFacts) -> Agenda:
        """Return the engagement's agenda (ENG1–ENG11, COH4); one of a cohort is invited to graduation (COH3)."""
        policy, cohort = self.program.engagement, self.program.cohort
        if facts.cohort and cohort is not None:
            policy = replace(policy, wrap_up_days=cohort.graduation_days)
        return in_send_window(
            engagement.agenda(
                facts,
                policy,
                self.calendar,
                self.people[facts.mentor].calendar(self.program),
                self.people[facts.mentee].calendar(self.program),
                self.program.curriculum,
            ),
            self.program,
            self.people,
        )

    def apply(self, facts: EngagementFacts, act: Act, now: datetime) -> EngagementFacts:
        """Return the facts after an act. Raises Refused."""
        state = engagement.state_at(facts, self.program.engagement, self.calendar, act.at or now)
        return engagement.apply(facts, act, state, now, self.program)

    def closed_because(self, facts: EngagementFacts, state: str, on: date) -> str:
        """Return how the engagement is over."""
        return engagement.closed_because(facts, state, on)


async def situation_of(
    session: AsyncSession, programs: Programs, facts: EngagementFacts, at: datetime, row: Lifecycle | None
) -> EngagementSituation:
    """Return the situation of an engagement. One without a row begins with its request's program version (CPE12).

    Raises NotOnRecord.
    """
    people = await participants_of(session, facts.mentee, facts.mentor)
    began = row or await session.get(Request, f"request/{facts.engagement}")
    if began is None:
        return EngagementSituation(people, program_of(programs, people[facts.mentor].profile.program))
    return EngagementSituation(people, await pinned_program(session, programs, began))


@dataclass(frozen=True, slots=True)
class EngagementContext:
    """An engagement with its two people, as the database has them now."""

    facts: EngagementFacts
    people: Mapping[str, Participant]
    program: Program
    closing: StateChange | None
    """Its end, if that has come."""

    @property
    def calendar(self) -> Calendar:
        """The program's own calendar."""
        return program_calendar(self.program)

    @property
    def is_of_the_past(self) -> bool:
        """Whether it was over before the program was taken over: nobody is mailed about its end (T10)."""
        taken_over_at = self.facts.taken_over_at
        return bool(taken_over_at and self.closing and self.closing.due < taken_over_at)

    @property
    def pauses(self) -> list[Pause]:
        """Its pauses; one that is open ends with the engagement."""
        if self.closing is None:
            return list(self.facts.pauses)
        return [
            replace(pause, until=max(self.closing.due, pause.since)) if pause.until is None else pause
            for pause in self.facts.pauses
        ]

    @property
    def gate(self) -> GateDays:
        """The days of pre-check and gate (CPE1, CPE7)."""
        started = engagement.start_day(self.facts, self.calendar)
        return credit.gate_days(started, self.pauses, self.program.credit, self.calendar)

    def profile(self, role: str) -> str:
        """The profile of a role."""
        return self.facts.mentor if role == "mentor" else self.facts.mentee

    def who(self, role: str) -> Participant:
        """The participant in a role."""
        return self.people[self.profile(role)]


async def load_engagement(
    session: AsyncSession, programs: Programs, engagement_id: str, at: datetime
) -> EngagementContext:
    """Return an engagement with its people, its program, and its end if that has come by `at` and is recorded."""
    row = await session.get_one(Engagement, f"engagement/{engagement_id}")
    facts = facts_from_row(EngagementFacts, row.facts)
    people = await participants_of(session, facts.mentee, facts.mentor)
    situation = EngagementSituation(people, await pinned_program(session, programs, row))
    closing = closing_change(situation.agenda(facts), at) if row.closed_at else None
    return EngagementContext(facts, people, situation.program, closing)


async def with_curriculum(
    session: AsyncSession, facts: EngagementFacts, program: Program, row: Lifecycle, at: datetime
) -> EngagementFacts:
    """Return the facts of an engagement with its curriculum by a version of its program.

    It begins with the first plan by a version that has one. Another version moves only what is pending: what was mailed
    before stays as it is (CPE12).
    """
    if program.curriculum is None:
        return facts
    if facts.curriculum is None:
        cohort = row.cohort if isinstance(row, Engagement) else None
        first = program_calendar(program).date_of(facts.mailed_at)
        kick_off = await _kick_off(session, cohort)
        carried = await _done_before(session, facts, cohort)
        return begun(facts, max(first, kick_off or first), program.fingerprint, carried)
    if facts.curriculum.version == program.fingerprint:
        return facts
    return moved(facts, program.fingerprint, await _mailed(session, facts, row.workflow), at)


async def keep_steps(session: AsyncSession, facts: EngagementFacts, acts: Sequence[Act]) -> None:
    """Keep the steps that acts report as done, each once: for staff, and for a later pair of the same person."""
    for act in acts:
        if act.name != "curriculum_done" or facts.curriculum is None:
            continue
        role, step = facts.role(act.by), act.details["step"]
        at = done_at(facts.curriculum.done, role, step)
        key = (facts.engagement, facts.profile(role), step)
        if at is not None and await session.get(CurriculumProgress, key) is None:
            session.add(
                CurriculumProgress(
                    engagement_id=key[0], profile_id=key[1], step=step, done_at=at, by=act.actor[:200]
                )
            )


async def _kick_off(session: AsyncSession, cohort: str | None) -> date | None:
    found = await session.scalar(select(Cohort.kick_off_on).where(Cohort.id == cohort)) if cohort else None
    return date.fromisoformat(found) if found else None


async def _done_before(session: AsyncSession, facts: EngagementFacts, cohort: str | None) -> list[StepOf]:
    """Return what the two did in pairs of the same cohort that were over when this one began."""
    if cohort is None:
        return []
    rows = await session.execute(
        select(CurriculumProgress.profile_id, CurriculumProgress.step, CurriculumProgress.done_at)
        .join(Engagement, Engagement.id == CurriculumProgress.engagement_id)
        .where(
            Engagement.cohort == cohort,
            Engagement.id != facts.engagement,
            Engagement.closed_at <= facts.started_at,
            CurriculumProgress.profile_id.in_([facts.mentor, facts.mentee]),
        )
        .order_by(CurriculumProgress.done_at, CurriculumProgress.step)
    )
    found: dict[tuple[str, str], StepOf] = {}
    for profile, step, at in rows:
        role = facts.role(profile)
        found.setdefault((role, step), StepOf(role, step, at))
    return list(found.values())


async def _mailed(session: AsyncSession, facts: EngagementFacts, workflow: str) -> list[StepOf]:
    """Return the steps whose mails were decided otherwise than by an agenda that dropped them."""
    found: dict[tuple[str, str], StepOf] = {}
    for row in await ledger.rows_of(session, workflow):
        role, _, name = row.message.partition(".")
        if (
            name != "curriculum"
            or role not in ROLES
            or row.state not in DECISIONS
            or row.state == "cancelled"
        ):
            continue
        step = StepOf(role, str(row.context["step"]), row.decided_at or row.planned_at)
        found.setdefault((role, step.step), step)
    known = {(each.by, each.step): each for each in facts.curriculum.mailed} if facts.curriculum else {}
    return list({**found, **known}.values())


def engagements_of(member: str) -> list[Select[str, str]]:
    """Return queries for the open engagements of a member: workflow id and the member's profile."""
    return [
        select(Engagement.workflow, Profile.id)
        .join(Profile, Profile.id == part)
        .where(Profile.member_id == member, Engagement.closed_at.is_(None))
        for part in (Engagement.mentee_id, Engagement.mentor_id)
    ]


def engagement_row(facts: EngagementFacts, program: Program) -> Engagement:
    """Return the row of an engagement that begins."""
    return Engagement(
        workflow=f"engagement/{facts.engagement}",
        id=facts.engagement,
        mentee_id=facts.mentee,
        mentor_id=facts.mentor,
        program=program.id,
        policy_version=program.policy_version,
        program_version=program.fingerprint,
        state="active",
        state_since=facts.started_at,
        started_at=facts.started_at,
        facts=facts_to_row(facts),
    )
