"""The state of a whole demo: people, what lies ahead, what happened, and the tasks of staff."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Lifecycle, Message, Profile, Task
from database.session import Database
from embedded.demo.history_entries import HistoryEntry, Subjects, read_history
from embedded.demo.words import lifecycle_words, message_words, spaced
from lifecycles.participants import Participant, participants
from lifecycles.registry import LIFECYCLES
from rules.kinds import KINDS
from rules.program import Program
from staff.acts import acts_now
from staff.people import People
from staff.views.lifecycles import owners_of, upcoming
from staff.views.messages import message_views

ACTS = ("pause", "resume", "extend", "cancel")
"""The acts of staff that the demo offers, in the order of its buttons."""


@dataclass(frozen=True, slots=True)
class UpcomingItem:
    """A planned message or state change."""

    at: datetime | None
    """In UTC; None while it is held."""
    what: str
    who: str
    zone: str
    """The time zone of the person, or of the program where two people are concerned."""


@dataclass(frozen=True, slots=True)
class LifecycleEntry:
    """A lifecycle in which a person takes part."""

    workflow: str
    profile: str
    kind: str
    label: str
    """The kind for people; of a claim, with its certification."""
    who: str
    role: str
    zone: str
    state: str
    open: bool
    acts: tuple[str, ...]
    """What staff can do to it now."""
    other: str = ""
    """The name of the other person, where two take part."""


@dataclass(frozen=True, slots=True)
class Person:
    """A member with all lifecycles."""

    member: str
    name: str
    zone: str
    standing: str
    cases: list[LifecycleEntry] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StaffTask:
    """An open task."""

    kind: str
    who: str
    action: str
    due: datetime


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of a demo at an instant."""

    coming: list[UpcomingItem]
    held: list[UpcomingItem]
    people: list[Person]
    happened: list[HistoryEntry]
    tasks: list[StaffTask]
    zones: list[str]
    """The time zones of the people, without the program's."""

    def profiles(self, role: str) -> list[tuple[str, str]]:
        """Return the profiles of a role, with names."""
        return [
            (case.profile, person.name)
            for person in self.people
            for case in person.cases
            if case.role == role and case.kind == "onboarding"
        ]


async def read_overview(
    database: Database, programs: Mapping[str, Program], program: Program, now: datetime
) -> Overview:
    """Return the state of a demo at an instant of program time."""
    async with database.reading() as session:
        profiles = list(await session.scalars(select(Profile).order_by(Profile.created_at, Profile.id)))
        found = await participants(session, [profile.id for profile in profiles])
        rows: list[Lifecycle] = []
        for kind in LIFECYCLES.values():
            rows += await session.scalars(select(kind.table).order_by(kind.table.workflow))
        subjects = Subjects(rows, People(found, programs), program)
        ahead = [
            *await _messages(session, subjects, programs),
            *await _state_changes(session, subjects, programs, now),
        ]
        happened = await read_history(session, database, subjects, now)
        tasks = await _tasks(session, subjects)
    people = _people(profiles, found, subjects)
    return Overview(
        coming=sorted((item for item in ahead if item.at), key=lambda item: str(item.at)),
        held=[item for item in ahead if item.at is None],
        people=people,
        happened=happened,
        tasks=tasks,
        zones=sorted({person.zone for person in people} - {program.hours.zone}),
    )


async def _messages(
    session: AsyncSession, subjects: Subjects, programs: Mapping[str, Program]
) -> list[UpcomingItem]:
    planned = await session.scalars(
        select(Message).where(Message.state == "planned").order_by(Message.due_at, Message.id)
    )
    return [
        UpcomingItem(
            message.due,
            f"mail: {message_words(message.message, message.number)}",
            subjects.people.name(message.to),
            message.zone,
        )
        for message in await message_views(session, list(planned), programs)
    ]


async def _state_changes(
    session: AsyncSession, subjects: Subjects, programs: Mapping[str, Program], now: datetime
) -> list[UpcomingItem]:
    """Return the states that the lifecycles enter if nobody acts."""
    return [
        UpcomingItem(
            item.at,
            f"{lifecycle_words(item.workflow)} becomes {spaced(item.what)}",
            subjects.names(item.workflow),
            subjects.zone(item.workflow),
        )
        for row in subjects.rows
        for item in (await upcoming(session, [row], programs, now)).changes
        if item.kind == "state"
    ]


async def _tasks(session: AsyncSession, subjects: Subjects) -> list[StaffTask]:
    """Return the open tasks, misconduct first (STA2)."""
    tasks = await session.scalars(select(Task).where(Task.state == "open").order_by(Task.opened_at, Task.id))
    return [
        StaffTask(
            f"{spaced(task.kind)} · {lifecycle_words(task.subject)}"
            if task.subject.startswith("claim/")
            else spaced(task.kind),
            subjects.names(task.subject),
            task.action,
            task.due_at,
        )
        for task in sorted(tasks, key=lambda task: task.kind != "misconduct")
    ]


def _people(
    profiles: Sequence[Profile], found: Mapping[str, Participant], subjects: Subjects
) -> list[Person]:
    people: dict[str, Person] = {}
    for profile in profiles:
        member = found[profile.id].member
        zone = subjects.people.zone(profile.id, profile.program)
        person = people.setdefault(member.id, Person(member.id, member.name, zone, member.standing))
        person.cases.extend(
            _entry(row, profile, subjects) for row in subjects.rows if profile.id in owners_of(row)
        )
    return list(people.values())


def _entry(row: Lifecycle, profile: Profile, subjects: Subjects) -> LifecycleEntry:
    people = subjects.people
    return LifecycleEntry(
        workflow=row.workflow,
        profile=profile.id,
        kind=row.workflow.partition("/")[0],
        label=lifecycle_words(row.workflow),
        who=people.name(profile.id),
        role=profile.role,
        zone=people.zone(profile.id, profile.program),
        state=row.state,
        open=row.closed_at is None,
        acts=_acts(row, profile.role),
        other=next((people.name(other) for other in owners_of(row) if other != profile.id), ""),
    )


def _acts(row: Lifecycle, role: str) -> tuple[str, ...]:
    """Return the acts that the demo offers: on what can be extended, save that a mentor has no check-ins (ONB2)."""
    kind = row.workflow.partition("/")[0]
    if not KINDS[kind].units:
        return ()
    offered = acts_now(row.workflow, row.state, row.closed_at is not None)
    mentor = kind == "onboarding" and role == "mentor"
    return tuple(act for act in ACTS if act in offered and not (mentor and act == "extend"))
