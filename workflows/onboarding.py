"""The onboarding of a mentor or mentee (MEM1–MEM3, ONB1–ONB6, STA1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.delivery import Outcome
    from activities.planning import AgendaActivities, PlanOnboarding
    from lifecycles.recording import Planned
    from rules import onboarding
    from rules.acts import Act
    from rules.agenda import Refused
    from rules.onboarding import OnboardingFacts
    from workflows.messages import ActInput, Answer, Matched

from workflows.agenda_loop import AgendaLoop, plan_locally

ACTS_IN_PLAN = "acts in plan"
"""The patch since which the plan applies acts. Runs that began before apply them in the workflow."""

FROM_PROGRAM = ("matched", "withdrawn", "standing")
"""What the program reports by signal: no act of a person."""


@workflow.defn(name="Onboarding")
class OnboardingWorkflow:
    """One onboarding, id `onboarding/{profile}`."""

    @workflow.init
    def __init__(self, facts: OnboardingFacts) -> None:
        self._facts = facts
        self._agenda = AgendaLoop(self._plan, self._decided)
        self._state = "waiting"

    @workflow.run
    async def run(self, facts: OnboardingFacts) -> str:
        """Run until the onboarding ends; return its last state."""
        if not await self._agenda.run():
            workflow.continue_as_new(self._facts)
        return self._state

    async def _plan(self, at: datetime, acts: list[Act]) -> Planned:
        applied = bool(acts) and not workflow.patched(ACTS_IN_PLAN)
        planned = await plan_locally(
            AgendaActivities.plan_onboarding,
            PlanOnboarding(workflow.info().workflow_id, self._facts, at, acts, applied),
        )
        self._state = planned.state
        if planned.facts:
            # A mail may have been decided while the plan was made.
            decided_at = planned.facts.first_decided_at or self._facts.first_decided_at
            self._facts = replace(planned.facts, first_decided_at=decided_at)
        return planned

    def _decided(self, outcome: Outcome) -> bool:
        before, step = self._facts, outcome.key.partition("/")[0]
        self._facts = onboarding.mail_decided(before, step, outcome.at or workflow.now())
        return self._facts != before

    def _take(self, act: Act) -> None:
        """Have a signal's act applied."""
        if workflow.patched(ACTS_IN_PLAN):
            self._agenda.change(act)
        elif self._apply_here(act):
            self._agenda.change(None if act.name in FROM_PROGRAM else act)

    def _apply_here(self, act: Act) -> bool:
        """Apply an act as runs did that began before plans applied them; return whether those made a new plan."""
        before = self._facts
        try:
            self._facts = onboarding.apply(before, act, workflow.now())
        except Refused as refusal:
            workflow.logger.warning("%s refused: %s", act.name, refusal)
            return act.name in ("pause", "resume")
        return self._facts != before or act.name not in FROM_PROGRAM

    async def _answer(self, act: Act) -> Answer:
        """Have an update's act applied; answer with what it changed."""
        if self._facts.ended or self._agenda.closed:
            raise ApplicationError(f"the onboarding is over: {self._state}", type="Refused")
        if not workflow.patched(ACTS_IN_PLAN):
            try:
                self._facts = onboarding.apply(self._facts, act, workflow.now())
            except Refused as refusal:
                raise ApplicationError(str(refusal), type="Refused") from None
        return await self._agenda.answer(act)

    @workflow.signal(name="cancel")
    def cancel_signal(self, act: ActInput = ActInput()) -> None:
        """Staff cancel: no further mail (ONB5)."""
        self._take(act.to_act("cancel"))

    @workflow.signal(name="extend")
    def extend_signal(self, act: ActInput = ActInput(check_ins=1)) -> None:
        """Staff extend by check-ins (ONB5)."""
        self._take(act.to_act("extend"))

    @workflow.signal(name="pause")
    def pause_signal(self, act: ActInput = ActInput()) -> None:
        """Staff pause (ONB5)."""
        self._take(act.to_act("pause"))

    @workflow.signal(name="resume")
    def resume_signal(self, act: ActInput = ActInput()) -> None:
        """Staff resume (ONB5)."""
        self._take(act.to_act("resume"))

    @workflow.signal(name="matched")
    def matched_signal(self, match: Matched) -> None:
        """The mentee has a match (ONB3)."""
        self._take(match.to_act())

    @workflow.signal(name="withdrawn")
    def withdrawn_signal(self, act: ActInput = ActInput()) -> None:
        """The profile was withdrawn (ONB6)."""
        self._take(act.to_act("withdrawn"))

    @workflow.signal
    def standing(self, act: ActInput) -> None:
        """Good standing was lost or came back (MEM1, MEM2)."""
        self._take(act.to_act("standing"))

    @workflow.signal
    def replan(self) -> None:
        """Data that the agenda depends on has changed in the database: a zone, a country, the policy (T7)."""
        self._agenda.change()

    @workflow.update(name="cancel")
    async def cancel_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused if it is over; answers with the messages that will not be sent (STA1)."""
        return await self._answer(act.to_act("cancel"))

    @workflow.update(name="extend")
    async def extend_update(self, act: ActInput) -> Answer:
        """As the signal; refused if the rules refuse it (STA1)."""
        return await self._answer(act.to_act("extend"))

    @workflow.update(name="pause")
    async def pause_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused if it is over or paused already (STA1)."""
        return await self._answer(act.to_act("pause"))

    @workflow.update(name="resume")
    async def resume_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused if it is over or not paused; answers with the messages that moved (STA1)."""
        return await self._answer(act.to_act("resume"))

    @workflow.update(name="matched")
    async def matched_update(self, match: Matched) -> Answer:
        """As the signal; refused if it is over, or a mentor's (ONB3, STA1)."""
        return await self._answer(match.to_act())

    @workflow.update(name="withdrawn")
    async def withdrawn_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused if it is over (ONB6, STA1)."""
        return await self._answer(act.to_act("withdrawn"))
