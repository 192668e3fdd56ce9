"""An engagement of two people, from acceptance to its end, and the claims and surveys that it opens.

ENG1–ENG11, CPE3, CPE7, SUR2, MEM2, STA1.
"""

from __future__ import annotations

from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.delivery import Outcome
    from activities.planning import AgendaActivities, PlanEngagement
    from lifecycles.recording import Planned
    from rules import engagement
    from rules.acts import Act
    from rules.engagement import EngagementFacts
    from workflows.messages import ActInput, Answer

from workflows.agenda_loop import AgendaLoop, plan_locally, send_commands


@workflow.defn(name="Engagement")
class EngagementWorkflow:
    """One engagement, id `engagement/{request}`.

    It may run for years: it continues as new when the server suggests it, with its facts (ENG10).
    """

    @workflow.init
    def __init__(self, facts: EngagementFacts) -> None:
        self._facts = facts
        self._agenda = AgendaLoop(self._plan, self._decided)
        self._state = "active"

    @workflow.run
    async def run(self, facts: EngagementFacts) -> str:
        """Run until the engagement ends; return its last state."""
        if not await self._agenda.run():
            workflow.continue_as_new(self._facts)
        return self._state

    async def _plan(self, at: datetime, acts: list[Act]) -> Planned:
        result = await plan_locally(
            AgendaActivities.plan_engagement,
            PlanEngagement(workflow.info().workflow_id, self._facts, at, acts),
        )
        self._facts = result.facts
        self._state = result.planned.state
        if result.effects:
            await send_commands(result.effects, "open claims and surveys")
        return result.planned

    def _decided(self, outcome: Outcome) -> bool:
        return False

    @workflow.signal(name="cancel")
    def cancel_signal(self, act: ActInput = ActInput()) -> None:
        """Staff cancel (ENG6)."""
        self._agenda.change(act.to_act("cancel"))

    @workflow.signal(name="extend")
    def extend_signal(self, act: ActInput) -> None:
        """Staff extend, to an end or by months (ENG6)."""
        self._agenda.change(act.to_act("extend"))

    @workflow.signal(name="agree_extension")
    def agree_extension_signal(self, act: ActInput) -> None:
        """A party agrees to a new end (ENG5)."""
        self._agenda.change(act.to_act("agree_extension"))

    @workflow.signal(name="end")
    def end_signal(self, act: ActInput) -> None:
        """A party, or staff, end it (ENG7)."""
        self._agenda.change(act.to_act("end"))

    @workflow.signal(name="pause")
    def pause_signal(self, act: ActInput = ActInput()) -> None:
        """Staff pause (ENG11)."""
        self._agenda.change(act.to_act("pause"))

    @workflow.signal(name="resume")
    def resume_signal(self, act: ActInput = ActInput()) -> None:
        """Staff resume it (ENG8, ENG11)."""
        self._agenda.change(act.to_act("resume"))

    @workflow.signal
    def standing(self, act: ActInput) -> None:
        """Good standing of one of the two was lost or came back (MEM2)."""
        self._agenda.change(act.to_act("standing"))

    @workflow.signal
    def replan(self) -> None:
        """Data that the agenda depends on has changed in the database (T7)."""
        self._agenda.change()

    @workflow.update(name="cancel")
    async def cancel_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; answers with the messages that will not be sent (STA1)."""
        return await self._answer("cancel", act)

    @workflow.update(name="extend")
    async def extend_update(self, act: ActInput) -> Answer:
        """As the signal; refused for an invalid end; answers with the messages that moved (STA1)."""
        return await self._answer("extend", act)

    @workflow.update(name="agree_extension")
    async def agree_extension_update(self, act: ActInput) -> Answer:
        """As the signal; refused for an invalid end (ENG5)."""
        return await self._answer("agree_extension", act)

    @workflow.update(name="end")
    async def end_update(self, act: ActInput) -> Answer:
        """As the signal (ENG7)."""
        return await self._answer("end", act)

    @workflow.update(name="pause")
    async def pause_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused if it is paused already (STA1)."""
        return await self._answer("pause", act)

    @workflow.update(name="resume")
    async def resume_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused if it is not paused; answers with the messages that moved (STA1)."""
        return await self._answer("resume", act)

    @workflow.update
    async def plan_agreed(self, act: ActInput) -> Answer:
        """The two agreed on a length (ENG3)."""
        return await self._answer("plan_agreed", act)

    @workflow.update
    async def discovery(self, act: ActInput) -> Answer:
        """A party answers how the discovery call went (ENG2)."""
        return await self._answer("discovery", act)

    @workflow.update
    async def met(self, act: ActInput) -> Answer:
        """A party answers whether they met (ENG4)."""
        return await self._answer("met", act)

    @workflow.update
    async def misconduct(self, act: ActInput) -> Answer:
        """A report of misconduct: everything stops (ENG8)."""
        return await self._answer("misconduct", act)

    async def _answer(self, name: str, act: ActInput) -> Answer:
        if self._agenda.closed:
            raise ApplicationError(engagement.closed_because(self._facts, self._state), type="Refused")
        return await self._agenda.answer(act.to_act(name))
