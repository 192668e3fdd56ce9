"""The closing report of a cohort: what became of its pairs (COH3)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Claim, Cohort, Engagement, Letter, Survey
from lifecycles.participants import Programs
from staff.cohorts.cohort_views import CohortPairView, CohortView, cohort_view, find_cohort

EARNED: Final = ("ready", "submitted", "accepted")
"""The states of a claim whose credit is earned."""


@dataclass(frozen=True, slots=True)
class ReportedPair:
    """A pair at the end: what its mentorship came to."""

    pair: CohortPairView
    state: str
    """The state of the mentorship; that of the pair where it has none."""
    started: datetime | None
    ended: datetime | None
    end_reason: str
    surveys: int
    """How many of the two answered the survey."""
    certificates: int
    claims: int
    """How many claims of credit are earned."""


@dataclass(frozen=True, slots=True)
class CohortReport:
    """What became of a cohort."""

    view: CohortView
    pairs: tuple[ReportedPair, ...]
    figures: Mapping[str, int]
    """Counts by name, in the order of the report."""


async def report_of(
    session: AsyncSession, cohort: str, programs: Programs, language: str = "en"
) -> CohortReport:
    """Return the closing report of a cohort, or what it would be today. Raises NotFound."""
    row = await find_cohort(session, cohort)
    view = await cohort_view(session, cohort, programs, language)
    pairs = await _reported(session, row, view)
    return CohortReport(view, pairs, _figures(view, pairs))


async def _reported(session: AsyncSession, row: Cohort, view: CohortView) -> tuple[ReportedPair, ...]:
    of_cohort = Engagement.cohort == row.id
    engagements = {each.workflow: each for each in await session.scalars(select(Engagement).where(of_cohort))}
    ids = select(Engagement.id).where(of_cohort)
    surveys = await _count(session, Survey, Survey.answered_at.is_not(None), ids)
    certificates = await _count(
        session, Letter, (Letter.kind == "certificate") & Letter.revoked_at.is_(None), ids
    )
    claims = await _count(session, Claim, Claim.state.in_(EARNED), ids)
    found = []
    for pair in view.pairs:
        if pair.state in ("none", "proposed"):
            continue
        engagement = engagements.get(pair.engagement)
        key = engagement.id if engagement else ""
        found.append(
            ReportedPair(
                pair,
                engagement.state if engagement else pair.state,
                engagement.started_at if engagement else None,
                engagement.closed_at if engagement else None,
                (engagement.end_reason or "") if engagement else "",
                surveys[key],
                certificates[key],
                claims[key],
            )
        )
    return tuple(found)


async def _count(session: AsyncSession, table: Any, condition: ColumnElement[bool], ids: Any) -> Counter[str]:
    rows = await session.scalars(select(table.engagement_id).where(table.engagement_id.in_(ids), condition))
    return Counter(rows.all())


def _figures(view: CohortView, pairs: tuple[ReportedPair, ...]) -> dict[str, int]:
    begun = [each for each in pairs if each.started]
    reasons = Counter(each.end_reason or each.state for each in begun if each.state in ("ended", "no_fit"))
    states: dict[str, int] = defaultdict(int, Counter(each.state for each in begun))
    return {
        "mentors": view.summary.mentors,
        "mentees": view.summary.mentees,
        "unpaired": len(view.unpaired),
        "pairs": len(begun),
        "broken_before_the_start": sum(each.state == "broken" for each in pairs),
        "running": states["active"] + states["paused"] + states["suspended"],
        "completed": states["completed"],
        "canceled": states["canceled"],
        **{f"ended_{reason}": count for reason, count in sorted(reasons.items())},
        "surveys_answered": sum(each.surveys for each in begun),
        "certificates": sum(each.certificates for each in begun),
        "claims_earned": sum(each.claims for each in begun),
    }
