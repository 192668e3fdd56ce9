"""Where a demo stands: who is where, what lies ahead, what happened; read from the database for people to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import (
    Engagement,
    Event,
    Lifecycle,
    Message,
    Onboarding,
    Profile,
    Request,
    Task,
)
from database.session import Database
from lifecycles.participants import Participant, participants
from lifecycles.registry import LIFECYCLES
from lifecycles.timeline import timeline
from rules.program import Program
from staff.upcoming import coming


@dataclass(frozen=True, slots=True)
class OverviewItem:
    """Something that lies ahead: `at` in UTC (None while it is held), to whom, in which zone that person lives."""

    at: datetime | None
    what: str
    who: str
    zone: str


@dataclass(frozen=True, slots=True)
class LifecycleEntry:
    """A lifecycle of somebody's: what it is, its state, what staff can do to it now."""

    workflow: str
    profile: str
    kind: str
    who: str
    role: str
    zone: str
    state: str
    open: bool
    acts: tuple[str, ...]
    other: str = ""
    """The name of the other one, where two have a part in it."""


@dataclass(frozen=True, slots=True)
class Person:
    """A member with all cases."""

    member: str
    name: str
    zone: str
    standing: str
    cases: list[LifecycleEntry] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A line of what happened: its kind as in the timeline, its instant, whom it concerns, and words."""

    at: datetime
    kind: str
    who: str
    what: str
    zone: str

    @property
    def is_sent(self) -> bool:
        """Whether it is a mail that went out."""
        return self.kind == "mail" and self.what.startswith("sent: ")


@dataclass(frozen=True, slots=True)
class StaffTask:
    """An open task."""

    kind: str
    who: str
    action: str
    due: datetime


@dataclass(frozen=True, slots=True)
class Overview:
    """Where everything stands."""

    coming: list[OverviewItem]
    held: list[OverviewItem]
    people: list[Person]
    happened: list[HistoryEntry]
    tasks: list[StaffTask]
    zones: list[str]

    def profiles(self, role: str) -> list[tuple[str, str]]:
        """The profiles of a role, with names."""
        return [
            (case.profile, person.name)
            for person in self.people
            for case in person.cases
            if case.role == role and case.kind == "onboarding"
        ]


async def read_overview(
    database: Database, programs: Mapping[str, Program], program: Program, now: datetime
) -> Overview:
    """Where everything stands at an instant of program time."""
    async with database.reading() as session:
        profiles = list(await session.scalars(select(Profile).order_by(Profile.created_at, Profile.id)))
        who = await participants(session, [profile.id for profile in profiles])
        rows: list[Any] = []
        for table in (entry.table for entry in LIFECYCLES.values()):
            rows += await session.scalars(select(table).order_by(table.workflow))
        told = await _told(session, rows, who, program, now)
        ahead = [
            *await _messages(session, who, program),
            *await _turns(session, rows, who, program, programs, now),
        ]
        tasks = await session.scalars(
            select(Task).where(Task.state == "open").order_by(Task.opened_at, Task.id)
        )
        open_tasks = [
            StaffTask(_words(task.kind), _whose(task.subject, rows, who), task.action, task.due_at)
            for task in tasks
        ]
    people = _people(profiles, rows, who, programs)
    return Overview(
        coming=sorted((item for item in ahead if item.at), key=lambda item: str(item.at)),
        held=[item for item in ahead if item.at is None],
        people=people,
        happened=sorted(
            told + [line async for line in _happened(database, program, rows, who, now)],
            key=lambda line: (line.at, _ORDER.index(line.kind), line.who, line.what),
        ),
        tasks=open_tasks,
        zones=sorted({person.zone for person in people} - {program.hours.zone}),
    )


def message_words(name: str, number: int | None = None) -> str:
    """A message's name for people: `mentee.checkin`, 2 is "check-in 2"."""
    words = {"checkin": "check-in"}.get(what := name.partition(".")[2], what.replace("_", " "))
    return f"{words} {number}" if number else words


