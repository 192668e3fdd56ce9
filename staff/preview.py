"""What a staff act would change, computed without doing it (STA1): messages, states, tasks, claims and surveys.

By the same rules that plans use, on the facts that rows keep. An act on an engagement also covers its claims, and names
the surveys that it opens.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database import ledger
from database.ledger import AgendaChanges
from database.models import Lifecycle, Meetup, Task
from database.task_closing import settled_because, settled_tasks
from database.tasks import PROGRAM
from lifecycles.claims import ClaimSituation, claims_after, pending_commands
from lifecycles.engagements import EngagementContext
from lifecycles.meetups.invitations import preview_people
from lifecycles.participants import Programs
from lifecycles.registry import ChangeOutcome, outcome_of
from rules.acts import Act
from rules.agenda import Agenda, closing_change
from rules.engagement import EngagementFacts
from rules.program.catalogue import Catalogue
from staff.upcoming import UpcomingChange, coming_of

MOST_PREVIEWED = 25
"""Of how many invited people a preview of a meetup shows the mail. The others have the same."""


@dataclass(frozen=True, slots=True)
class ComingEffect:
    """A state change, a staff task or a date ahead that an act changes."""

    change: str
    """`gone`, `moved` or `added`."""
    kind: str
    """`state`, `task` or `date`."""
    what: str
    why: str
    was: datetime | None
    due: datetime | None


@dataclass(frozen=True, slots=True)
class TaskEffect:
    """A staff task that an act opens or closes."""

    change: str
    """`opens` or `closes`."""
    task: str
    why: str
    number: int | None = None
    """The number of a task that closes."""


@dataclass(frozen=True, slots=True)
class Preview:
    """One lifecycle before and after an act."""

    workflow: str
    program: str
    before: str
    """The state now."""
    state: str
    """The state after the act."""
    changes: AgendaChanges
    coming: tuple[ComingEffect, ...] = ()
    tasks: tuple[TaskEffect, ...] = ()
    claims: tuple[Preview, ...] = ()
    """The claims of an engagement that change with it."""
    starts: tuple[str, ...] = ()
    """The claims and surveys that begin at once."""


async def preview(
    session: AsyncSession, row: Lifecycle, act: Act, programs: Programs, at: datetime, catalogue: Catalogue
) -> Preview:
    """Return what an act at `at` would change. Raises Refused if it would be refused."""
    return await preview_of(session, row, await outcome_of(session, row, act, programs, at), at, catalogue)


async def preview_of(
    session: AsyncSession, row: Lifecycle, outcome: ChangeOutcome, at: datetime, catalogue: Catalogue
) -> Preview:
    """Return a lifecycle before and after, with what follows at once for claims and surveys."""
    claims: tuple[Preview, ...] = ()
    starts: tuple[str, ...] = ()
    if isinstance(outcome.facts, EngagementFacts):
        closing = closing_change(outcome.after, at)
        situation = outcome.situation
        context = EngagementContext(outcome.facts, situation.people, situation.program, closing)
        claims = tuple(
            [
                await _of_claim(session, changed, context, at)
                for changed in await claims_after(session, context, at)
            ]
        )
        pending = await pending_commands(session, context, outcome.after, catalogue, at)
        starts = tuple(command.workflow for command in pending if command.kind == "start")
    found = await _of(session, row, (outcome.before, outcome.after), outcome.facts, at, claims, starts)
    if isinstance(row, Meetup):
        program = outcome.situation.program
        return replace(
            found, changes=await preview_people(session, row, outcome.facts, program, MOST_PREVIEWED)
        )
    return found


async def _of_claim(
    session: AsyncSession, changed: tuple[Lifecycle, Any, Any], context: EngagementContext, at: datetime
) -> Preview:
    row, facts, after = changed
    situation = ClaimSituation(context)
    return await _of(session, row, (situation.agenda(facts), situation.agenda(after)), after, at)


# long: a lifecycle before and after, and what comes with it
async def _of(
    session: AsyncSession,
    row: Lifecycle,
    agendas: tuple[Agenda, Agenda],
    facts: Any,
    at: datetime,
    claims: tuple[Preview, ...] = (),
    starts: tuple[str, ...] = (),
) -> Preview:
    before, after = agendas
    state = after.state_at(at)
    return Preview(
        workflow=row.workflow,
        program=row.program,
        before=row.state,
        state=state,
        changes=ledger.AgendaChanges()
        if after.has_batches
        else ledger.compare(await ledger.rows_of(session, row.workflow), after.mails),
        coming=coming_effects(coming_of(before, at), coming_of(after, at)),
        tasks=await _task_effects(session, row.workflow, state, after, facts, at),
        claims=claims,
        starts=starts,
    )


def coming_effects(
    before: Sequence[UpcomingChange], after: Sequence[UpcomingChange]
) -> tuple[ComingEffect, ...]:
    """Return how what lies ahead differs, in the order of the instants. Of several alike the first meets the first."""
    left: dict[tuple[str, str], list[UpcomingChange]] = defaultdict(list)
    for each in before:
        left[each.kind, each.what].append(each)
    found = []
    for new in after:
        alike = left[new.kind, new.what]
        old = alike.pop(0) if alike else None
        if old is None:
            found.append(ComingEffect("added", new.kind, new.what, new.why, None, new.at))
        elif old.at != new.at:
            found.append(ComingEffect("moved", new.kind, new.what, new.why, old.at, new.at))
    found += [
        ComingEffect("gone", old.kind, old.what, old.why, old.at, None)
        for alike in left.values()
        for old in alike
    ]
    return tuple(sorted(found, key=_instant))


def _instant(effect: ComingEffect) -> datetime:
    at = effect.was or effect.due
    if at is None:
        raise ValueError("an effect has an instant")
    return at


# long: what a lifecycle is, by state, agenda and facts, and when
async def _task_effects(
    session: AsyncSession, subject: str, state: str, agenda: Agenda, facts: Any, at: datetime
) -> tuple[TaskEffect, ...]:
    closing = await settled_tasks(session, subject, state, agenda, facts, at)
    found = [TaskEffect("closes", task.kind, why, task.id) for task, why in closing]
    known = {
        (task.subject, task.cause)
        for task in await session.scalars(select(Task).where(Task.subject == subject))
        if task.closed_by != PROGRAM
    }
    found += [
        TaskEffect("opens", task.kind, task.action)
        for task in agenda.tasks
        if task.due <= at
        and (task.subject or subject, task.cause) not in known
        and not settled_because(task.kind, task.cause, state, facts)
    ]
    return tuple(found)
