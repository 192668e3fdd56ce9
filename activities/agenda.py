"""Plans: from facts to an agenda, and what of it is due into the database (T7, MAIL1, STA1–STA3).

One activity per kind of lifecycle; each reads members, calendars and policy, asks the rules, and records the
answer in one transaction. Running it twice records nothing twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.people import Participant, Programs, participant, program_of
from database import audit, ledger
from database.models import DECISIONS, AuditRecord, Event, Lifecycle, Onboarding
from database.session import Database
from database.tasks import open_task
from rules import onboarding
from rules.agenda import Agenda, moment
from rules.onboarding import OnboardingFacts
from rules.program import Program

EVENT_REASON = "event:"
"""A reason of this form names the stored event that holds the words, so that they stay out of histories (MEM6)."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something that somebody did to a lifecycle, for the audit record (STA3). `id` makes it count once."""

    id: str
    name: str
    actor: str
    reason: str = ""
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DueMail:
    """An undecided message and the instant at which it goes out."""

    key: str
    due: datetime


@dataclass(frozen=True, slots=True)
class Shift:
    """A message that an act moved (`was` → `due`) or dropped (`due` is None); instants in UTC."""

    key: str
    message: str
    number: int | None
    to: str
    was: datetime | None
    due: datetime | None


@dataclass(frozen=True, slots=True)
class Planned:
    """What a workflow needs to know of its agenda: its state, the mails to send, when else to look again."""

    state: str
    closed: bool
    mails: list[DueMail]
    wake_at: datetime | None
    moved: list[Shift] = field(default_factory=list)
    dropped: list[Shift] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PlanOnboarding:
    """The facts of an onboarding at an instant of the workflow's clock, with the acts that led to them."""

    workflow: str
    facts: OnboardingFacts
    at: datetime
    acts: list[Act] = field(default_factory=list)


Facts = TypeVar("Facts")


def facts_to_row(facts: object) -> dict[str, Any]:
    """Facts as the JSON that a lifecycle's row keeps."""
    dumped: dict[str, Any] = TypeAdapter(type(facts)).dump_python(facts, mode="json")
    return dumped


def facts_from_row(kind: type[Facts], row: dict[str, Any]) -> Facts:
    """Facts back from a lifecycle's row."""
    return TypeAdapter(kind).validate_python(row)


class AgendaActivities:
    """The planning activities; `programs` are those of this deployment."""

    def __init__(self, database: Database, programs: Programs) -> None:
        self._database = database
        self._programs = programs

    @activity.defn
    async def plan_onboarding(self, order: PlanOnboarding) -> Planned:
        """Compute and record the agenda of an onboarding (ONB1–ONB6, MEM1–MEM3)."""
        async with self._database.begin() as session:
            who = await participant(session, order.facts.profile)
            program = program_of(self._programs, who.profile.program)
            row = await session.get(Onboarding, order.workflow, with_for_update=True)
            if row is None:
                row = Onboarding(workflow=order.workflow, profile_id=who.profile.id)
                session.add(row)
            return await record(
                session,
                row,
                onboarding_agenda(order.facts, who, program),
                program,
                order,
                {who.profile.id: who},
            )


def onboarding_agenda(facts: OnboardingFacts, who: Participant, program: Program) -> Agenda:
    """The agenda of an onboarding for this participant in this program, as the database has them now."""
    codes = [str(item["code"]) for item in who.member.certifications]
    qualified = who.profile.role != "mentor" or onboarding.mentor_is_qualified(
        who.member.years_management, codes, program.onboarding
    )
    return onboarding.agenda(facts, program.onboarding, who.calendar(program), qualified=qualified)


class Order:
    """What every planning order carries (a structural type; see `PlanOnboarding`)."""

    workflow: str
    facts: object
    at: datetime
    acts: list[Act]


