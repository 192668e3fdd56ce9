"""One party's survey at the end of an engagement (SUR1–SUR3, STA1)."""

from __future__ import annotations

from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.delivery import Outcome
    from activities.surveys import PlanSurvey, SurveyActivities
    from lifecycles.recording import Planned
    from rules.acts import Act
    from rules.survey import SurveyFacts
    from workflows.messages import ActInput, Answer

from workflows.agenda_loop import AgendaLoop, plan_locally


@workflow.defn(name="Survey")
class SurveyWorkflow:
    """One survey, id `survey/{request}/{role}`."""

    @workflow.init
    def __init__(self, facts: SurveyFacts) -> None:
        self._facts = facts
        self._agenda = AgendaLoop(self._plan, self._decided)
        self._state = "open"

    @workflow.run
    async def run(self, facts: SurveyFacts) -> str:
        """Run until the survey closes, answered or not; return its last state."""
        if not await self._agenda.run():
            workflow.continue_as_new(self._facts)
        return self._state

    async def _plan(self, at: datetime, acts: list[Act]) -> Planned:
        result = await plan_locally(
            SurveyActivities.plan_survey,
            PlanSurvey(workflow.info().workflow_id, self._facts, at, acts),
        )
        self._facts = result.facts
        self._state = result.planned.state
        return result.planned

    def _decided(self, outcome: Outcome) -> bool:
        return False

    @workflow.signal(name="answered")
    def answered_signal(self, act: ActInput = ActInput()) -> None:
        """An answer came; its words are in the event that the act names (SUR2, SUR3)."""
        self._agenda.change(act.to_act("answered"))

    @workflow.signal(name="cancel")
    def cancel_signal(self, act: ActInput = ActInput()) -> None:
        """Staff cancel it."""
        self._agenda.change(act.to_act("cancel"))

    @workflow.signal
    def replan(self) -> None:
        """Data that the agenda depends on has changed in the database (T7)."""
        self._agenda.change()

    @workflow.update(name="answered")
    async def answered_update(self, act: ActInput) -> Answer:
        """As the signal; refused once it is closed, and for an answer in which nothing is valid (SUR3).

        Without an event it means that the survey was answered elsewhere: the reminders stop, no words are kept.
        """
        return await self._answer("answered", act)

    @workflow.update(name="cancel")
    async def cancel_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; answers with the messages that will not be sent (STA1)."""
        return await self._answer("cancel", act)

    async def _answer(self, name: str, act: ActInput) -> Answer:
        if self._agenda.closed:
            raise ApplicationError(f"this survey is over: it is {self._state}", type="Refused")
        return await self._agenda.answer(act.to_act(name))
