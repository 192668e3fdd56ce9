"""Lists of onboardings, requests, engagements, claims and surveys: filtered, searched, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Claim, Lifecycle, Meetup, Member, Profile, Task
from database.tasks import OPEN
from lifecycles.registry import LIFECYCLES
from rules.engagement.confidentiality import SUSPENDED
from rules.text import folded
from staff.accounts.scope import Scope
from staff.views.lifecycles import parties_of

ROWS_A_PAGE: Final = 50
MOST_IN_A_FILE: Final = 50_000

STALLED: Final = ("inactive", "discovery_stalled")
"""The kinds of tasks that say that a pair does not meet."""

_PEOPLE: Final = ("profile_id", "mentee_id", "mentor_id")


@dataclass(frozen=True, slots=True)
class ListFilter:
    """What a list of lifecycles shows."""

    state: str = ""
    """One of the kind's states; `~open`, `~closed` or `~stalled` for several; empty for all."""
    program: str = ""
    search: str = ""
    """A part of a name, an address or an id."""


@dataclass(frozen=True, slots=True)
class PartyEntry:
    """Somebody in a row of a list."""

    role: str
    profile: str
    member: str
    name: str


@dataclass(frozen=True, slots=True)
class ListedLifecycle:
    """A row of a list."""

    workflow: str
    state: str
    since: datetime
    closed: datetime | None
    next_at: datetime | None
    program: str
    parties: tuple[PartyEntry, ...]
    certification: str
    """Of a claim; empty for all others."""
    title: str = ""
    """Of a meetup; empty for all others."""


@dataclass(frozen=True, slots=True)
class LifecyclePage:
    """A page of a list, and the cursor of the next one; empty on the last."""

    entries: tuple[ListedLifecycle, ...]
    following: str


async def lifecycle_page(
    session: AsyncSession,
    scope: Scope,
    kind: str,
    chosen: ListFilter,
    cursor: str = "",
    limit: int = ROWS_A_PAGE,
) -> LifecyclePage:
    """Return a page of a list, the last change first. `cursor` is that of the page before; a wrong one is none."""
    table = LIFECYCLES[kind].table
    wanted: Select[Any] = (
        select(table)
        .where(scope.rows(table), *_conditions(scope, kind, chosen))
        .order_by(table.state_since.desc(), table.workflow.desc())
        .limit(limit + 1)
    )
    if place := _place(cursor):
        since, workflow = place
        wanted = wanted.where(
            or_(table.state_since < since, and_(table.state_since == since, table.workflow < workflow))
        )
    rows: list[Lifecycle] = list(await session.scalars(wanted))
    shown = rows[:limit]
    following = ""
    if len(rows) > limit:
        last = shown[-1]
        following = f"{last.state_since.isoformat()}|{last.workflow}"
    return LifecyclePage(await _entries(session, scope, shown), following)


async def workflows_of(
    session: AsyncSession,
    scope: Scope,
    kind: str,
    chosen: ListFilter,
    most: int,
    among: Sequence[str] | None = None,
) -> list[str]:
    """Return the ids of a list, in its order, up to a number; only those `among` some ids, if there are any."""
    table = LIFECYCLES[kind].table
    wanted = select(table.workflow).where(scope.rows(table), *_conditions(scope, kind, chosen))
    if among is not None:
        wanted = wanted.where(table.workflow.in_(among))
    ordered = wanted.order_by(table.state_since.desc(), table.workflow.desc()).limit(most)
    return list(await session.scalars(ordered))


def states_of(scope: Scope, kind: str) -> tuple[str, ...]:
    """Return the states that somebody may filter by: only managers know of a suspension (ENG8)."""
    return tuple(
        state for state in LIFECYCLES[kind].kind.states if scope.member.is_manager or state != SUSPENDED
    )


def members_found(search: str) -> ColumnElement[bool]:
    """Return the condition of members whose name, address or id has every word of a search."""
    words = folded(search).split()[:8]
    return and_(*(Member.folded.contains(word, autoescape=True) for word in words))


def _conditions(scope: Scope, kind: str, chosen: ListFilter) -> list[ColumnElement[bool]]:
    table: Any = LIFECYCLES[kind].table
    found: list[ColumnElement[bool]] = []
    if chosen.state == "~open":
        found.append(table.state.in_(LIFECYCLES[kind].kind.open_states))
    elif chosen.state == "~closed":
        found.append(table.state.in_(LIFECYCLES[kind].kind.closed_states))
    elif chosen.state == "~stalled":
        stalled = select(Task.subject).where(Task.kind.in_(STALLED), Task.state.in_(OPEN))
        found.append(table.workflow.in_(stalled))
    elif chosen.state:
        hidden = chosen.state == "paused" and not scope.member.is_manager
        found.append(table.state.in_((chosen.state, SUSPENDED) if hidden else (chosen.state,)))
    if chosen.program:
        found.append(table.program == chosen.program)
    if chosen.search:
        found.append(_search(table, chosen.search))
    return found


def _search(table: Any, search: str) -> ColumnElement[bool]:
    profiles = (
        select(Profile.id)
        .join(Member, Member.id == Profile.member_id)
        .where(or_(members_found(search), Profile.id == search.strip()))
    )
    columns = [getattr(table, name) for name in _PEOPLE if hasattr(table, name)]
    by_id: ColumnElement[bool] = table.workflow.contains(search.strip(), autoescape=True)
    if hasattr(table, "title"):
        by_id = or_(by_id, func.lower(table.title).contains(search.strip().lower(), autoescape=True))
    return or_(by_id, *(column.in_(profiles) for column in columns))


def _place(cursor: str) -> tuple[datetime, str] | None:
    since, _, workflow = cursor.partition("|")
    try:
        at = datetime.fromisoformat(since)
    except ValueError:
        return None
    return (at, workflow) if at.tzinfo and workflow else None


async def _entries(
    session: AsyncSession, scope: Scope, rows: Sequence[Lifecycle]
) -> tuple[ListedLifecycle, ...]:
    parties = [parties_of(row) for row in rows]
    people = await _people(session, {profile for each in parties for profile in each.values()})
    return tuple(
        ListedLifecycle(
            workflow=row.workflow,
            state=scope.state(row),
            since=row.state_since,
            closed=row.closed_at,
            next_at=row.next_at,
            program=row.program,
            parties=tuple(
                PartyEntry(role, profile, *people.get(profile, ("", profile)))
                for role, profile in each.items()
            ),
            certification=row.certification if isinstance(row, Claim) else "",
            title=row.title if isinstance(row, Meetup) else "",
        )
        for row, each in zip(rows, parties, strict=True)
    )


async def _people(session: AsyncSession, profiles: set[str]) -> Mapping[str, tuple[str, str]]:
    """Return the member's id and name of each profile."""
    found: dict[str, tuple[str, str]] = {}
    ids = sorted(profiles)
    for start in range(0, len(ids), 500):
        rows = await session.execute(
            select(Profile.id, Member.id, Member.name)
            .join(Member, Member.id == Profile.member_id)
            .where(Profile.id.in_(ids[start : start + 500]))
        )
        found |= {profile: (member, name) for profile, member, name in rows}
    return found
