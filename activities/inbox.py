"""The inbox: the queue of inbound events, applied in order, held or refused with a reason; none is lost (T8).

An event's data is written and its commands to workflows are listed in one transaction. The commands follow; after a
crash they are repeated until all are done. Each of them tolerates a repeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import and_, or_, select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import TemporalError

from activities.command_sender import PATIENCE, QUEUE, SHORT_PATIENCE, CommandSender, LifecycleBlocked
from activities.event_handlers import AFTER_APPLIED, HANDLERS
from activities.event_handlers.base import (
    HandlerContext,
    NotOpenYet,
    RefusedEvent,
    RepeatedEvent,
    StoredEvent,
    WorkflowNotRunning,
)
from activities.heartbeat import heartbeats
from database import audit
from database.events import PERSONAL_PAGES, release_held, settle_unapplied
from database.models import Event, Member, Profile
from database.session import Database
from database.tasks import close_task_of, open_task
from lifecycles.participants import Programs
from lifecycles.registry import find_lifecycle
from lifecycles.workflow_commands import WorkflowCommand
from rules.agenda import GRACE_PERIOD, MINUTE, recorded_at
from rules.events import references
from rules.kinds import kind_of
from rules.program.catalogue import Catalogue

__all__ = ["INBOX", "QUEUE", "Applied", "InboxActivities"]

INBOX = "inbox"
"""The id of the one inbox workflow."""

BATCH = 50
"""The most events that one attempt applies, so that an attempt ends long before its timeout."""

ROUND = 60.0
"""Seconds after which an attempt takes no further event, so that one with many waits ends before its timeout."""

BLOCKED_FOR = 2 * MINUTE
"""After how long a lifecycle that does not answer is tried again."""

LONGEST_DELAY = timedelta(days=1)
"""An event that waited longer than this for a worker counts as heard when it is first processed (T9)."""

OUTAGE_ERRORS = (OperationalError, InterfaceError, PoolTimeout, OSError, TemporalError)
"""Errors of an unreachable database or Temporal server: the whole round is tried again, no event is at fault."""

_LONGEST_CAUSE = 200

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of a round."""

    more: bool
    """Whether more events wait now."""
    next_deadline: datetime | None
    """When the wait of the first held event ends."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The decision to look at an event again later."""

    waits_for: str | None
    """The reference that the event waits for; None after a fault of the program."""
    until: datetime
    staff_action: str = ""
    """What staff should do now; empty where there is nothing to do yet."""
    write_again: bool = False
    """Whether its handler runs again: what it decides may differ by then."""
    blocked_by: str = ""
    """The lifecycle that does not answer, if that is why; its task is one for all events that wait for it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The decision never to apply an event."""

    reason: str
    """The reason, for staff and for the sender."""
    staff_action: str = ""
    """What staff should do; empty where the sender alone can act."""
    due: datetime | None = None
    """When its wait ended; None if it did not wait for a reference."""
    cause: str = ""
    """The cause of its task; empty for one of its own. A sender who repeats a mistake has one task (STA2)."""


