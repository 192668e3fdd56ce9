"""Workflows that cannot go on, or that run without need, found and reported to staff (STA2).

Both come from outside of the lifecycle: a version of the worker that does not know how to go on, a workflow that was
reset, a database that was restored from an older copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from database.models import DECISIONS, Lifecycle, Message, Task
from database.session import Database
from database.tasks import OPEN, PROGRAM, close_task, open_task
from lifecycles.registry import LIFECYCLES

KIND = "workflow_stalled"

MOST_ATTEMPTS = 3
"""Attempts of one workflow task that a passing fault explains, such as a worker that was stopped in the middle."""

OVER_FOR = timedelta(days=7)
"""How long after its end a lifecycle may still have a letter to make and mail."""

LOOK_BACK = timedelta(days=30)
"""How long after its end a lifecycle is looked at."""

AT_ONCE = 8
BATCH = 200

_FAILS = "its workflow fails again and again"
_RUNS_ON = "it is over, and its workflow still runs"

_ACTIONS = {
    _FAILS: "Have an administrator read the worker's log about {}: it cannot go on, and nothing is mailed meanwhile. "
    "It goes on by itself as soon as workers have the right version.",
    _RUNS_ON: "Have an administrator end the workflow {} in Temporal: its lifecycle is over.",
}


@dataclass(frozen=True, slots=True)
class Observed:
    """A workflow as Temporal has it."""

    runs: bool
    attempt: int
    """The attempt of its pending task; 0 without one."""


class StalledWorkflows:
    """Compares lifecycles with their workflows."""

    def __init__(self, database: Database, client: Client) -> None:
        self._database = database
        self._client = client

    async def look(self, others: Sequence[str], at: datetime) -> int:
        """Open a task for each workflow that stalls, close those whose cause is gone; return how many stall.

        `others` are workflows that run for ever beside the lifecycles.
        """
        stalled: dict[str, str] = {}
        async for rows in self._lifecycles(at):
            observed = await self._observe(row.workflow for row in rows)
            stalled |= {
                row.workflow: cause
                for row, seen in zip(rows, observed, strict=True)
                if (cause := _stalls(row, seen))
            }
        for workflow, seen in zip(others, await self._observe(others), strict=True):
            if seen.runs and seen.attempt > MOST_ATTEMPTS:
                stalled[workflow] = _FAILS
        for workflow, cause in stalled.items():
            await self._report(workflow, cause, at)
        await self._close_others(stalled, at)
        return len(stalled)

    async def _lifecycles(self, at: datetime) -> AsyncIterator[Sequence[Lifecycle]]:
        """Yield the lifecycles that are open or ended lately, batch by batch."""
        for entry in LIFECYCLES.values():
            table: type[Any] = entry.table
            last = ""
            while True:
                async with self._database.reading() as session:
                    query = select(table).where(table.workflow > last, _looked_at(table, at))
                    rows: Sequence[Lifecycle] = (
                        await session.scalars(query.order_by(table.workflow).limit(BATCH))
                    ).all()
                if not rows:
                    break
                yield rows
                last = rows[-1].workflow

    async def _observe(self, workflows: Iterable[str]) -> list[Observed]:
        """Return how Temporal has each of these workflows."""
        places = asyncio.Semaphore(AT_ONCE)

        async def observe(workflow: str) -> Observed:
            async with places:
                try:
                    found = await self._client.get_workflow_handle(workflow).describe()
                except RPCError as error:
                    if error.status != RPCStatusCode.NOT_FOUND:
                        raise
                    return Observed(False, 0)
            pending = found.raw_description
            attempt = (
                pending.pending_workflow_task.attempt if pending.HasField("pending_workflow_task") else 0
            )
            return Observed(found.status == WorkflowExecutionStatus.RUNNING, attempt)

        return list(await asyncio.gather(*map(observe, workflows)))

    async def _report(self, workflow: str, cause: str, at: datetime) -> None:
        async with self._database.begin() as session:
            await open_task(session, KIND, workflow, cause, _ACTIONS[cause].format(workflow), at)

    async def _close_others(self, stalled: dict[str, str], at: datetime) -> None:
        """Close the tasks whose cause is gone (STA2)."""
        async with self._database.begin() as session:
            tasks = await session.scalars(select(Task).where(Task.kind == KIND, Task.state.in_(OPEN)))
            for task in tasks:
                if stalled.get(task.subject) != task.cause:
                    await close_task(session, task, "done", PROGRAM, "the two agree again", at)


def _looked_at(table: type[Any], at: datetime) -> ColumnElement[bool]:
    """Return the condition of lifecycles that are open, or ended lately and have no message to send."""
    waits = (
        select(Message.id).where(Message.workflow == table.workflow, Message.state.not_in(DECISIONS)).exists()
    )
    ended = and_(table.closed_at <= at - OVER_FOR, table.closed_at > at - LOOK_BACK, ~waits)
    return or_(table.closed_at.is_(None), ended)


def _stalls(row: Lifecycle, seen: Observed) -> str:
    """Return why a lifecycle and its workflow stall; empty where they go on."""
    if seen.runs and seen.attempt > MOST_ATTEMPTS:
        return _FAILS
    return _RUNS_ON if row.closed_at is not None and seen.runs else ""
