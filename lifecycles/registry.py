"""The kinds of lifecycle, one entry each: the only place that knows them all.

An entry says where a kind keeps its rows and facts, and how its situation is loaded. What it does and what may be done
to it follow from its rules (`rules/kinds.py` has its names). Rooms above keep one table of handlers each, keyed by the
same names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, cast

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Claim, Cohort, Engagement, Lifecycle, Meetup, Message, Onboarding, Request, Survey
from lifecycles.claims import claims_of_member, load_claim
from lifecycles.cohorts.cohort_situation import cohorts_of, load_cohort
from lifecycles.engagements import engagements_of, situation_of, with_curriculum
from lifecycles.facts import facts_from_row
from lifecycles.meetups.meetup_situation import load_meetup, meetups_of
from lifecycles.onboardings import load_onboarding, onboardings_of
from lifecycles.participants import Programs, program_of
from lifecycles.requests import load_request, requests_of
from lifecycles.situation import Situation, pinned_program
from lifecycles.surveys import load_survey, surveys_of
from rules.acts import Act
from rules.agenda import Agenda, Refused
from rules.cohort import CohortFacts
from rules.credit import ClaimFacts
from rules.engagement import EngagementFacts
from rules.kinds import KINDS, Kind
from rules.meetup import MeetupFacts
from rules.onboarding import OnboardingFacts
from rules.program import Program
from rules.request import RequestFacts
from rules.survey import SurveyFacts

Governed = Callable[[AsyncSession, Any, Program, Lifecycle, datetime], Awaitable[Any]]
Load = Callable[[AsyncSession, Programs, Any, datetime, Lifecycle | None], Awaitable[Situation[Any]]]


@dataclass(frozen=True, slots=True)
class LifecycleKind:
    """One kind of lifecycle, from its rows to its rules."""

    kind: Kind
    table: type[Onboarding | Request | Engagement | Claim | Survey | Cohort | Meetup]
    facts: type[Any]
    load: Load
    """Return the situation of facts: people and program, as the database has them at an instant.

    The program has the rules of the version that the lifecycle's row, where it has one, began with.
    """
    open_of: Callable[[str], list[Select[str, str]]]
    """Return queries for the open ones that depend on a member: workflow id, and the profile concerned."""
    governed: Governed | None = None
    """Return the facts as the first plan by another version of the program changes them; None where it does not."""


LIFECYCLES: Mapping[str, LifecycleKind] = MappingProxyType(
    {
        "onboarding": LifecycleKind(
            KINDS["onboarding"], Onboarding, OnboardingFacts, load_onboarding, onboardings_of
        ),
        "request": LifecycleKind(KINDS["request"], Request, RequestFacts, load_request, requests_of),
        "engagement": LifecycleKind(
            KINDS["engagement"], Engagement, EngagementFacts, situation_of, engagements_of, with_curriculum
        ),
        "claim": LifecycleKind(KINDS["claim"], Claim, ClaimFacts, load_claim, claims_of_member),
        "survey": LifecycleKind(KINDS["survey"], Survey, SurveyFacts, load_survey, surveys_of),
        "cohort": LifecycleKind(KINDS["cohort"], Cohort, CohortFacts, load_cohort, cohorts_of),
        "meetup": LifecycleKind(KINDS["meetup"], Meetup, MeetupFacts, load_meetup, meetups_of),
    }
)
"""All kinds of lifecycle, by the first part of their workflow ids."""


def lifecycle_of(workflow: str) -> LifecycleKind:
    """Return the entry of a workflow id. Raises KeyError for one that is no lifecycle's."""
    return LIFECYCLES[workflow.partition("/")[0]]


async def find_lifecycle(session: AsyncSession, workflow: str) -> Lifecycle | None:
    """Return the row of a lifecycle; None if the database has none, or the id is no lifecycle's."""
    entry = LIFECYCLES.get(workflow.partition("/")[0])
    row: Lifecycle | None = await session.get(entry.table, workflow) if entry else None
    return row