class InboxActivities:
    """Applies stored events. `client` reaches the workflows that they concern, `catalogue` knows certifications."""

    def __init__(self, database: Database, programs: Programs, client: Client, catalogue: Catalogue) -> None:
        self._database = database
        self._programs = programs
        self._commands = CommandSender(database, programs, client)
        self._catalogue = catalogue

    @activity.defn
    async def apply_events(self) -> Applied:
        """Apply stored events in the order in which they came, and held ones whose wait has ended."""
        at, loop = activity.info().started_time, asyncio.get_running_loop()
        done, drained, ends = 0, False, loop.time() + ROUND
        async with heartbeats():
            while done < BATCH and loop.time() < ends:
                event_id = await self._next(at)
                if event_id is None:
                    drained = True
                    break
                try:
                    await self._apply(event_id, at)
                except Exception as error:
                    if _is_outage(error):
                        raise
                    # A fault of the program must not block the events behind this one.
                    log.exception("event_application_failed", event_id=event_id)
                    await self._set_aside(event_id, type(error).__name__, at)
                done += 1
        async with self._database.reading() as session:
            deadline = await session.scalar(
                select(Event.held_until).where(Event.state == "held").order_by(Event.held_until).limit(1)
            )
        return Applied(not drained, deadline + GRACE_PERIOD if deadline else None)

    @activity.defn(name="tell")
    async def perform_commands(self, commands: list[WorkflowCommand]) -> None:
        """Start or signal other lifecycles: what a match begins and ends (REQ5, ONB3, MEM4). Repeats are harmless.

        Events that are held for an engagement or a survey are released as soon as it runs.
        """
        for command in commands:
            await self._commands.send(command, "tell")
        started = [command.workflow for command in commands if command.name in ("Engagement", "Survey")]
        if not started:
            return
        async with self._database.begin() as session:
            released = await release_held(session, *started)
        # An attempt before this one may have released them and died before its signal.
        if released or activity.info().attempt > 1:
            await self._commands.send(WorkflowCommand("signal", INBOX, "arrived"), "tell")

    async def _next(self, at: datetime) -> int | None:
        """Return the number of the next event to apply."""
        async with self._database.reading() as session:
            return await session.scalar(
                select(Event.id)
                .where(
                    or_(
                        Event.state.in_(("stored", "applying")),
                        and_(Event.state == "held", Event.held_until <= at - GRACE_PERIOD),
                    )
                )
                .order_by(Event.id)
                .limit(1)
            )

    async def _apply(self, event_id: int, at: datetime) -> None:
        """Write one event, send its commands, and record how it ended."""
        async with self._database.begin() as session:
            row = await _locked(session, event_id)
            _date(row, at)
            is_written = row.state == "applying" or bool(row.effects)
            if not is_written and (decision := await self._write(session, row, at)):
                await _decide(session, row, decision, at)
                return
            commands = [WorkflowCommand(**command) for command in row.effects]
            if blocked := await _blocked_before(session, row, commands):
                await _decide(session, row, _until_it_answers(blocked, at), at)
                return
        outcome = await self._send(StoredEvent.of(row, at), commands, at)
        async with self._database.begin() as session:
            row = await _locked(session, event_id)
            event = StoredEvent.of(row, at)
            if outcome:
                await _decide(session, row, outcome, at)
            else:
                await self._finish(session, row, event, at)
            if event.was_held and event.waits_for and row.state != "held":
                await _answered(session, event.waits_for, at)

    async def _send(
        self, event: StoredEvent, commands: list[WorkflowCommand], at: datetime
    ) -> Hold | Refusal | None:
        """Send an event's commands; return the decision if it is held or refused."""
        reason = ""
        try:
            for command in commands:
                was_blocked = event.was_held and event.waits_for == command.workflow
                patience = SHORT_PATIENCE if was_blocked else PATIENCE
                reason = await self._commands.send(command, f"event-{event.id}", patience) or reason
        except WorkflowNotRunning as error:
            return self._until_it_runs(event, error.workflow, at)
        except LifecycleBlocked as error:
            log.warning("lifecycle_did_not_answer", workflow=error.workflow, event_id=event.id)
            return _until_it_answers(error.workflow, at)
        return Refusal(reason, _action_if_kept(event)) if reason else None

    async def _write(self, session: AsyncSession, row: Event, at: datetime) -> Hold | Refusal | None:
        """Write an event's data and list its commands; return the decision if it is held or refused instead."""
        event = StoredEvent.of(row, at)
        handler = HANDLERS.get(event.type)
        if handler is None:
            return Refusal(f"nothing here keeps a {event.type.partition('.')[0]}")
        if missing := await _first_missing(session, references(event.type, event.data)):
            return self._until_it_arrives(event, missing, at)
        try:
            async with session.begin_nested():
                commands = await handler(self._context(session), event)
        except NotOpenYet as early:
            return Hold(early.workflow, self._recheck_at(early.opens, at))
        except RefusedEvent as refused:
            return _refusal(event, refused)
        row.effects = [asdict(command) for command in commands]
        row.state = "applying"
        return None

    async def _finish(self, session: AsyncSession, row: Event, event: StoredEvent, at: datetime) -> None:
        """Record that an event is applied, and release those that wait for what it made known."""
        row.state, row.applied_at = "applied", at
        if keep := AFTER_APPLIED.get(event.type):
            await keep(self._context(session), event)
        await settle_unapplied(session, row, recorded_at(row.occurred_at, at))
        await release_held(session, event.subject, *_made_known(event.data))

    async def _set_aside(self, event_id: int, error: str, at: datetime) -> None:
        """Hold an event that the program fails on, with a task at once; after a second failure refuse it (T8, STA2)."""
        action = f"Have this fault of the program fixed: {error}. Then send the event again."
        async with self._database.begin() as session:
            row = await _locked(session, event_id)
            decision: Hold | Refusal = Hold(None, at + self._longest_hold, action)
            if row.state == "held" and row.waits_for is None:
                decision = Refusal(f"the program failed on it: {error}", action)
            await _decide(session, row, decision, at)

    def _context(self, session: AsyncSession) -> HandlerContext:
        return HandlerContext(session, self._programs, self._catalogue)

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


