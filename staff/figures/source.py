"""What the figures of a program are computed from: the few columns of its rows that they need, read at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import AuditRecord, Claim, Engagement, Member, Profile, Request, Survey
from rules.calendar import Calendar, calendar_for
from rules.program import Program

CHUNK = 500
"""Claims whose records one query reads."""

_STATES_OF_CREDIT = ("ready", "submitted", "accepted", "rejected", "revoked")
"""The states in which a claim has been ready at some time."""


@dataclass(frozen=True, slots=True)
class NewProfile:
    """A profile of somebody."""

    profile: str
    member: str
    role: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and what became of it."""

    at: datetime
    state: str
    closed_at: datetime | None
    mentor: Calendar
    """The calendar of who has to answer (T1)."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An engagement."""

    mentee: str
    mentor: str
    started_at: datetime
    state: str
    closed_at: datetime | None
    end_reason: str | None
    extended_at: tuple[datetime, ...]


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


async def figure_source(session: AsyncSession, program: Program) -> FigureSource:
    """Read what the figures of a program follow from."""
    profiles = await session.execute(
        select(Profile.id, Profile.member_id, Profile.role, Profile.created_at)
        .where(Profile.program == program.id)
        .order_by(Profile.created_at, Profile.id)
    )
    surveys = await session.execute(
        select(Survey.answered_at, Survey.role, Survey.answers).where(
            Survey.program == program.id, Survey.answered_at.is_not(None)
        )
    )
    return FigureSource(
        program,
        tuple(NewProfile(*row) for row in profiles),
        await _requests(session, program),
        await _pairs(session, program),
        tuple((at, role, answers) for at, role, answers in surveys if at is not None),
        await _credit(session, program),
    )


async def _requests(session: AsyncSession, program: Program) -> tuple[Asked, ...]:
    rows = await session.execute(
        select(
            *(Request.created_at, Request.state, Request.closed_at),
            *(Member.time_zone, Member.country, Member.subdivision),
        )
        .join(Profile, Profile.id == Request.mentor_id)
        .join(Member, Member.id == Profile.member_id)
        .where(Request.program == program.id)
    )
    return tuple(
        Asked(row.created_at, row.state, row.closed_at, calendar_for(program.hours, *row[3:])) for row in rows
    )


async def _pairs(session: AsyncSession, program: Program) -> tuple[Pair, ...]:
    rows = await session.execute(
        select(
            *(Engagement.mentee_id, Engagement.mentor_id, Engagement.started_at, Engagement.state),
            *(Engagement.closed_at, Engagement.end_reason, Engagement.facts),
        )
        .where(Engagement.program == program.id)
        .order_by(Engagement.started_at, Engagement.id)
    )
    return tuple(
        Pair(
            row.mentee_id,
            row.mentor_id,
            row.started_at,
            row.state,
            row.closed_at,
            row.end_reason,
            _extensions(row.facts),
        )
        for row in rows
    )


def _extensions(facts: Mapping[str, Any]) -> tuple[datetime, ...]:
    """Return when an engagement was extended. The end of the first plan is no extension (ENG3)."""
    ends = facts.get("new_ends") or ()
    return tuple(datetime.fromisoformat(str(end["at"])) for end in ends if end.get("by") != "plan")


async def _credit(session: AsyncSession, program: Program) -> tuple[tuple[datetime, str, str], ...]:
    claims = (
        await session.scalars(
            select(Claim.workflow).where(Claim.program == program.id, Claim.state.in_(_STATES_OF_CREDIT))
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
