"""How batches stand: what their previews found, what was done, and what was not, with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import ActBatch, ActBatchItem
from lifecycles.participants import Programs
from lifecycles.registry import find_lifecycles
from staff.accounts.directory import StaffMember
from staff.act_forms import CHANGES
from staff.people import People
from staff.views.lifecycles import parties_of

EXCEPTIONS: Final = ("refused", "changed", "failed", "left")
"""The states of lifecycles on which the act is not done."""

LATEST: Final = 20
"""How many of a person's batches are listed."""


@dataclass(frozen=True, slots=True)
class BatchItemView:
    """A lifecycle of a batch."""

    target: str
    people: tuple[str, ...]
    state: str
    outcome: Mapping[str, Any]
    """How many messages vanish, move and appear, and the state `before` and `after`; empty without a preview."""
    said: str


@dataclass(frozen=True, slots=True)
class BatchView:
    """A batch."""

    id: int
    kind: str
    act: str
    given: Mapping[str, str]
    state: str
    made: datetime
    total: int
    counts: Mapping[str, int]
    """How many lifecycles are in each state."""
    numbers: Mapping[str, int]
    """How many messages vanish, move and appear, of all whose act is done or still to do."""
    agreed: tuple[BatchItemView, ...]
    """Those on which the act is done or to be done."""
    exceptions: tuple[BatchItemView, ...]

    @property
    def worked(self) -> int:
        """How many lifecycles of the present state are through: previewed, or done and left out."""
        return self.total - self.counts.get("waiting" if self.state == "previewing" else "ready", 0)


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """A batch in the list of a person's batches."""

    id: int
    kind: str
    act: str
    state: str
    made: datetime


async def batch_view(session: AsyncSession, batch: ActBatch, programs: Programs) -> BatchView:
    """Return how a batch stands."""
    query = select(ActBatchItem).where(ActBatchItem.batch_id == batch.id).order_by(ActBatchItem.number)
    items = list(await session.scalars(query))
    rows = await find_lifecycles(session, (item.target for item in items))
    parties = {workflow: tuple(parties_of(row).values()) for workflow, row in rows.items()}
    people = await People.of(session, {who for each in parties.values() for who in each}, programs)
    views = tuple(
        BatchItemView(
            item.target,
            tuple(people.name(who) for who in parties.get(item.target, ())),
            item.state,
            item.outcome or {},
            item.said or "",
        )
        for item in items
    )
    agreed = tuple(view for view in views if view.state in ("ready", "done"))
    return BatchView(
        id=batch.id,
        kind=batch.kind,
        act=batch.act,
        given=batch.given,
        state=batch.state,
        made=batch.made_at,
        total=len(items),
        counts=Counter(item.state for item in items),
        numbers={name: sum(view.outcome.get(name, 0) for view in agreed) for name in CHANGES},
        agreed=agreed,
        exceptions=tuple(view for view in views if view.state in EXCEPTIONS),
    )


async def latest_batches(session: AsyncSession, member: StaffMember) -> tuple[BatchEntry, ...]:
    """Return a person's batches, the newest first."""
    rows = await session.scalars(
        select(ActBatch).where(ActBatch.account_id == member.id).order_by(ActBatch.id.desc()).limit(LATEST)
    )
    return tuple(BatchEntry(row.id, row.kind, row.act, row.state, row.made_at) for row in rows)
