"""Messages that nobody brings to a decision, found and decided or shown to staff (MAIL1, STA2).

Lifecycles bring their messages to a decision by themselves. What stays undecided has a cause outside of them: a mail
server that is away, a text that cannot be written, a workflow that was ended from outside, a database restored
from an older copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.delivery import decide_ambiguous, message_task
from database import ledger
from database.models import DECISIONS, Message
from database.session import Database
from database.tasks import open_task
from lifecycles.participants import Programs
from rules.messages import MessageClass

OVERDUE = timedelta(hours=6)
"""So long after its instant an undecided message is looked into, and a held one after it was planned."""

BATCH = 200


class WatchdogActivities:
    """Looks for overdue messages. `client` tells whether their workflows still run."""

    def __init__(self, database: Database, programs: Programs, client: Client) -> None:
        self._database = database
        self._programs = programs
        self._client = client

    @activity.defn
    async def look_for_overdue(self) -> int:
        """Decide or report every message that should have its decision by now; the number of those found."""
        at = activity.info().started_time
        found, last, running = 0, 0, dict[str, bool]()
        while rows := await self._overdue(at, last):
            for row in rows:
                driver = driver_of(row)
                if driver not in running:
                    running[driver] = await self._runs(driver)
                found += await self._look_into(row.id, running[driver], at)
            last = rows[-1].id
            activity.heartbeat(found)
        return found

    async def _overdue(self, at: datetime, last: int) -> Sequence[Message]:
        async with self._database.reading() as session:
            rows = await session.scalars(
                select(Message)
                .where(
                    Message.id > last,
                    Message.state.not_in(DECISIONS),
                    func.coalesce(Message.due_at, Message.planned_at) <= at - OVERDUE,
                )
                .order_by(Message.id)
                .limit(BATCH)
            )
            return rows.all()

    async def _runs(self, workflow: str) -> bool:
        try:
            description = await self._client.get_workflow_handle(workflow).describe()
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            return False
        return description.status == WorkflowExecutionStatus.RUNNING

    async def _look_into(self, message: int, running: bool, at: datetime) -> bool:
        """Decide or report one message; tells whether it should have had its decision.

        What a pause or a lapsed membership holds is left alone as long as a workflow is there to go on with it: staff
        held it, and see it as held.
        """
        async with self._database.begin() as session:
            # What another worker has in hand at this moment is its own to decide.
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
            elif at - row.due_at > self._patience(row):
                await self._skip(session, row, "its workflow never brought it to a decision", at)
            elif row.trouble:
                await open_task(
                    session,
                    "mail_failed",
                    "channel/smtp",
                    f"mail is overdue on {at.date().isoformat()}",
                    "Messages wait for the mail server: see what it says (throughline why), and mend it.",
                    at,
                )
            else:
                action = "It is overdue and was never tried: see the worker's log for why it cannot be sent."
                await message_task(session, row, "mail_failed", action, at)
            return True

    async def _skip(self, session: AsyncSession, row: Message, reason: str, at: datetime) -> None:
        """Decide what nobody will ask for any more; staff see what was owed, and can have it sent."""
        if row.message_class != MessageClass.NUDGE:
            action = f"It was not sent: {reason}. If it is still wanted, send it with mail resend."
            await message_task(session, row, "mail_failed", action, at)
            reason = f"{reason}; staff were asked"
        await ledger.decide(session, row, "skipped", reason, at)

    def _patience(self, row: Message) -> timedelta:
        """How long a workflow that runs is left to decide: longer than any retry or staleness rule takes."""
        program = self._programs.get(row.program)
        if program is None:
            return timedelta(days=365)
        return timedelta(days=max(program.mail.retry_days, *program.mail.stale_after.values()) + 1)


def driver_of(row: Message) -> str:
    """The workflow that has a message sent: its own, or for a copy that of the copy."""
    return f"resend/{row.delivery}" if row.occurrence >= ledger.FIRST_RESEND_OCCURRENCE else row.workflow
