"""Overdue messages, found and decided or reported to staff (MAIL1, STA2); events and workflows that stand still.

Lifecycles decide their messages by themselves. A message that stays undecided has a cause outside of them: an
unreachable mail server, a text that cannot be rendered, a workflow that was terminated, a database restored from an
older copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.heartbeat import heartbeats
from activities.inbox.wakeup import SHARD_IDS, wake_shards
from activities.upkeep.late_plans import wake_late_plans
from activities.upkeep.message_wakeup import own_sender, wake_sender
from activities.upkeep.stalled_workflows import StalledWorkflows
from database import (
    audit,
    erasure,
    event_queue,
    ledger,
    mail_bodies,
    mail_limits,
    outbox,
    person_keys,
    staff_orders,
)
from database.models import DECISIONS, Message, Task
from database.session import Database
from database.tasks import OPEN, open_task, settle_tasks
from evidence.badges import badge_keys
from lifecycles.participants import Programs
from lifecycles.registry import LIFECYCLES
from mail.decisions import decide_ambiguous, open_message_task
from rules.agenda import GRACE_PERIOD
from rules.messages import MessageClass
from rules.program.policies import MAIL_CONTENT_DAYS

log = structlog.get_logger()

OVERDUE = timedelta(hours=6)
"""How long after its due instant an undecided message is overdue; for a held one, how long after it was planned."""

RELEASED = timedelta(minutes=10)
"""How long after an order of staff a due message is looked for that nothing has tried."""

BATCH = 200
"""The most messages that one query reads."""

UNKNOWN_PROGRAM_LIMIT = timedelta(days=365)
"""The time to decide for a message whose program is no longer loaded, and whose limits are thus unknown."""


GONE = "workflow_gone"
"""The kind of the task about an open lifecycle that Temporal no longer runs."""

GONE_AFTER = timedelta(hours=1)
"""How long a lifecycle has been in its state before it is looked for: a row is written before its workflow starts."""

BESIDE_LIFECYCLES = (*SHARD_IDS, "checkpoints", "digest")
"""The workflows beside the lifecycles that must go on."""


class WatchdogActivities:
    """Looks for overdue messages, waiting events and stalled workflows. `client` reports whether workflows run."""

    def __init__(self, database: Database, programs: Programs, client: Client) -> None:
        self._database = database
        self._programs = programs
        self._client = client
        self._stalled = StalledWorkflows(database, client)

    @activity.defn
    async def look_for_overdue(self) -> int:
        """Decide or report every overdue message; return how many were found."""
        at = activity.info().started_time
        found, last, running = 0, 0, dict[str, bool]()
        async with heartbeats():
            while rows := await self._overdue(at, last):
                for row in rows:
                    for workflow in senders_of(row):
                        if workflow not in running:
                            running[workflow] = await self._runs(workflow)
                    runs = any(running[workflow] for workflow in senders_of(row))
                    found += await self._resolve(row.id, runs, at)
                last = rows[-1].id
            await self._wake_released(at)
            await wake_late_plans(self._database, self._client, at)
            await self._keep_house(at)
            for workflow, state in await self._open_lifecycles(at):
                await self._report_gone(workflow, state, at)
            await self._wake_inbox(at)
            await self._stalled.look(BESIDE_LIFECYCLES, at)
            async with self._database.begin() as session:
                await outbox.remove_old(session, at)
        return found

    async def _open_lifecycles(self, at: datetime) -> list[tuple[str, str]]:
        """Return the lifecycles that the database has as open for a while, each with its state."""
        async with self._database.reading() as session:
            return [
                (workflow, state)
                for entry in LIFECYCLES.values()
                for workflow, state in await session.execute(
                    select(entry.table.workflow, entry.table.state).where(
                        entry.table.closed_at.is_(None), entry.table.state_since <= at - GONE_AFTER
                    )
                )
            ]

    async def _report_gone(self, workflow: str, state: str, at: datetime) -> None:
        """Open a task for an open lifecycle whose workflow was ended from outside; close it once that runs again."""
        if await self._runs(workflow):
            async with self._database.reading() as session:
                query = select(Task.id).where(
                    Task.subject == workflow, Task.kind == GONE, Task.state.in_(OPEN)
                )
                if await session.scalar(query) is None:
                    return
            async with self._database.begin() as session:
                await settle_tasks(session, workflow, GONE, (), "its workflow runs again", at)
            return
        action = (
            f"Temporal no longer runs it, so that nothing more is sent, although its last state is {state}. Let it go "
            f"on with `temporal workflow reset --workflow-id {workflow} --type LastWorkflowTask`, or write to the "
            "people yourself."
        )
        async with self._database.begin() as session:
            await open_task(session, GONE, workflow, "its workflow was ended from outside", action, at)

    async def _wake_inbox(self, at: datetime) -> None:
        """Wake the inbox where events wait: a command may have stored them while Temporal was away."""
        async with self._database.reading() as session:
            shards = await event_queue.waiting_shards(session, at - GRACE_PERIOD)
        await wake_shards(self._client, shards)

    async def _wake_released(self, at: datetime) -> None:
        """Have messages go out that staff released or send early, and that nothing has tried since.

        The command that gave the order may have ended before it reached Temporal.
        """
        async with self._database.reading() as session:
            rows = await session.scalars(
                select(Message)
                .where(
                    Message.state == "planned",
                    Message.due_at <= at - RELEASED,
                    Message.ordered_at <= at - RELEASED,
                    or_(Message.attempted_at.is_(None), Message.attempted_at < Message.ordered_at),
                    staff_orders.not_on_hold(),
                )
                .limit(BATCH)
            )
            found = rows.all()
        for row in found:
            await wake_sender(self._client, row, at)

    async def _keep_house(self, at: datetime) -> None:
        """Remove what is past its retention, and seal keys with the first key of the ring (STA5)."""
        days = {program.id: program.mail.mail_content_days for program in self._programs.values()}
        while True:
            async with self._database.begin() as session:
                removed = await mail_bodies.remove_expired(session, days, MAIL_CONTENT_DAYS, at)
                removed += await mail_limits.remove_past_places(session, at)
                removed += await erasure.remove_expired(session, at)
                wrapped = await person_keys.rewrap(session, BATCH)
                await badge_keys.seal_again(session)
            if not removed and not wrapped:
                break
        try:
            await erasure.compact(self._database)
        except erasure.CompactionError as error:
            log.warning("compaction_failed", error=str(error))

    async def _overdue(self, at: datetime, last: int) -> Sequence[Message]:
        """Return the next overdue messages after the one with the number `last`."""
        async with self._database.reading() as session:
            rows = await session.scalars(
                select(Message)
                .where(
                    Message.id > last,
                    Message.state.not_in(DECISIONS),
                    staff_orders.not_on_hold(),
                    func.coalesce(Message.due_at, Message.planned_at) <= at - OVERDUE,
                )
                .order_by(Message.id)
                .limit(BATCH)
            )
            return rows.all()

    async def _runs(self, workflow: str) -> bool:
        """Return whether a workflow runs."""
        try:
            description = await self._client.get_workflow_handle(workflow).describe()
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            return False
        return description.status == WorkflowExecutionStatus.RUNNING

    async def _resolve(self, message: int, running: bool, at: datetime) -> bool:
        """Decide or report one message; return whether it was overdue.

        A message that a pause or a lapsed membership holds stays held while its workflow runs: staff see it as held.
        """
        async with self._database.begin() as session:
            # A row that another worker has locked is in flight there, and is decided there.
            workflow = await session.scalar(select(Message.workflow).where(Message.id == message))
            if workflow is None or not await audit.try_lock(session, workflow):
                return False
            row = await session.get(Message, message, with_for_update={"skip_locked": True})
            if row is None or row.state in DECISIONS or (row.due_at or row.planned_at) > at - OVERDUE:
                return False
            if row.state == "handed_over":
                if row.attempted_at is None or row.attempted_at <= at - OVERDUE:
                    await decide_ambiguous(session, row, "the server's answer was never recorded", at)
            elif not running:
                await self._skip(session, row, "its workflow no longer runs", at)
            elif row.due_at is None:
                return False
            elif at - row.due_at > self._time_to_decide(row):
                await self._skip(session, row, "its workflow never brought it to a decision", at)
            else:
                await _report(session, row, at)
            return True

    async def _skip(self, session: AsyncSession, row: Message, reason: str, at: datetime) -> None:
        """Skip a message that no workflow will send; staff can still have an owed one sent."""
        if row.message_class != MessageClass.NUDGE:
            action = f"Send it with mail resend if it is still wanted. It was not sent: {reason}."
            await open_message_task(session, row, "mail_failed", action, at)
            reason = f"{reason}; staff were asked"
        await ledger.decide(session, row, "skipped", reason, at)

    def _time_to_decide(self, row: Message) -> timedelta:
        """Return how long a running workflow may leave a message undecided: longer than any retry or stale limit."""
        program = self._programs.get(row.program)
        if program is None:
            return UNKNOWN_PROGRAM_LIMIT
        return timedelta(days=max(program.mail.retry_days, *program.mail.stale_after.values()) + 1)


async def _report(session: AsyncSession, row: Message, at: datetime) -> None:
    """Open a task for a message that its workflow still tries to send: one a day for the mail server (STA2)."""
    if not row.trouble:
        action = "See the worker's log for why it cannot be sent: it is overdue and was never tried."
        await open_message_task(session, row, "mail_failed", action, at)
        return
    await open_task(
        session,
        "mail_failed",
        "channel/smtp",
        f"mail is overdue on {at.date().isoformat()}",
        "Fix the connection to the mail server: messages wait for it. `throughline why` has its answer.",
        at,
    )


def senders_of(row: Message) -> tuple[str, ...]:
    """Return the workflows that may send a message: the one of a copy; of others the lifecycle's, or one of its own."""
    if row.occurrence >= ledger.FIRST_RESEND_OCCURRENCE:
        return (own_sender(row),)
    return (row.workflow, own_sender(row)) if row.ordered_at else (row.workflow,)
