"""One person's credit from one engagement for one certification (CPE1–CPE12, MEM2, STA1)."""

from __future__ import annotations

from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.claims import ClaimActivities, PlanClaim
    from activities.delivery import Outcome
    from lifecycles.recording import Planned
    from rules.acts import Act
    from rules.credit import ClaimFacts
    from workflows.messages import ActInput, Answer

from workflows.agenda_loop import AgendaLoop, plan_locally


@workflow.defn(name="Claim")
class ClaimWorkflow:
    """One claim, id `claim/{request}/{role}/{certification}`.

    A complete claim stays open, and silent, so that staff can still accept, reject or revoke it.
    """

    @workflow.init
    def __init__(self, facts: ClaimFacts) -> None:
        self._facts = facts
        self._agenda = AgendaLoop(self._plan, self._decided)
        self._state = "precheck"

    @workflow.run
    async def run(self, facts: ClaimFacts) -> str:
        """Run until the claim is over; return its last state."""
        if not await self._agenda.run():
            workflow.continue_as_new(self._facts)
        return self._state

    async def _plan(self, at: datetime, acts: list[Act]) -> Planned:
        result = await plan_locally(
            ClaimActivities.plan_claim,
            PlanClaim(workflow.info().workflow_id, self._facts, at, acts),
        )
        self._facts = result.facts
        self._state = result.planned.state
        return result.planned

    def _decided(self, outcome: Outcome) -> bool:
        return False

    @workflow.signal(name="sign")
    def sign_signal(self, act: ActInput = ActInput()) -> None:
        """A letter was signed, by the event that the act names (CPE5, CPE6, CPE8)."""
        self._agenda.change(act.to_act("sign"))

    @workflow.signal(name="choose_domains")
    def choose_domains_signal(self, act: ActInput) -> None:
        """The claimant chooses domains (CPE7)."""
        self._agenda.change(act.to_act("choose_domains"))

    @workflow.signal(name="submit")
    def submit_signal(self, act: ActInput) -> None:
        """The claimant has reported the credit (CPE10)."""
        self._agenda.change(act.to_act("submit"))

    @workflow.signal(name="accept")
    def accept_signal(self, act: ActInput = ActInput()) -> None:
        """Staff record that it was accepted (CPE10)."""
        self._agenda.change(act.to_act("accept"))

    @workflow.signal(name="reject")
    def reject_signal(self, act: ActInput = ActInput()) -> None:
        """Staff record that it was rejected (CPE10)."""
        self._agenda.change(act.to_act("reject"))

    @workflow.signal(name="revoke")
    def revoke_signal(self, act: ActInput = ActInput()) -> None:
        """Staff take earned credit back (CPE11)."""
        self._agenda.change(act.to_act("revoke"))

    @workflow.signal(name="reopen")
    def reopen_signal(self, act: ActInput = ActInput()) -> None:
        """Staff ask for the evidence again (CPE7)."""
        self._agenda.change(act.to_act("reopen"))

    @workflow.signal(name="cancel")
    def cancel_signal(self, act: ActInput = ActInput()) -> None:
        """Staff cancel a claim that is not earned."""
        self._agenda.change(act.to_act("cancel"))

    @workflow.signal
    def engagement_changed(self) -> None:
        """Pauses of the engagement, or its end: the plan reads them from the database (CPE1, ENG6, ENG11)."""
        self._agenda.change()

    @workflow.signal
    def standing(self, act: ActInput) -> None:
        """Good standing of one of the two was lost or came back: the plan reads it from the database (MEM2)."""
        self._agenda.change()

    @workflow.signal
    def replan(self) -> None:
        """Data that the agenda depends on has changed in the database (T7)."""
        self._agenda.change()

    @workflow.update(name="sign")
    async def sign_update(self, act: ActInput) -> Answer:
        """As the signal; refused for the wrong person, name or text, and where no letter is wanted."""
        return await self._answer("sign", act)

    @workflow.update(name="choose_domains")
    async def choose_domains_update(self, act: ActInput) -> Answer:
        """As the signal; refused for domains that the certification does not have."""
        return await self._answer("choose_domains", act)

    @workflow.update(name="submit")
    async def submit_update(self, act: ActInput) -> Answer:
        """As the signal; refused unless the claim is complete."""
        return await self._answer("submit", act)

    @workflow.update(name="accept")
    async def accept_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused unless the claim was complete."""
        return await self._answer("accept", act)

    @workflow.update(name="reject")
    async def reject_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused without a reason, and unless the claim was complete."""
        return await self._answer("reject", act)

    @workflow.update(name="revoke")
    async def revoke_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused without a reason, and unless the credit is earned."""
        return await self._answer("revoke", act)

    @workflow.update(name="reopen")
    async def reopen_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused without a reason, and while the credit date lies outside the cycle."""
        return await self._answer("reopen", act)

    @workflow.update(name="cancel")
    async def cancel_update(self, act: ActInput = ActInput()) -> Answer:
        """As the signal; refused for earned credit; answers with the messages that will not be sent (STA1)."""
        return await self._answer("cancel", act)

    async def _answer(self, name: str, act: ActInput) -> Answer:
        if self._agenda.closed:
            raise ApplicationError(f"this claim is over: it is {self._state}", type="Refused")
        return await self._agenda.answer(act.to_act(name))
