"""Plays a scenario through the real workflows, activities, templates and database on a skipping clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from activities.mail import Outgoing
from activities.smtp import SmtpChannel, SmtpSettings
from database import events
from database.links import Links
from database.session import Database
from rules.agenda import LAST_SECOND
from rules.events import Envelope
from rules.program import Program
from worker.catcher import Caught, MailCatcher
from worker.embedded import SkippingClock, skipping_clock
from worker.faults import DatabaseFault, KillFault, MortalDatabase
from worker.parts import DOCUMENTS, Composers, Parts, poke, workers
from worker.scenario import Fault, Scenario, ScenarioError
from worker.timeline import timeline

SOURCE = "/rehearsal"


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
class Stage:
    """The embedded parts of a rehearsal or demo, running."""

    clock: SkippingClock
    database: Database
    catcher: MailCatcher
    parts: Parts
    programs: Mapping[str, Program]
    alarm: FailureAlarm
    kill: KillFault
    outage: DatabaseFault
    _told: int = 0

    async def advance(self, target: datetime) -> None:
        """Let the clock run to `target`. Raises WorkflowFailed if a workflow fails on the way."""
        moving = asyncio.ensure_future(self.clock.advance(target))
        failing = asyncio.ensure_future(self.alarm.failed.wait())
        try:
            await asyncio.wait({moving, failing}, return_when=asyncio.FIRST_COMPLETED)
            if self.alarm.failed.is_set():
                raise WorkflowFailed(self.alarm.text)
            await moving
        finally:
            for task in (moving, failing):
                task.cancel()
            await asyncio.gather(moving, failing, return_exceptions=True)

    async def settle(self) -> None:
        """Let what is due or was started by now come to rest."""
        await self.advance(await self.clock.now() + LAST_SECOND + timedelta(seconds=1))

    async def tell(self, at: datetime, told: list[tuple[str, dict[str, Any]]]) -> None:
        """Store events that happen at `at` and have them applied."""
        envelopes = []
        for kind, data in told:
            self._told += 1
            envelopes.append(Envelope(str(self._told), SOURCE, kind, at, data))
        async with self.database.begin() as session:
            await events.store(session, envelopes)
        await poke(self.clock.client)


@asynccontextmanager
async def stage(
    programs: Mapping[str, Program],
    templates: Path,
    program_folder: Path,
    *,
    base_url: str = "http://127.0.0.1:8080",
    secret: str = "a rehearsal needs no secret",
    mail_dir: Path | None = None,
    on_mail: Callable[[Caught], None] | None = None,
    forgetful: bool = False,
    documents: Path = DOCUMENTS,
) -> AsyncIterator[Stage]:
    """The embedded parts, put up in a folder of their own and taken down at the end of the block.

    `forgetful` workers keep few workflows in memory, so that most tasks replay theirs as a restarted worker would:
    the skipping clock loses tasks to the polls of a worker that is really restarted.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="throughline-")))
        address = f"sqlite:///{folder / 'throughline.db'}"
        database, watched = Database(address), MortalDatabase(address)
        stack.push_async_callback(database.close)
        stack.push_async_callback(watched.close)
        await database.upgrade()
        catcher = MailCatcher(mail_dir, on_mail)
        await catcher.start()
        stack.push_async_callback(catcher.stop)
        channel = SmtpChannel(SmtpSettings(host=catcher.host, port=catcher.port, pool_size=8))
        stack.push_async_callback(channel.aclose)
        clock = await stack.enter_async_context(skipping_clock())
        alarm = FailureAlarm()
        logger = logging.getLogger("temporalio.worker")
        logger.addHandler(alarm)
        stack.callback(logger.removeHandler, alarm)
        parts = Parts(
            watched,
            programs,
            Composers(templates, program_folder),
            channel,
            Links(base_url, secret),
            Outgoing(production=False, allowed=("*",)),
            environment="rehearsal",
            documents=documents,
        )
        await parts.claim_environment()
        stack.push_async_callback(parts.mail.aclose)
        kill = KillFault()
        # A worker that fails cancels this block; leaving it, the worker says in the cancellation's place why.
        await stack.enter_async_context(
            workers(
                clock.client,
                parts,
                interceptors=[kill],
                graceful=timedelta(0),
                max_cached_workflows=10 if forgetful else 2000,
                deliveries=16,
            )
        )
        yield Stage(clock, database, catcher, parts, programs, alarm, kill, DatabaseFault(watched))


async def rehearse(
    scenario: Scenario,
    programs: Mapping[str, Program],
    templates: Path,
    program_folder: Path,
    *,
    mail_dir: Path | None = None,
    progress: Callable[[datetime], None] = lambda at: None,
) -> list[dict[str, Any]]:
    """Play a scenario; its timeline.

    Raises ScenarioError if its start lies behind the machine's clock, WorkflowFailed if a workflow failed.
    """
    forgetful = any(fault.kind == "worker_killed" for fault in scenario.faults)
    async with stage(programs, templates, program_folder, mail_dir=mail_dir, forgetful=forgetful) as ready:
        if scenario.start <= await ready.clock.now():
            raise ScenarioError(["start: must lie ahead of the machine's clock"])
        await ready.advance(scenario.start)
        await _play(scenario, ready, progress)
        await ready.settle()
        zone = programs[scenario.program].hours.zone
        rows = [row async for row in timeline(ready.database, zone, scenario.until)]
    return rows


async def _play(scenario: Scenario, ready: Stage, progress: Callable[[datetime], None]) -> None:
    marks = {event.at for event in scenario.events if event.at <= scenario.until}
    for fault in scenario.faults:
        marks |= {mark for mark in (fault.since, fault.until) if mark <= scenario.until}
    for mark in sorted(marks | {scenario.until}):
        await ready.advance(mark)
        progress(mark)
        await set_faults([fault for fault in scenario.faults if fault.since <= mark < fault.until], ready)
        told = [
            (event.type, _with_program(event.type, event.data, scenario))
            for event in scenario.events
            if event.at == mark
        ]
        if told:
            await ready.tell(mark, told)
            if mark == scenario.until:
                await ready.settle()


def _with_program(kind: str, data: dict[str, Any], scenario: Scenario) -> dict[str, Any]:
    return {"program": scenario.program, **data} if kind == "profile.created" else data


async def set_faults(active: list[Fault], ready: Stage) -> None:
    """Make these the things that go wrong from now on."""
    kinds = {fault.kind for fault in active}
    ready.catcher.fault = next((kind for kind in sorted(kinds) if kind.startswith("smtp_")), "")
    ready.outage.down = "database_down" in kinds
    ready.kill.on = "worker_killed" in kinds
