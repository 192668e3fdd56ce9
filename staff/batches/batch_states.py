"""Batches as they are made, completed, started and stopped by the person whose they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import ActBatch, ActBatchItem
from rules.kinds import KINDS
from staff.accounts.directory import StaffMember
from staff.act_forms import choices_of, read_act
from staff.acts import StaffAct

MOST: Final = 500
"""Lifecycles of one batch."""

KEPT: Final = timedelta(days=90)
"""How long a batch can be looked up."""

DRAFT: Final = "draft"
PREVIEWING: Final = "previewing"
PREVIEWED: Final = "previewed"
RUNNING: Final = "running"
DONE: Final = "done"
STOPPED: Final = "stopped"

ENDED: Final = (DONE, STOPPED)
WORKED_ON: Final = (PREVIEWING, RUNNING)
"""The states in which a gateway has something to do."""


class BatchRefused(ValueError):
    """A change to a batch that cannot be made; the text is the key of what is wrong."""


async def make_batch(
    session: AsyncSession, member: StaffMember, act: str, targets: Sequence[str], at: datetime
) -> ActBatch:
    """Return a new batch of an act on lifecycles of one kind. Old batches go. Raises BatchRefused."""
    kinds = {target.partition("/")[0] for target in targets}
    if len(kinds) != 1:
        raise BatchRefused("none")
    [kind] = kinds
    if len(targets) > MOST:
        raise BatchRefused("too_many")
    if act not in KINDS[kind].staff_acts:
        raise BatchRefused("act")
    await _forget(session, at - KEPT)
    batch = ActBatch(
        account_id=member.id,
        kind=kind,
        act=act,
        given={},
        state=DRAFT if choices_of(act, kind) else PREVIEWING,
        made_at=at,
    )
    session.add(batch)
    await session.flush()
    session.add_all(
        ActBatchItem(batch_id=batch.id, number=number, target=target, state="waiting")
        for number, target in enumerate(targets, 1)
    )
    return batch


async def batch_of(
    session: AsyncSession, member: StaffMember, number: int, *, to_change: bool = False
) -> ActBatch | None:
    """Return a batch of a person, locked if it is to be changed; None for that of somebody else."""
    query = select(ActBatch).where(ActBatch.id == number, ActBatch.account_id == member.id)
    found: ActBatch | None = await session.scalar(query.with_for_update() if to_change else query)
    return found


def complete(batch: ActBatch, member: StaffMember, given: Mapping[str, str]) -> None:
    """Read the fields of the act, so that it can be previewed. Raises BatchRefused."""
    if batch.state != DRAFT:
        raise BatchRefused("state")
    form = read_act(StaffAct(batch.act, f"{batch.kind}/-", "", member.actor), given)
    if form.wrong:
        raise BatchRefused(form.wrong)
    batch.given, batch.state = dict(form.given), PREVIEWING


def start(batch: ActBatch, reason: str, at: datetime) -> None:
    """Have the act done on all that were previewed. Raises BatchRefused."""
    if batch.state != PREVIEWED:
        raise BatchRefused("state")
    if not reason and batch.act != "end":
        raise BatchRefused("reason")
    batch.reason, batch.state, batch.started_at, batch.held_until = reason or None, RUNNING, at, None


async def end(session: AsyncSession, batch: ActBatch, state: str, at: datetime) -> None:
    """End a batch as `done` or `stopped`. What was not done is left. Raises BatchRefused for one that has ended."""
    if batch.state in ENDED:
        raise BatchRefused("state")
    batch.state, batch.ended_at, batch.reason, batch.held_until = state, at, None, None
    await session.execute(
        update(ActBatchItem)
        .where(ActBatchItem.batch_id == batch.id, ActBatchItem.state.in_(("waiting", "ready")))
        .values(state="left")
    )


async def _forget(session: AsyncSession, before: datetime) -> None:
    old = select(ActBatch.id).where(ActBatch.made_at < before, ActBatch.state.not_in(WORKED_ON))
    await session.execute(delete(ActBatchItem).where(ActBatchItem.batch_id.in_(old)))
    await session.execute(delete(ActBatch).where(ActBatch.made_at < before, ActBatch.state.not_in(WORKED_ON)))
