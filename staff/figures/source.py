"""What the figures of a program are computed from: the few columns of its rows that they need, read at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import (
    AuditRecord,
    Claim,
    Cohort,
    CohortMember,
    Engagement,
    Member,
    Profile,
    Request,
    Survey,
)
from rules.calendar import Calendar, calendar_for
from rules.program import Program

CHUNK = 500
"""Claims whose records one query reads."""

_STATES_OF_CREDIT = ("ready", "submitted", "accepted", "rejected", "revoked")
"""The states in which a claim has been ready at some time."""


class NewProfile(NamedTuple):
    """A profile of somebody."""

    profile: str
    member: str
    role: str
    at: datetime


class Asked(NamedTuple):
    """A request and what became of it."""

    at: datetime
    state: str
    closed_at: datetime | None
    mentor: Calendar
    """The calendar of who has to answer (T1)."""


class Pair(NamedTuple):
    """An engagement."""

    mentee: str
    mentor: str
    started_at: datetime
    state: str
    closed_at: datetime | None
    end_reason: str | None
    extended_at: tuple[datetime, ...]


@dataclass(frozen=True, slots=True)
class PeoplePart:
    """A part of a program's people: those of a cohort, of a partner, or of both; an empty name stands for all."""

    cohort: str = ""
    partner: str = ""

    @property
    def is_all(self) -> bool:
        """Whether it is no part, but everybody."""
        return not (self.cohort or self.partner)

    def profiles(self) -> Select[str]:
        """Return the ids of its profiles."""
        conditions: list[ColumnElement[bool]] = []
        if self.cohort:
            members = select(CohortMember.profile_id).where(CohortMember.cohort_id == self.cohort)
            conditions.append(Profile.id.in_(members))
        if self.partner:
            conditions.append(Profile.partner == self.partner)
        return select(Profile.id).where(and_(true(), *conditions))

    def sign_ups(self) -> ColumnElement[bool]:
        """Return the condition of its profiles."""
        return true() if self.is_all else Profile.id.in_(self.profiles())

    def pairs(self, table: type[Engagement] | type[Request]) -> ColumnElement[bool]:
        """Return the condition of engagements or requests: those of which one of the two is of the partner."""
        conditions: list[ColumnElement[bool]] = []
        if self.cohort:
            of_cohort = Engagement.cohort == self.cohort
            # A request names no cohort: its engagement does.
            own = table.id.in_(select(Engagement.id).where(of_cohort)) if table is Request else of_cohort
            conditions.append(own)
        if self.partner:
            people = PeoplePart(partner=self.partner).profiles()
            conditions.append(or_(table.mentee_id.in_(people), table.mentor_id.in_(people)))
        return and_(true(), *conditions)

    def of_engagement(self, table: type[Claim] | type[Survey]) -> ColumnElement[bool]:
        """Return the condition of claims or surveys: those of its pairs."""
        if self.is_all:
            return true()
        return table.engagement_id.in_(select(Engagement.id).where(self.pairs(Engagement)))


EVERYBODY = PeoplePart()


async def parts_of_program(session: AsyncSession, program: Program) -> tuple[list[str], list[str]]:
    """Return the cohorts of a program, the latest first, and the partners: what its figures can be a part of."""
    cohorts = await session.scalars(
        select(Cohort.id).where(Cohort.program == program.id).order_by(Cohort.opens_on.desc(), Cohort.id)
    )
    partners = await session.scalars(
        select(Profile.partner)
        .where(Profile.program == program.id, Profile.partner.is_not(None))
        .distinct()
        .order_by(Profile.partner)
    )
    return list(cohorts), [name for name in partners if name]


@dataclass(frozen=True, slots=True)
class FigureSource:
    """All that the figures of one program follow from."""

    program: Program
    sign_ups: tuple[NewProfile, ...]
    requests: tuple[Asked, ...]
    pairs: tuple[Pair, ...]
    answers: tuple[tuple[datetime, str, Mapping[str, Any]], ...]
    """When a survey was answered, by which role, and how."""
    credit: tuple[tuple[datetime, str, str], ...]
    """When a claim became `ready` or `submitted` for the first time: instant, state, claim."""


async def figure_source(
    session: AsyncSession, program: Program, part: PeoplePart = EVERYBODY
) -> FigureSource:
    """Read what the figures of a program, or of a part of its people, follow from; rows in no order."""
    profiles = await session.execute(
        select(Profile.id, Profile.member_id, Profile.role, Profile.created_at).where(
            Profile.program == program.id, part.sign_ups()
        )
    )
    surveys = await session.execute(
        select(Survey.answered_at, Survey.role, Survey.answers).where(
            Survey.program == program.id, Survey.answered_at.is_not(None), part.of_engagement(Survey)
        )
    )
    return FigureSource(
        program,
        tuple(map(NewProfile._make, profiles)),
        await _requests(session, program, part),
        await _pairs(session, program, part),
        tuple((at, role, answers) for at, role, answers in surveys if at is not None),
        await _credit(session, program, part),
    )


async def _requests(session: AsyncSession, program: Program, part: PeoplePart) -> tuple[Asked, ...]:
    rows = await session.execute(
        select(
            *(Request.created_at, Request.state, Request.closed_at),
            *(Member.time_zone, Member.country, Member.subdivision),
        )
        .join(Profile, Profile.id == Request.mentor_id)
        .join(Member, Member.id == Profile.member_id)
        .where(Request.program == program.id, part.pairs(Request))
    )
    # Thousands are asked, of a few places: one calendar for each place.
    calendars = cache(partial(calendar_for, program.hours))
    return tuple(Asked(at, state, closed, calendars(*place)) for at, state, closed, *place in rows)


async def _pairs(session: AsyncSession, program: Program, part: PeoplePart) -> tuple[Pair, ...]:
    # As text: most pairs have none, and nothing is parsed for them.
    new_ends = Engagement.facts["new_ends"].as_string()
    rows = await session.execute(
        select(
            *(Engagement.mentee_id, Engagement.mentor_id, Engagement.started_at, Engagement.state),
            *(Engagement.closed_at, Engagement.end_reason, new_ends),
        ).where(Engagement.program == program.id, part.pairs(Engagement))
    )
    return tuple(Pair._make((*row[:-1], _extensions(row[-1]))) for row in rows)


def _extensions(new_ends: str | None) -> tuple[datetime, ...]:
    """Return when an engagement was extended. The end of the first plan is no extension (ENG3)."""
    ends = json.loads(new_ends) if new_ends else None
    return tuple(datetime.fromisoformat(str(end["at"])) for end in ends or () if end.get("by") != "plan")


async def _credit(
    session: AsyncSession, program: Program, part: PeoplePart
) -> tuple[tuple[datetime, str, str], ...]:
    claims = (
        await session.scalars(
            select(Claim.workflow).where(
                Claim.program == program.id, Claim.state.in_(_STATES_OF_CREDIT), part.of_engagement(Claim)
            )
        )
    ).all()
    first: dict[tuple[str, str], datetime] = {}
    for begin in range(0, len(claims), CHUNK):
        records = await session.execute(
            select(AuditRecord.subject, AuditRecord.at, AuditRecord.data)
            .where(AuditRecord.subject.in_(claims[begin : begin + CHUNK]), AuditRecord.kind == "state")
            .order_by(AuditRecord.at)
        )
        for claim, at, data in records:
            if data.get("state") in ("ready", "submitted"):
                first.setdefault((data["state"], claim), at)
    return tuple((at, state, claim) for (state, claim), at in sorted(first.items()))
