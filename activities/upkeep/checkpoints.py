"""Checkpoints of the audit record, taken once a day and mailed to the staff of each program (CPE11, T4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy

from activities.delivery import SendMail
from activities.inbox import QUEUE
from activities.upkeep.digest import is_used
from database import ledger
from database.models import DECISIONS, Checkpoint, Message
from database.session import Database
from database.tasks import open_task
from evidence import checkpoints
from evidence.checkpoints import OF_CHECKPOINTS
from lifecycles.participants import Programs
from mail.context import STAFF
from rules.agenda import PlannedMail
from rules.program import Program, program_calendar

STEP = "checkpoint"
"""The step of the mails about checkpoints."""


class CheckpointActivities:
    """Takes checkpoints and has them mailed. `client` starts the deliveries."""

    def __init__(self, database: Database, programs: Programs, client: Client) -> None:
        self._database = database
        self._programs = programs
        self._client = client

    @activity.defn
    async def look_for_checkpoint(self) -> datetime:
        """Take and mail what is due by now; return when to look again.

        Each day (UTC) that has a new record gets one checkpoint, as early as possible. On the morning of a program's
        next business day its staff get the newest one, which covers those before it.
        """
        at = activity.info().started_time
        async with self._database.begin() as session:
            newest = await checkpoints.newest(session)
            if newest is None or newest.at.date() < at.date():
                await _report_altered(session, newest, at)
                newest = await checkpoints.take(session, at) or newest
            if newest is not None:
                for number, program in enumerate(self._programs.values()):
                    if number == 0 or await is_used(session, program):
                        await _plan_mail(session, program, newest, at)
        for workflow in await self._undecided():
            await self._start_delivery(workflow)
        tomorrow = datetime(at.year, at.month, at.day, tzinfo=UTC) + timedelta(days=1)
        mornings = (program_calendar(program).next_send_after(at) for program in self._programs.values())
        return min(tomorrow, *mornings)

    async def _undecided(self) -> Sequence[str]:
        """Return the workflow ids of the mails about checkpoints that are not decided yet."""
        async with self._database.reading() as session:
            rows = await session.scalars(
                select(Message.workflow).where(
                    Message.workflow.startswith(OF_CHECKPOINTS), Message.state.not_in(DECISIONS)
                )
            )
            return rows.all()

    async def _start_delivery(self, workflow: str) -> None:
        """Start the delivery of one mail, unless it runs already."""
        await self._client.start_workflow(
            "Resend",
            SendMail(workflow, [f"{STEP}/1"]),
            id=workflow,
            task_queue=QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=workflow,
        )


async def _plan_mail(session: AsyncSession, program: Program, newest: Checkpoint, at: datetime) -> None:
    """Plan this morning's mail about the newest checkpoint, once."""
    calendar = program_calendar(program)
    due = calendar.send_at(calendar.date_of(at))
    workflow = f"{OF_CHECKPOINTS}{newest.number}/{program.id}"
    if not newest.at <= due <= at or await ledger.found(session, workflow, f"{STEP}/1"):
        return
    context = {
        "checkpoint": str(newest.number),
        "chains": str(newest.chains),
        "hash": newest.hash,
        "made": newest.at.isoformat(),
    }
    mail = PlannedMail(STEP, due, "staff.checkpoint", STAFF, context=context)
    await ledger.plan(session, workflow, program.id, [mail], at, "", {})


async def _report_altered(session: AsyncSession, newest: Checkpoint | None, at: datetime) -> None:
    """Open a task for each chain without the record that the last checkpoint saw, and for changed heads (STA2)."""
    if newest is None:
        return
    if await checkpoints.unfounded(session, newest):
        await open_task(
            session,
            "record_altered",
            f"{OF_CHECKPOINTS}{newest.number}",
            "its root does not follow from the stored heads",
            "Find out who changed the database, and compare it with a backup: the heads of the audit chains that the "
            "last checkpoint saw are not stored any more as it saw them.",
            at.replace(microsecond=0),
        )
    for chain in await checkpoints.altered(session):
        await open_task(
            session,
            "record_altered",
            chain,
            f"not the record of checkpoint {newest.number}",
            "Find out who changed the database, and compare it with a backup: this audit record is not the one that "
            "the last checkpoint saw.",
            at.replace(microsecond=0),
        )