async def _messages(
    session: AsyncSession, who: dict[str, Participant], program: Program
) -> list[OverviewItem]:
    planned = await session.scalars(
        select(Message).where(Message.state == "planned").order_by(Message.due_at, Message.id)
    )
    return [
        OverviewItem(
            message.due_at,
            f"mail: {message_words(message.message, message.number)}",
            _name(message.to_profile, who),
            _zone(message.to_profile, who, program),
        )
        for message in planned
    ]


async def _turns(
    session: AsyncSession,
    rows: list[Any],
    who: dict[str, Participant],
    program: Program,
    programs: Mapping[str, Program],
    now: datetime,
) -> list[OverviewItem]:
    """The states that lifecycles come to by themselves."""
    found = []
    for row in rows:
        kind, zone = row.workflow.partition("/")[0], _where(row.workflow, rows, who, program)
        for item in await coming(session, row, programs, now):
            if item.kind == "state":
                what = f"{kind} becomes {_words(item.what)}"
                found.append(OverviewItem(item.at, what, _whose(row.workflow, rows, who), zone))
    return found


def _people(
    profiles: list[Profile], rows: list[Any], who: dict[str, Participant], programs: Mapping[str, Program]
) -> list[Person]:
    people: dict[str, Person] = {}
    for profile in profiles:
        one = who[profile.id]
        zone = one.calendar(programs[profile.program]).zone
        person = people.setdefault(
            one.member.id, Person(one.member.id, one.member.name, zone, one.member.standing)
        )
        person.cases.extend(
            LifecycleEntry(
                row.workflow,
                profile.id,
                row.workflow.partition("/")[0],
                one.member.name,
                profile.role,
                zone,
                row.state,
                row.closed_at is None,
                _acts(row, profile.role),
                next((_name(other, who) for other in _parties(row).values() if other != profile.id), ""),
            )
            for row in rows
            if profile.id in _profiles(row)
        )
    return list(people.values())


def _acts(row: Lifecycle, role: str) -> tuple[str, ...]:
    """What staff can do to a lifecycle now."""
    if row.closed_at:
        return ()
    paused = "resume" if row.state == "paused" else "pause"
    if isinstance(row, Onboarding):
        return (paused, "extend", "cancel") if role == "mentee" else (paused, "cancel")
    if isinstance(row, Request):
        return ("extend", "cancel")
    return (paused, "extend", "cancel") if isinstance(row, Engagement) else ()


def _profiles(row: Any) -> list[str]:
    names = ("profile_id", "mentee_id", "mentor_id")
    return [getattr(row, name) for name in names if hasattr(row, name)]


def _parties(row: Any) -> dict[str, str]:
    return {role: getattr(row, f"{role}_id") for role in ("mentee", "mentor") if hasattr(row, f"{role}_id")}


async def _happened(
    database: Database, program: Program, rows: list[Any], who: dict[str, Participant], now: datetime
) -> Any:
    dropped: tuple[tuple[str, str, str | None], list[str]] | None = None
    async for row in timeline(database, program.hours.zone, now):
        kind, at = row["kind"], datetime.fromisoformat(row["at"])
        subject = row.get("workflow") or row.get("subject") or row.get("claim") or ""
        person, zone = _whose(subject, rows, who), _where(subject, rows, who, program)
        if kind == "mail" and row["decision"] == "cancelled":
            same = (row["at"], subject, row.get("reason"))
            words = message_words(row["message"], row["number"])
            if dropped and dropped[0] == same:
                dropped[1].append(words)
                continue
            if dropped:
                yield _no_longer(dropped, rows, who, program)
            dropped = (same, [words])
            continue
        if dropped:
            yield _no_longer(dropped, rows, who, program)
            dropped = None
        if kind == "mail":
            person, zone = _name(row["to"], who), _zone(row["to"], who, program)
            what = f"{row['decision']}: {row['subject'] or message_words(row['message'], row['number'])}"
            if row["decision"] != "sent" and row.get("reason"):
                what = f"{what} ({row['reason']})"
        elif kind == "state" and subject.startswith("claim/"):
            continue  # what becomes of a claim stands in its line of credit
        elif kind == "state":
            what = f"{subject.partition('/')[0]} is {_words(row['state'])}"
            what = f"{what}: {row['reason']}" if row.get("reason") else what
        elif kind == "task":
            what = _words(row["task"])
        elif kind == "credit":
            what = f"claim for {subject.rpartition('/')[2]} is {_words(row['status'])}"
            if row["earned"]:
                what = f"{what}: {row['earned']} credits earned, {row['countable']} of them countable"
        elif kind == "refused":
            what = f"{row['event']}: {row['reason']}"
        else:
            continue
        yield HistoryEntry(at, kind, person, what, zone)


