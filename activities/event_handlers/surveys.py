"""Handlers of `survey.*`: the answers to a survey."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from activities.event_handlers.base import HandlerContext, NotOpenYet, RefusedEvent, StoredEvent, role_in
from database.models import Engagement, Feedback, Survey
from lifecycles.workflow_commands import WorkflowCommand


async def survey_answered(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Pass on one side's answer (SUR3).

    An answer that comes before its survey waits for it. If none has opened when the wait ends, it is kept as
    feedback (SUR4).
    """
    session, data = context.session, event.data
    row = await session.get_one(Engagement, f"engagement/{data['engagement']}")
    workflow = f"survey/{row.id}/{role_in(row, data['by'])}"
    if await session.get(Survey, workflow):
        return [WorkflowCommand("update", workflow, "answered", event.act(by=data["by"]))]
    if not data["answers"]:
        raise RefusedEvent(f"there is no {workflow} yet, and the event has no answer to keep")
    if not event.was_held:
        raise NotOpenYet(workflow, None)
    await _keep_feedback(session, event)
    return []


async def _keep_feedback(session: AsyncSession, event: StoredEvent) -> None:
    """Keep an answer without a survey, once (SUR4)."""
    if await session.scalar(select(Feedback.id).where(Feedback.event_id == event.key)) is not None:
        return
    lines = [f"{question}: {answer}" for question, answer in event.data["answers"].items()]
    session.add(
        Feedback(
            profile_id=event.data["by"],
            event_id=event.key,
            text="\n".join(lines),
            given_at=event.occurred_at,
        )
    )
