"""Handlers of `engagement.*`: what the two people, or the directory, report about an engagement."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from activities.delivery import SendMail
from activities.event_handlers.base import HandlerContext, StoredEvent, role_in
from database import ledger
from database.insertion import insert_if_new
from database.models import Engagement, Meeting, Report
from database.tasks import open_task
from lifecycles.workflow_commands import WorkflowCommand, start
from rules.agenda import PlannedMail
from rules.engagement import BETWEEN_NOTICES, ROLES, STAFF, times_reported
from rules.engagement.confidentiality import DROPPED_BY_SUSPENSION


async def discovery_answered(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Pass on how the discovery call went (ENG2)."""
    return await engagement_act(context, event, "discovery", answer=event.data["answer"])


async def plan_agreed(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Pass on the length that both agreed on (ENG3)."""
    months, end = event.data.get("months", 0), event.data.get("end", "")
    return await engagement_act(
        context, event, "plan_agreed", actor="mentor and mentee", months=months, end=end
    )


async def meeting_answered(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Pass on the answer to "did you meet?" (ENG4)."""
    return await engagement_act(context, event, "met", answer=event.data["answer"])


async def extension_agreed(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Pass on one side's agreement to a new end (ENG5)."""
    return await engagement_act(context, event, "agree_extension", end=event.data["end"])


async def engagement_ended(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Pass on that one of the two ends it (ENG7)."""
    return await engagement_act(context, event, "end", reason=event.data["reason"])


async def misconduct_reported(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Keep a report and stop the engagement's mail, or notify staff at once if it is over (ENG8)."""
    row = await _engagement(context, event)
    if await context.session.scalar(select(Report.id).where(Report.event_id == event.key)) is None:
        context.session.add(
            Report(
                engagement_id=row.id,
                by_profile=event.data["by"],
                event_id=event.key,
                text=event.data["text"],
                reported_at=event.occurred_at,
            )
        )
    if row.closed_at:
        await _stop_mail(context.session, row, event.occurred_at)
        return await _notify_staff(context.session, row, event)
    return await engagement_act(context, event, "misconduct")


async def keep_goals(context: HandlerContext, event: StoredEvent) -> None:
    """Keep the goals of a plan that the engagement has accepted (ENG3)."""
    if goals := event.data.get("goals"):
        row = await context.session.get_one(Engagement, event.subject)
        row.goals = goals


async def keep_meeting(context: HandlerContext, event: StoredEvent) -> None:
    """Keep an attested meeting, once (ENG4)."""
    data = event.data
    values = {
        "engagement_id": data["engagement"],
        "by_profile": data["by"],
        "event_id": event.key,
        "answer": data["answer"],
        "met_on": data.get("date"),
        "answered_at": event.occurred_at,
    }
    await insert_if_new(context.session, Meeting, values)


async def _engagement(context: HandlerContext, event: StoredEvent) -> Engagement:
    """Return the engagement of an event. Raises RefusedEvent if a third person acts on it."""
    row = await context.session.get_one(Engagement, f"engagement/{event.data['engagement']}")
    if by := event.data.get("by"):
        role_in(row, by)
    return row


async def engagement_act(
    context: HandlerContext, event: StoredEvent, name: str, **details: Any
) -> list[WorkflowCommand]:
    """Return the act of an event on its engagement. Free text stays in the database (MEM6)."""
    row = await _engagement(context, event)
    return [WorkflowCommand("update", row.workflow, name, event.act(by=event.data.get("by", ""), **details))]


async def _stop_mail(session: AsyncSession, row: Engagement, at: datetime) -> None:
    """Cancel what is still planned to the two about an engagement that is over, its surveys included (ENG8).

    The surveys stay open. Their records are in the chain that the parties may read: the reason says nothing there.
    """
    surveys = [f"survey/{row.id}/{role}" for role in ROLES]
    for workflow in (row.workflow, *surveys):
        reason = DROPPED_BY_SUSPENSION if workflow == row.workflow else "no longer due"
        for message in await ledger.rows_of(session, workflow, lock=True):
            if message.state in ("planned", "claimed") and message.to_profile != STAFF:
                await ledger.decide(session, message, "cancelled", reason, at)


async def _notify_staff(session: AsyncSession, row: Engagement, event: StoredEvent) -> list[WorkflowCommand]:
    """Open a task for misconduct reported after the end, and start the delivery of a mail (ENG8).

    Each side's reports are one task, which says how often, and at most one mail a day (STA2).
    """
    at, by = event.occurred_at, event.data["by"]
    mine = list(
        await session.scalars(
            select(Report.reported_at)
            .where(
                Report.engagement_id == row.id, Report.by_profile == by, Report.reported_at >= row.closed_at
            )
            .order_by(Report.reported_at)
        )
    )
    await open_task(
        session,
        "misconduct",
        row.workflow,
        f"reported by the {role_in(row, by)} after the end",
        "Read the report (throughline report show) and write to the person yourself: it came after the engagement had "
        "ended. Its mail and that of its surveys has stopped; its claims go on: cancel or revoke those that should not."
        + times_reported(len(mine)),
        at,
    )
    if any(at - BETWEEN_NOTICES < earlier < at for earlier in mine):
        return []
    mail = PlannedMail("staff.misconduct", at, "staff.misconduct", STAFF, context={"opened": at.isoformat()})
    planned = await ledger.add(session, row.workflow, row.program, mail, at)
    order = SendMail(row.workflow, [f"{planned.step}/{planned.occurrence}"])
    return [start("Resend", f"resend/{planned.delivery}", order)]
