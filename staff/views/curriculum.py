"""How far the pairs of a program are in its curriculum: per person, pair and partner (COH4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Engagement
from lifecycles.facts import UnreadableFacts, facts_from_row
from lifecycles.participants import Participant, Programs, UnknownProgram, participants
from lifecycles.situation import pinned_program
from rules.engagement import ROLES, EngagementFacts
from rules.engagement.curriculum import StepProgress, progress
from rules.program import Program, program_calendar

STATES: Final = ("done", "open", "late", "ahead")


@dataclass(frozen=True, slots=True)
class SideProgress:
    """How far one person of a pair is."""

    role: str
    profile: str
    member: str
    name: str
    partner: str
    steps: tuple[StepProgress, ...]
    counts: Mapping[str, int]
    """How many steps are in each of STATES."""

    @property
    def total(self) -> int:
        """How many steps there are for the person."""
        return len(self.steps)


@dataclass(frozen=True, slots=True)
class PairProgress:
    """How far a pair is, with those of the two who are seen."""

    workflow: str
    """Empty where only one of the two is seen: the id may name the other."""
    program: str
    cohort: str
    sides: tuple[SideProgress, ...]
    is_lagging: bool
    """Whether somebody who is seen has as many late steps as have staff look after the pair."""


async def progress_of(
    session: AsyncSession,
    rows: Sequence[Engagement],
    programs: Programs,
    at: datetime,
    seen: frozenset[str] | None = None,
) -> list[PairProgress]:
    """Return how far these pairs are at an instant; pairs without a curriculum are left out.

    With `seen`, only those profiles are shown.
    """
    people = await participants(session, {each for row in rows for each in (row.mentee_id, row.mentor_id)})
    versions: dict[tuple[str, str | None], Program | None] = {}
    found = []
    for row in rows:
        key = (row.program, row.program_version)
        if key not in versions:
            versions[key] = await _program(session, programs, row)
        try:
            if (program := versions[key]) and (pair := _pair(row, program, people, at, seen)):
                found.append(pair)
        except UnreadableFacts:
            continue
    return found


def summary(pair: PairProgress) -> tuple[str, ...]:
    """Return the progress of a pair in words, a text a person."""
    return tuple(
        f"{side.role}: {side.counts['done']} of {side.total} done, {side.counts['open']} open, "
        f"{side.counts['late']} late"
        for side in pair.sides
    )


def _pair(
    row: Engagement,
    program: Program,
    people: Mapping[str, Participant],
    at: datetime,
    seen: frozenset[str] | None,
) -> PairProgress | None:
    facts = facts_from_row(EngagementFacts, row.facts)
    both = {role: people.get(facts.profile(role)) for role in ROLES}
    known = {role: who for role, who in both.items() if who is not None}
    if program.curriculum is None or facts.curriculum is None or len(known) < len(ROLES):
        return None
    calendars = {role: who.calendar(program) for role, who in known.items()}
    steps = progress(facts, program.engagement, program.curriculum, program_calendar(program), calendars)
    sides = tuple(
        _side(role, known[role], steps[role], at)
        for role in ("mentee", "mentor")
        if seen is None or known[role].profile.id in seen
    )
    whole = row.workflow if len(sides) == len(ROLES) else ""
    lagging = any(side.counts["late"] >= program.curriculum.lagging_steps for side in sides)
    return PairProgress(whole, row.program, row.cohort or "", sides, lagging)


def _side(role: str, who: Participant, steps: Iterable[StepProgress], at: datetime) -> SideProgress:
    found = tuple(steps)
    counted = Counter(each.state(at) for each in found)
    return SideProgress(
        role=role,
        profile=who.profile.id,
        member=who.member.id,
        name=who.member.name,
        partner=who.profile.partner or "",
        steps=found,
        counts={state: counted[state] for state in STATES},
    )


async def _program(session: AsyncSession, programs: Programs, row: Engagement) -> Program | None:
    try:
        return await pinned_program(session, programs, row)
    except UnknownProgram:
        return None