async def record(
    session: AsyncSession,
    row: Lifecycle,
    agenda: Agenda,
    program: Program,
    order: Order | PlanOnboarding | Any,
    people: dict[str, Participant],
) -> Planned:
    """Write an agenda down: the lifecycle's row, turns and tasks that are due, the ledger, the acts.

    `people` are the participants whom the agenda's mails go to, by profile.
    """
    at: datetime = order.at
    await _record_acts(session, order.workflow, order.acts, at)
    row.program = program.id
    row.policy_version = program.policy_version
    row.facts = facts_to_row(order.facts)
    closed_at = await _record_turns(session, row, agenda, order.workflow, at)
    for task in agenda.tasks:
        if task.due <= at:
            await open_task(
                session,
                task.kind,
                task.subject or order.workflow,
                task.cause,
                task.action,
                moment(task.due, at),
            )
    because = await resolve_reason(session, agenda.dropped_because)
    members = {profile: who.member.id for profile, who in people.items()}
    changes = await ledger.plan(session, order.workflow, program.id, agenda.mails, at, because, members)
    undecided = [
        message for message in await ledger.rows_of(session, order.workflow) if message.state not in DECISIONS
    ]
    mails = [DueMail(f"{m.step}/{m.occurrence}", m.due_at) for m in undecided if m.due_at is not None]
    wakes = [] if closed_at else agenda.wakes_after(at)
    row.closed_at = closed_at
    row.next_at = min([*(mail.due for mail in mails), *wakes], default=None)
    await session.flush()
    return Planned(
        state=row.state,
        closed=closed_at is not None,
        mails=mails,
        wake_at=wakes[0] if wakes else None,
        moved=[_shift(change) for change in changes.moved],
        dropped=[_shift(change) for change in changes.dropped],
    )


async def resolve_reason(session: AsyncSession, reason: str) -> str:
    """The words of a reason: itself, or those of the stored event that it names."""
    before, mark, event_id = reason.partition(EVENT_REASON)
    if not mark or not event_id.isdigit():
        return reason
    event = await session.get(Event, int(event_id))
    return before + str((event.data.get("reason") if event else None) or "").strip()


def _shift(change: ledger.Change) -> Shift:
    return Shift(change.key, change.message, change.number, change.to, change.was, change.due)


async def _record_acts(session: AsyncSession, workflow: str, acts: Sequence[Act], at: datetime) -> None:
    for act in acts:
        known = await session.scalars(
            select(AuditRecord.data).where(AuditRecord.subject == workflow, AuditRecord.kind == "act")
        )
        if any(data.get("id") == act.id for data in known):
            continue
        reason = await resolve_reason(session, act.reason)
        await audit.append(
            session,
            workflow,
            "act",
            at.replace(microsecond=0),
            {"id": act.id, "act": act.name, **act.details},
            actor=act.actor,
            veiled={"reason": reason} if reason else None,
        )


async def _record_turns(
    session: AsyncSession, row: Lifecycle, agenda: Agenda, workflow: str, at: datetime
) -> datetime | None:
    """Record the turns that came due since the last plan; the instant at which the lifecycle closed, if it did."""
    known = await session.scalars(
        select(AuditRecord.data).where(AuditRecord.subject == workflow, AuditRecord.kind == "state")
    )
    recorded = {(data["state"], data["due"]) for data in known}
    closed_at = None
    for turn in sorted(agenda.turns, key=lambda turn: turn.due):
        if turn.due > at:
            break
        happened = moment(turn.due, at)
        if turn.closes:
            closed_at = happened
        if (turn.state, turn.due.isoformat()) not in recorded:
            cause = await resolve_reason(session, turn.cause)
            await audit.append(
                session,
                workflow,
                "state",
                happened,
                {"state": turn.state, "due": turn.due.isoformat()},
                veiled={"cause": cause} if cause else None,
            )
            row.state, row.state_since = turn.state, happened
        if closed_at:
            break
    return closed_at
