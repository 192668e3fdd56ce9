"""Plans of meetups: the states, and the mail of so many invited people at a time (MEE1)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.plan_faults import GuardedPlan
from database import audit
from database.events import get_event
from database.models import Meetup
from database.session import Database
from lifecycles.meetups.invitations import due_mails, has_undecided, invite, next_due, plan_people
from lifecycles.meetups.meetup_situation import MeetupSituation, load_meetup, place_after, write_place
from lifecycles.participants import Programs
from lifecycles.recording import DueMail, Planned, history_horizon, record
from lifecycles.situation import AppliedActs, apply_acts
from rules import meetup
from rules.acts import Act
from rules.agenda import GRACE_PERIOD, Refused
from rules.meetup import MeetupFacts

PEOPLE_A_PLAN = 50
"""How many people one plan invites or plans again. So many take a tenth of a second, and some on a busy machine."""

MAILS_A_PLAN = 200
"""How many messages that nobody has tried wait in a workflow at once. While they do, nobody more is invited.

So a slow relay makes no message stale: its lateness counts from the plan (T8).
"""


@dataclass(frozen=True, slots=True)
class PlanMeetup:
    """The facts of a meetup, and the acts that the rules are to apply to them."""

    workflow: str
    facts: MeetupFacts
    at: datetime
    acts: list[Act] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PlannedMeetup:
    """A meetup's new facts, and the messages that are due now."""

    planned: Planned
    facts: MeetupFacts


@dataclass(frozen=True, slots=True)
class _Batch:
    """What a plan did for the people of a meetup."""

    mails: list[DueMail]
    has_more: bool
    """Whether people are left for the next plan, which follows at once."""


class MeetupActivities:
    """The planning activity of meetups."""

    def __init__(self, database: Database, programs: Programs) -> None:
        self._database = database
        self._programs = programs
        self._meetups = GuardedPlan(
            database, self._plan_meetup, lambda order, planned: PlannedMeetup(planned, order.facts)
        )

    @activity.defn
    async def plan_meetup(self, order: PlanMeetup) -> PlannedMeetup:
        """Apply acts to a meetup, record its states, and plan the mail of the next people (MEE1)."""
        return await self._meetups.make(order)

    async def _plan_meetup(self, order: PlanMeetup) -> PlannedMeetup:
        at = order.at
        async with self._database.begin() as session:
            await audit.lock(session, order.workflow)
            row = await session.get_one(Meetup, order.workflow, with_for_update=True)
            situation = await load_meetup(session, self._programs, order.facts, at, row)

            async def apply(facts: MeetupFacts, act: Act) -> MeetupFacts:
                if act.name == "changed":
                    return await _change(session, row, facts, act, at)
                return situation.apply(facts, act, at)

            applied = await apply_acts(order.facts, order.acts, apply)
            facts = meetup.settle(applied.facts, at)
            applied = replace(applied, facts=facts)
            horizon = await history_horizon(session, row, order.acts, facts.taken_over_at, at)
            agenda = situation.agenda(facts)
            planned = await record(session, row, situation, agenda, applied, at, horizon)
            if horizon:
                return PlannedMeetup(planned, facts)
            batch = await _next_batch(session, row, situation, facts, at)
            if await _is_finished(session, row, facts, batch, at):
                facts = replace(facts, finished_at=at)
                closing: AppliedActs[MeetupFacts] = AppliedActs(facts)
                planned = await record(session, row, situation, situation.agenda(facts), closing, at)
            return PlannedMeetup(await _with_batch(session, planned, batch, row, at), facts)


async def _change(
    session: AsyncSession, row: Meetup, facts: MeetupFacts, act: Act, now: datetime
) -> MeetupFacts:
    """Apply a change, whose words are in the event that the act names. Raises Refused."""
    event = await get_event(session, act.event)
    if event is None:
        raise Refused("a change needs its event: send meetup.changed")
    after = meetup.change(facts, place_after(row, event.data), meetup.heard_at(act, now))
    write_place(row, event.data, after)
    return after


async def _next_batch(
    session: AsyncSession, row: Meetup, situation: MeetupSituation, facts: MeetupFacts, at: datetime
) -> _Batch:
    """Plan people again whose plan is old, then invite more while few messages wait; return what is due."""
    program = situation.program
    if await plan_people(session, row, facts, program, at, PEOPLE_A_PLAN) == PEOPLE_A_PLAN:
        return _Batch([], has_more=True)
    mails = await due_mails(session, row.workflow, at, MAILS_A_PLAN)
    is_inviting = not (facts.ended or facts.held or facts.is_paused)
    if not is_inviting or len(mails) >= MAILS_A_PLAN:
        return _Batch(mails, has_more=False)
    invited = await invite(session, row, facts, at, PEOPLE_A_PLAN)
    if not invited:
        return _Batch(mails, has_more=False)
    await plan_people(session, row, facts, program, at, PEOPLE_A_PLAN)
    mails = await due_mails(session, row.workflow, at, MAILS_A_PLAN)
    return _Batch(mails, has_more=invited == PEOPLE_A_PLAN and len(mails) < MAILS_A_PLAN)


async def _is_finished(
    session: AsyncSession, row: Meetup, facts: MeetupFacts, batch: _Batch, at: datetime
) -> bool:
    """Return whether a meetup is over and all its mail decided, without resources that may still come."""
    is_over = bool(facts.ended or facts.held) and not meetup.waits_for_resources(facts, at)
    if not is_over or facts.finished_at or batch.has_more:
        return False
    return not await has_undecided(session, row.workflow)


async def _with_batch(
    session: AsyncSession, planned: Planned, batch: _Batch, row: Meetup, at: datetime
) -> Planned:
    """Return a plan with the messages of a batch, and when the next plan is due: at once, if people are left."""
    wakes = [planned.wake_at, await next_due(session, row.workflow, at)]
    if batch.has_more:
        # The loop adds its grace period to an instant that it waits for.
        wakes = [at - GRACE_PERIOD]
    return replace(
        planned, mails=batch.mails, wake_at=min((each for each in wakes if each is not None), default=None)
    )
