"""Faults that a rehearsal injects: database down, worker killed in the middle of its work."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from database.session import Database


class DatabaseFault:
    """Makes a database unreachable while `down` is set, for statements and commits alike."""

    def __init__(self, database: Database) -> None:
        self.down = False
        engine = database.engine.sync_engine
        event.listen(engine, "before_cursor_execute", self._refuse)
        event.listen(engine, "commit", self._refuse)
        event.listen(engine, "checkout", self._refuse)

    def _refuse(self, *_arguments: Any) -> None:
        if self.down:
            raise OperationalError("the database is down", None, ConnectionError("the database is down"))


class WorkerKilled(BaseException):
    """Thrown into an activity where its worker dies."""


class KillFault(Interceptor):
    """While `on` is set, every activity attempt dies at one of its transactions, each attempt at another point:
    before it begins, right before its commit, or right after it, when its caller never learns of it.

    What the attempt had begun is not cleaned up by the activity. A body whose last byte may be on its way is not
    called back: what a process that dies at that very moment leaves behind is tested on the dev server, with a
    real SIGKILL.
    """

    def __init__(self) -> None:
        self.on = False
        self.kills = 0
        self._deaths = itertools.cycle(range(1, 13))

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap the activities."""
        return _KillableActivity(next, self)

    def next_death(self) -> int:
        """Return the number of the transaction point at which the next attempt dies."""
        self.kills += 1
        return next(self._deaths)


class FaultyDatabase(Database):
    """A database whose transactions are the points at which a `KillFault` strikes."""

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """Begin a transaction; the fault may strike before it, before its commit, or after it."""
        _point()
        async with super().begin() as session:
            yield session
            _point()
        _point()


@dataclass(slots=True)
class _Life:
    task: asyncio.Task[Any] | None
    left: int


_life: ContextVar[_Life | None] = ContextVar("life", default=None)


def _point() -> None:
    life = _life.get()
    if life is None or life.task is not asyncio.current_task():
        return
    life.left -= 1
    if life.left == 0:
        raise WorkerKilled


class _KillableActivity(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, fault: KillFault) -> None:
        super().__init__(next)
        self._fault = fault

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        if not self._fault.on:
            return await super().execute_activity(input)
        born = _life.set(_Life(asyncio.current_task(), self._fault.next_death()))
        try:
            return await super().execute_activity(input)
        except WorkerKilled:
            # The skipping clock stands still until an attempt is answered, so the death is reported as a failure.
            raise ApplicationError("the worker was killed", type="WorkerKilled") from None
        finally:
            _life.reset(born)