async def _locked(session: AsyncSession, event_id: int) -> Event:
    """Return an event, locked, and with it the chain of the lifecycle that it is about."""
    row = await session.get_one(Event, event_id, with_for_update=True)
    if kind_of(row.subject):
        await audit.lock(session, row.subject)
    return row


async def _blocked_before(session: AsyncSession, row: Event, commands: list[WorkflowCommand]) -> str | None:
    """Return the lifecycle for which an earlier event waits with an update: one after it must not overtake it."""
    updated = [command.workflow for command in commands if command.kind == "update"]
    if not updated:
        return None
    waiting = await session.execute(
        select(Event.waits_for, Event.effects).where(
            Event.state == "held", Event.waits_for.in_(updated), Event.id < row.id
        )
    )
    return next((workflow for workflow, effects in waiting if effects), None)


def _until_it_answers(workflow: str, at: datetime) -> Hold:
    """Decide on an event for a lifecycle that does not answer: try again for as long as it takes (T8, STA2)."""
    action = (
        f"Have an administrator look at {workflow} on Temporal's page: it does not answer, and what happened to it "
        "waits. Other events are not affected. It goes on by itself as soon as the cause is fixed."
    )
    return Hold(workflow, at + BLOCKED_FOR, action, blocked_by=workflow)


async def _answered(session: AsyncSession, workflow: str, at: datetime) -> None:
    """Release the events that wait for a lifecycle that answers again, and close the task about it (STA2)."""
    await release_held(session, workflow)
    await close_task_of(session, workflow, _NO_ANSWER, "it answers again", at)


_NO_ANSWER = "it does not answer"
"""The cause of the one task about a lifecycle for which events wait."""


def _date(row: Event, at: datetime) -> None:
    """Set when an event happened and was heard of, at its first processing (T9).

    A time ahead of our clock counts as the moment of receipt. A time of less than a minute ago is not late.
    """
    received = row.heard_at or at
    row.occurred_at = min(row.occurred_at or received, received)
    heard = at if row.state == "stored" and at - received > LONGEST_DELAY else received
    row.heard_at = recorded_at(row.occurred_at, heard)


async def _decide(session: AsyncSession, row: Event, decision: Hold | Refusal, at: datetime) -> None:
    """Hold or refuse an event, with a staff task where staff should act (STA2)."""
    if isinstance(decision, Hold):
        row.state, row.waits_for, row.held_until = "held", decision.waits_for, decision.until
        if decision.write_again:
            row.effects = []
    else:
        if decision.due:
            at = recorded_at(decision.due, at)
        row.state, row.reason, row.applied_at = "refused", decision.reason, at
        details = {"event": row.type, "id": row.event_id, "reason": decision.reason}
        await audit.append(session, row.subject, "refused", recorded_at(row.heard_at, at), details)
    if decision.staff_action:
        about, cause = row.subject, f"event {row.id}"
        if isinstance(decision, Hold) and decision.blocked_by:
            about, cause = decision.blocked_by, _NO_ANSWER
        elif isinstance(decision, Refusal) and decision.cause:
            cause = decision.cause
        await open_task(session, "event_unapplied", about, cause, decision.staff_action, at)


def _refusal(event: StoredEvent, refused: RefusedEvent) -> Refusal:
    """Return the decision on an event that its handler refused, with a task for what a sender got wrong (STA2)."""
    reason, action = str(refused), _action_if_kept(event)
    if action or event.source == PERSONAL_PAGES or isinstance(refused, RepeatedEvent):
        return Refusal(reason, action)
    action = (
        f"Correct it in the system that sent it ({event.source}), and send it again: {reason}. "
        "`throughline event list --state refused` has the event."
    )
    return Refusal(reason, action, cause=f"{event.type}: {reason}"[:_LONGEST_CAUSE])


def _action_if_kept(event: StoredEvent) -> str:
    """Return what staff should do about a refused event that waited for a claim: its sender learns nothing (STA2)."""
    if not (event.waits_for or "").startswith("claim/"):
        return ""
    return (
        "Ask the person to sign or choose again: the event waited for a claim, and then could not be used. "
        "`throughline show` has the reason."
    )


def _is_outage(error: Exception) -> bool:
    """Return whether the database or Temporal is away. A lost connection says so in an error of any kind."""
    return isinstance(error, OUTAGE_ERRORS) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )


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
