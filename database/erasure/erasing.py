"""Erase a person, say before what that would do, and remove later what had to be kept for a time (STA5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit, ledger, person_keys
from database.erasure.belongings import Belongings, belongings_of, of_member
from database.erasure.report import ErasureItem, ErasureReport, Fate
from database.erasure.treatments import TREATMENTS, Treatment
from database.models import Engagement, Event, EventSubject, Letter, Message, PersonKey, Profile, Report, Task
from database.tasks import DUE_AT_ONCE, OPEN, PROGRAM
from rules.text import ERASED

REASON: Final = "the person was erased"
"""The reason of what is cancelled, refused or closed by an erasure."""

BATCH: Final = 100
"""The most people whose kept data one transaction removes."""


async def preview(session: AsyncSession, member: str, at: datetime) -> ErasureReport:
    """Return what the erasure of a member would do at an instant, and change nothing."""
    return await _report(session, await belongings_of(session, member), at)


async def erase(
    session: AsyncSession, member: str, actor: str, reason_given: bool, at: datetime
) -> ErasureReport:
    """Erase a member in the caller's transaction, and return what it did.

    What is owed to nobody else is deleted, the person's key destroyed. Ids, instants and numbers stay, so that the
    audit chain, the statistics and the other side's record hold. A repeat, also of a member whom nobody knows, changes
    only what came since. The caller ends the workflows, which hold ids only.
    """
    scope = await belongings_of(session, member)
    report = await _report(session, scope, at)
    is_first = not await person_keys.is_destroyed(session, member)
    for subject in sorted({audit.chain_of(each) for each in scope.lifecycles | {f"member/{member}"}}):
        await audit.lock(session, subject)
    await _stop_mail(session, scope, at)
    await _refuse_events(session, scope, at)
    await _close_tasks(session, scope, at)
    await _withdraw(session, scope, at)
    for treatment in TREATMENTS:
        await _treat(session, treatment, scope, at)
    await person_keys.destroy(session, member, at)
    if is_first:
        data = {"act": "erase", "reason_given": reason_given, **report.counts}
        await audit.append(session, f"member/{member}", "act", at.replace(microsecond=0), data, actor=actor)
    await session.flush()
    return report


async def remove_expired(session: AsyncSession, at: datetime) -> int:
    """Remove what of erased people had to be kept and need not be any more; return of how many people, at most BATCH.

    Nothing is kept for less than a calendar year.
    """
    long_ago = at - timedelta(days=365)
    of_pair = (Engagement.mentee_id == Profile.id) | (Engagement.mentor_id == Profile.id)
    old = or_(
        select(Letter.id)
        .where(
            Letter.engagement_id == Engagement.id, Letter.statement != ERASED, Letter.signed_at <= long_ago
        )
        .exists(),
        select(Report.id)
        .where(Report.engagement_id == Engagement.id, Report.text != ERASED, Report.reported_at <= long_ago)
        .exists(),
    )
    people = await session.scalars(
        select(PersonKey.member_id)
        .join(Profile, Profile.member_id == PersonKey.member_id)
        .join(Engagement, of_pair)
        .where(PersonKey.wrapped_by == "", PersonKey.wrapped.is_(None), old)
        .distinct()
    )
    removed = 0
    for member in people.all():
        scope = await belongings_of(session, member)
        kept = [each for each in TREATMENTS if each.kept_until]
        removed += any([await _treat(session, each, scope, at) for each in kept])
        if removed >= BATCH:
            break
    return removed


async def _report(session: AsyncSession, scope: Belongings, at: datetime) -> ErasureReport:
    items = [item for treatment in TREATMENTS for item in await _items(session, treatment, scope, at)]
    return ErasureReport(scope.member, scope.is_known or bool(items), tuple(items))


async def _items(
    session: AsyncSession, treatment: Treatment, scope: Belongings, at: datetime
) -> list[ErasureItem]:
    counts: Counter[tuple[Fate, date | None]] = Counter()
    for row in await _rows(session, treatment, scope):
        if not treatment.changes or _changed(treatment, row):
            until = _kept_until(treatment, row, at)
            counts[(Fate.KEPT if until else treatment.outcome, until)] += 1
    return [
        ErasureItem(
            treatment.table.__tablename__,
            treatment.what,
            count,
            outcome,
            treatment.why if until else "",
            until,
        )
        for (outcome, until), count in sorted(counts.items(), key=lambda each: (each[0][0], str(each[0][1])))
    ]


async def _rows(session: AsyncSession, treatment: Treatment, scope: Belongings) -> Sequence[Any]:
    """Return the rows as they are now: what the session read before it had the locks may have changed since."""
    query = select(treatment.table).where(treatment.of(scope)).execution_options(populate_existing=True)
    return (await session.scalars(query)).all()


async def _treat(session: AsyncSession, treatment: Treatment, scope: Belongings, at: datetime) -> int:
    """Change the rows of one kind that need not be kept; return how many changed."""
    if not treatment.changes:
        if treatment.outcome is Fate.DELETED:
            await session.execute(delete(treatment.table).where(treatment.of(scope)))
        return 0
    changed = 0
    for row in await _rows(session, treatment, scope):
        if _kept_until(treatment, row, at):
            continue
        new = _changed(treatment, row)
        for name, value in new.items():
            setattr(row, name, value)
        changed += bool(new)
        if new and treatment.on_record:
            about = row.claim or f"engagement/{row.engagement_id}"
            data = {"act": treatment.on_record, "letter": row.id}
            await audit.append(session, about, "act", at.replace(microsecond=0), data)
    await session.flush()
    return changed


def _changed(treatment: Treatment, row: Any) -> dict[str, Any]:
    """Return the columns of a row that a treatment changes, with their new values."""
    new = {name: change(getattr(row, name)) for name, change in treatment.changes.items()}
    return {name: value for name, value in new.items() if value != getattr(row, name)}


def _kept_until(treatment: Treatment, row: Any, at: datetime) -> date | None:
    until = treatment.kept_until(row) if treatment.kept_until and _changed(treatment, row) else None
    return until if until and until >= at.astimezone(UTC).date() else None


async def _stop_mail(session: AsyncSession, scope: Belongings, at: datetime) -> None:
    """Cancel the mail to a person, and have what is rendered for the other side of their pairs rendered again."""
    waiting = Message.state.in_(("planned", "claimed"))
    own = select(Message).where(of_member(scope.member, scope.profiles), waiting).with_for_update()
    for row in await session.scalars(own, execution_options={"populate_existing": True}):
        row.subject = None
        await ledger.decide(session, row, "cancelled", REASON, at)
    rendered = select(Message).where(
        Message.workflow.in_(scope.lifecycles), waiting, Message.content.is_not(None)
    )
    for row in await session.scalars(
        rendered.with_for_update(), execution_options={"populate_existing": True}
    ):
        row.state, row.claimed_by, row.content, row.subject = "planned", None, None, None


async def _refuse_events(session: AsyncSession, scope: Belongings, at: datetime) -> None:
    """Refuse the events about a person that are not applied yet, but for the erasure itself."""
    waiting = select(Event).where(
        Event.subject.in_(scope.subjects), Event.state.in_(("stored", "held")), Event.type != "member.erased"
    )
    rows = (await session.scalars(waiting.with_for_update())).all()
    for row in rows:
        row.state, row.reason, row.applied_at = "refused", ERASED, at
        row.waits_for = row.held_until = None
    await session.execute(delete(EventSubject).where(EventSubject.event_id.in_([row.id for row in rows])))


async def _close_tasks(session: AsyncSession, scope: Belongings, at: datetime) -> None:
    """Close the tasks about a person, but for those about misconduct, and name their causes by number only."""
    for task in await session.scalars(select(Task).where(Task.subject.in_(scope.subjects))):
        if task.state in OPEN and task.kind not in DUE_AT_ONCE:
            task.state, task.closed_at, task.closed_by = "dismissed", at, PROGRAM
        if task.state not in OPEN:
            task.cause = f"{ERASED} {task.id}"


async def _withdraw(session: AsyncSession, scope: Belongings, at: datetime) -> None:
    """Withdraw the profiles of a person: nobody is paired or invited by them any more."""
    for profile in await session.scalars(select(Profile).where(Profile.member_id == scope.member)):
        profile.withdrawn_at = profile.withdrawn_at or at
