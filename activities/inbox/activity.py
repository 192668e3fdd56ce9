"""What the inbox's workflows call: apply the events of a shard, hand over to the shards, perform commands."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from temporalio import activity
from temporalio.client import Client

from activities.command_sender import CommandSender
from activities.heartbeat import heartbeats
from activities.inbox.application import EventApplication
from activities.inbox.attempt import ROUND, Attempt
from activities.inbox.wakeup import inbox_of_before_runs, wake_shards
from database import event_queue
from database.erased_file import ErasedFile
from database.events import release_held
from database.session import Database
from lifecycles.participants import Programs
from lifecycles.workflow_commands import WorkflowCommand
from rules.agenda import GRACE_PERIOD
from rules.program.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of an attempt."""

    more: bool
    """Whether more events wait now."""
    next_deadline: datetime | None
    """When the wait of the first held event ends."""


class InboxActivities:
    """Applies stored events. `client` reaches the workflows that they concern, `catalogue` knows certifications.

    `erased` is where erasures are kept outside of the database.
    """

    def __init__(
        self,
        database: Database,
        programs: Programs,
        client: Client,
        catalogue: Catalogue,
        erased: ErasedFile | None = None,
    ) -> None:
        self._database = database
        self._client = client
        self._commands = CommandSender(database, programs, client)
        self._application = EventApplication(programs, self._commands, catalogue, erased)

    @activity.defn
    async def apply_events(self, shard: int | None = None) -> Applied:
        """Apply the stored events of a shard, and held ones whose wait has ended; without a shard, those of all.

        Events of one subject are applied in the order in which they came (T8).
        """
        info = activity.info()
        attempt = Attempt(self._database, self._application, shard, info.started_time, self._wake)
        async with heartbeats():
            if shard is not None and await self._waits_for_the_inbox_of_before():
                return Applied(True, None)
            if shard is not None and info.attempt > 1:
                # An attempt before this one may have let other shards go on, and died before its signals.
                await self._wake(await self._waiting())
            drained = await attempt.run()
        async with self._database.reading() as session:
            deadline = await event_queue.next_deadline(session, shard)
        return Applied(not drained, deadline + GRACE_PERIOD if deadline else None)

    @activity.defn
    async def hand_over_inbox(self) -> None:
        """Wake every shard: the one inbox of an earlier version ends, and they go on with what it leaves (T8)."""
        await self._wake(range(event_queue.SHARDS))

    @activity.defn(name="tell")
    async def perform_commands(self, commands: list[WorkflowCommand]) -> None:
        """Start or signal other lifecycles: what a match begins and ends (REQ5, ONB3, MEM4). Repeats are harmless.

        Events that are held for an engagement or a survey are released as soon as it runs.
        """
        for command in commands:
            await self._commands.send(command, "tell")
        started = [command.workflow for command in commands if command.name in ("Engagement", "Survey")]
        if not started:
            return
        async with self._database.begin() as session:
            released = await release_held(session, *started)
        shards: Collection[int] = {row.shard for row in released if row.shard is not None}
        if activity.info().attempt > 1:
            # An attempt before this one may have released them and died before its signal.
            shards = await self._waiting()
        await self._wake(shards)

    async def _waits_for_the_inbox_of_before(self) -> bool:
        """Wait for the end of the one inbox of an earlier version; return whether it still runs after a while.

        Until a worker of this version has its next task, it applies the events of all shards.
        """
        ends = asyncio.get_running_loop().time() + ROUND
        while await inbox_of_before_runs(self._client):
            if asyncio.get_running_loop().time() > ends:
                return True
            await asyncio.sleep(1)
        return False

    async def _waiting(self) -> list[int]:
        async with self._database.reading() as session:
            return await event_queue.waiting_shards(session)

    async def _wake(self, shards: Collection[int]) -> None:
        await wake_shards(self._client, shards)
