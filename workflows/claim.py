"""One person's credit from one engagement for one certification (CPE1–CPE12, MEM2, STA1)."""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.claims import ClaimActivities, PlanClaim
    from lifecycles.recording import Planned
    from rules.acts import Act
    from rules.credit import ClaimFacts
    from workflows.messages import MessageSpec

from workflows.agenda_loop import plan_locally
from workflows.lifecycle import LifecycleWorkflow


@workflow.defn(name="Claim")
class ClaimWorkflow(LifecycleWorkflow[ClaimFacts]):
    """One claim, id `claim/{request}/{role}/{certification}`.

    A complete claim stays open, and silent, so that staff can still accept, reject or revoke it.
    """

    SIGNALS = MappingProxyType(
        {
            "sign": MessageSpec("A letter was signed, by the event that the act names (CPE5, CPE6, CPE8)."),
            "choose_domains": MessageSpec("The claimant chooses domains (CPE7)."),
            "submit": MessageSpec("The claimant has reported the credit (CPE10)."),
            "accept": MessageSpec("Staff record that it was accepted (CPE10)."),
            "reject": MessageSpec("Staff record that it was rejected, with the reason (CPE10)."),
            "revoke": MessageSpec("Staff take earned credit back (CPE11)."),
            "reopen": MessageSpec("Staff ask for the evidence again (CPE7)."),
            "cancel": MessageSpec("Staff cancel a claim that is not earned."),
            # What changes for these, the plan reads from the database.
            "engagement_changed": MessageSpec(
                "Pauses of the engagement, or its end (CPE1, ENG6, ENG11).", replans_only=True
            ),
            "standing": MessageSpec("Good standing was lost or came back (MEM2).", replans_only=True),
            "replan": MessageSpec(
                "Data that the agenda depends on has changed in the database (T7).", replans_only=True
            ),
        }
    )
    UPDATES = MappingProxyType(
        {
            "sign": MessageSpec(
                "As the signal; refused for the wrong person, name or text, and where no letter is wanted.",
                needs=("event",),
            ),
            "choose_domains": MessageSpec(
                "As the signal; refused for domains that the certification does not have.", needs=("domains",)
            ),
            "submit": MessageSpec("As the signal; refused unless the claim is complete."),
            "accept": MessageSpec("As the signal; refused unless the claim was complete."),
            "reject": MessageSpec(
                "As the signal; refused without a reason, and unless the claim was complete."
            ),
            "revoke": MessageSpec(
                "As the signal; refused without a reason, and unless the credit is earned."
            ),
            "reopen": MessageSpec(
                "As the signal; refused without a reason, and while the credit date lies outside the cycle."
            ),
            "cancel": MessageSpec(
                "As the signal; refused for earned credit; answers with the messages that will not be sent (STA1)."
            ),
        }
    )

    @workflow.init
    def __init__(self, facts: ClaimFacts) -> None:
        self._begin(facts, "precheck")

    @workflow.run
    async def run(self, facts: ClaimFacts) -> str:
        """Run until the claim is over; return its last state."""
        return await self._run()

    async def _plan(self, at: datetime, acts: list[Act]) -> Planned:
        result = await plan_locally(
            ClaimActivities.plan_claim,
            PlanClaim(workflow.info().workflow_id, self._facts, at, acts),
        )
        self._facts = result.facts
        self._state = result.planned.state
        return result.planned

    def _closed_because(self) -> str:
        return f"this claim is over: it is {self._state}"
