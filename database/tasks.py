"""Staff tasks, one per cause, however often the cause recurs (STA2)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, select
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit
from database.models import Task

OPEN = ("open", "snoozed")
"""The states of a task that staff still have to deal with."""

PROGRAM = "program"
"""The actor who closes a task once its cause is gone."""


DUE_AT_ONCE = frozenset({"misconduct"})
"""The kinds of tasks that stand above all others and are due when they open (STA2, ENG8)."""


# long: the columns of a task
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
    """Open a task, unless the subject ever had one of the same cause, and return whether it opened.

    A task that the program itself closed opens again: its cause was gone and has returned.
    """
    task = await session.scalar(select(Task).where(Task.subject == subject, Task.cause == cause))
    if task is not None and task.closed_by != PROGRAM:
        if task.state in OPEN:
            # It may say how often its cause came about.
            task.action = action
        return False
    if task is None:
        task = Task(kind=kind, subject=subject, cause=cause, opened_at=at)
        session.add(task)
    days = 0 if kind in DUE_AT_ONCE else due_in_days
    task.action, task.state, task.due_at = action, "open", at + timedelta(days=days)
    task.closed_at = task.closed_by = task.note = None
    await audit.lock(session, subject)
    await session.flush()
    veiled, also = {"cause": cause}, {"number": task.id}
    await audit.append(session, subject, "task", at, {"task": kind}, veiled=veiled, also=also)
    return True


async def has_open_task(session: AsyncSession, subject: str, kind: str) -> bool:
    """Return whether staff still have to deal with a task of a kind about a subject."""
    await write_changed(session)
    wanted = select(Task.id).where(Task.subject == subject, Task.kind == kind, Task.state.in_(OPEN))
    return await session.scalar(wanted.limit(1)) is not None


async def write_changed(session: AsyncSession) -> None:
    """Write the tasks that a session has changed, for a look at those that are open: a plan is written at its end."""
    if any(isinstance(row, Task) for row in session.dirty):
        await session.flush()


def by_urgency() -> tuple[Any, ...]:
    """Return the order of tasks: misconduct first, then by their due instants (STA2)."""
    return case((Task.kind.in_(DUE_AT_ONCE), 0), else_=1), Task.due_at, Task.id


async def settle_tasks(
    session: AsyncSession, subject: str, kind: str, causes: Collection[str], why: str, at: datetime
) -> None:
    """Close the tasks of a kind whose cause is not among `causes` (STA2)."""
    await write_changed(session)
    found = await session.scalars(
        select(Task).where(
            Task.subject == subject, Task.kind == kind, Task.state.in_(OPEN), Task.cause.not_in(causes)
        )
    )
    for task in found:
        await close_task(session, task, "done", PROGRAM, why, at)


async def close_task_of(session: AsyncSession, subject: str, cause: str, why: str, at: datetime) -> None:
    """Close the open task of one cause, if there is one: the cause is gone (STA2)."""
    await write_changed(session)
    task = await session.scalar(
        select(Task).where(Task.subject == subject, Task.cause == cause, Task.state.in_(OPEN))
    )
    if task is not None:
        await close_task(session, task, "done", PROGRAM, why, at)


async def close_task(
    session: AsyncSession, task: Task, state: str, actor: str, note: str, at: datetime
) -> None:
    """Mark a task as `done` or `dismissed`, with its actor in the audit record (STA2, STA3).

    Raises ValueError if it is closed already.
    """
    _refuse_if_closed(task)
    task.state, task.closed_at, task.closed_by, task.note = state, at, actor, note or None
    await _record(session, task, state, actor, note, at)


async def snooze_task(
    session: AsyncSession, task: Task, until: datetime, actor: str, note: str, at: datetime
) -> None:
    """Snooze a task until an instant (STA2, STA3). Raises ValueError if it is closed, or the instant is past."""
    _refuse_if_closed(task)
    if until <= at:
        raise ValueError("a task is put off to a later day")
    task.state, task.due_at, task.note = "snoozed", until, note or task.note
    await _record(session, task, "snoozed", actor, note, at, until=until.isoformat())


def _refuse_if_closed(task: Task) -> None:
    if task.state not in OPEN:
        raise ValueError(f"task {task.id} is {task.state} already")


async def _record(
    session: AsyncSession, task: Task, state: str, actor: str, note: str, at: datetime, **details: str
) -> None:
    await audit.append(
        session,
        task.subject,
        "act",
        at.replace(microsecond=0),
        {"act": f"task {state}", "task": task.kind, "number": task.id, **details},
        actor=actor,
        veiled={"reason": note} if note else None,
    )
