"""What needs staff today: tasks by person, and the counts of what is late, failed or waiting (STA2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Claim, Event, Member, Message, Profile, Request, Task
from database.tasks import DUE_AT_ONCE, by_urgency
from lifecycles.registry import LIFECYCLES
from staff.accounts.scope import Scope
from staff.acts import acts_now

TASKS_A_PAGE: Final = 30
RECENT: Final = timedelta(days=14)
"""How long failed and returned mail is counted."""

FILTERS: Final = ("new", "waiting", "all")
"""Tasks that nobody has looked at, tasks that were looked at and wait for a day, and both."""

SUGGESTED: Final = {
    "mentee_unmatched": ("extend",),
    "request_unanswered": ("extend", "cancel"),
    "discovery_stalled": ("end", "pause"),
    "inactive": ("end", "pause"),
    "party_withdrawn": ("resume", "end"),
    "evidence_missing": ("reopen",),
    "outside_cycle": ("reopen",),
    "misconduct": ("end", "resume"),
    "member_lapsed": ("cancel",),
}
"""The acts that a task is usually closed by, the most likely first."""


@dataclass(frozen=True, slots=True)
class TaskEntry:
    """A task with the acts that its row offers."""

    id: int
    kind: str
    subject: str
    action: str
    note: str | None
    opened: datetime
    due: datetime
    is_waiting: bool
    """Whether somebody looked at it and set it aside until `due`."""
    is_late: bool
    acts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PersonTasks:
    """The tasks about one person, or about nobody in particular."""

    member: str
    """The member's id; empty for what is about nobody."""
    name: str
    tasks: tuple[TaskEntry, ...]


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A page of tasks by person."""

    groups: tuple[PersonTasks, ...]
    page: int
    has_more: bool
    new: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of each are there."""

    requests_past_due: int
    mail_failed: int
    mail_ambiguous: int
    mail_came_back: int
    claims_waiting: int
    events_held: int
    events_refused: int


async def task_page(
    session: AsyncSession, scope: Scope, at: datetime, chosen: str = "new", page: int = 1
) -> TaskPage:
    """Return a page of open tasks by person, misconduct first. `page` counts from 1."""
    waiting = and_(Task.state == "snoozed", Task.due_at > at)
    is_open = Task.state.in_(("open", "snoozed"))
    mine = await _seen_tasks(session, scope, is_open, waiting)
    numbers = {"new": [id for id, waits in mine if not waits], "waiting": [id for id, waits in mine if waits]}
    chosen_ids = numbers.get(chosen, [id for id, _ in mine])
    offset = (page - 1) * TASKS_A_PAGE
    shown = chosen_ids[offset : offset + TASKS_A_PAGE]
    found = {task.id: task for task in await session.scalars(select(Task).where(Task.id.in_(shown)))}
    return TaskPage(
        groups=await _by_person(session, scope, [found[id] for id in shown if id in found], at),
        page=page,
        has_more=len(chosen_ids) > offset + TASKS_A_PAGE,
        new=len(numbers["new"]),
        waiting=len(numbers["waiting"]),
    )


async def _seen_tasks(
    session: AsyncSession, scope: Scope, is_open: ColumnElement[bool], waiting: ColumnElement[bool]
) -> list[tuple[int, bool]]:
    """Return the open tasks that somebody sees, by number, in the order of urgency, and whether they wait."""
    found = await session.execute(
        select(Task.id, case((waiting, 1), else_=0)).where(is_open, scope.tasks()).order_by(*by_urgency())
    )
    return [(number, bool(waits)) for number, waits in found]


async def counts(session: AsyncSession, scope: Scope, at: datetime) -> Counts:
    """Return how much is late, failed or waiting."""
    mail, events = await _mail(session, scope, at), await _events(session, scope)
    return Counts(
        requests_past_due=await _count(session, Request, scope.rows(Request), Request.state == "past_due"),
        mail_failed=mail["failed"],
        mail_ambiguous=mail["ambiguous"],
        mail_came_back=mail["came_back"],
        claims_waiting=await _count(session, Claim, scope.rows(Claim), Claim.state == "awaiting_evidence"),
        events_held=events.get("held", 0),
        events_refused=events.get("refused", 0),
    )


def troubled(kind: str, at: datetime) -> ColumnElement[bool]:
    """Return the condition of the messages that a count is about: `failed`, `ambiguous` or `came_back`."""
    recent = at - RECENT
    if kind == "came_back":
        return Message.came_back_at > recent
    return and_(Message.decided_at > recent, Message.state == kind)


