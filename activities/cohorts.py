"""Plans of cohorts, and the work between them: proposals of pairs, and the start of engagements (COH1–COH3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.heartbeat import heartbeats
from activities.plan_faults import GuardedPlan
from database import audit
from database.events import get_event
from database.models import Cohort
from database.session import Database
from database.tasks import open_task
from lifecycles.cohorts.cohort_situation import CohortSituation, cohort_row, load_cohort, write_days
from lifecycles.cohorts.confirmation import (
    begin_engagements,
    confirm_pairs,
    has_new_pairs,
    has_waiting_pairs,
    mark_running,
    tell_pairs,
    tell_unpaired,
)
from lifecycles.cohorts.mail_batches import cancel_some, due_mails, next_due
from lifecycles.cohorts.membership import following
from lifecycles.cohorts.pool import compute, pool_of
from lifecycles.cohorts.proposals import store_proposal
from lifecycles.facts import facts_from_row
from lifecycles.participants import Programs
from lifecycles.recording import Planned, record
from lifecycles.situation import apply_acts
from lifecycles.workflow_commands import WorkflowCommand, start
from rules import cohort
from rules.acts import Act
from rules.agenda import GRACE_PERIOD, Refused
from rules.cohort import CohortFacts
from rules.pairing import PairingUnavailableError

PROPOSE, START = "propose", "start"
"""The work that the workflow of a cohort has done beside its plans."""

PEOPLE_A_PLAN = 50
"""How many pairs, or people without one, one plan mails. Fifty pairs take a few tenths of a second."""

MAILS_A_PLAN = 200
"""How many messages wait in a workflow at once. While they do, no more are planned: so none becomes stale (T8)."""

PAIRS_A_START = 25
"""How many engagements one transaction begins."""

PAIR_AGAIN = timedelta(hours=1)
"""When a proposal that cannot be computed is tried again."""


@dataclass(frozen=True, slots=True)
class PlanCohort:
    """The facts of a cohort, and the acts that the rules are to apply to them."""

    workflow: str
    facts: CohortFacts
    at: datetime
    acts: list[Act] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PlannedCohort:
    """A cohort's new facts, the messages that are due now, and what else is to be done by now."""

    planned: Planned
    facts: CohortFacts
    work: list[str] = field(default_factory=list)
    """PROPOSE, START."""
    effects: list[WorkflowCommand] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ProposePairs:
    """The proposal of a cohort to be made, by its number."""

    workflow: str
    number: int


class CohortActivities:
    """What the workflow of a cohort calls. `perform` starts the engagements; repeats of a command are harmless."""

    def __init__(
        self,
        database: Database,
        programs: Programs,
        perform: Callable[[list[WorkflowCommand]], Awaitable[None]],
    ) -> None:
        self._database = database
        self._programs = programs
        self._perform = perform
        self._cohorts = GuardedPlan(
            database, self._plan_cohort, lambda order, planned: PlannedCohort(planned, order.facts)
        )

    @activity.defn
    async def plan_cohort(self, order: PlanCohort) -> PlannedCohort:
        """Apply acts to a cohort, record its states, and plan the mail of the next people (COH1–COH3)."""
        return await self._cohorts.make(order)

    async def _plan_cohort(self, order: PlanCohort) -> PlannedCohort:
        at = order.at
        async with self._database.begin() as session:
            await audit.lock(session, order.workflow)
            row = await session.get(Cohort, order.workflow, with_for_update=True)
            situation = await load_cohort(session, self._programs, order.facts, at, row)
            if row is None:
                row = cohort_row(order.facts, situation.program)
                session.add(row)
                await session.flush()
            facts = _following_program(order.facts, situation, at)
            found = row

            async def apply(facts: CohortFacts, act: Act) -> CohortFacts:
                return await _apply(session, found, situation, facts, act, at)

            applied = await apply_acts(facts, order.acts, apply)
            facts = applied.facts
            write_days(row, facts)
            planned = await record(session, row, situation, situation.agenda(facts), applied, at)
            more = await _mail_next(session, row, situation, facts, at)
            planned = await _with_mails(session, planned, row, at, more=more)
            work = await _work(session, row, situation, facts, at)
            return PlannedCohort(planned, facts, work, await self._next_year(session, situation, facts, at))

    async def _next_year(
        self, session: AsyncSession, situation: CohortSituation, facts: CohortFacts, at: datetime
    ) -> list[WorkflowCommand]:
        """Return the command that announces the next cohort of a yearly window, once this window is over."""
        if at < facts.days.closes_at(situation.calendar) and facts.ended is None:
            return []
        ahead = following(self._programs[facts.program], facts, at)
        if ahead is None or await session.get(Cohort, f"cohort/{ahead.cohort}") is not None:
            return []
        return [start("Cohort", f"cohort/{ahead.cohort}", ahead)]

    @activity.defn
    async def propose_pairs(self, order: ProposePairs) -> int:
        """Compute a proposal of pairs and store it; return its number. One that is stored is not computed again."""
        at = activity.info().started_time
        async with heartbeats():
            async with self._database.reading() as session:
                row = await session.get_one(Cohort, order.workflow)
                if row.proposal >= order.number or row.closed_at is not None:
                    return order.number
                facts = facts_from_row(CohortFacts, row.facts)
                situation = await load_cohort(session, self._programs, facts, at, row)
            try:
                async with self._database.reading() as session:
                    pool = await pool_of(session, row, facts, situation.program)
                proposal = await compute(pool)
            except (PairingUnavailableError, ValueError) as error:
                await self._report_unpaired(order, str(error), at)
                raise ApplicationError(
                    str(error), type=type(error).__name__, next_retry_delay=PAIR_AGAIN
                ) from None
            async with self._database.begin() as session:
                row = await session.get_one(Cohort, order.workflow)
                await store_proposal(session, row, proposal, pool, order.number, at)
        return order.number

    async def _report_unpaired(self, order: ProposePairs, why: str, at: datetime) -> None:
        action = f"The pairs cannot be computed: {why}. Have it fixed; it is tried again each hour."
        async with self._database.begin() as session:
            await open_task(
                session, "pairing_review", order.workflow, "the pairs cannot be computed", action, at
            )

    @activity.defn
    async def start_pairs(self, workflow: str) -> bool:
        """Begin the engagements of the next pairs; return whether pairs are left (COH3)."""
        at = activity.info().started_time
        async with heartbeats():
            async with self._database.begin() as session:
                await audit.lock(session, workflow)
                row = await session.get_one(Cohort, workflow, with_for_update=True)
                facts = facts_from_row(CohortFacts, row.facts)
                situation = await load_cohort(session, self._programs, facts, at, row)
                commands = []
                if facts.ended is None:
                    commands = await begin_engagements(
                        session, row, facts, situation.program, at, PAIRS_A_START
                    )
            await self._perform(commands)
            async with self._database.begin() as session:
                await mark_running(session, [command.workflow for command in commands])
                return facts.ended is None and await has_waiting_pairs(session, row)


