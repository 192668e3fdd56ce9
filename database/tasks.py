"""Staff tasks: one per cause, however often the cause comes by (STA2)."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit
from database.models import Task


async def open_task(
    session: AsyncSession,
    kind: str,
    subject: str,
    cause: str,
    action: str,
    at: datetime,
    *,
    due_in_days: int = 2,
) -> bool:
    """Open a task unless one of the same cause was ever opened for the subject; tells whether it did."""
    known = await session.scalar(select(Task.id).where(Task.subject == subject, Task.cause == cause))
    if known is not None:
        return False
    session.add(
        Task(
            kind=kind,
            subject=subject,
            cause=cause,
            action=action,
            opened_at=at,
            due_at=at + timedelta(days=due_in_days),
        )
    )
    await audit.append(session, subject, "task", at, {"task": kind}, veiled={"cause": cause})
    return True
