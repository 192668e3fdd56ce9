"""Handlers of `curriculum.*`: what the two people of an engagement did of their program's steps."""

from __future__ import annotations

from activities.event_handlers.base import HandlerContext, StoredEvent
from activities.event_handlers.engagements import engagement_act
from lifecycles.workflow_commands import WorkflowCommand


async def step_done(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Pass on that one of the two did a step (COH4)."""
    return await engagement_act(context, event, "curriculum_done", step=event.data["step"])
