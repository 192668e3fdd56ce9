"""A meetup of a program: its invitation to many people, changes, reminder and resources (MEE1, STA1)."""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.delivery import Outcome
    from activities.meetups import MeetupActivities, PlanMeetup
    from lifecycles.recording import Planned
    from rules.acts import Act
    from rules.meetup import MeetupFacts, closed_because
    from workflows.messages import MessageSpec

from workflows.agenda_loop import plan_locally
from workflows.lifecycle import LifecycleWorkflow


@workflow.defn(name="Meetup")
class MeetupWorkflow(LifecycleWorkflow[MeetupFacts]):
    """One meetup, id `meetup/{meetup}`.

    It holds no list of its people: a plan returns the messages of the next batch, and each batch that is sent asks for
    the next plan.
    """

    SIGNALS = MappingProxyType(
        {
            "changed": MessageSpec(
                "Time, place or title changed, or resources came; the words are in the event (MEE1).",
                needs=("event",),
            ),
            "cancel": MessageSpec("It does not take place: all who have an invitation are notified (MEE1)."),
            "pause": MessageSpec("Staff hold its mail."),
            "resume": MessageSpec("Staff let its mail go on."),
            "replan": MessageSpec(
                "Somebody joined or answered, or data that its mail depends on has changed (T7).",
                replans_only=True,
            ),
        }
    )
    UPDATES = MappingProxyType(
        {
            "changed": MessageSpec(
                "As the signal; refused once it took place or is cancelled, unless it brings resources.",
                needs=("event",),
            ),
            "cancel": MessageSpec("As the signal; refused once it took place (STA1)."),
            "pause": MessageSpec("As the signal (STA1)."),
            "resume": MessageSpec("As the signal; refused if it is not paused (STA1)."),
        }
    )

    @workflow.init
    def __init__(self, facts: MeetupFacts) -> None:
        self._begin(facts, "scheduled")

    @workflow.run
    async def run(self, facts: MeetupFacts) -> str:
        """Run until all mail of the meetup is decided; return its last state."""
        return await self._run()

    async def _plan(self, at: datetime, acts: list[Act]) -> Planned:
        result = await plan_locally(
            MeetupActivities.plan_meetup,
            PlanMeetup(workflow.info().workflow_id, self._facts, at, acts),
        )
        self._facts = result.facts
        self._state = result.planned.state
        return result.planned

    def _decided(self, outcome: Outcome) -> bool:
        """Ask for the next messages: each decision makes room for another one."""
        return True

    def _closed_because(self) -> str:
        return closed_because(self._facts, self._state)
