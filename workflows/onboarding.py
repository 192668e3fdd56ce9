"""The onboarding of a mentor or mentee (MEM1–MEM3, ONB1–ONB6, STA1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

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
    from workflows.messages import ActInput, Answer, Matched, MessageSpec

from workflows.agenda_loop import plan_locally
from workflows.lifecycle import LifecycleWorkflow

ACTS_IN_PLAN = "acts in plan"
"""The patch since which the plan applies acts. Runs that began before apply them in the workflow."""

FROM_PROGRAM = ("matched", "match_ended", "withdrawn", "standing")
"""What the program reports by signal: no act of a person."""


@workflow.defn(name="Onboarding")
class OnboardingWorkflow(LifecycleWorkflow[OnboardingFacts]):
    """One onboarding, id `onboarding/{profile}`."""

    SIGNALS = MappingProxyType(
        {
            "cancel": MessageSpec("Staff cancel: no further mail (ONB5)."),
            "extend": MessageSpec("Staff extend by check-ins (ONB5).", default=ActInput(check_ins=1)),
            "pause": MessageSpec("Staff pause (ONB5)."),
            "resume": MessageSpec("Staff resume (ONB5)."),
            "matched": MessageSpec("The mentee has a match (ONB3).", needs=("request",), takes=Matched),
            "match_ended": MessageSpec(
                "The engagement of a match ended: after no fit the check-ins go on (ONB8).",
                needs=("request",),
                takes=Matched,
            ),
            "withdrawn": MessageSpec("The profile was withdrawn (ONB6)."),
            "standing": MessageSpec("Good standing was lost or came back (MEM1, MEM2).", needs=("good",)),
            "replan": MessageSpec(
                "Data that the agenda depends on has changed in the database: a zone, a country, the policy (T7).",
                replans_only=True,
            ),
        }
    )
    UPDATES = MappingProxyType(
        {
            "cancel": MessageSpec("As the signal; answers with the messages that will not be sent (STA1)."),
            "extend": MessageSpec(
                "As the signal; refused if the rules refuse it (STA1).", needs=("check_ins",)
            ),
            "pause": MessageSpec("As the signal; refused if it is paused already (STA1)."),
            "resume": MessageSpec("As the signal; answers with the messages that moved (STA1)."),
            "matched": MessageSpec(
                "As the signal; refused for a mentor's.", needs=("request",), takes=Matched
            ),
            "withdrawn": MessageSpec("As the signal (ONB6, STA1)."),
        }
    )

    @workflow.init
    def __init__(self, facts: OnboardingFacts) -> None:
        self._begin(facts, "waiting")

    @workflow.run
    async def run(self, facts: OnboardingFacts) -> str:
        """Run until the onboarding ends; return its last state."""
        return await self._run()

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

    def _closed_because(self) -> str:
        return f"the onboarding is over: {self._state}"

    def _take(self, act: Act) -> None:
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
        if self._facts.ended or self._agenda.closed:
            raise ApplicationError(self._closed_because(), type="Refused")
        if not workflow.patched(ACTS_IN_PLAN):
            try:
                self._facts = onboarding.apply(self._facts, act, workflow.now())
            except Refused as refusal:
                raise ApplicationError(str(refusal), type="Refused") from None
        return await self._agenda.answer(act)
