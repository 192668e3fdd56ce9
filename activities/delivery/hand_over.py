"""The record before the last byte, shared by the messages of one order that go side by side (MAIL1, MAIL4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from activities.delivery.in_flight import DeliveryCancelled, InFlightDelivery
from database import ledger
from database.session import Database
from mail.smtp.verdicts import Acceptance

PATIENCE = 0.05
"""Seconds that a message waits, its last byte held back, for others that could be recorded with it."""

Waiting = tuple[InFlightDelivery, asyncio.Future[bool]]


class SharedHandOver:
    """Records that messages of a workflow are handed over: in one transaction all that are at their last byte.

    It waits until each delivery that it expects is there or has ended, or for PATIENCE.
    """

    def __init__(self, database: Database, workflow: str, now: Callable[[], datetime]) -> None:
        self._database = database
        self._workflow = workflow
        self._now = now
        self._expected: set[asyncio.Task[Acceptance]] = set()
        self._waiting: list[Waiting] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing: set[asyncio.Task[None]] = set()

    def expect(self, delivery: InFlightDelivery) -> None:
        """Expect a delivery, until it ends."""
        self._expected.add(delivery.task)
        delivery.task.add_done_callback(self._leave)

    async def record(self, delivery: InFlightDelivery) -> None:
        """Record a hand-over. Raises DeliveryCancelled if the message was released, or what the database raises."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((delivery, answer))
        self._leave(delivery.task)
        if not await answer:
            raise DeliveryCancelled

    def _leave(self, task: asyncio.Task[Acceptance]) -> None:
        self._expected.discard(task)
        if self._waiting and not self._expected:
            self._begin()
        elif self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._begin)

    def _begin(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        task = asyncio.ensure_future(self._write(waiting))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, waiting: list[Waiting]) -> None:
        handed_over: set[int] = set()
        try:
            async with self._database.begin() as session:
                waiting = [(delivery, answer) for delivery, answer in waiting if not answer.done()]
                claims = {each.message.row.id: each.message.claimed_by for each, _ in waiting}
                for delivery, _ in waiting:
                    # From here on the commit may succeed, even where its confirmation is lost.
                    delivery.must_finish = True
                handed_over = await ledger.hand_over(session, self._workflow, claims, self._now())
        except BaseException as error:
            for _, answer in waiting:
                if not answer.done():
                    answer.set_exception(error)
            if not isinstance(error, Exception):
                raise
        for delivery, answer in waiting:
            if not answer.done():
                answer.set_result(delivery.message.row.id in handed_over)
