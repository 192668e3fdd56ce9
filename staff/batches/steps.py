"""The work on batches, in steps: previews, then acts. The next step goes on where the last one ended.

A gateway holds a batch while it works on it. Each lifecycle's result is a transaction of its own, and its act has an id
from batch and number: after a crash at any point it is neither lost nor done twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client

from database.models import ActBatch, ActBatchItem, StaffAccount
from database.session import Database
from lifecycles.participants import Programs
from lifecycles.registry import find_lifecycle
from rules.engagement.confidentiality import SUSPENDED
from staff.accounts.directory import StaffMember, staff_member
from staff.accounts.scope import Scope
from staff.act_forms import acting_alone, bound_to, numbers_of, read_act, with_reason
from staff.acts import (
    UPDATE_TIMEOUT,
    ActNotTaken,
    ActRefused,
    InvalidAct,
    StaffAct,
    UnknownLifecycle,
    execute_act,
    is_on_record,
    preview_act,
)
from staff.batches.batch_states import DONE, PREVIEWED, PREVIEWING, RUNNING, STOPPED, WORKED_ON, end

log = structlog.get_logger()

ITEMS: Final = 10
"""Lifecycles of one step, so that the batches of several people go on side by side."""

HELD: Final = timedelta(seconds=UPDATE_TIMEOUT + 60)
"""How long one lifecycle may take before another gateway goes on: longer than a worker may take for an act."""

PAUSE: Final = timedelta(seconds=30)
"""How long a batch waits when no worker took an act."""

TRIES: Final = 3
"""How often an act is tried that no worker takes."""


@dataclass(frozen=True, slots=True)
class BatchSteps:
    """What the work needs."""

    database: Database
    programs: Programs
    client: Client | None
    """Without one, batches are previewed and no act is done."""
    now: Callable[[], Awaitable[datetime]]
    """Program time."""

    async def step(self) -> bool:
        """Work on one batch for a while, and return whether there was one."""
        batch = await self._take()
        if batch is None:
            return False
        member = await self._member(batch)
        if member is None:
            await self._end(batch, STOPPED)
            return True
        free = datetime.now(UTC)
        try:
            for number in await self._numbers(batch):
                if not await self._item(batch, member, number):
                    free += PAUSE
                    break
            else:
                await self._finish(batch)
        finally:
            await self._write(batch, ActBatch, held_until=free)
        return True

    async def _take(self) -> ActBatch | None:
        """Hold the batch that waits longest."""
        at = datetime.now(UTC)
        states = WORKED_ON if self.client else (PREVIEWING,)
        is_free = or_(ActBatch.held_until.is_(None), ActBatch.held_until <= at)
        async with self.database.reading() as session:
            waiting = select(ActBatch.id).where(ActBatch.state.in_(states), is_free)
            if await session.scalar(waiting.limit(1)) is None:
                return None
        async with self.database.begin() as session:
            batch: ActBatch | None = await session.scalar(
                select(ActBatch)
                .where(ActBatch.state.in_(states), is_free)
                .order_by(ActBatch.held_until.is_not(None), ActBatch.held_until, ActBatch.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            if batch is not None:
                batch.held_until = at + HELD
            return batch

    async def _member(self, batch: ActBatch) -> StaffMember | None:
        """Return who acts, with the rights of now; None if the person may not act any more."""
        async with self.database.reading() as session:
            account = await session.get(StaffAccount, batch.account_id)
        if account is None or account.closed_at is not None:
            return None
        member = staff_member(account)
        return member if member.may_act else None

    async def _numbers(self, batch: ActBatch) -> list[int]:
        wanted = "waiting" if batch.state == PREVIEWING else "ready"
        async with self.database.reading() as session:
            return list(
                await session.scalars(
                    select(ActBatchItem.number)
                    .where(ActBatchItem.batch_id == batch.id, ActBatchItem.state == wanted)
                    .order_by(ActBatchItem.tries, ActBatchItem.number)
                    .limit(ITEMS)
                )
            )

    async def _item(self, batch: ActBatch, member: StaffMember, number: int) -> bool:
        """Preview an item or do its act, and return whether the next one may follow."""
        if not await self._goes_on(batch):
            return False
        async with self.database.reading() as session:
            item = await session.get_one(ActBatchItem, (batch.id, number))
        try:
            if batch.state == PREVIEWING or self.client is None:
                values = await self._previewed(batch, member, item)
            else:
                values = await self._done(batch, member, item, self.client)
        except (SQLAlchemyError, OSError):
            # The database is away: the step is taken again.
            raise
        except Exception as error:
            # One lifecycle that cannot be computed stops no other.
            log.exception("staff_batch_item_failed", target=item.target, batch=batch.id)
            state = "refused" if batch.state == PREVIEWING else "failed"
            values = {"state": state, "said": f"it failed: {type(error).__name__}; the log has more"}
        await self._write(item, ActBatchItem, **values)
        return values["state"] != "ready" or batch.state == PREVIEWING

    async def _goes_on(self, batch: ActBatch) -> bool:
        """Hold the batch for one more lifecycle, unless its person stopped it."""
        async with self.database.begin() as session:
            found = await session.get(ActBatch, batch.id, with_for_update=True)
            if found is None or found.state != batch.state:
                return False
            found.held_until = datetime.now(UTC) + HELD
            return True

    async def _previewed(self, batch: ActBatch, member: StaffMember, item: ActBatchItem) -> dict[str, Any]:
        try:
            digest, outcome = await self._preview(self._act(batch, member, item), member)
        except (ActRefused, InvalidAct, UnknownLifecycle) as refused:
            return {"state": "refused", "said": str(refused)}
        return {"state": "ready", "digest": digest, "outcome": outcome}

    async def _done(
        self, batch: ActBatch, member: StaffMember, item: ActBatchItem, client: Client
    ) -> dict[str, Any]:
        """Do the act of an item, if it does what its preview showed."""
        act, update_id = self._act(batch, member, item), f"staff batch {batch.id}/{item.number}"
        try:
            async with acting_alone(self.database, item.target):
                if await is_on_record(self.database, item.target, update_id):
                    return {"state": "done", "said": None}
                digest, _ = await self._preview(act, member)
                if digest != item.digest:
                    return {"state": "changed"}
                given = with_reason(act, batch.reason or "")
                await execute_act(self.database, client, self.programs, given, update_id)
        except ActNotTaken as away:
            state = "ready" if item.tries + 1 < TRIES else "failed"
            return {"state": state, "tries": item.tries + 1, "said": str(away)}
        except (ActRefused, InvalidAct, UnknownLifecycle) as refused:
            return {"state": "failed", "said": str(refused)}
        log.info("staff_act_done", act=act.name, target=act.target, batch=batch.id)
        return {"state": "done", "said": None}

    async def _preview(self, act: StaffAct, member: StaffMember) -> tuple[str, dict[str, Any]]:
        """Return the digest of what an act would change now, and its numbers. Raises ActRefused, InvalidAct."""
        async with self.database.reading() as session:
            row = await find_lifecycle(session, act.target)
            is_seen = row is not None and await Scope(member).sees(session, act.target)
        if row is None or not is_seen or (row.state == SUSPENDED and not member.is_manager):
            raise ActRefused("it is not among what you can act on")
        result = await preview_act(self.database, self.programs, act, await self.now())
        text = json.dumps(bound_to(act, row, result), sort_keys=True, default=str)
        outcome = {**numbers_of(result), "before": result.before, "after": result.state}
        return hashlib.sha256(text.encode()).hexdigest(), outcome

    def _act(self, batch: ActBatch, member: StaffMember, item: ActBatchItem) -> StaffAct:
        return read_act(StaffAct(batch.act, item.target, "", member.actor), batch.given).act

    async def _finish(self, batch: ActBatch) -> None:
        """Go on to the next state, if nothing is left to do in this one."""
        if await self._numbers(batch):
            return
        if batch.state == RUNNING:
            await self._end(batch, DONE)
            return
        async with self.database.begin() as session:
            await session.execute(
                update(ActBatch)
                .where(ActBatch.id == batch.id, ActBatch.state == PREVIEWING)
                .values(state=PREVIEWED)
            )

    async def _end(self, batch: ActBatch, state: str) -> None:
        async with self.database.begin() as session:
            found = await session.get(ActBatch, batch.id, with_for_update=True)
            if found is not None and found.state == batch.state:
                await end(session, found, state, datetime.now(UTC))

    async def _write(self, row: Any, table: Any, **values: Any) -> None:
        keys = [column == getattr(row, column.name) for column in table.__table__.primary_key]
        async with self.database.begin() as session:
            await session.execute(update(table).where(*keys).values(**values))
