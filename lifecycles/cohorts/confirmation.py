"""From confirmed pairs to mails and engagements: so many at a time, each step repeatable (COH2, COH3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from database import audit, ledger
from database.models import Cohort, CohortMember, CohortPair, Engagement, Member, Profile, Task
from database.tasks import OPEN, PROGRAM, close_task
from lifecycles.cohorts.membership import PAIR_BROKEN, break_pair, next_window
from lifecycles.cohorts.pool import BUSY, LIVE, USUAL_PLACES
from lifecycles.engagements import engagement_row
from lifecycles.facts import facts_from_row
from lifecycles.participants import Participant, participants
from lifecycles.workflow_commands import WorkflowCommand, start
from rules.agenda import PlannedMail
from rules.cohort import CohortFacts, engagement_id, starts_at
from rules.engagement import EngagementFacts
from rules.pairing import Reason, worded
from rules.program import Program, program_calendar

LATE = timedelta(hours=1)
"""How long after its start an engagement counts as heard of late: what was due before is not made up (T9)."""

LONGEST_STEP = 60
"""The width of a step in the ledger."""


async def confirm_pairs(session: AsyncSession, row: Cohort, at: datetime) -> int:
    """Confirm the proposed pairs, and return how many these are; break those of whom one cannot take part any more."""
    await break_unavailable(session, row, CohortPair.state == "proposed", at)
    proposed = CohortPair.cohort_id == row.id, CohortPair.state == "proposed"
    confirmed = await session.scalars(
        update(CohortPair)
        .where(*proposed)
        .values(state="confirmed", confirmed_at=at)
        .returning(CohortPair.id)
        .execution_options(synchronize_session=False)
    )
    return len(confirmed.all())


async def break_unavailable(
    session: AsyncSession, row: Cohort, condition: ColumnElement[bool], at: datetime, limit: int = 10_000
) -> None:
    """Break the pairs of a condition of whom one has left the cohort or lost good standing (COH3)."""
    mentee, mentor = aliased(Profile), aliased(Profile)
    of_mentee, of_mentor = aliased(Member), aliased(Member)
    found = await session.execute(
        select(CohortPair, mentee, of_mentee, mentor, of_mentor)
        .join(mentee, mentee.id == CohortPair.mentee_id)
        .join(of_mentee, of_mentee.id == mentee.member_id)
        .join(mentor, mentor.id == CohortPair.mentor_id)
        .join(of_mentor, of_mentor.id == mentor.member_id)
        .where(CohortPair.cohort_id == row.id, condition)
        .where(
            or_(
                mentee.withdrawn_at.is_not(None),
                mentor.withdrawn_at.is_not(None),
                of_mentee.standing != "good",
                of_mentor.standing != "good",
            )
        )
        .order_by(CohortPair.id)
        .limit(limit)
    )
    for pair, mentee_profile, mentee_member, mentor_profile, mentor_member in found.all():
        for role, profile, member in (
            ("mentor", mentor_profile, mentor_member),
            ("mentee", mentee_profile, mentee_member),
        ):
            why = "withdrew the profile" if profile.withdrawn_at else ""
            why = why or ("is not in good standing" if member.standing != "good" else "")
            if why and pair.state != "broken":
                await break_pair(session, row, pair, role, why, at)
    await session.flush()


async def has_new_pairs(session: AsyncSession, row: Cohort) -> bool:
    """Return whether pairs are proposed that staff have not confirmed."""
    wanted = select(CohortPair.id).where(CohortPair.cohort_id == row.id, CohortPair.state == "proposed")
    return await session.scalar(wanted.limit(1)) is not None


async def tell_pairs(
    session: AsyncSession, row: Cohort, facts: CohortFacts, program: Program, at: datetime, limit: int
) -> int:
    """Record some confirmed pairs, and plan the mails to the two of each (COH2); return how many pairs these are.

    A mentor with several mentees gets one mail about each: each pair has its own start, and may break alone.
    """
    found = await session.scalars(
        select(CohortPair)
        .where(CohortPair.cohort_id == row.id, CohortPair.state == "confirmed", CohortPair.told_at.is_(None))
        .order_by(CohortPair.id)
        .limit(limit)
    )
    pairs = found.all()
    people = await participants(
        session, {each for pair in pairs for each in (pair.mentee_id, pair.mentor_id)}
    )
    mails = []
    for pair in pairs:
        pair.engagement = f"engagement/{engagement_id(row.id, pair.mentee_id, pair.mentor_id)}"
        pair.told_at = at
        await _record_pair(session, row, pair, at)
        context = {**_days(facts, program, at), "pair": str(pair.id)}
        mails += [
            PlannedMail(
                f"{role}.paired.{pair.id}", at, f"{role}.paired", to, facts.confirmations, context=context
            )
            for role, to in (("mentor", pair.mentor_id), ("mentee", pair.mentee_id))
        ]
    await _plan(session, row, program, mails, people, at)
    await _close_tasks(session, row, set(people), at)
    return len(pairs)


async def tell_unpaired(
    session: AsyncSession, row: Cohort, facts: CohortFacts, program: Program, at: datetime, limit: int
) -> int:
    """Plan the mail to some members without a pair (COH2); return how many these are.

    Who was mailed about a pair that broke hears of it at the start: until then staff may find another one.
    """
    starts = starts_at(facts, program_calendar(program))
    members = await _without_pair(session, row, ~_has_pair(CohortPair.told_at.is_not(None)), limit)
    answers_staff = True
    if not members and starts and starts <= at:
        lost = _has_pair(CohortPair.told_at.is_not(None), CohortPair.state == "broken")
        members, answers_staff = await _without_pair(session, row, lost, limit), False
    people = await participants(session, [member.profile_id for member in members])
    mails, context = [], await _next_window(session, program, at) if members else {}
    for member in members:
        member.unpaired_told_at = at
        due = at if answers_staff else people[member.profile_id].calendar(program).send_from(at)
        mails.append(
            PlannedMail(_step(member.profile_id), due, "member.unpaired", member.profile_id, context=context)
        )
    await _plan(session, row, program, mails, people, at)
    return len(members)


async def has_waiting_pairs(session: AsyncSession, row: Cohort) -> bool:
    """Return whether confirmed pairs have not begun their engagements."""
    wanted = select(CohortPair.id).where(CohortPair.cohort_id == row.id, _may_start())
    return await session.scalar(wanted.limit(1)) is not None


async def begin_engagements(
    session: AsyncSession, row: Cohort, facts: CohortFacts, program: Program, at: datetime, limit: int
) -> list[WorkflowCommand]:
    """Write the engagements of some pairs, and return the commands that start them (COH3, ENG1).

    `mark_running` follows once the commands are done. Until then they are returned again.
    """
    of_cohort = select(CohortPair).where(CohortPair.cohort_id == row.id, _may_start())
    batch = of_cohort.order_by(CohortPair.id).limit(limit)
    ids = [pair.id for pair in await session.scalars(batch)]
    waiting = CohortPair.id.in_(ids) & (CohortPair.state == "confirmed")
    await break_unavailable(session, row, waiting, at)
    pairs = await session.scalars(of_cohort.where(CohortPair.id.in_(ids)).order_by(CohortPair.id))
    return [await _begin(session, row, pair, facts, program, at) for pair in pairs.all()]


async def mark_running(session: AsyncSession, workflows: Sequence[str]) -> None:
    """Record that these engagements run."""
    await session.execute(
        update(CohortPair)
        .where(CohortPair.engagement.in_(workflows), CohortPair.state == "starting")
        .values(state="running")
        .execution_options(synchronize_session=False)
    )


def _may_start() -> ColumnElement[bool]:
    """Return the condition of pairs that have been mailed and have no engagement that runs."""
    mailed = CohortPair.told_at.is_not(None)
    return or_(CohortPair.state == "starting", (CohortPair.state == "confirmed") & mailed)


async def _begin(
    session: AsyncSession, row: Cohort, pair: CohortPair, facts: CohortFacts, program: Program, at: datetime
) -> WorkflowCommand:
    starts = max(filter(None, (starts_at(facts, program_calendar(program)), pair.confirmed_at)), default=at)
    begun = EngagementFacts(
        str(pair.engagement).partition("/")[2],
        pair.mentee_id,
        pair.mentor_id,
        starts,
        months=facts.months,
        heard_at=at if at - starts > LATE else None,
        cohort=row.id,
        ends_on=facts.days.ends.isoformat(),
    )
    if pair.state == "confirmed":
        made = engagement_row(begun, program)
        made.cohort = row.id
        session.add(made)
        pair.state = "starting"
        await session.flush()
    else:
        kept = await session.get_one(Engagement, pair.engagement)
        begun = facts_from_row(EngagementFacts, kept.facts)
    return start("Engagement", str(pair.engagement), begun)


async def _record_pair(session: AsyncSession, row: Cohort, pair: CohortPair, at: datetime) -> None:
    """Record a pair in the chain of its cohort: what the timeline shows of it."""
    data = {
        "cohort": row.id,
        "mentee": pair.mentee_id,
        "mentor": pair.mentor_id,
        "fit": pair.fit,
        "engagement": pair.engagement,
    }
    why = worded([Reason.from_plain(each) for each in pair.why or ()], "en")
    await audit.append(session, row.workflow, "pair", at.replace(microsecond=0), data, veiled={"why": why})


async def _plan(
    session: AsyncSession,
    row: Cohort,
    program: Program,
    mails: Sequence[PlannedMail],
    people: Mapping[str, Participant],
    at: datetime,
) -> None:
    members = {profile: who.member.id for profile, who in people.items()}
    await ledger.plan_among(session, (row.workflow, program.id), [], mails, at, "", members)


def _days(facts: CohortFacts, program: Program, at: datetime) -> dict[str, str]:
    """Return the days of a pair for its mails: those that are confirmed late start at once (COH3)."""
    calendar = program_calendar(program)
    starts = max(facts.days.kick_off_at(calendar), at)
    return {"kick_off": calendar.date_of(starts).isoformat(), "ends": facts.days.ends.isoformat()}


async def _next_window(session: AsyncSession, program: Program, at: datetime) -> dict[str, str]:
    """Return on which day the next window of a program opens, if that is known (COH1)."""
    found = await next_window(session, program, at)
    return {"opens_on": found.opens.isoformat()} if found else {}


def _step(profile: str) -> str:
    """Return the step of a mail, which has its width in the ledger."""
    step = f"unpaired.{profile}"
    return step if len(step) <= LONGEST_STEP else f"unpaired.{sha256(profile.encode()).hexdigest()[:32]}"


def _has_pair(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that a member has a pair of the cohort to which conditions apply."""
    theirs = or_(
        CohortPair.mentee_id == CohortMember.profile_id, CohortPair.mentor_id == CohortMember.profile_id
    )
    return (
        select(CohortPair.id)
        .where(CohortPair.cohort_id == CohortMember.cohort_id, theirs, *conditions)
        .exists()
    )


