"""Every task queue that anything is put on has a worker: what nobody polls waits for ever, and no error says so."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from activities.inbox import QUEUE
from embedded.temporal_servers import dev_server
from tests.support.limits import PATIENCE
from tests.support.temporal_workers import running_workers
from tests.test_directions import KNOW_TEMPORAL, ROOT
from workflows.agenda_loop import MAIL_QUEUE

WORKFLOW = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
ACTIVITY = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY

POLLED = {(QUEUE, WORKFLOW), (QUEUE, ACTIVITY), (MAIL_QUEUE, ACTIVITY)}
"""What a worker process polls."""


def named_in(source: str) -> Iterator[str]:
    """What a module gives as `task_queue=`, as it is written there."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg == "task_queue":
            yield ast.unparse(node.value)


def queues() -> dict[str, set[str]]:
    """The names of queues that the product uses, with the modules that use them."""
    found: dict[str, set[str]] = {}
    for room in KNOW_TEMPORAL:
        for file in sorted((ROOT / room).rglob("*.py")):
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            for written in named_in(file.read_text(encoding="utf-8")):
                if not written.startswith("TaskQueue("):
                    found.setdefault(str(eval(written, vars(import_module(module)))), set()).add(module)
    return found


async def polled(client: Client) -> set[tuple[str, TaskQueueType.ValueType]]:
    """The queues of the product that somebody polls, by what is polled for."""
    found = set()
    for queue in queues():
        for kind in (WORKFLOW, ACTIVITY):
            request = DescribeTaskQueueRequest(
                namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
            )
            if (await client.workflow_service.describe_task_queue(request)).pollers:
                found.add((queue, kind))
    return found


async def test_every_task_queue_that_is_used_has_a_worker(sqlite_url: str) -> None:
    """Read off the source, and asked of the server while one worker process's workers run."""
    used = queues()
    assert set(used) == {queue for queue, _ in POLLED}, used
    assert len(used[QUEUE]) > 5
    async with dev_server(None) as temporal, running_workers(temporal.client, sqlite_url):
        async with asyncio.timeout(PATIENCE):
            while await polled(temporal.client) != POLLED:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)


def test_queue_without_a_worker_would_be_found() -> None:
    source = "async def work(client):\n    await client.start_workflow(run, task_queue='reports')\n"
    assert list(named_in(source)) == ["'reports'"]
    assert Path(ROOT / "workflows").is_dir()
