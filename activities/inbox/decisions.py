"""What the inbox decides on an event that cannot be applied now: hold or refuse it, with a staff task (T8, STA2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from activities.event_handlers.base import RefusedEvent, RepeatedEvent, StoredEvent
from database import audit
from database.events import PERSONAL_PAGES
from database.models import Event
from database.tasks import open_task
from rules.agenda import MINUTE, recorded_at

BLOCKED_FOR = 2 * MINUTE
"""After how long a lifecycle that does not answer is tried again."""

_LONGEST_CAUSE = 200


@dataclass(frozen=True, slots=True)
class Hold:
    """The decision to look at an event again later."""

    waits_for: str | None
    """The reference that the event waits for; None after a fault of the program."""
    until: datetime
    staff_action: str = ""
    """What staff should do now; empty where there is nothing to do yet."""
    write_again: bool = False
    """Whether its handler runs again: what it decides may differ by then."""
    blocked_by: str = ""
    """The lifecycle that does not answer, if that is why; its task is one for all events that wait for it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The decision never to apply an event."""

    reason: str
    """The reason, for staff and for the sender."""
    staff_action: str = ""
    """What staff should do; empty where the sender alone can act."""
    due: datetime | None = None
    """When its wait ended; None if it did not wait for a reference."""
    cause: str = ""
    """The cause of its task; empty for one of its own. A sender who repeats a mistake has one task (STA2)."""


def until_it_answers(workflow: str, at: datetime) -> Hold:
    """Decide on an event for a lifecycle that does not answer: try again for as long as it takes (T8, STA2)."""
    action = (
        f"Have an administrator look at {workflow} on Temporal's page: it does not answer, and what happened to it "
        "waits. Other events are not affected. It goes on by itself as soon as the cause is fixed."
    )
    return Hold(workflow, at + BLOCKED_FOR, action, blocked_by=workflow)


NO_ANSWER = "it does not answer"
"""The cause of the one task about a lifecycle for which events wait."""


async def decide(session: AsyncSession, row: Event, decision: Hold | Refusal, at: datetime) -> None:
    """Hold or refuse an event, with a staff task where staff should act (STA2)."""
    if isinstance(decision, Hold):
        row.state, row.waits_for, row.held_until = "held", decision.waits_for, decision.until
        if decision.write_again:
            row.effects = []
    else:
        if decision.due:
            at = recorded_at(decision.due, at)
        row.state, row.reason, row.applied_at = "refused", decision.reason, at
        details = {"event": row.type, "id": row.event_id, "reason": decision.reason}
        await audit.append(session, row.subject, "refused", recorded_at(row.heard_at, at), details)
    if decision.staff_action:
        about, cause = row.subject, f"event {row.id}"
        if isinstance(decision, Hold) and decision.blocked_by:
            about, cause = decision.blocked_by, NO_ANSWER
        elif isinstance(decision, Refusal) and decision.cause:
            cause = decision.cause
        await open_task(session, "event_unapplied", about, cause, decision.staff_action, at)


def refusal(event: StoredEvent, refused: RefusedEvent) -> Refusal:
    """Return the decision on an event that its handler refused, with a task for what a sender got wrong (STA2)."""
    reason, action = str(refused), action_if_kept(event)
    if action or event.source == PERSONAL_PAGES or isinstance(refused, RepeatedEvent):
        return Refusal(reason, action)
    action = (
        f"Correct it in the system that sent it ({event.source}), and send it again: {reason}. "
        "`throughline event list --state refused` has the event."
    )
    return Refusal(reason, action, cause=f"{event.type}: {reason}"[:_LONGEST_CAUSE])


def action_if_kept(event: StoredEvent) -> str:
    """Return what staff should do about a refused event that waited for a claim: its sender learns nothing (STA2)."""
    if not (event.waits_for or "").startswith("claim/"):
        return ""
    return (
        "Ask the person to sign or choose again: the event waited for a claim, and then could not be used. "
        "`throughline show` has the reason."
    )
