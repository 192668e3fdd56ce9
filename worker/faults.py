"""What goes wrong on purpose in a rehearsal: the database gone, the worker killed in the middle of its work."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import OperationalError
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
    """Thrown into an activity at one of its awaits."""


class KillFault(Interceptor):
    """While `on` is set, aborts every activity attempt at an await: the first attempt at its first, the next at
    its second, and so on, so that each point at which a worker can die is met sooner or later."""

    def __init__(self) -> None:
        self.on = False
        self.kills = 0
        self._points = itertools.cycle(range(1, 26))

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap the activities."""
        return _Killing(next, self)

    def next_point(self) -> int:
        """At which await the coming attempt dies."""
        self.kills += 1
        return next(self._points)


class _Killing(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, fault: KillFault) -> None:
        super().__init__(next)
        self._fault = fault

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        if not self._fault.on:
            return await super().execute_activity(input)
        running = super().execute_activity(input)
        assert asyncio.iscoroutine(running)
        try:
            return await _AbortedAt(running, self._fault.next_point())
        except WorkerKilled:
            # The skipping clock stands still until an attempt is answered, so its death is told in its place.
            raise ApplicationError("the worker was killed", type="WorkerKilled") from None


class _AbortedAt(Awaitable[Any]):
    """Runs a coroutine and throws WorkerKilled into it when it waits for the n-th time."""

    def __init__(self, running: Coroutine[Any, Any, Any], point: int) -> None:
        self._running = running
        self._point = point

    def __await__(self) -> Generator[Any, Any, Any]:
        waits = 0
        send: Any = None
        error: BaseException | None = None
        while True:
            try:
                step = self._running.throw(error) if error else self._running.send(send)
            except StopIteration as finished:
                return finished.value
            waits += 1
            send, error = None, None
            if waits == self._point:
                error = WorkerKilled()
                continue
            try:
                send = yield step
            except BaseException as thrown:
                error = thrown
