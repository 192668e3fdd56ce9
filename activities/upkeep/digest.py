"""The weekly digest: once a week a mail to the manager of each program, on Monday morning in their zone (STA4).

Each coordinator to whom people of the program are assigned gets one about those people (COH4).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy

from activities.delivery import SendMail
from activities.inbox import QUEUE
from database import ledger
from database.models import DECISIONS, Event, Message, Profile
from database.session import Database
from lifecycles.participants import Programs
from mail.context import STAFF
from mail.digest import WEEK, DigestReader, Week
from rules.agenda import PlannedMail
from rules.calendar import instant_in
from rules.program import Program

STEP = "digest"
"""The step of the mails."""

OF_DIGESTS = "digest/"
"""The ids of their workflows begin with this; program and Monday follow."""


class Coordinators(Protocol):
    """Who coordinates, and the counts of their people."""

    async def readers(self, session: AsyncSession) -> Sequence[DigestReader]:
        """Return the coordinators with an open account to whom somebody is assigned."""
        ...

    async def counts(
        self, session: AsyncSession, reader: DigestReader, program: Program, week: Week
    ) -> dict[str, str]:
        """Return the counts of a coordinator's people in a program; none where they have nobody there."""
        ...


class DigestActivities:
    """Plans the digests of a week, and has them mailed. `client` starts the deliveries."""

    def __init__(
        self, database: Database, programs: Programs, client: Client, coordinators: Coordinators
    ) -> None:
        self._coordinators = coordinators
        self._database = database
        self._programs = programs
        self._client = client

    @activity.defn
    async def look_for_digest(self) -> datetime:
        """Plan and mail what is due by now; return when to look again.

        The key of a digest names its program and its Monday, so that there is one a week, however often this runs.
        """
        at = activity.info().started_time
        async with self._database.begin() as session:
            for number, program in enumerate(self._programs.values()):
                if number == 0 or await is_used(session, program):
                    await _plan_mail(session, program, at)
            readers = await self._coordinators.readers(session)
            for program in self._programs.values():
                for reader in readers:
                    await self._plan_for(session, program, reader, at)
            waiting = await session.scalars(
                select(Message.workflow).where(
                    Message.workflow.startswith(OF_DIGESTS), Message.state.not_in(DECISIONS)
                )
            )
            undecided = waiting.all()
        for workflow in undecided:
            await self._client.start_workflow(
                "Resend",
                SendMail(workflow, [f"{STEP}/1"]),
                id=workflow,
                task_queue=QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary=workflow,
            )
        zones = {reader.zone for reader in readers}
        nexts = [next_digest(each, at, zone) for each in self._programs.values() for zone in ("", *zones)]
        return min(nexts, default=at + WEEK)

    async def _plan_for(
        self, session: AsyncSession, program: Program, reader: DigestReader, at: datetime
    ) -> None:
        """Plan a coordinator's digest of this week, once, unless the account had nobody at its instant."""
        due = digest_due(program, at, reader.zone)
        week = Week.of(at, reader.zone)
        workflow = f"{OF_DIGESTS}{program.id}/{reader.account}/{week.monday.isoformat()}"
        if not reader.since <= due <= at or await ledger.found(session, workflow, f"{STEP}/1"):
            return
        if not await _had_begun(session, due):
            return
        if counts := await self._coordinators.counts(session, reader, program, week):
            context = {"account": reader.account, **counts}
            mail = PlannedMail(STEP, due, "staff.coordinator_digest", STAFF, context=context)
            await ledger.plan(session, workflow, program.id, [mail], at, "", {})


def digest_due(program: Program, at: datetime, zone: str = "") -> datetime:
    """Return the instant of the digest of the week in which an instant lies, in the manager's zone or another."""
    zone = zone or program.manager_zone
    return instant_in(zone, Week.of(at, zone).monday, program.manager.digest_time)


def next_digest(program: Program, at: datetime, zone: str = "") -> datetime:
    """Return the instant of the first digest after an instant, in the manager's zone or another."""
    due = digest_due(program, at, zone)
    return due if due > at else digest_due(program, at + timedelta(days=7), zone)


async def is_used(session: AsyncSession, program: Program) -> bool:
    """Return whether anybody takes part in a program: staff of one that only lies in the folder get no mail."""
    found = select(Profile.id).where(Profile.program == program.id).limit(1)
    return await session.scalar(found) is not None


async def _plan_mail(session: AsyncSession, program: Program, at: datetime) -> None:
    """Plan the digest of this week, once, unless the deployment has begun since its instant."""
    due = digest_due(program, at)
    workflow = f"{OF_DIGESTS}{program.id}/{Week.of(at, program.manager_zone).monday.isoformat()}"
    if due > at or await ledger.found(session, workflow, f"{STEP}/1"):
        return
    if not await _had_begun(session, due):
        return
    mail = PlannedMail(STEP, due, "staff.digest", STAFF)
    await ledger.plan(session, workflow, program.id, [mail], at, "", {})


async def _had_begun(session: AsyncSession, due: datetime) -> bool:
    """Return whether the deployment had heard of anything at the instant of a digest."""
    began = select(func.coalesce(Event.heard_at, Event.occurred_at)).order_by(Event.id).limit(1)
    first = await session.scalar(began)
    return first is not None and first <= due
