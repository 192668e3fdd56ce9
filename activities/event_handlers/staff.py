"""Handler of `staff.*`: acts that staff order from another system (STA1)."""

from __future__ import annotations

from activities.event_handlers.base import HandlerContext, RefusedEvent, StoredEvent
from database.models import LIFECYCLES
from lifecycles.workflow_commands import WorkflowCommand
from rules.kinds import KINDS

_PARTICIPLES = {"cancel": "cancelled", "extend": "extended", "pause": "paused", "resume": "resumed"}


async def staff_act(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Pass on an act to the lifecycle that it names. The reason stays in the database (MEM6)."""
    details = dict(event.data)
    target, act = str(details.pop("target")), event.type.partition(".")[2]
    kind = KINDS[target.partition("/")[0]]
    if await context.session.get(LIFECYCLES[kind.name], target) is None:
        raise RefusedEvent(f"there is no {target}")
    if act not in kind.staff_acts:
        possible = [_PARTICIPLES[name] for name in kind.staff_acts if name in _PARTICIPLES]
        raise RefusedEvent(
            f"a {kind.name} cannot be {_PARTICIPLES[act]} this way, only {' or '.join(possible)}"
        )
    details["reason"] = f"event:{event.id}"
    return [WorkflowCommand("update", target, act, event.act(**details))]
