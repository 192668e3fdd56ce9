"""An engagement of two people, from acceptance to its end, and the claims and surveys that it opens.

ENG1–ENG11, COH4, CPE3, CPE7, SUR2, MEM2, STA1.
"""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.planning import AgendaActivities, PlanEngagement
    from lifecycles.recording import Planned
    from rules import engagement
    from rules.acts import Act
    from rules.engagement import EngagementFacts
    from workflows.messages import MessageSpec

from workflows.agenda_loop import plan_locally, send_commands
from workflows.lifecycle import LifecycleWorkflow


@workflow.defn(name="Engagement")
class EngagementWorkflow(LifecycleWorkflow[EngagementFacts]):
    """One engagement, id `engagement/{request}`.

    It may run for years: it continues as new when the server suggests it, with its facts (ENG10).
    """

    SIGNALS = MappingProxyType(
        {
            "cancel": MessageSpec("Staff cancel (ENG6)."),
            "extend": MessageSpec("Staff extend, to an end or by months (ENG6)."),
            "agree_extension": MessageSpec("A party agrees to a new end (ENG5)."),
            "end": MessageSpec("A party, or staff, end it (ENG7)."),
            "pause": MessageSpec("Staff pause (ENG11)."),
            "resume": MessageSpec("Staff resume it (ENG8, ENG11)."),
            "standing": MessageSpec(
                "Good standing of one of the two was lost or came back (MEM2).", needs=("by", "good")
            ),
            "party_withdrawn": MessageSpec(
                "The profile of one of the two was withdrawn (MEM7).", needs=("by",)
            ),
            "replan": MessageSpec(
                "Data that the agenda depends on has changed in the database (T7).", replans_only=True
            ),
        }
    )
    UPDATES = MappingProxyType(
        {
            "cancel": MessageSpec("As the signal; answers with the messages that will not be sent (STA1)."),
            "extend": MessageSpec("As the signal; answers with the messages that moved (STA1)."),
            "agree_extension": MessageSpec(
                "As the signal; refused for an invalid end (ENG5).", needs=("end",)
            ),
            "end": MessageSpec("As the signal (ENG7).", needs=("reason",)),
            "pause": MessageSpec("As the signal; refused if it is paused already (STA1)."),
            "resume": MessageSpec("As the signal; answers with the messages that moved (STA1)."),
            "plan_agreed": MessageSpec("The two agreed on a length (ENG3)."),
            "discovery": MessageSpec(
                "A party answers how the discovery call went (ENG2).", needs=("by", "answer")
            ),
            "met": MessageSpec("A party answers whether they met (ENG4).", needs=("by", "answer")),
            "curriculum_done": MessageSpec(
                "A party did a step of the curriculum (COH4).", needs=("by", "step")
            ),
            "misconduct": MessageSpec("A report of misconduct: everything stops (ENG8)."),
        }
    )

    @workflow.init
    def __init__(self, facts: EngagementFacts) -> None:
        self._begin(facts, "active")

    @workflow.run
    async def run(self, facts: EngagementFacts) -> str:
        """Run until the engagement ends; return its last state."""
        return await self._run()

    async def _plan(self, at: datetime, acts: list[Act]) -> Planned:
        result = await plan_locally(
            AgendaActivities.plan_engagement,
            PlanEngagement(workflow.info().workflow_id, self._facts, at, acts),
        )
        if result.effects:
            await send_commands(result.effects, "open claims and surveys")
        # Only now: if the commands are cancelled, the same acts are planned and the commands sent again.
        self._facts = result.facts
        self._state = result.planned.state
        return result.planned

    def _closed_because(self) -> str:
        return engagement.closed_because(self._facts, self._state)
