"""A mentee's request to a mentor (REQ1–REQ10, MEM2, MEM4, STA1)."""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.planning import AgendaActivities, PlannedRequest, PlanRequest
    from lifecycles.recording import Planned
    from lifecycles.workflow_commands import WorkflowCommand, start
    from rules import request
    from rules.acts import Act
    from rules.engagement import EngagementFacts
    from rules.request import RequestFacts
    from workflows.messages import ActInput, MessageSpec

from workflows.agenda_loop import plan_locally, send_commands
from workflows.lifecycle import LifecycleWorkflow


@workflow.defn(name="Request")
class RequestWorkflow(LifecycleWorkflow[RequestFacts]):
    """One request, id `request/{request}`."""

    SIGNALS = MappingProxyType(
        {
            "accept": MessageSpec("The mentor accepts (REQ5)."),
            "decline": MessageSpec("The mentor declines (REQ6)."),
            "withdraw": MessageSpec("The mentee withdraws it (REQ7)."),
            "cancel": MessageSpec("Staff cancel (REQ9)."),
            "extend": MessageSpec("Staff give more time (REQ9).", default=ActInput(business_days=1)),
            "unavailable": MessageSpec("The mentor has no place left (MEM4)."),
            "superseded": MessageSpec("The same mentor has accepted another request of the mentee (REQ11)."),
            "standing": MessageSpec(
                "Good standing of one of the two was lost or came back (MEM2).", needs=("by", "good")
            ),
            "replan": MessageSpec(
                "Data that the agenda depends on has changed in the database (T7).", replans_only=True
            ),
        }
    )
    UPDATES = MappingProxyType(
        {
            "accept": MessageSpec(
                "As the signal; refused if it is closed, or nobody may be matched (REQ5, REQ10, MEM4)."
            ),
            "decline": MessageSpec("As the signal; refused if it is closed (REQ10)."),
            "withdraw": MessageSpec("As the signal; refused if it is closed (REQ10)."),
            "cancel": MessageSpec("As the signal; answers with the messages that will not be sent (STA1)."),
            "extend": MessageSpec(
                "As the signal; answers with the messages that moved (STA1).", needs=("business_days",)
            ),
        }
    )

    @workflow.init
    def __init__(self, facts: RequestFacts) -> None:
        self._begin(facts, "open")
        self._matched = False

    @workflow.run
    async def run(self, facts: RequestFacts) -> str:
        """Run until the request is answered or over; return its last state."""
        return await self._run()

    async def _plan(self, at: datetime, acts: list[Act]) -> Planned:
        result = await plan_locally(
            AgendaActivities.plan_request,
            PlanRequest(workflow.info().workflow_id, self._facts, at, acts),
        )
        if result.engagement and not self._matched:
            await self._match(result, result.engagement)
            self._matched = True
        # Only now: if the commands are cancelled, the same acts are planned and the commands sent again.
        self._facts = result.facts
        self._state = result.planned.state
        return result.planned

    async def _match(self, result: PlannedRequest, engagement: EngagementFacts) -> None:
        """Start the engagement, end the mentee's onboardings, and close requests whose mentor has no place left."""
        when: dict[str, Any] = {"at": engagement.started_at.isoformat()}
        if engagement.taken_over_at:
            when |= {"heard_at": engagement.taken_over_at.isoformat(), "history": True}
        match = {"request": self._facts.request, **when}
        full = {**when, "reason": "the mentor has no place left", "actor": "program"}
        twice = {**when, "reason": "the mentor has accepted another request of the same mentee"}
        twice["actor"] = "program"
        commands = [start("Engagement", f"engagement/{engagement.engagement}", engagement)]
        commands += [WorkflowCommand("signal", onboarding, "matched", match) for onboarding in result.matched]
        commands += [
            WorkflowCommand("signal", request, "unavailable", full) for request in result.unavailable
        ]
        commands += [WorkflowCommand("signal", request, "superseded", twice) for request in result.superseded]
        await send_commands(commands, "start the engagement")

    def _closed_because(self) -> str:
        return request.closed_because(self._facts, self._state)
