"""Writing an agenda down in one transaction: state, planned messages, staff tasks, audit records (MAIL1, STA1–STA3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit, ledger
from database.events import get_event
from database.models import Event, Lifecycle
from database.task_closing import close_settled_tasks, settled_because
from database.tasks import open_task, settle_tasks
from lifecycles.facts import facts_to_row
from lifecycles.situation import AppliedActs, Situation
from rules.acts import EVENT_REASON, Act
from rules.agenda import Agenda, MessageChange, StateChange, recorded_at
from rules.engagement.confidentiality import PAUSED_BY_STAFF, SUSPENDED
from rules.messages import MessageClass

PLAN_FAILED = "plan_failed"
"""The kind of the task about a lifecycle that the program cannot plan. The next plan closes it (STA2)."""

MOST_REFUSALS = 200
"""How many refusals of a lifecycle are recorded one by one."""

HISTORY_RECHECK = timedelta(minutes=1)
"""The shortest time after which a lifecycle of a take-over looks whether all history is applied."""

HISTORY_EVENT = timedelta(seconds=0.3)
"""How much later it looks for each event of history that waits.

With a look a minute, 250 lifecycles that waited for 2,500 events slowed these down from eight a second to one.
"""

LONGEST_RECHECK = timedelta(hours=1)

LONGEST_TAKE_OVER = timedelta(days=1)
"""How long it waits for that at most."""


@dataclass(frozen=True, slots=True)
class DueMail:
    """An undecided message and the instant (UTC) at which it is sent."""

    key: str
    due: datetime
    nudge: bool = False
    """Whether it gives way to what is owed where mail has to wait."""


def due_mail(step: str, occurrence: int, due: datetime, message_class: str) -> DueMail:
    """Return a message of the ledger as a workflow waits for it."""
    return DueMail(f"{step}/{occurrence}", due, message_class == MessageClass.NUDGE.value)


@dataclass(frozen=True, slots=True)
class Planned:
    """What a workflow needs of its agenda: its state, the mails to send, when else to plan again."""

    state: str
    closed: bool
    mails: list[DueMail]
    wake_at: datetime | None
    moved: list[MessageChange] = field(default_factory=list)
    dropped: list[MessageChange] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """Why an act was refused by the rules, by its id."""
    added: list[MessageChange] = field(default_factory=list)
    """The messages that acts added. A plan without acts reports none."""
    program: str = ""
    """Its program, by id. Histories of earlier versions have none."""


# long: what a lifecycle is, what was done to it, and up to when it is written down
async def record(
    session: AsyncSession,
    row: Lifecycle,
    situation: Situation[Any],
    agenda: Agenda,
    applied: AppliedActs[Any],
    at: datetime,
    horizon: HistoryHorizon | None = None,
) -> Planned:
    """Write an agenda down: acts, the row, state changes and tasks that are due, the ledger.

    `applied` are the facts that the agenda follows from, with the acts that led to them. With a `horizon`
    (`history_horizon`) states are written up to it, and nothing else (T10).
    """
    for act, reason in applied.refused:
        await record_refusal(session, row.workflow, act, reason, at)
    known = await audit.records_with_head(session, row.workflow, "act", "state", "task")
    await _record_acts(session, row.workflow, applied.done, known["act"], at)
    row.program = situation.program.id
    row.policy_version = situation.program.policy_version
    row.program_version = situation.program.fingerprint
    row.facts = facts_to_row(applied.facts, before=row.facts)
    state_before = row.state
    row.closed_at = await _record_state_changes(
        session, row, agenda, applied, known["state"], at, horizon.until if horizon else at
    )
    if horizon and row.closed_at is None:
        # Its plan is due already; it only waits for the rest of the history.
        row.next_at = at
        await session.flush()
        return Planned(
            row.state, False, [], horizon.look_again_at, refused=applied.refusals, program=row.program
        )
    # What these read is not what the plan has changed so far: that is written once, at the end.
    with session.no_autoflush:
        await _open_due_tasks(session, row, agenda, applied.facts, at)
        if (applied.done or row.state != state_before) and _may_have_tasks(session, row.workflow):
            await close_settled_tasks(session, row, agenda, applied.facts, at.replace(microsecond=0))
        wakes = [] if row.closed_at else agenda.wakes_after(at)
        row.next_at = wakes[0] if wakes else None
        when, because = _when(agenda, applied.done, at), await resolve_reason(session, agenda.dropped_because)
        members = {profile: who.member.id for profile, who in situation.people.items()}
        changes = (
            ledger.AgendaChanges()
            if agenda.has_batches
            else await ledger.plan(
                session, row.workflow, situation.program.id, agenda.mails, when, because, members
            )
        )
    return Planned(
        state=row.state,
        closed=row.closed_at is not None,
        mails=[
            due_mail(m.step, m.occurrence, m.due_at, m.message_class) for m in changes.waiting if m.due_at
        ],
        wake_at=row.next_at,
        moved=changes.moved,
        dropped=changes.dropped,
        refused=applied.refusals,
        added=changes.added if applied.done else [],
        program=row.program,
    )


@dataclass(frozen=True, slots=True)
class HistoryHorizon:
    """Up to when a lifecycle of a take-over may be written down, while events of history wait to be applied (T10)."""

    until: datetime
    look_again_at: datetime


async def history_horizon(
    session: AsyncSession,
    row: Lifecycle,
    acts: Sequence[Act],
    taken_over_at: datetime | None,
    at: datetime,
) -> HistoryHorizon | None:
    """Return up to when a lifecycle of a take-over may be written down; None where that is now (T10).

    While events of history wait to be applied, one of them may still end it: only what events have reported counts.
    """
    if taken_over_at is None or at > taken_over_at + LONGEST_TAKE_OVER:
        return None
    is_pending = and_(Event.history, Event.state.in_(("stored", "applying")))
    by_events = {act.event for act in acts}
    if all(
        str(event) in by_events
        for event in await session.scalars(select(Event.id).where(is_pending).limit(2))
    ):
        return None
    waiting = await session.scalar(select(func.count()).select_from(Event).where(is_pending)) or 0
    reported = [act.at for act in acts if act.at and act.at <= at]
    again = at + max(HISTORY_RECHECK, min(waiting * HISTORY_EVENT, LONGEST_RECHECK))
    return HistoryHorizon(max([row.state_since, *reported]), again)


async def _open_due_tasks(
    session: AsyncSession, row: Lifecycle, agenda: Agenda, facts: Any, at: datetime
) -> None:
    for task in agenda.tasks:
        if task.due <= at and not settled_because(task.kind, task.cause, row.state, facts):
            opened_at = recorded_at(task.due, at)
            await open_task(
                session, task.kind, task.subject or row.workflow, task.cause, task.action, opened_at
            )


def _when(agenda: Agenda, acts: Sequence[Act], at: datetime) -> datetime:
    """Return the instant to record for what a plan changes: that of the last act or state change that led to it."""
    causes = [change.due for change in agenda.state_changes] + [act.at for act in acts if act.at]
    return recorded_at(max((cause for cause in causes if cause <= at), default=None), at)


async def settle_lapses(session: AsyncSession, workflow: str, agenda: Agenda, at: datetime) -> None:
    """Close tasks about lost standing that the agenda no longer has: standing has returned (MEM1, MEM2, STA2)."""
    if not _may_have_tasks(session, workflow):
        return
    causes = [task.cause for task in agenda.tasks]
    await settle_tasks(session, workflow, "member_lapsed", causes, "good standing has returned", at)


def _may_have_tasks(session: AsyncSession, workflow: str) -> bool:
    """Return whether a lifecycle may ever have had a task: each that opens is recorded (STA2)."""
    return not audit.has_none(session, workflow, "task")


async def resolve_reason(session: AsyncSession, reason: str) -> str:
    """Return the words of a reason: itself, or those of the stored event that it names."""
    before, mark, event_id = reason.partition(EVENT_REASON)
    if not mark or not event_id.isdigit():
        return reason
    event = await get_event(session, event_id)
    return before + str(event.data.get("reason") or "").strip() if event else reason


async def _record_acts(
    session: AsyncSession,
    workflow: str,
    acts: Sequence[Act],
    recorded: Sequence[Mapping[str, Any]],
    at: datetime,
) -> None:
    known = {data.get("id") for data in recorded}
    for act in acts:
        if act.id in known:
            continue
        known.add(act.id)
        reason = await resolve_reason(session, act.reason)
        await audit.append(
            session,
            workflow,
            "act",
            recorded_at(act.at, at),
            {"id": act.id, "act": act.name, **act.details},
            actor=act.actor,
            veiled={"reason": reason} if reason else None,
        )


async def record_refusal(session: AsyncSession, workflow: str, act: Act, reason: str, at: datetime) -> None:
    """Record the refusal of an act once, with its actor. An event's act is recorded with the event (STA3).

    After MOST_REFUSALS records of a lifecycle, one more is kept each day: anybody can send signals without end.
    """
    if act.event and not act.signal:
        return
    known = await audit.records_of(session, workflow, "refused")
    if any(data.get("id") == act.id for data in known):
        return
    data = {"event": act.name, "id": act.id, "reason": reason}
    if len(known) >= MOST_REFUSALS:
        data["last_of"] = at.date().isoformat()
        if any(record.get("last_of") == data["last_of"] for record in known):
            return
    await audit.append(
        session, workflow, "refused", (act.at or at).replace(microsecond=0), data, actor=act.actor or None
    )


# long: the agenda and what led to it, what is on record of it, and the two instants
async def _record_state_changes(
    session: AsyncSession,
    row: Lifecycle,
    agenda: Agenda,
    applied: AppliedActs[Any],
    known: Sequence[Mapping[str, Any]],
    at: datetime,
    until: datetime,
) -> datetime | None:
    """Record the state changes that came due since the last plan; return when the lifecycle closed, or None.

    What an event reports late is recorded by the event's time, and so is all history (T9, T10); what time makes due,
    when it is done. Nothing is recorded after the close, such as a state that a mail in flight at that instant would
    begin.
    """
    if row.closed_at is not None:
        return row.closed_at
    recorded = {(data["state"], data["due"]) for data in known}
    begun = agenda.state_changes[0].due
    reported = {max(act.at, begun) for act in applied.done if act.at}
    if not recorded:
        reported.add(begun)
    taken_over_at = applied.facts.taken_over_at
    closed_at, current = None, None
    for change in sorted(agenda.state_changes, key=lambda change: change.due):
        if change.due > until:
            break
        happened = recorded_at(change.due, at)
        if change.due in reported or (taken_over_at and change.due < taken_over_at):
            happened = change.due
        if change.closes:
            closed_at = happened
        if (change.state, change.due.isoformat()) not in recorded:
            cause = await resolve_reason(session, change.cause)
            await _record_state(session, row, change, happened, cause)
        current = change
        if closed_at:
            break
    if current and row.state != current.state:
        # An act that is heard of late, or at the same instant as another, precedes changes already on record: the
        # record shows that the lifecycle is back in an earlier state.
        await _record_state(session, row, current, recorded_at(current.due, at))
    if closed_at is None and agenda.closes_at and agenda.closes_at <= until:
        closed_at = recorded_at(agenda.closes_at, at)
    return closed_at


async def _record_state(
    session: AsyncSession, row: Lifecycle, change: StateChange, happened: datetime, cause: str = ""
) -> None:
    was_paused = row.state == "paused"
    row.state, row.state_since = change.state, happened
    data = {"state": change.state, "due": change.due.isoformat()}
    await audit.append(
        session, row.workflow, "state", happened, data, veiled={"cause": cause} if cause else None
    )
    if change.state == SUSPENDED and not was_paused:
        # The chain that the parties may read shows what a pause shows (ENG8).
        data["state"] = "paused"
        veiled = {"cause": PAUSED_BY_STAFF}
        await audit.append(session, row.workflow, "state", happened, data, veiled=veiled)
