"""The onboarding of a mentor or mentee (MEM1–MEM3, ONB1–ONB6, STA1)."""

from __future__ import annotations

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
        """Run until the onboarding ends; the answer is its last state."""
        if not await self._agenda.run():
            workflow.continue_as_new(self._facts)
        return self._state

    async def _plan(self, at: datetime, acts: list[Act]) -> Planned:
        planned = await plan_locally(
            AgendaActivities.plan_onboarding,
            PlanOnboarding(workflow.info().workflow_id, self._facts, at, acts),
        )
        self._state = planned.state
        return planned

    def _decided(self, outcome: Outcome) -> bool:
        facts = onboarding.mail_decided(
            self._facts, outcome.key.partition("/")[0], outcome.at or workflow.now()
        )
        return self._set(facts)

    def _set(self, facts: OnboardingFacts) -> bool:
        changed = facts != self._facts
        self._facts = facts
        return changed

    def _cancel(self, act: ActInput) -> Act:
        cause = f"cancelled by staff: {act.reason}" if act.reason else "cancelled by staff"
        self._set(onboarding.end(self._facts, "canceled", act.at or workflow.now(), cause, act.actor))
        return act.act("cancel")

    def _extend(self, act: ActInput) -> Act:
        self._set(onboarding.extend(self._facts, act.check_ins, workflow.now(), act.event))
        return act.act("extend")

    def _pause(self, act: ActInput) -> Act:
        self._set(onboarding.pause(self._facts, "staff", act.at or workflow.now()))
        return act.act("pause")

    def _resume(self, act: ActInput) -> Act:
        self._set(onboarding.resume(self._facts, "staff", act.at or workflow.now()))
        return act.act("resume")

    @workflow.signal(name="cancel")
    def cancel_signal(self, act: ActInput = ActInput()) -> None:
        """Staff cancel: no further mail (ONB5)."""
        if not self._facts.ended:
            self._agenda.change(self._cancel(act))

    @workflow.signal(name="extend")
    def extend_signal(self, act: ActInput = ActInput(check_ins=1)) -> None:
        """Staff extend by check-ins (ONB5); one that the rules refuse changes nothing."""
        try:
            self._agenda.change(self._extend(act))
        except Refused as refused:
            workflow.logger.warning("extend refused: %s", refused)

    @workflow.signal(name="pause")
    def pause_signal(self, act: ActInput = ActInput()) -> None:
        """Staff pause (ONB5)."""
        self._agenda.change(self._pause(act))

    @workflow.signal(name="resume")
    def resume_signal(self, act: ActInput = ActInput()) -> None:
        """Staff resume (ONB5)."""
        self._agenda.change(self._resume(act))

    @workflow.signal(name="matched")
    def matched_signal(self, match: Matched) -> None:
        """The mentee has a match (ONB3)."""
        if self._facts.role == "mentee" and self._set(
            onboarding.end(
                self._facts, "matched", match.at or workflow.now(), f"matched by request {match.request}"
            )
        ):
            self._agenda.change()

    @workflow.signal(name="withdrawn")
    def withdrawn_signal(self, act: ActInput = ActInput()) -> None:
        """The profile was withdrawn (ONB6)."""
        if self._set(
            onboarding.end(self._facts, "withdrawn", act.at or workflow.now(), "the profile was withdrawn")
        ):
            self._agenda.change()

    @workflow.signal
    def standing(self, act: ActInput) -> None:
        """Good standing was lost or came back (MEM1, MEM2)."""
        at = act.at or workflow.now()
        if self._set(onboarding.standing_changed(self._facts, bool(act.good), at)):
            self._agenda.change()

    @workflow.signal
    def replan(self) -> None:
        """What the agenda is computed from changed in the database: a zone, a country, the policy (T7)."""
        self._agenda.change()

    def _refuse_if_over(self) -> None:
        if self._facts.ended or self._agenda.closed:
            raise ApplicationError(f"the onboarding is over: {self._state}", type="Refused")

    @workflow.update(name="cancel")
    async def cancel_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused if it is over; answers with the messages that will not be sent (STA1)."""
        self._refuse_if_over()
        return await self._agenda.answer(self._cancel(act))

    @workflow.update(name="extend")
    async def extend_update(self, act: ActInput) -> Answer:
        """As the signal; refused if the rules refuse it (STA1)."""
        self._refuse_if_over()
        try:
            done = self._extend(act)
        except Refused as refused:
            raise ApplicationError(str(refused), type="Refused") from None
        return await self._agenda.answer(done)

    @workflow.update(name="pause")
    async def pause_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused if it is over or paused already (STA1)."""
        self._refuse_if_over()
        if any(pause.until is None and pause.cause == "staff" for pause in self._facts.pauses):
            raise ApplicationError("it is paused already", type="Refused")
        return await self._agenda.answer(self._pause(act))

    @workflow.update(name="resume")
    async def resume_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused if it is over or not paused; answers with the messages that moved (STA1)."""
        self._refuse_if_over()
        if not any(pause.until is None and pause.cause == "staff" for pause in self._facts.pauses):
            raise ApplicationError("it is not paused by staff", type="Refused")
        return await self._agenda.answer(self._resume(act))

    @workflow.update(name="matched")
    async def matched_update(self, match: Matched) -> Answer:
        """As the signal; refused if it is over, or a mentor's (ONB3, STA1)."""
        self._refuse_if_over()
        if self._facts.role != "mentee":
            raise ApplicationError("only a mentee's onboarding ends by a match", type="Refused")
        at = match.at or workflow.now()
        self._set(onboarding.end(self._facts, "matched", at, f"matched by request {match.request}"))
        return await self._agenda.answer(ActInput(actor="program", at=at).act("matched"))

    @workflow.update(name="withdrawn")
    async def withdrawn_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused if it is over (ONB6, STA1)."""
        self._refuse_if_over()
        at = act.at or workflow.now()
        self._set(onboarding.end(self._facts, "withdrawn", at, "the profile was withdrawn"))
        return await self._agenda.answer(act.act("withdrawn"))
