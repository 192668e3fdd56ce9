"""A cohort of a program, from its window to its graduation, and what it has computed and started (COH1–COH3, STA1)."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from types import MappingProxyType

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.cohorts import (
        PROPOSE,
        START,
        CohortActivities,
        PlanCohort,
        ProposePairs,
    )
    from activities.delivery import Outcome
    from lifecycles.recording import Planned
    from rules.acts import PROGRAM, Act
    from rules.cohort import CohortFacts, closed_because
    from workflows.messages import MessageSpec

from workflows.agenda_loop import plan_locally, send_commands
from workflows.lifecycle import LifecycleWorkflow

HEARTBEAT = timedelta(minutes=2)

RETRIES = RetryPolicy(maximum_interval=timedelta(minutes=5))


@workflow.defn(name="Cohort")
class CohortWorkflow(LifecycleWorkflow[CohortFacts]):
    """One cohort, id `cohort/{cohort}`.

    It holds neither its people nor its pairs: a plan returns the messages of the next batch, and activities compute
    the pairs and start the engagements beside the plans, some at a time.
    """

    SIGNALS = MappingProxyType(
        {
            "cancel": MessageSpec("Staff cancel: nothing more is sent; mentorships that run go on."),
            "reschedule": MessageSpec(
                "Other days, which are in the event; only before it opens (COH1).", needs=("event",)
            ),
            "pair": MessageSpec("Staff ask for another proposal of pairs (COH2)."),
            "confirm": MessageSpec("Staff confirm the proposed pairs (COH2)."),
            "replan": MessageSpec(
                "Data that its plan depends on has changed, or a message was released (T7).",
                replans_only=True,
            ),
        }
    )
    UPDATES = MappingProxyType(
        {
            "cancel": MessageSpec("As the signal; answers with what will not be sent (STA1)."),
            "reschedule": MessageSpec("As the signal; refused once it is open (COH1).", needs=("event",)),
            "pair": MessageSpec("As the signal; refused before the window is over (COH2)."),
            "confirm": MessageSpec("As the signal; refused while there is nothing to confirm (COH2)."),
        }
    )

    @workflow.init
    def __init__(self, facts: CohortFacts) -> None:
        self._begin(facts, "announced")
        self._working: dict[str, asyncio.Task[None]] = {}

    @workflow.run
    async def run(self, facts: CohortFacts) -> str:
        """Run until the cohort is over; return its last state."""
        return await self._run()

    async def _plan(self, at: datetime, acts: list[Act]) -> Planned:
        result = await plan_locally(
            CohortActivities.plan_cohort,
            PlanCohort(workflow.info().workflow_id, self._facts, at, acts),
        )
        if result.effects:
            await send_commands(result.effects, "announce the next cohort")
        self._facts = result.facts
        self._state = result.planned.state
        for name in result.work:
            if name not in self._working:
                self._working[name] = asyncio.create_task(self._work(name))
        return result.planned

    def _decided(self, outcome: Outcome) -> bool:
        """Ask for the next messages: each decision makes room for another one."""
        return True

    def _closed_because(self) -> str:
        return closed_because(self._facts, self._state)

    async def _finish_run(self) -> None:
        await workflow.wait_condition(lambda: not self._working)
        await workflow.wait_condition(workflow.all_handlers_finished)

    async def _work(self, name: str) -> None:
        """Have one kind of work done, then plan again. What is left when the run ends is for the next run."""
        act = None
        try:
            if name == PROPOSE:
                act = await self._propose()
            elif name == START:
                await self._start()
        finally:
            del self._working[name]
            self._agenda.change(act)

    async def _propose(self) -> Act:
        number = await workflow.execute_activity_method(
            CohortActivities.propose_pairs,
            ProposePairs(workflow.info().workflow_id, self._facts.asked + 1),
            start_to_close_timeout=timedelta(minutes=30),
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RETRIES,
            summary="propose pairs",
        )
        details = {"number": str(number)}
        return Act(f"proposal {number}", "proposed", PROGRAM, details=details, at=workflow.now())

    async def _start(self) -> None:
        has_more = True
        while has_more and not workflow.info().is_continue_as_new_suggested():
            has_more = await workflow.execute_activity_method(
                CohortActivities.start_pairs,
                workflow.info().workflow_id,
                start_to_close_timeout=timedelta(minutes=10),
                heartbeat_timeout=HEARTBEAT,
                retry_policy=RETRIES,
                summary="start engagements",
            )
