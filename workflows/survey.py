"""One party's survey at the end of an engagement (SUR1–SUR3, STA1)."""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.surveys import PlanSurvey, SurveyActivities
    from lifecycles.recording import Planned
    from rules.acts import Act
    from rules.survey import SurveyFacts
    from workflows.messages import MessageSpec

from workflows.agenda_loop import plan_locally
from workflows.lifecycle import LifecycleWorkflow


@workflow.defn(name="Survey")
class SurveyWorkflow(LifecycleWorkflow[SurveyFacts]):
    """One survey, id `survey/{request}/{role}`."""

    SIGNALS = MappingProxyType(
        {
            "answered": MessageSpec(
                "An answer came; its words are in the event that the act names (SUR2, SUR3)."
            ),
            "cancel": MessageSpec("Staff cancel it."),
            "replan": MessageSpec(
                "Data that the agenda depends on has changed in the database (T7).", replans_only=True
            ),
        }
    )
    UPDATES = MappingProxyType(
        {
            # Without an event the survey was answered elsewhere: the reminders stop, no words are kept.
            "answered": MessageSpec(
                "As the signal; refused once it is closed, and for an answer in which nothing is valid (SUR3)."
            ),
            "cancel": MessageSpec("As the signal; answers with the messages that will not be sent (STA1)."),
        }
    )

    @workflow.init
    def __init__(self, facts: SurveyFacts) -> None:
        self._begin(facts, "open")

    @workflow.run
    async def run(self, facts: SurveyFacts) -> str:
        """Run until the survey closes, answered or not; return its last state."""
        return await self._run()

    async def _plan(self, at: datetime, acts: list[Act]) -> Planned:
        result = await plan_locally(
            SurveyActivities.plan_survey,
            PlanSurvey(workflow.info().workflow_id, self._facts, at, acts),
        )
        self._facts = result.facts
        self._state = result.planned.state
        return result.planned

    def _closed_because(self) -> str:
        return f"this survey is over: it is {self._state}"
