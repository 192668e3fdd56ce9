"""Workflows that were begun by earlier code go on under this code: recorded histories are replayed.

A history that no longer replays means that running workflows would come to a standstill at the next release. Keep the
order of a workflow's commands (timers, activities), or put a new order behind `workflow.patched`. New ways get new
histories: see tests/histories/record.py.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, Worker
from temporalio.workflow import NondeterminismError

from tests.histories.record import HISTORIES, nameless, recorded
from worker.workflow_runtime import WORKFLOWS, workflow_runner
from workflows.claim import ClaimWorkflow
from workflows.cohorts.cohort import CohortWorkflow
from workflows.engagement import EngagementWorkflow
from workflows.lifecycle import CHECKED_INPUT, LifecycleWorkflow

RECORDED = recorded()


async def replay(history: WorkflowHistory) -> None:
    """Replay a history under this code. Raises if it does not come out as it did."""
    await Replayer(workflows=WORKFLOWS, workflow_runner=workflow_runner()).replay_workflow(history)


def type_of(history: WorkflowHistory) -> str:
    """The type of a history's workflow."""
    return history.events[0].workflow_execution_started_event_attributes.workflow_type.name


def kinds(history: WorkflowHistory) -> set[EventType.ValueType]:
    """The kinds of events in a history."""
    return {event.event_type for event in history.events}


@pytest.mark.rule("T6", "T7")
@pytest.mark.parametrize("name", RECORDED)
async def test_recorded_histories_replay(name: str) -> None:
    await replay(RECORDED[name])


def test_history_exists_of_every_kind_and_every_onboarding_path() -> None:
    assert {type_of(history) for history in RECORDED.values()} >= {
        "Inbox",
        "InboxShard",
        "Onboarding",
        "Request",
        "Engagement",
        "Claim",
        "Survey",
        "Meetup",
        "Resend",
        "Watchdog",
        "Checkpoints",
        "Digest",
        "Webhook",
        "Cohort",
    }
    onboardings = {name.partition("/")[2] for name in RECORDED if "/onboarding." in name}
    assert onboardings >= {
        f"onboarding.{way}" for way in ("mentor", "matched", "acted-on", "unmatched", "blocked", "lapsed")
    }
    seen = set[EventType.ValueType]().union(*(kinds(history) for history in RECORDED.values()))
    assert seen >= {
        EventType.EVENT_TYPE_TIMER_FIRED,
        EventType.EVENT_TYPE_TIMER_CANCELED,
        EventType.EVENT_TYPE_MARKER_RECORDED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
    }


def signals_of(kind: str) -> set[str]:
    """The signals in the histories of a workflow type."""
    return {
        event.workflow_execution_signaled_event_attributes.signal_name
        for history in RECORDED.values()
        if type_of(history) == kind
        for event in history.events
    } - {""}


@pytest.mark.parametrize(
    "lifecycle", [ClaimWorkflow, CohortWorkflow, EngagementWorkflow], ids=["claim", "cohort", "engagement"]
)
def test_history_exists_of_every_signal(lifecycle: type[LifecycleWorkflow[Any]]) -> None:
    kind = lifecycle.__name__.removesuffix("Workflow")
    assert signals_of(kind) >= set(lifecycle.SIGNALS)


def test_patch_has_histories_with_and_without_its_marker() -> None:
    """The others stand for runs that began before: docs/upgrading.md says when they go."""
    mark = CHECKED_INPUT.encode()
    marked = {
        name
        for name, history in RECORDED.items()
        if any(mark in event.SerializeToString() for event in history.events)
    }
    assert marked
    assert set(RECORDED) - marked


@pytest.mark.rule("MEM6")
@pytest.mark.parametrize("name", RECORDED)
def test_history_contains_no_personal_data_and_no_host(name: str) -> None:
    written = b"".join(event.SerializeToString() for event in RECORDED[name].events)
    for word in (b"Vega", b"example.org", b"parental", b"employer", b"operation", b"family"):
        assert word not in written
    content = json.loads(RECORDED[name].to_json())
    assert nameless(content) == content


@workflow.defn(sandboxed=False)
class EveryCommand:
    """A workflow with a timer, a patch and a signal."""

    def __init__(self) -> None:
        self.is_signalled = False

    @workflow.run
    async def run(self) -> None:
        """Wait for the signal."""
        workflow.patched("any patch")
        await workflow.sleep(0.01)
        await workflow.wait_condition(lambda: self.is_signalled)

    @workflow.signal
    def go_on(self) -> None:
        """End."""
        self.is_signalled = True


async def test_sdk_writes_no_flag_that_recorded_histories_lack(temporal_dev: WorkflowEnvironment) -> None:
    """A later minor with another flag replays what is recorded; the version before it cannot take back what it wrote.

    That version is then no way back: see docs/upgrading.md before the pin is moved.
    """
    client, queue = temporal_dev.client, f"flags-{uuid4()}"
    async with Worker(client, task_queue=queue, workflows=[EveryCommand]):
        handle = await client.start_workflow(EveryCommand.run, id=queue, task_queue=queue)
        await handle.signal(EveryCommand.go_on)
        await handle.result()
        written = flags(await handle.fetch_history())
    assert written
    assert written <= set[str]().union(*map(flags, RECORDED.values()))


def flags(history: WorkflowHistory) -> set[str]:
    """The flags of the SDK's logic that a history's workflow tasks used, of its core and of its Python part."""
    metadata = [event.workflow_task_completed_event_attributes.sdk_metadata for event in history.events]
    core = {f"core {flag}" for each in metadata for flag in each.core_used_flags}
    return core | {f"python {flag}" for each in metadata for flag in each.lang_used_flags}


async def test_history_of_other_commands_does_not_replay() -> None:
    name = next(name for name in RECORDED if name.endswith("/onboarding.unmatched"))
    content: dict[str, Any] = json.loads(RECORDED[name].to_json())
    scheduled = next(event for event in content["events"] if "activityTaskScheduledEventAttributes" in event)
    scheduled["activityTaskScheduledEventAttributes"]["activityType"]["name"] = "send_letter"
    with pytest.raises(NondeterminismError):
        await replay(WorkflowHistory.from_json("onboarding/unmatched", json.dumps(content)))


def test_every_history_folder_has_histories() -> None:
    folders = [folder for folder in HISTORIES.iterdir() if folder.is_dir() and folder.name != "__pycache__"]
    assert folders
    assert all(list(folder.glob("*.json")) for folder in folders)