def _no_longer(
    dropped: tuple[tuple[str, str, str | None], list[str]],
    rows: list[Any],
    who: dict[str, Participant],
    program: Program,
) -> HistoryEntry:
    """One line for all the mail that something has made needless."""
    (at, subject, reason), words = dropped
    what = f"no longer sent: {', '.join(dict.fromkeys(words))}"
    what = f"{what} ({reason})" if reason else what
    return HistoryEntry(
        datetime.fromisoformat(at),
        "mail",
        _whose(subject, rows, who),
        what,
        _where(subject, rows, who, program),
    )


async def _told(
    session: AsyncSession, rows: list[Any], who: dict[str, Participant], program: Program, now: datetime
) -> list[HistoryEntry]:
    """What the two people of a request or an engagement told, by a link or through another system."""
    events = await session.scalars(
        select(Event)
        .where(Event.type.in_(_TELLS), Event.state == "applied", Event.occurred_at <= now)
        .order_by(Event.occurred_at, Event.id)
    )
    lines = []
    for event in events:
        by, data = str(event.data.get("by") or event.data.get("mentee") or ""), event.data
        if event.occurred_at is None:
            continue
        what = _TELLS[event.type]
        if event.type == "request.created":
            what = f"{what} {_name(data['mentor'], who)}"
        elif event.type == "letter.signed":
            both = next((_parties(row) for row in rows if row.workflow == event.subject), {})
            what = f"{what} {_name(both.get(data['for'], ''), who)}'s {data.get('certification', 'credit')}"
        elif detail := data.get("answer") or data.get("end") or data.get("certification"):
            what = f"{what}: {_words(str(detail))}"
        name = _name(by, who) if by else _whose(event.subject, rows, who)
        lines.append(HistoryEntry(event.occurred_at, "told", name, what, _zone(by, who, program)))
    return lines


_ORDER = ("told", "refused", "state", "credit", "task", "mail")
"""In which order the lines of one instant are told."""

_TELLS = {
    "request.created": "asks",
    "engagement.discovery": "tells how the discovery call went",
    "engagement.met": "answers whether they met",
    "engagement.plan_agreed": "agree on what they work for",
    "engagement.extension_agreed": "would go on until",
    "claim.domains_chosen": "chooses domains of",
    "letter.signed": "signs the letter for",
    "claim.submitted": "reports the credit of",
    "survey.answered": "answers the survey",
}
"""What of the events that people tell is worth a line, in words; the rest shows in states and tasks."""


def _words(name: str) -> str:
    return name.replace("_", " ")


def _name(profile: str, who: dict[str, Participant]) -> str:
    return who[profile].member.name if profile in who else profile


def _zone(profile: str, who: dict[str, Participant], program: Program) -> str:
    return who[profile].calendar(program).zone if profile in who else program.hours.zone


def _where(subject: str, rows: list[Any], who: dict[str, Participant], program: Program) -> str:
    """The zone of whom a subject concerns, if that is one person; else the program's."""
    profiles = next((_profiles(row) for row in rows if row.workflow == subject), [])
    return _zone(profiles[0], who, program) if len(profiles) == 1 else program.hours.zone


def _whose(subject: str, rows: list[Any], who: dict[str, Participant]) -> str:
    """The names of those whom a subject concerns, else the subject itself."""
    for row in rows:
        if row.workflow == subject:
            return " and ".join(_name(profile, who) for profile in _profiles(row))
    kind, _, name = subject.partition("/")
    if kind == "member":
        return next((one.member.name for one in who.values() if one.member.id == name), name)
    return _name(name, who)
