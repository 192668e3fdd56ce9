"""Faults of the program while it plans: none of them stops a lifecycle for ever.

An act on which the program fails is refused, on record, with a task. If there is no act to blame, the lifecycle goes on
by the agenda that its rows hold, with a task, and is planned again later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

import structlog
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from temporalio import activity

from database import staff_orders
from database.ledger import FIRST_RESEND_OCCURRENCE
from database.models import DECISIONS, Message
from database.session import Database
from database.tasks import open_task
from lifecycles.recording import PLAN_FAILED, Planned, due_mail, record_refusal
from lifecycles.registry import find_lifecycle
from rules.acts import Act
from rules.kinds import KINDS

FAULT_ATTEMPTS = 3
"""The attempt at which an unexpected error counts as a fault of the program. Before, it may come from a race."""

PLAN_AGAIN = timedelta(hours=1)
"""When a lifecycle is planned again whose agenda the program cannot make."""

_OUTAGES = (OperationalError, InterfaceError, PoolTimeout, OSError)
"""Errors of a database that does not answer: the plan is tried again as it is."""

log = structlog.get_logger()


class _Order(Protocol):
    """The order of a plan, as the planning activities take it."""

    workflow: str
    facts: Any
    at: datetime
    acts: list[Act]


Order = TypeVar("Order", bound=Any)
Result = TypeVar("Result", bound=Any)


@dataclass(frozen=True, slots=True)
class GuardedPlan(Generic[Order, Result]):
    """A plan that always comes to an end."""

    database: Database
    plan: Callable[[Order], Awaitable[Result]]
    """Plans in one transaction of its own. Raises whatever goes wrong."""
    unplanned: Callable[[Order, Planned], Result]
    """Makes the result of a plan that could not be made: the facts stay as they were."""

    async def make(self, order: Order) -> Result:
        """Return the plan; where the program fails on it, without the acts at fault. Raises errors of an outage."""
        try:
            return await self.plan(order)
        except Exception as error:
            if _is_outage(error) or activity.info().attempt < FAULT_ATTEMPTS:
                raise
            log.exception("plan_failed", workflow=order.workflow)
        return await self._make_one_by_one(order)

    async def _make_one_by_one(self, order: Order) -> Result:
        """Plan with one act after the other, and refuse those that the program fails on."""
        results: list[Result] = []
        failed: list[tuple[Act, str]] = []
        facts = order.facts
        for act in order.acts:
            try:
                results.append(await self.plan(replace(order, facts=facts, acts=[act])))
                facts = results[-1].facts
            except Exception as error:
                if _is_outage(error):
                    raise
                failed.append((act, type(error).__name__))
        fault = ""
        if not results:
            try:
                results.append(await self.plan(replace(order, acts=[])))
            except Exception as error:
                if _is_outage(error):
                    raise
                fault = type(error).__name__
                planned = await self._as_recorded(order.workflow, order.at)
                results.append(self.unplanned(order, planned))
        await self._report(order.workflow, failed, fault, order.at)
        return _joined(results, {act.id: _words(error) for act, error in failed})

    async def _as_recorded(self, workflow: str, at: datetime) -> Planned:
        """Return the plan that a lifecycle's rows hold: the messages that it still has to send."""
        async with self.database.reading() as session:
            row = await find_lifecycle(session, workflow)
            if row is None:
                return Planned(KINDS[workflow.partition("/")[0]].open_states[0], False, [], at + PLAN_AGAIN)
            found = await session.scalars(
                select(Message).where(
                    Message.workflow == workflow,
                    Message.occurrence < FIRST_RESEND_OCCURRENCE,
                    Message.state.not_in(DECISIONS),
                    staff_orders.not_on_hold(),
                )
            )
            mails = [
                due_mail(mail.step, mail.occurrence, mail.due_at, mail.message_class)
                for mail in found
                if mail.due_at
            ]
            closed = row.closed_at is not None
            return Planned(row.state, closed, mails, None if closed else at + PLAN_AGAIN)

    async def _report(
        self, workflow: str, failed: Sequence[tuple[Act, str]], fault: str, at: datetime
    ) -> None:
        """Record the refused acts, and open a task for each kind of fault (STA2, STA3)."""
        async with self.database.begin() as session:
            for act, error in failed:
                await record_refusal(session, workflow, act, _words(error), at)
                action = (
                    f"Have this fault of the program fixed: {error} on the act {act.name}. "
                    "Then order the act again, if it is still wanted."
                )
                await open_task(session, "act_failed", workflow, f"{act.name}: {error}", action, at)
            if fault:
                action = (
                    f"Have this fault of the program fixed: {fault}. Until then no act changes it, and its messages "
                    "go out as they were planned last."
                )
                await open_task(session, PLAN_FAILED, workflow, "it cannot be planned", action, at)


def _is_outage(error: Exception) -> bool:
    return isinstance(error, _OUTAGES) or (isinstance(error, DBAPIError) and error.connection_invalidated)


def _words(error: str) -> str:
    return f"the program failed on it ({error}); staff have been notified"


def _joined(results: Sequence[Result], failed: dict[str, str]) -> Result:
    """Return the last of some plans made one after the other, with what all of them changed and refused."""
    last = results[-1]
    plans: list[Planned] = [getattr(result, "planned", result) for result in results]
    changed: dict[str, Any] = {
        "moved": [change for plan in plans for change in plan.moved],
        "dropped": [change for plan in plans for change in plan.dropped],
        "added": [change for plan in plans for change in plan.added],
        "refused": {**failed, **{id: reason for plan in plans for id, reason in plan.refused.items()}},
    }
    if not isinstance(last, Planned):
        changed = {"planned": replace(plans[-1], **changed)}
        if effects := [effect for result in results for effect in getattr(result, "effects", [])]:
            changed["effects"] = effects
    joined: Result = replace(last, **changed)
    return joined


def planned_fields(planned: Planned) -> dict[str, Any]:
    """Return the fields of a plan, for a result that extends it."""
    return {each.name: getattr(planned, each.name) for each in fields(planned)}
