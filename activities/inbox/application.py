"""How one event is applied: its data written and its commands listed, the commands sent, and the end recorded (T8)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from activities.command_sender import PATIENCE, SHORT_PATIENCE, CommandSender, LifecycleBlocked
from activities.event_handlers import AFTER_APPLIED, HANDLERS
from activities.event_handlers.base import (
    HandlerContext,
    NotOpenYet,
    RefusedEvent,
    StoredEvent,
    WorkflowNotRunning,
)
from activities.event_handlers.erased_members import erased_party
from activities.inbox.decisions import (
    NO_ANSWER,
    Hold,
    Refusal,
    action_if_kept,
    decide,
    refusal,
    until_it_answers,
)
from database import traces
from database.erased_file import ErasedFile
from database.erasure.treatments import ids_only
from database.events import release_held, settle_unapplied
from database.models import Event, Member, Profile
from database.tasks import close_task_of
from lifecycles.participants import Programs
from lifecycles.registry import find_lifecycle
from lifecycles.workflow_commands import WorkflowCommand
from rules.agenda import MINUTE, recorded_at
from rules.events import references
from rules.program.catalogue import Catalogue

LONGEST_DELAY = timedelta(days=1)
"""An event that waited longer than this for a worker counts as heard when it is first processed (T9)."""

COMMANDS_AT_ONCE = 16
"""The most commands of a process that are on their way, over all shards.

More of them queue up in a busy Temporal server, until lifecycles seem not to answer in time.
"""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Begun:
    """An event whose data are written."""

    event: StoredEvent
    commands: Sequence[WorkflowCommand]
    """What follows from it; empty where that is all."""
    patience: timedelta
    """How long a lifecycle has to accept an update."""


class EventApplication:
    """The steps of an event, each within a transaction of the caller."""

    def __init__(
        self,
        programs: Programs,
        commands: CommandSender,
        catalogue: Catalogue,
        erased: ErasedFile | None = None,
    ) -> None:
        self._programs = programs
        self._commands = commands
        self._catalogue = catalogue
        self._erased = erased
        self._places = asyncio.Semaphore(COMMANDS_AT_ONCE)

    async def begin(self, session: AsyncSession, row: Event, at: datetime) -> Begun | None:
        """Write an event's data and list its commands; return None where it is held or refused instead."""
        with traces.span("event written", row.trace, **_named(row)):
            return await self._begin(session, row, at)

    async def _begin(self, session: AsyncSession, row: Event, at: datetime) -> Begun | None:
        _date(row, at)
        is_written = row.state == "applying" or bool(row.effects)
        if not is_written and (decision := await self._write(session, row, at)):
            await decide(session, row, decision, at)
            return None
        commands = [WorkflowCommand(**command) for command in row.effects]
        if blocked := await _blocked_before(session, row, commands):
            await decide(session, row, until_it_answers(blocked, at), at)
            return None
        patience = SHORT_PATIENCE if row.state == "held" and is_written else PATIENCE
        row.state = "applying"
        return Begun(StoredEvent.of(row, at), commands, patience)

    async def send(self, begun: Begun, at: datetime) -> Hold | Refusal | None:
        """Send an event's commands; return the decision if it is held or refused."""
        with traces.span("commands sent", begun.event.trace, **_named(begun.event)):
            return await self._send(begun, at)

    async def _send(self, begun: Begun, at: datetime) -> Hold | Refusal | None:
        event, reason = begun.event, ""
        try:
            for command in begun.commands:
                async with self._places:
                    refused = await self._commands.send(command, f"event-{event.id}", begun.patience)
                reason = refused or reason
        except WorkflowNotRunning as error:
            return self._until_it_runs(event, error.workflow, at)
        except LifecycleBlocked as error:
            log.warning("lifecycle_did_not_answer", workflow=error.workflow, event_id=event.id)
            return until_it_answers(error.workflow, at)
        return Refusal(reason, action_if_kept(event)) if reason else None

    async def end(
        self, session: AsyncSession, row: Event, outcome: Hold | Refusal | None, at: datetime
    ) -> list[Event]:
        """Record how an event ended; return the events that it released."""
        event, released = StoredEvent.of(row, at), []
        if outcome:
            await decide(session, row, outcome, at)
        else:
            row.state, row.applied_at = "applied", at
            if keep := AFTER_APPLIED.get(event.type):
                await keep(self._context(session), event)
            await settle_unapplied(session, row, recorded_at(row.occurred_at, at))
            released = await release_held(session, event.subject, *_made_known(event.data))
        waited_for = event.waits_for
        if row.state != "held" and any(command["workflow"] == waited_for for command in row.effects):
            # It did not answer before, or did not run yet.
            released += await release_held(session, str(waited_for))
            await close_task_of(session, str(waited_for), NO_ANSWER, "it answers again", at)
        return released

    async def set_aside(self, session: AsyncSession, row: Event, error: str, at: datetime) -> None:
        """Hold an event that the program fails on, with a task at once; after a second failure refuse it (T8, STA2)."""
        action = f"Have this fault of the program fixed: {error}. Then send the event again."
        decision: Hold | Refusal = Hold(None, at + self._longest_hold, action)
        if row.state == "held" and row.waits_for is None:
            decision = Refusal(f"the program failed on it: {error}", action)
        await decide(session, row, decision, at)

    async def _write(self, session: AsyncSession, row: Event, at: datetime) -> Hold | Refusal | None:
        """Write an event's data and list its commands; return the decision if it is held or refused instead."""
        event = StoredEvent.of(row, at)
        handler = HANDLERS.get(event.type)
        if handler is None:
            return Refusal(f"nothing here keeps a {event.type.partition('.')[0]}")
        if member := await erased_party(session, row):
            row.data, row.ignored = ids_only(row.data), []
            return Refusal(f"member {member} was erased")
        if missing := await _first_missing(session, references(event.type, event.data)):
            return self._until_it_arrives(event, missing, at)
        try:
            async with session.begin_nested():
                commands = await handler(self._context(session), event)
        except NotOpenYet as early:
            return Hold(early.workflow, self._recheck_at(early.opens, at))
        except RefusedEvent as refused:
            return refusal(event, refused)
        row.effects = [asdict(command) for command in commands]
        return None

    def _context(self, session: AsyncSession) -> HandlerContext:
        return HandlerContext(session, self._programs, self._catalogue, self._erased)

    @property
    def _longest_hold(self) -> timedelta:
        return timedelta(hours=max(program.events.hold_hours for program in self._programs.values()))

    def _until_it_arrives(self, event: StoredEvent, missing: str, at: datetime) -> Hold | Refusal:
        """Decide on an event that refers to something unknown: hold it once, then refuse it."""
        if not event.was_held:
            return Hold(missing, recorded_at(event.heard_at, at) + self._longest_hold)
        action = f"See why {missing} is not known here. Then send the event again."
        return Refusal(f"{missing} did not arrive in time", action, due=event.held_until)

    def _until_it_runs(self, event: StoredEvent, workflow: str, at: datetime) -> Hold | Refusal:
        """Decide on an act whose lifecycle does not run yet: try again each minute, then refuse it."""
        if event.waits_for != workflow or at < event.heard_at + self._longest_hold:
            return Hold(workflow, at + MINUTE, write_again=True)
        reason = f"{workflow} does not run"
        return Refusal(reason, f"See why {reason}. Then send the event again.")

    def _recheck_at(self, opens: datetime | None, at: datetime) -> datetime:
        """Return when to look again at an event that came before its claim or survey opened."""
        if opens is None:
            return at + self._longest_hold
        return opens + MINUTE if opens > at else at + 5 * MINUTE