def _following_program(facts: CohortFacts, situation: CohortSituation, at: datetime) -> CohortFacts:
    """Return the facts of a cohort that has not opened with the days of the newest program file (COH5)."""
    policy, year = situation.program.cohort, facts.days.opens.year
    days = cohort.days_of_year(policy, year) if policy else None
    return cohort.follow_program(facts, days, at, situation.calendar)


async def _apply(
    session: AsyncSession, row: Cohort, situation: CohortSituation, facts: CohortFacts, act: Act, at: datetime
) -> CohortFacts:
    """Apply an act to the facts, and confirm the pairs if that is the act. Raises Refused."""
    if act.name == "reschedule":
        event = await get_event(session, act.event)
        if event is None:
            raise Refused("new days need their event: send cohort.scheduled")
        policy, data = situation.program.cohort, event.data
        months = data.get("months") or (policy.months if policy else facts.months)
        partners = "\n".join(data.get("partners") or [])
        details = {name: data[name] for name in ("opens", "closes", "kick_off")}
        act = replace(act, details={**details, "months": str(months), "partners": partners})
    after = situation.apply(facts, act, at)
    if act.name == "confirm":
        if facts.confirmations and not await has_new_pairs(session, row):
            raise Refused("there are no new pairs to confirm")
        await confirm_pairs(session, row, at)
    return after


async def _mail_next(
    session: AsyncSession, row: Cohort, situation: CohortSituation, facts: CohortFacts, at: datetime
) -> bool:
    """Plan the mail of the next people, or cancel that of a cancelled cohort; return whether people are left."""
    if facts.ended:
        because = situation.agenda(facts).dropped_because
        return await cancel_some(session, row.workflow, because, at, MAILS_A_PLAN) == MAILS_A_PLAN
    if not facts.confirmations or row.closed_at is not None:
        return False
    if len(await due_mails(session, row.workflow, at, MAILS_A_PLAN)) >= MAILS_A_PLAN:
        return False
    program = situation.program
    if await tell_pairs(session, row, facts, program, at, PEOPLE_A_PLAN):
        return True
    return await tell_unpaired(session, row, facts, program, at, PEOPLE_A_PLAN) > 0


async def _with_mails(
    session: AsyncSession, planned: Planned, row: Cohort, at: datetime, *, more: bool
) -> Planned:
    """Return a plan with the messages that are due, and when the next plan is: at once, if people are left."""
    mails = await due_mails(session, row.workflow, at, MAILS_A_PLAN)
    wakes = [planned.wake_at, await next_due(session, row.workflow, at)]
    if more:
        # The loop adds its grace period to an instant that it waits for.
        wakes = [at - GRACE_PERIOD]
    wake_at = min(filter(None, wakes), default=None)
    return replace(planned, mails=mails, wake_at=wake_at, closed=planned.closed and not more)


async def _work(
    session: AsyncSession, row: Cohort, situation: CohortSituation, facts: CohortFacts, at: datetime
) -> list[str]:
    """Return what is to be done by now."""
    if row.closed_at is not None:
        return []
    work = []
    if facts.proposals < cohort.proposal_due(facts, situation.calendar, at):
        work.append(PROPOSE)
    starts = cohort.starts_at(facts, situation.calendar)
    if starts and starts <= at and await has_waiting_pairs(session, row):
        work.append(START)
    return work
