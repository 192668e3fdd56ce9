"""Reports of misconduct and feedback, for those who may read them; each reading is on record (ENG8, SUR4, STA3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit
from database.models import Engagement, Feedback, Report, Task
from lifecycles.participants import Programs
from lifecycles.registry import find_lifecycle
from staff.people import People
from staff.views.lifecycles import program_zone
from staff.views.read_model import NotFound


@dataclass(frozen=True, slots=True)
class ReportSummary:
    """A report of misconduct without its words and without who made it."""

    id: int
    engagement: str
    """The workflow id."""
    reported: datetime
    state: str
    """The state of the engagement."""
    task: str
    """The state of its task; empty if it has none."""
    zone: str
    """The program's time zone."""


@dataclass(frozen=True, slots=True)
class ReportView:
    """A report of misconduct as its reader needs it."""

    summary: ReportSummary
    by: str
    """Who made it: the name with the profile."""
    about: str
    """The other party: the name with the profile."""
    text: str


@dataclass(frozen=True, slots=True)
class FeedbackView:
    """Feedback that somebody gave at any time (SUR4)."""

    id: int
    by: str
    """The name with the profile."""
    profile: str
    given: datetime
    text: str
    zone: str
    """The time zone of who gave it."""


async def reports(session: AsyncSession, programs: Programs) -> tuple[ReportSummary, ...]:
    """Return all reports, the newest first."""
    found = await session.scalars(select(Report).order_by(Report.reported_at.desc(), Report.id.desc()))
    return await _summaries(session, list(found), programs)


async def read_reports(
    session: AsyncSession, name: str, actor: str, at: datetime, programs: Programs
) -> tuple[ReportView, ...]:
    """Return one report by its number, or those about an engagement by its id, and record who read them.

    Raises NotFound.
    """
    wanted = select(Report).order_by(Report.id)
    if name.isascii() and name.isdigit() and len(name) < 10:
        wanted = wanted.where(Report.id == int(name))
    else:
        wanted = wanted.where(Report.engagement_id == name.removeprefix("engagement/"))
    found = list(await session.scalars(wanted))
    if not found:
        raise NotFound(f"there is no report {name}")
    summaries = await _summaries(session, found, programs)
    views = []
    for report, summary in zip(found, summaries, strict=True):
        row = await session.get_one(Engagement, summary.engagement)
        people = await People.of(session, [row.mentor_id, row.mentee_id], programs)
        other = row.mentee_id if report.by_profile == row.mentor_id else row.mentor_id
        views.append(ReportView(summary, people.label(report.by_profile), people.label(other), report.text))
        data = {"act": "report read", "report": report.id}
        await audit.append(session, summary.engagement, "act", at.replace(microsecond=0), data, actor=actor)
    return tuple(views)


async def read_feedback(
    session: AsyncSession, actor: str, at: datetime, programs: Programs
) -> tuple[FeedbackView, ...]:
    """Return all feedback, the newest first, and record who read it, on each person's own record."""
    found = list(
        await session.scalars(select(Feedback).order_by(Feedback.given_at.desc(), Feedback.id.desc()))
    )
    people = await People.of(session, {each.profile_id for each in found}, programs)
    for profile in sorted({each.profile_id for each in found}):
        numbers = sorted(each.id for each in found if each.profile_id == profile)
        data = {"act": "feedback read", "feedback": numbers}
        await audit.append(session, f"profile/{profile}", "act", at.replace(microsecond=0), data, actor=actor)
    return tuple(
        FeedbackView(
            id=each.id,
            by=people.label(each.profile_id),
            profile=each.profile_id,
            given=each.given_at,
            text=each.text,
            zone=people.zone(each.profile_id, next(iter(programs))),
        )
        for each in found
    )


async def _summaries(
    session: AsyncSession, found: Sequence[Report], programs: Programs
) -> tuple[ReportSummary, ...]:
    workflows = {f"engagement/{report.engagement_id}" for report in found}
    rows = await session.scalars(select(Engagement).where(Engagement.workflow.in_(workflows)))
    engagements: Mapping[str, Engagement] = {row.workflow: row for row in rows}
    tasks = await session.scalars(
        select(Task).where(Task.subject.in_(workflows), Task.kind == "misconduct").order_by(Task.id)
    )
    states = {task.subject: task.state for task in tasks}
    return tuple(
        ReportSummary(
            id=report.id,
            engagement=workflow,
            reported=report.reported_at,
            state=engagements[workflow].state,
            task=states.get(workflow, ""),
            zone=program_zone(engagements[workflow].program, programs),
        )
        for report in found
        for workflow in [f"engagement/{report.engagement_id}"]
        if workflow in engagements
    )


WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "request": ("message", "answer_reason"),
        "engagement": ("goals", "end_reason"),
        "survey": ("answers",),
    }
)
"""The columns with what people wrote, by kind of lifecycle."""


async def read_words(
    session: AsyncSession, workflow: str, actor: str, at: datetime
) -> tuple[tuple[str, str], ...]:
    """Return what people wrote in a lifecycle, by column or question, and record who read it. Raises NotFound."""
    columns = WORDS.get(workflow.partition("/")[0], ())
    row = await find_lifecycle(session, workflow)
    if row is None or not columns:
        raise NotFound(f"there is nothing to read in {workflow}")
    found: list[tuple[str, str]] = []
    for column in columns:
        value = getattr(row, column)
        if isinstance(value, Mapping):
            found += [(str(question), str(answer)) for question, answer in value.items()]
        elif value:
            found.append((column, str(value)))
    await record_reading(session, workflow, "words read", actor, at)
    return tuple(found)


async def record_reading(session: AsyncSession, subject: str, act: str, actor: str, at: datetime) -> None:
    """Record that somebody read what not everybody may read (STA3)."""
    await audit.append(session, subject, "act", at.replace(microsecond=0), {"act": act}, actor=actor)
