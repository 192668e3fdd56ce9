"""Starting what runs beside the lifecycles: the inbox and the housekeeping workflows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activities.inbox import QUEUE
from activities.inbox.wakeup import wake_shards
from activities.webhooks import start_webhooks
from database.event_queue import waiting_shards
from database.session import Database
from lifecycles.cohorts.membership import current_or_next, keep_cohort
from lifecycles.facts import facts_from_row
from lifecycles.participants import Programs
from rules.cohort import CohortFacts
from workflows.upkeep.checkpoints import CHECKPOINTS, CheckpointsWorkflow
from workflows.upkeep.digest import DIGEST, DigestWorkflow
from workflows.upkeep.watchdog import WATCHDOG, WatchdogWorkflow

LOOK_EVERY = 600.0
"""Seconds after which a worker starts housekeeping workflows that somebody has cancelled or terminated in Temporal."""

log = structlog.get_logger()


async def notify_inbox(client: Client, database: Database) -> None:
    """Signal the shards of the inbox in which events wait; start those that do not run."""
    async with database.reading() as session:
        shards = await waiting_shards(session)
    await wake_shards(client, shards)


async def start_housekeeping(client: Client) -> None:
    """Start the watchdog, the checkpoints and the digest, where they do not run (MAIL1, CPE11, STA4).

    For deployments on real time only: a time-skipping clock would never idle.
    """
    for run, id in (
        (WatchdogWorkflow.run, WATCHDOG),
        (CheckpointsWorkflow.run, CHECKPOINTS),
        (DigestWorkflow.run, DIGEST),
    ):
        await client.start_workflow(
            run,
            id=id,
            task_queue=QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )


async def announce_cohorts(client: Client, database: Database, programs: Programs, at: datetime) -> None:
    """Announce the current or next cohort of each program with a yearly window, where that is not done (COH1).

    Each announces the one after it when its window is over: this is for a new deployment and a new program.
    """
    for program in programs.values():
        facts = current_or_next(program, at)
        if facts is None:
            continue
        async with database.begin() as session:
            row = await keep_cohort(session, facts, program)
            is_open = row.closed_at is None
            days = (row.opens_on, row.closes_on, row.kick_off_on, row.months)
            kept = facts_from_row(CohortFacts, row.facts)
        if not is_open:
            continue
        with suppress(WorkflowAlreadyStartedError):
            await client.start_workflow(
                "Cohort",
                kept,
                id=f"cohort/{kept.cohort}",
                task_queue=QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                static_summary=f"cohort/{kept.cohort}",
            )
            continue
        if days != (facts.opens, facts.closes, facts.kick_off, facts.months):
            # The program file has other days than when it was announced.
            await client.get_workflow_handle(f"cohort/{kept.cohort}").signal("replan")


@asynccontextmanager
async def housekeeping(
    client: Client,
    database: Database,
    programs: Programs,
    now: Callable[[], datetime],
    every: float = LOOK_EVERY,
) -> AsyncIterator[None]:
    """Have the housekeeping workflows, those of endpoints and those of yearly cohorts run within the block.

    An end from outside lasts `every` seconds at most. `now` is program time.
    """

    async def begin() -> None:
        await start_housekeeping(client)
        await start_webhooks(client, database)
        await announce_cohorts(client, database, programs, now())

    await begin()
    task = asyncio.create_task(_keep(begin, every))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _keep(begin: Callable[[], Awaitable[None]], every: float) -> None:
    while True:
        await asyncio.sleep(every)
        try:
            await begin()
        except (RPCError, RuntimeError, OSError, SQLAlchemyError) as error:
            log.warning("housekeeping_not_started", error=type(error).__name__)
