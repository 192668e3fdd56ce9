"""Replays histories of a Temporal service under this code: what runs there would go on, or come to a standstill."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from worker.workflow_runtime import WORKFLOWS, RedactErrors, workflow_runner

RUNNING: Final = "ExecutionStatus = 'Running'"

ENDED: Final = "ExecutionStatus != 'Running'"

LONGEST_REASON: Final = 300
"""Characters of a reason."""

_MESSAGE: Final = re.compile(r'message: "(?:\[\w+\] )?(?:Nondeterminism error: )?(.+?)", source: "')
"""The words within what the SDK's core prints of its error: they name events and commands, and no content."""


@dataclass(frozen=True, slots=True)
class ReplayFinding:
    """What became of one history. It holds ids and names of commands, and nobody's data (MEM6)."""

    workflow: str
    run: str
    type: str
    status: str
    """`running`, `completed` and so on, when it was listed."""
    events: int
    reason: str
    """Why it does not replay; empty if it does."""

    @property
    def replays(self) -> bool:
        """Whether it goes on under this code."""
        return not self.reason


def type_name(workflow: type) -> str:
    """Return the name under which Temporal knows a workflow class."""
    return str(workflow.__temporal_workflow_definition.name)  # type: ignore[attr-defined]


def replayer(client: Client, workflows: Sequence[type] = WORKFLOWS) -> Replayer:
    """Return what replays as this version's workers run: their sandbox, their interceptor, the client's codec."""
    return Replayer(
        workflows=workflows,
        workflow_runner=workflow_runner(),
        interceptors=[RedactErrors()],
        data_converter=client.data_converter,
        namespace=client.namespace,
    )


async def replay_latest(
    client: Client, count: int, workflows: Sequence[type] = WORKFLOWS
) -> AsyncGenerator[ReplayFinding, None]:
    """Replay the `count` latest histories of each type, running ones first, and yield what became of each.

    Raises RPCError where the service refuses to list workflows.
    """
    replaying = replayer(client, workflows)
    for workflow in workflows:
        async for execution in _latest(client, type_name(workflow), count):
            history = await _history(client, execution)
            if history is not None:
                yield await _replayed(replaying, execution, history)


async def _latest(client: Client, kind: str, count: int) -> AsyncIterator[WorkflowExecution]:
    """Yield the latest runs of a type, by their start; the running ones come first."""
    for which in (RUNNING, ENDED):
        if count <= 0:
            return
        query = f"WorkflowType = '{kind}' AND {which}"
        async for execution in client.list_workflows(query, limit=count):
            count -= 1
            yield execution


async def _history(client: Client, execution: WorkflowExecution) -> WorkflowHistory | None:
    """Return the history of a run; None if its retention ended meanwhile."""
    handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
    try:
        return await handle.fetch_history()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


async def _replayed(
    replaying: Replayer, execution: WorkflowExecution, history: WorkflowHistory
) -> ReplayFinding:
    result = await replaying.replay_workflow(history, raise_on_replay_failure=False)
    status = execution.status or WorkflowExecutionStatus.RUNNING
    return ReplayFinding(
        execution.id,
        execution.run_id,
        execution.workflow_type,
        status.name.lower(),
        len(history.events),
        _reason(result.replay_failure) if result.replay_failure else "",
    )


def _reason(failure: Exception) -> str:
    """Return why a history does not replay. Of an error that is no non-determinism, only its name is safe to show."""
    if not isinstance(failure, NondeterminismError):
        return f"{type(failure).__name__} while it was replayed"
    words = _MESSAGE.search(str(failure))
    return words[1][:LONGEST_REASON] if words else "its commands are others than it has recorded"