async def find_lifecycles(session: AsyncSession, workflows: Iterable[str]) -> dict[str, Lifecycle]:
    """Return the rows of lifecycles by workflow id, with a query for each kind; unknown ids are left out."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for workflow in sorted(set(workflows)):
        by_kind[workflow.partition("/")[0]].append(workflow)
    found: dict[str, Lifecycle] = {}
    for kind, ids in by_kind.items():
        if kind in LIFECYCLES:
            table = LIFECYCLES[kind].table
            rows: Any = await session.scalars(select(table).where(table.workflow.in_(ids)))
            found |= {row.workflow: row for row in rows}
    return found


async def program_of_message(session: AsyncSession, programs: Programs, row: Message) -> Program:
    """Return the program by which a message is written: that of its lifecycle, else the newest. Raises NotOnRecord."""
    lifecycle = await find_lifecycle(session, row.workflow)
    if lifecycle is None:
        return program_of(programs, row.program)
    return await pinned_program(session, programs, lifecycle)


async def open_lifecycles_of(session: AsyncSession, member: str) -> list[tuple[str, str]]:
    """Return the open lifecycles that depend on a member, each with the profile of the member that it concerns."""
    queries = [query for entry in LIFECYCLES.values() for query in entry.open_of(member)]
    return [(workflow, profile) for query in queries for workflow, profile in await session.execute(query)]


async def agenda_of(session: AsyncSession, row: Lifecycle, programs: Programs, at: datetime) -> Agenda:
    """Return the agenda of a lifecycle, from its row and what the database has of its people. Raises NotOnRecord."""
    situation, facts = await _read(session, row, programs, at)
    return situation.agenda(facts)


@dataclass(frozen=True, slots=True)
class ChangeOutcome:
    """A lifecycle before and after a change that is not done yet."""

    situation: Situation[Any]
    before: Agenda
    facts: Any
    """The facts after the change."""
    after: Agenda


async def outcome_of(
    session: AsyncSession, row: Lifecycle, act: Act, programs: Programs, at: datetime
) -> ChangeOutcome:
    """Return what a lifecycle would be after an act at `at`, by the rules that plans use (STA1).

    Raises Refused where the rules refuse the act, or the lifecycle is over.
    """
    situation, facts = await _read(session, row, programs, at)
    if row.closed_at:
        raise Refused(_closed_because(situation, facts, row, row.closed_at))
    after = situation.apply(facts, act, at)
    return ChangeOutcome(situation, situation.agenda(facts), after, situation.agenda(after))


async def outcome_under(
    session: AsyncSession, row: Lifecycle, version: Program, programs: Programs, at: datetime
) -> ChangeOutcome:
    """Return what an onboarding, a request or an engagement would be by another version of its program (CPE12).

    Claims and surveys have the version of their engagement. Raises NotOnRecord.
    """
    situation, facts = await _read(session, row, programs, at)
    governed = program_of(programs, row.program).governed_by(version)
    moved: Situation[Any] = replace(cast(Any, situation), program=governed)
    prepare = lifecycle_of(row.workflow).governed
    after = await prepare(session, facts, governed, row, at) if prepare else facts
    return ChangeOutcome(moved, situation.agenda(facts), after, moved.agenda(after))


async def agenda_after(
    session: AsyncSession, row: Lifecycle, act: Act, programs: Programs, at: datetime
) -> Agenda:
    """Return the agenda that a lifecycle would have after an act at `at`. Raises as `outcome_of` does."""
    return (await outcome_of(session, row, act, programs, at)).after


async def closed_because(session: AsyncSession, row: Lifecycle, programs: Programs) -> str:
    """Return in which words a closed lifecycle refuses what comes after its end (REQ10); empty while it is open."""
    if row.closed_at is None:
        return ""
    situation, facts = await _read(session, row, programs, row.closed_at)
    return _closed_because(situation, facts, row, row.closed_at)


async def _read(
    session: AsyncSession, row: Lifecycle, programs: Programs, at: datetime
) -> tuple[Situation[Any], Any]:
    entry = lifecycle_of(row.workflow)
    facts = facts_from_row(entry.facts, row.facts)
    return await entry.load(session, programs, facts, at, row), facts


def _closed_because(situation: Situation[Any], facts: Any, row: Lifecycle, closed_at: datetime) -> str:
    on = situation.calendar.date_of(closed_at)
    return situation.closed_because(facts, row.state, on) or f"{row.workflow} is over: {row.state}"
