"""Handler of `staff.*`: acts that staff order from another system (STA1)."""

from __future__ import annotations

from activities.event_handlers.base import HandlerContext, RefusedEvent, StoredEvent
from lifecycles.registry import find_lifecycle, lifecycle_of
from lifecycles.workflow_commands import WorkflowCommand
from rules.acts import EVENT_REASON
from rules.engagement import END_REASONS

_PARTICIPLES = {
    "cancel": "cancelled",
    "extend": "extended",
    "pause": "paused",
    "resume": "resumed",
    "end": "ended",
    "accept": "accepted",
    "reject": "rejected",
    "reopen": "reopened",
    "revoke": "revoked",
}


async def staff_act(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Pass on an act to the lifecycle that it names. The reason stays in the database (MEM6)."""
    details = dict(event.data)
    target, act = str(details.pop("target")), event.type.partition(".")[2]
    if await find_lifecycle(context.session, target) is None:
        raise RefusedEvent(f"there is no {target}")
    kind = lifecycle_of(target).kind
    if act not in kind.staff_acts:
        possible = [_PARTICIPLES[name] for name in kind.staff_acts if name in _PARTICIPLES]
        raise RefusedEvent(
            f"a {kind.name} cannot be {_PARTICIPLES[act]} this way, only {' or '.join(possible)}"
        )
    if act == "end":  # free text stays with the event
        details["reason"] = details["reason"] if details["reason"] in END_REASONS else "other"
    else:
        details["reason"] = f"{EVENT_REASON}{event.id}"
    if because := details.pop("because", "other" if act == "revoke" else ""):
        details["answer"] = because
    return [WorkflowCommand("update", target, act, event.act(**details))]
