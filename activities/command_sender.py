"""Commands to lifecycles over Temporal: start, signal or update one, and find out when it does not answer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateStage
from temporalio.common import Priority, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.event_handlers.base import WorkflowNotRunning
from activities.search_attributes import LifecycleAttributes
from database import audit
from database.session import Database
from lifecycles.participants import Programs
from lifecycles.registry import closed_because, find_lifecycle
from lifecycles.workflow_commands import WorkflowCommand

QUEUE = "throughline"
"""The task queue of workflows and database work."""

FIRST = Priority(priority_key=1)
"""The priority of what begins and of what brings it in: before what merely changes, which has the default of 3."""

PATIENCE = timedelta(seconds=10)
"""How long a lifecycle has to accept an update, and then again to answer it."""

SHORT_PATIENCE = timedelta(seconds=2)
"""The same for one that did not answer the last time."""

ENDED_BEFORE_ANSWER = "AcceptedUpdateCompletedWorkflow"
"""Temporal's failure of an update that was accepted and whose workflow ended before it answered."""

_OF_ONE_WORKFLOW = (
    RPCStatusCode.FAILED_PRECONDITION,
    RPCStatusCode.RESOURCE_EXHAUSTED,
    RPCStatusCode.INVALID_ARGUMENT,
    RPCStatusCode.ABORTED,
)
"""What the server answers about one workflow: its task fails, it is paused, it has too many pending updates or
signals. Any other error is one of the server or of the way to it."""


class LifecycleBlocked(Exception):
    """A lifecycle that runs and does not answer: its task fails, it is paused, or no worker has its version."""

    def __init__(self, workflow: str) -> None:
        super().__init__(workflow)
        self.workflow = workflow


class CommandSender:
    """Sends commands to the workflows of lifecycles. A repeat of one, under the same update id, changes nothing."""

    def __init__(self, database: Database, programs: Programs, client: Client) -> None:
        self._database = database
        self._programs = programs
        self._client = client
        self._attributes = LifecycleAttributes(client)

    async def send(
        self, command: WorkflowCommand, update_id: str, patience: timedelta = PATIENCE
    ) -> str | None:
        """Send one command; return the reason if its workflow refused it or is over.

        Raises LifecycleBlocked where the workflow does not answer in time, and WorkflowNotRunning where it is about to
        start. An update that is not answered is not withdrawn: the next try with its id finds its answer.
        """
        try:
            if command.kind == "start":
                await self._start(command)
            elif command.kind == "signal":
                await self._client.get_workflow_handle(command.workflow).signal(
                    command.name, command.argument
                )
            else:
                await self._update(command, update_id, patience)
        except WorkflowAlreadyStartedError:
            return None
        except WorkflowUpdateFailedError as failed:
            return await self._failed(command, failed.cause)
        except RPCError as error:
            if error.status in _OF_ONE_WORKFLOW:
                raise LifecycleBlocked(command.workflow) from None
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            # The lifecycle ended in the meantime. A signal has nothing to change any more, and an act is refused.
            return None if command.kind == "signal" else await self._closed_because(command.workflow)
        return None

    async def _failed(self, command: WorkflowCommand, cause: BaseException | None) -> str | None:
        """Return the reason for which an update failed; None if it was applied all the same.

        Raises LifecycleBlocked if no plan could be made for it, and WorkflowNotRunning.
        """
        if not isinstance(cause, ApplicationError):
            return "the workflow refused it"
        if cause.type == "Unplanned":
            await self._update_again(command)
        elif cause.type == ENDED_BEFORE_ANSWER:
            if not await self._is_on_record(command):
                return await self._closed_because(command.workflow)
        else:
            return cause.message
        return None

    async def _update_again(self, command: WorkflowCommand) -> None:
        """Send an update under another id: Temporal keeps the failure of the first one. An event counts once."""
        try:
            await self._update(command, f"again {uuid4()}", SHORT_PATIENCE)
        except WorkflowUpdateFailedError:
            raise LifecycleBlocked(command.workflow) from None

    async def _is_on_record(self, command: WorkflowCommand) -> bool:
        """Return whether the audit record has the act of an event's command."""
        act_id = f"{command.name} by event {(command.argument or {}).get('event')}"
        async with self._database.reading() as session:
            acts = await audit.records_of(session, command.workflow, "act")
        return any(act.get("id") == act_id for act in acts)

    async def _start(self, command: WorkflowCommand) -> None:
        attributes = await self._attributes.of_start(command.name)
        try:
            await self._start_with(command, attributes)
        except RPCError as error:
            if error.status != RPCStatusCode.INVALID_ARGUMENT or not len(attributes):
                raise
            # Somebody removed an attribute from the namespace.
            self._attributes.forget()
            await self._start_with(command, TypedSearchAttributes([]))

    async def _start_with(self, command: WorkflowCommand, attributes: TypedSearchAttributes) -> None:
        await self._client.start_workflow(
            command.name,
            command.argument,
            id=command.workflow,
            task_queue=QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary=command.workflow,
            search_attributes=attributes,
            priority=FIRST,
        )

    async def _update(self, command: WorkflowCommand, update_id: str, patience: timedelta) -> None:
        """Have an update accepted and answered, each within the patience."""
        handle = self._client.get_workflow_handle(command.workflow)
        accepting = asyncio.create_task(
            handle.start_update(
                command.name, command.argument, id=update_id, wait_for_stage=WorkflowUpdateStage.ACCEPTED
            )
        )
        if await _within(patience, accepting):
            answering = asyncio.create_task(accepting.result().result())
            if await _within(patience, answering):
                answering.result()
                return
        # It may be the server that is away: then this raises.
        await handle.describe(rpc_timeout=PATIENCE)
        raise LifecycleBlocked(command.workflow)

    async def _closed_because(self, workflow: str) -> str:
        """Return in which words a lifecycle refuses what comes after its end (REQ10). Raises WorkflowNotRunning."""
        async with self._database.reading() as session:
            row = await find_lifecycle(session, workflow)
            if row is None:
                return f"{workflow} is over"
            if row.closed_at is None:
                raise WorkflowNotRunning(workflow)
            return await closed_because(session, row, self._programs)


async def _within(patience: timedelta, task: asyncio.Task[Any]) -> bool:
    """Return whether a task ends in time; one that does not is cancelled.

    A deadline around the call itself would not do: the client turns its cancellation into an error of its own.
    """
    try:
        await asyncio.wait({task}, timeout=patience.total_seconds())
    finally:
        if not (done := task.done()):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    return done