async def _blocked_before(session: AsyncSession, row: Event, commands: list[WorkflowCommand]) -> str | None:
    """Return the lifecycle for which an earlier event waits with an update: one after it must not overtake it."""
    updated = [command.workflow for command in commands if command.kind == "update"]
    if not updated:
        return None
    # What this transaction has changed of the row itself does not matter here, and is written once, at its end.
    with session.no_autoflush:
        waiting = await session.execute(
            select(Event.waits_for, Event.effects).where(
                Event.state == "held", Event.waits_for.in_(updated), Event.id < row.id
            )
        )
    return next((workflow for workflow, effects in waiting if effects), None)


def _named(event: Event | StoredEvent) -> dict[str, str]:
    """Return what a span says of an event."""
    return {"event": str(event.id), "event.type": event.type, "subject": event.subject}


def _date(row: Event, at: datetime) -> None:
    """Set when an event happened and was heard of, at its first processing (T9).

    A time ahead of our clock counts as the moment of receipt. A time of less than a minute ago is not late.
    """
    received = row.heard_at or at
    row.occurred_at = min(row.occurred_at or received, received)
    heard = at if row.state == "stored" and at - received > LONGEST_DELAY else received
    row.heard_at = recorded_at(row.occurred_at, heard)


async def _first_missing(session: AsyncSession, references: tuple[str, ...]) -> str | None:
    """Return the first reference that this deployment does not know; None if it knows them all."""
    for reference in references:
        kind, _, name = reference.partition("/")
        found: object | None
        if table := _PEOPLE.get(kind):
            found = await session.get(table, name)
        else:
            found = await find_lifecycle(session, reference)
        if found is None:
            return reference
    return None


_PEOPLE: Mapping[str, type[Member | Profile]] = {"member": Member, "profile": Profile}


def _made_known(data: Mapping[str, Any]) -> list[str]:
    """Return the references that an event made known: events that are held for them are released."""
    known = [f"{kind}/{data[kind]}" for kind in _PEOPLE if kind in data]
    return [*known, f"engagement/{data['request']}"] if "request" in data else known
