"""The figures of the weekly digest to the manager of a program, read when the mail is rendered (STA4).

Counts only: who is behind them stands in the console. Of misconduct the mail has the number of open reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import DECISIONS, Claim, Engagement, Message, Profile, Request, Task
from database.tasks import DUE_AT_ONCE, OPEN
from lifecycles.registry import LIFECYCLES
from rules.calendar import instant_in
from rules.program import Program

WEEK = timedelta(days=7)

CHUNK = 500
"""Subjects of tasks in one query."""


@dataclass(frozen=True, slots=True)
class Week:
    """The seven local days before a digest, and the seven from its day on, as instants."""

    monday: date
    since: datetime
    begins: datetime
    until: datetime

    @classmethod
    def of(cls, at: datetime, zone: str) -> Week:
        """Return the week of an instant in a zone."""
        day = at.astimezone(ZoneInfo(zone)).date()
        monday = day - timedelta(days=day.weekday())
        since, begins, until = (instant_in(zone, monday + n * WEEK, time()) for n in (-1, 0, 1))
        return cls(monday, since, begins, until)


@dataclass(frozen=True, slots=True)
class DigestReader:
    """A coordinator to whom the digest goes, too: the account's id, its zone, and since when somebody is assigned."""

    account: str
    zone: str
    since: datetime


def coordinator_digest(counts: Mapping[str, str], at: datetime, zone: str) -> dict[str, object]:
    """Return what the digest of the week of an instant says to a coordinator, from the counts it was planned with."""
    week = Week.of(at, zone)
    numbers = {name: int(counts[name]) for name in _COORDINATOR_COUNTS}
    tasks = [each.rpartition(":") for each in counts["tasks"].split()]
    shown = [{"kind": kind, "count": int(count)} for kind, _, count in tasks]
    waits = any(numbers[name] for name in ("past_due", "claims", "lagging"))
    return {
        "since": week.monday - WEEK,
        "until": week.monday - timedelta(days=1),
        **numbers,
        "tasks": shown,
        "open": sum(int(count) for _, _, count in tasks),
        "is_quiet": "" if shown or waits else "yes",
    }


_COORDINATOR_COUNTS = ("people", "mentors", "mentees", "matches", "past_due", "claims", "lagging")


async def digest_context(session: AsyncSession, program: Program, at: datetime) -> dict[str, object]:
    """Return what the digest of the week of an instant says."""
    week = Week.of(at, program.manager_zone)
    tasks = await open_tasks(session, program)
    misconduct = sum(tasks.pop(kind, 0) for kind in DUE_AT_ONCE)
    needs = {
        "misconduct": misconduct,
        "past_due": await _count(
            session, Request, Request.program == program.id, Request.state == "past_due"
        ),
        "claims": await _count(
            session, Claim, Claim.program == program.id, Claim.state == "awaiting_evidence"
        ),
        **await _mail(session, program, week),
    }
    ahead = await _ahead(session, program, week)
    return {
        "since": week.monday - WEEK,
        "until": week.monday - timedelta(days=1),
        "figures": await _figures(session, program, week),
        **needs,
        "tasks": [{"kind": kind, "count": count} for kind, count in sorted(tasks.items())],
        "open": misconduct + sum(tasks.values()),
        "is_quiet": "yes" if not tasks and not any(needs.values()) else "",
        "ahead": [{"day": day, "count": count} for day, count in ahead.items()],
        "ahead_total": sum(ahead.values()),
    }


async def _figures(session: AsyncSession, program: Program, week: Week) -> dict[str, str]:
    """Return what happened in the week. Text, so that a template also shows a zero."""
    profiles = await _count_by(session, Profile.role, Profile.program, program, Profile.created_at, week)
    ended = await _count_by(
        session, Engagement.state, Engagement.program, program, Engagement.closed_at, week
    )
    found = {
        "mentors": profiles["mentor"],
        "mentees": profiles["mentee"],
        "requests": await _in_week(session, Request, program, Request.created_at, week),
        "matches": await _in_week(session, Engagement, program, Engagement.started_at, week),
        "completed": ended["completed"],
        "ended": sum(ended.values()) - ended["completed"],
        "credits": await _in_week(session, Claim, program, Claim.state_since, week, Claim.state == "ready"),
    }
    return {name: str(count) for name, count in found.items()}


async def _mail(session: AsyncSession, program: Program, week: Week) -> dict[str, int]:
    decided = await _count_by(session, Message.state, Message.program, program, Message.decided_at, week)
    returned = await _in_week(session, Message, program, Message.came_back_at, week)
    return {"failed": decided["failed"], "ambiguous": decided["ambiguous"], "came_back": returned}


async def _ahead(session: AsyncSession, program: Program, week: Week) -> dict[date, int]:
    """Return how many messages are due on each local day from the digest's on."""
    rows = await session.execute(
        select(Message.due_at, func.count())
        .where(
            Message.program == program.id,
            Message.state.not_in(DECISIONS),
            Message.due_at >= week.begins,
            Message.due_at < week.until,
            Message.message.not_like("staff.%"),
        )
        .group_by(Message.due_at)
        .order_by(Message.due_at)
    )
    found: Counter[date] = Counter()
    for due, count in rows:
        if due is not None:
            found[due.astimezone(ZoneInfo(program.manager_zone)).date()] += count
    return dict(found)


async def open_tasks(
    session: AsyncSession, program: Program, *conditions: ColumnElement[bool]
) -> Counter[str]:
    """Return the open tasks by kind: those of the program's lifecycles and people, and those of the deployment."""
    wanted = select(Task.kind, Task.subject).where(Task.state.in_(OPEN), *conditions)
    rows = (await session.execute(wanted)).all()
    subjects = sorted({subject for _, subject in rows})
    others = await _of_other_programs(session, subjects, program)
    return Counter(kind for kind, subject in rows if subject not in others)


async def _of_other_programs(
    session: AsyncSession, subjects: Sequence[str], program: Program
) -> frozenset[str]:
    """Return the subjects that belong to another program alone."""
    own: set[str] = set()
    foreign: set[str] = set()
    for first in range(0, len(subjects), CHUNK):
        part = subjects[first : first + CHUNK]
        queries: list[Any] = [
            select(entry.table.workflow, entry.table.program).where(entry.table.workflow.in_(part))
            for entry in LIFECYCLES.values()
        ]
        for prefix, column in (("profile/", Profile.id), ("member/", Profile.member_id)):
            names = [each.removeprefix(prefix) for each in part if each.startswith(prefix)]
            queries.append(select(prefix + column, Profile.program).where(column.in_(names)))
        for query in queries:
            for subject, of in await session.execute(query):
                (own if of == program.id else foreign).add(subject)
    return frozenset(foreign - own)


async def _count(session: AsyncSession, table: type[Any], *conditions: ColumnElement[bool]) -> int:
    return await session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0


# long: what is counted, of which program, when, and under which further condition
async def _in_week(
    session: AsyncSession,
    table: type[Any],
    program: Program,
    at: Any,
    week: Week,
    *more: ColumnElement[bool],
) -> int:
    return await _count(
        session, table, table.program == program.id, at >= week.since, at < week.begins, *more
    )


# long: by what is counted, of which program, and when
async def _count_by(
    session: AsyncSession, name: Any, of: Any, program: Program, at: Any, week: Week
) -> Counter[str]:
    rows = await session.execute(
        select(name, func.count()).where(of == program.id, at >= week.since, at < week.begins).group_by(name)
    )
    return Counter({str(key): count for key, count in rows})
