"""All parts on one machine, on a time-skipping Temporal server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from database import events
from database.key_ring import KeyRing
from database.links import Links
from database.session import Database
from embedded.faults import DatabaseFault, FaultyDatabase, KillFault
from embedded.mail_catcher import Caught, MailCatcher
from embedded.progress import ProgressMonitor
from embedded.scenario import Fault, ScenarioEvent
from embedded.temporal_servers import SkippingClock, skipping_clock
from mail.allowlist import RecipientAllowlist
from mail.smtp.channel import SmtpChannel
from mail.smtp.settings import SmtpSettings
from rules.agenda import GRACE_PERIOD
from rules.events import Envelope
from rules.program import Program
from worker.assembly import DOCUMENTS, Components, Composers, WorkerOptions, workers
from workflows.starting import notify_inbox

SOURCE = "/rehearsal"

ENVIRONMENT = "rehearsal"
"""The environment of a database whose program time is the clock that skips."""


class WorkflowFailed(RuntimeError):
    """A workflow failed: a fault of the program, never of the scenario."""


class FailureAlarm(logging.Handler):
    """Notices workflow tasks that fail; without it a failing workflow would only stand still."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.failed = asyncio.Event()
        self.text = ""
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        """Note the first failure."""
        message = record.getMessage()
        if "activation" in message and "ailed" in message and not self.text:
            error = record.exc_info[1] if record.exc_info else None
            if type(error).__name__ == "_DeadlockError":
                # The machine was busy for two seconds; the server gives the task out again.
                return
            self.text = f"{message}: {type(error).__name__}: {error}" if error else message
            self._loop.call_soon_threadsafe(self.failed.set)


@dataclass
class EmbeddedStack:
    """The embedded parts of a rehearsal or demo, running."""

    clock: SkippingClock
    database: Database
    catcher: MailCatcher
    parts: Components
    programs: Mapping[str, Program]
    alarm: FailureAlarm
    kill: KillFault
    outage: DatabaseFault
    progress: ProgressMonitor
    database_file: Path
    _sent: int = 0

    async def advance(self, target: datetime) -> None:
        """Let the clock run to `target`.

        Raises WorkflowFailed if a workflow fails on the way, ClockStalled if the clock stands still.
        """
        moving = asyncio.ensure_future(self.clock.advance(target))
        failing = asyncio.ensure_future(self.alarm.failed.wait())
        stalling = asyncio.ensure_future(self.progress.until_stalled(self.clock))
        tasks = (moving, failing, stalling)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self.alarm.failed.is_set():
                raise WorkflowFailed(self.alarm.text)
            await (moving if moving.done() else stalling)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def wait_idle(self) -> None:
        """Let everything that is due or running by now finish."""
        await self.advance(await self.clock.now() + GRACE_PERIOD + timedelta(seconds=1))

    async def send_events(
        self, at: datetime, given: Sequence[tuple[str, dict[str, Any]] | ScenarioEvent]
    ) -> None:
        """Store events at `at` and have them applied; they happen then, unless they name a time."""
        envelopes = []
        for each in given:
            event = each if isinstance(each, ScenarioEvent) else ScenarioEvent(at, *each)
            self._sent += 1
            time, history = event.time or at, event.history
            envelopes.append(Envelope(str(self._sent), SOURCE, event.type, time, event.data, history=history))
        async with self.database.begin() as session:
            await events.store(session, envelopes, at)
        await notify_inbox(self.clock.client, self.database)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """How the embedded parts of a rehearsal or demo differ from the usual."""

    base_url: str = "http://127.0.0.1:8080"
    """Where the links of mails lead."""
    secret: str = "a rehearsal needs no secret"
    folder: Path | None = None
    """Where the database file is kept; by default, a temporary folder."""
    mail_dir: Path | None = None
    on_mail: Callable[[Caught], None] | None = None
    small_cache: bool = False
    """Keep few workflows in memory, so that most tasks replay theirs as a restarted worker would: the skipping clock
    loses tasks to the polls of a worker that is really restarted."""
    documents: Path = DOCUMENTS


@asynccontextmanager
async def embedded_stack(
    programs: Mapping[str, Program],
    templates: Path,
    program_folder: Path,
    options: StackOptions | None = None,
) -> AsyncIterator[EmbeddedStack]:
    """Start the embedded parts, and stop them at the end of the block."""
    options = options or StackOptions()
    async with AsyncExitStack() as stack:
        keys = KeyRing((options.secret,))
        folder = options.folder or Path(stack.enter_context(TemporaryDirectory(prefix="throughline-")))
        file = folder / "throughline.db"
        database, watched = await _databases(stack, file, keys)
        catcher = MailCatcher(options.mail_dir, options.on_mail)
        await catcher.start()
        stack.push_async_callback(catcher.stop)
        channel = SmtpChannel(SmtpSettings(host=catcher.host, port=catcher.port, pool_size=8))
        stack.push_async_callback(channel.aclose)
        clock = await stack.enter_async_context(skipping_clock())
        alarm = _alarm(stack)
        parts = Components(
            watched,
            programs,
            Composers(templates, program_folder),
            channel,
            Links(options.base_url, keys),
            RecipientAllowlist(production=False, allowed=("*",)),
            environment=ENVIRONMENT,
            documents=options.documents,
        )
        await parts.claim_environment()
        stack.push_async_callback(parts.mail.aclose)
        kill, progress = KillFault(), ProgressMonitor()
        # A worker that fails cancels this block; leaving it, the worker says in the cancellation's place why.
        running = workers(clock.client, parts, _worker_options(options, kill, progress))
        await stack.enter_async_context(running)
        outage = DatabaseFault(watched)
        yield EmbeddedStack(clock, database, catcher, parts, programs, alarm, kill, outage, progress, file)


async def _databases(stack: AsyncExitStack, file: Path, keys: KeyRing) -> tuple[Database, FaultyDatabase]:
    """Return the database as the tests read it, and as the parts use it: it can fail."""
    address = f"sqlite:///{file}"
    database, watched = Database(address, keys=keys), FaultyDatabase(address, keys=keys)
    stack.push_async_callback(database.close)
    stack.push_async_callback(watched.close)
    await database.upgrade()
    return database, watched


def _alarm(stack: AsyncExitStack) -> FailureAlarm:
    alarm, logger = FailureAlarm(), logging.getLogger("temporalio.worker")
    logger.addHandler(alarm)
    stack.callback(logger.removeHandler, alarm)
    return alarm


def _worker_options(options: StackOptions, kill: KillFault, progress: ProgressMonitor) -> WorkerOptions:
    return WorkerOptions(
        interceptors=[kill, progress],
        grace_period=timedelta(0),
        max_cached_workflows=10 if options.small_cache else 2000,
        max_deliveries=16,
    )


async def set_faults(active: list[Fault], ready: EmbeddedStack) -> None:
    """Make these the things that go wrong from now on."""
    kinds = {fault.kind for fault in active}
    ready.catcher.fault = next((kind for kind in sorted(kinds) if kind.startswith("smtp_")), "")
    ready.outage.down = "database_down" in kinds
    ready.kill.on = "worker_killed" in kinds