def unapplied(scope: Scope, state: str) -> Select[Event]:
    """Return the query for events that are held or refused, the newest first.

    Events about misconduct are for managers, as are those about nobody who is known.
    """
    wanted = select(Event).where(Event.state == state).order_by(Event.id.desc())
    return wanted.where(*_visible_events(scope))


def _visible_events(scope: Scope) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if not scope.member.is_manager:
        conditions.append(Event.type != "engagement.misconduct_reported")
    if not scope.member.sees_all:
        conditions.append(scope.subject(Event.subject))
    return conditions


async def _mail(session: AsyncSession, scope: Scope, at: datetime) -> dict[str, int]:
    """Return how many messages are in trouble, in one pass: rows in trouble are few, and each is checked once."""
    kinds = ("failed", "ambiguous", "came_back")
    found = await session.execute(
        select(*(func.coalesce(func.sum(case((troubled(kind, at), 1), else_=0)), 0) for kind in kinds)).where(
            Message.id.in_(select(Message.id).where(or_(*(troubled(kind, at) for kind in kinds)))),
            scope.messages(),
        )
    )
    return dict(zip(kinds, map(int, found.one()), strict=True))


async def _events(session: AsyncSession, scope: Scope) -> dict[str, int]:
    found = await session.execute(
        select(Event.state, func.count().label("number"))
        .where(Event.state.in_(("held", "refused")), *_visible_events(scope))
        .group_by(Event.state)
    )
    return {row.state: row.number for row in found}


async def _count(session: AsyncSession, table: Any, *conditions: ColumnElement[bool]) -> int:
    return int(await session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0)


async def _by_person(
    session: AsyncSession, scope: Scope, tasks: Sequence[Task], at: datetime
) -> tuple[PersonTasks, ...]:
    people = await scope.people_of(session, [task.subject for task in tasks])
    names = await _members(session, set(people.values()))
    states = await _states(session, [task.subject for task in tasks])
    groups: dict[str, list[TaskEntry]] = {}
    for task in tasks:
        member, _ = names.get(people.get(task.subject, ""), ("", ""))
        groups.setdefault(member, []).append(_entry(task, states.get(task.subject), scope, at))
    known = dict(names.values())
    return tuple(PersonTasks(member, known.get(member, ""), tuple(found)) for member, found in groups.items())


def _entry(task: Task, state: tuple[str, bool] | None, scope: Scope, at: datetime) -> TaskEntry:
    acts: tuple[str, ...] = ()
    if state and scope.member.may_act:
        possible = acts_now(task.subject, *state)
        acts = tuple(act for act in SUGGESTED.get(task.kind, ()) if act in possible)
    return TaskEntry(
        id=task.id,
        kind=task.kind,
        subject=task.subject,
        action=task.action,
        note=task.note if scope.member.is_manager else None,
        opened=task.opened_at,
        due=task.due_at,
        is_waiting=task.state == "snoozed" and task.due_at > at,
        is_late=task.kind in DUE_AT_ONCE or task.due_at <= at,
        acts=acts,
    )


async def _members(session: AsyncSession, people: set[str]) -> dict[str, tuple[str, str]]:
    """Return the member's id and name of each `member/…` and `profile/…`."""
    ids = {
        kind: [each.partition("/")[2] for each in people if each.startswith(f"{kind}/")]
        for kind in ("member", "profile")
    }
    found: dict[str, tuple[str, str]] = {}
    rows = await session.execute(select(Member.id, Member.name).where(Member.id.in_(ids["member"])))
    for member, name in rows:
        found[f"member/{member}"] = (member, name)
    of_profiles = await session.execute(
        select(Profile.id, Member.id, Member.name)
        .join(Member, Member.id == Profile.member_id)
        .where(Profile.id.in_(ids["profile"]))
    )
    for profile, member, name in of_profiles:
        found[f"profile/{profile}"] = (member, name)
    return found


async def _states(session: AsyncSession, subjects: Sequence[str]) -> dict[str, tuple[str, bool]]:
    """Return the state of each lifecycle among the subjects, and whether it is closed."""
    found: dict[str, tuple[str, bool]] = {}
    for name, kind in LIFECYCLES.items():
        wanted = [subject for subject in subjects if subject.startswith(f"{name}/")]
        if wanted:
            rows = await session.execute(
                select(kind.table.workflow, kind.table.state, kind.table.closed_at).where(
                    kind.table.workflow.in_(wanted)
                )
            )
            found |= {workflow: (state, closed is not None) for workflow, state, closed in rows}
    return found
