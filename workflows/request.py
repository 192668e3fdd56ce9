"""A mentee's request to a mentor (REQ1–REQ10, MEM2, MEM4, STA1)."""

from __future__ import annotations

from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.delivery import Outcome
    from activities.planning import AgendaActivities, PlannedRequest, PlanRequest
    from lifecycles.recording import Planned
    from lifecycles.workflow_commands import WorkflowCommand, start
    from rules import request
    from rules.acts import Act
    from rules.engagement import EngagementFacts
    from rules.request import RequestFacts
    from workflows.messages import ActInput, Answer

from workflows.agenda_loop import AgendaLoop, plan_locally, send_commands


@workflow.defn(name="Request")
class RequestWorkflow:
    """One request, id `request/{request}`."""

    @workflow.init
    def __init__(self, facts: RequestFacts) -> None:
        self._facts = facts
        self._agenda = AgendaLoop(self._plan, self._decided)
        self._state = "open"
        self._matched = False

    @workflow.run
    async def run(self, facts: RequestFacts) -> str:
        """Run until the request is answered or over; return its last state."""
        if not await self._agenda.run():
            workflow.continue_as_new(self._facts)
        return self._state

    async def _plan(self, at: datetime, acts: list[Act]) -> Planned:
        result = await plan_locally(
            AgendaActivities.plan_request,
            PlanRequest(workflow.info().workflow_id, self._facts, at, acts),
        )
        self._facts = result.facts
        self._state = result.planned.state
        if result.engagement and not self._matched:
            self._matched = True
            await self._match(result, result.engagement)
        return result.planned

    async def _match(self, result: PlannedRequest, engagement: EngagementFacts) -> None:
        """Start the engagement, end the mentee's onboardings, and close requests whose mentor has no place left."""
        match = {"request": self._facts.request, "at": engagement.started_at.isoformat()}
        full = {"at": match["at"], "reason": "the mentor has no place left", "actor": "program"}
        commands = [start("Engagement", f"engagement/{engagement.engagement}", engagement)]
        commands += [WorkflowCommand("signal", onboarding, "matched", match) for onboarding in result.matched]
        commands += [
            WorkflowCommand("signal", request, "unavailable", full) for request in result.unavailable
        ]
        await send_commands(commands, "start the engagement")

    def _decided(self, outcome: Outcome) -> bool:
        return False

    @workflow.signal(name="accept")
    def accept_signal(self, act: ActInput = ActInput()) -> None:
        """The mentor accepts (REQ5)."""
        self._agenda.change(act.to_act("accept"))

    @workflow.signal(name="decline")
    def decline_signal(self, act: ActInput = ActInput()) -> None:
        """The mentor declines (REQ6)."""
        self._agenda.change(act.to_act("decline"))

    @workflow.signal(name="withdraw")
    def withdraw_signal(self, act: ActInput = ActInput()) -> None:
        """The mentee withdraws it (REQ7)."""
        self._agenda.change(act.to_act("withdraw"))

    @workflow.signal(name="cancel")
    def cancel_signal(self, act: ActInput = ActInput()) -> None:
        """Staff cancel (REQ9)."""
        self._agenda.change(act.to_act("cancel"))

    @workflow.signal(name="extend")
    def extend_signal(self, act: ActInput = ActInput(business_days=1)) -> None:
        """Staff give more time (REQ9)."""
        self._agenda.change(act.to_act("extend"))

    @workflow.signal
    def unavailable(self, act: ActInput) -> None:
        """The mentor has no place left (MEM4)."""
        self._agenda.change(act.to_act("unavailable"))

    @workflow.signal
    def standing(self, act: ActInput) -> None:
        """Good standing of one of the two was lost or came back (MEM2)."""
        self._agenda.change(act.to_act("standing"))

    @workflow.signal
    def replan(self) -> None:
        """Data that the agenda depends on has changed in the database (T7)."""
        self._agenda.change()

    @workflow.update(name="accept")
    async def accept_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused if it is closed, or nobody may be matched (REQ5, REQ10, MEM4)."""
        return await self._answer("accept", act)

    @workflow.update(name="decline")
    async def decline_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused if it is closed (REQ10)."""
        return await self._answer("decline", act)

    @workflow.update(name="withdraw")
    async def withdraw_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused if it is closed (REQ10)."""
        return await self._answer("withdraw", act)

    @workflow.update(name="cancel")
    async def cancel_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused if it is closed; answers with the messages that will not be sent (STA1)."""
        return await self._answer("cancel", act)

    @workflow.update(name="extend")
    async def extend_update(self, act: ActInput) -> Answer:
        """As the signal; refused if the rules refuse it; answers with the messages that moved (STA1)."""
        return await self._answer("extend", act)

    async def _answer(self, name: str, act: ActInput) -> Answer:
        if self._agenda.closed:
            raise ApplicationError(request.closed_because(self._facts, self._state), type="Refused")
        return await self._agenda.answer(act.to_act(name))