async def _without_pair(
    session: AsyncSession, row: Cohort, condition: ColumnElement[bool], limit: int
) -> Sequence[CohortMember]:
    """Return members who have no pair and have not been mailed about it; not those who want none now."""
    found = await session.scalars(
        select(CohortMember)
        .join(Profile, Profile.id == CohortMember.profile_id)
        .where(
            CohortMember.cohort_id == row.id,
            CohortMember.left_at.is_(None),
            CohortMember.unpaired_told_at.is_(None),
            or_(CohortMember.unpaired_because.is_(None), CohortMember.unpaired_because != BUSY),
            or_(Profile.role == "mentee", func.coalesce(Profile.mentees_at_a_time, USUAL_PLACES) > 0),
            ~_has_pair(CohortPair.state.in_(LIVE)),
            condition,
        )
        .order_by(CohortMember.profile_id)
        .limit(limit)
    )
    return found.all()


async def _close_tasks(session: AsyncSession, row: Cohort, profiles: Collection[str], at: datetime) -> None:
    """Close the tasks about people who had lost their partner and have another one now (STA2)."""
    tasks = await session.scalars(
        select(Task).where(Task.subject == row.workflow, Task.kind == PAIR_BROKEN, Task.state.in_(OPEN))
    )
    for task in tasks.all():
        if task.cause.partition(" ")[0] in profiles:
            await close_task(session, task, "done", PROGRAM, "there is another pair", at)
