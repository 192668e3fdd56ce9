"""What the sandbox does not see to, because it passes our workflows through: no state, no clock, no chance."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from enum import Enum
from functools import _lru_cache_wrapper, lru_cache
from importlib import import_module
from pathlib import Path
from types import FunctionType, MappingProxyType, MemberDescriptorType, ModuleType
from typing import Any, TypeVar

import pytest
from temporalio.client import WorkflowHistory
from temporalio.common import RetryPolicy
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import (
    SandboxedWorkflowRunner,
    SandboxRestrictions,
)
from temporalio.workflow import SandboxImportNotificationPolicy

from tests.histories.record import recorded
from worker.workflow_runtime import PASSED_THROUGH, WORKFLOWS

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = sorted((ROOT / "workflows").rglob("*.py"))

CLIENT_SIDE = {"workflows.starting"}
"""What only clients call; no workflow imports it."""

DETERMINISTIC = {
    *(
        "__future__",
        "abc",
        "collections",
        "contextlib",
        "dataclasses",
        "enum",
        "functools",
        "hashlib",
        "types",
    ),
    *("typing", "asyncio", "datetime"),
}
"""What workflows may import of the standard library. Of the clock the tests of directions speak."""

UNORDERED = {"as_completed", "wait", "to_thread", "run_in_executor", "create_subprocess_exec", "timeout_at"}
"""What workflows may not use of asyncio: it goes through sets, or leaves the loop."""

IMMUTABLE = (str, bytes, int, float, bool, type(None), date, timedelta, Enum, frozenset, type, RetryPolicy)
DEFINITIONS = (ModuleType, FunctionType, property, classmethod, staticmethod, MemberDescriptorType, TypeVar)
ANNOTATIONS = {"__future__", "typing", "collections.abc", "types"}
"""Where the types of annotations are at home."""


def modules() -> Iterator[ModuleType]:
    """The modules that run in the sandbox."""
    for file in FILES:
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if name not in CLIENT_SIDE:
            yield import_module(name)


def state_of(where: str, values: Mapping[str, Any]) -> list[str]:
    """What one workflow could change for another, by name."""
    return [
        f"{where}.{name}: {type(value).__name__}"
        for name, value in values.items()
        if not name.startswith("__") and not _is_constant(value)
    ]


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_constant(one) for one in value)
    if isinstance(value, MappingProxyType):
        return all(_is_constant(one) for one in value.values())
    if isinstance(value, _lru_cache_wrapper):
        return False
    if isinstance(value, IMMUTABLE + DEFINITIONS) or type(value).__module__ in ANNOTATIONS:
        return True
    frozen = getattr(type(value), "__dataclass_params__", None)
    return bool(frozen and frozen.frozen)


def test_workflow_modules_hold_no_mutable_state() -> None:
    found = []
    for module in modules():
        found += state_of(module.__name__, vars(module))
        for value in vars(module).values():
            if isinstance(value, type) and value.__module__ == module.__name__:
                found += state_of(f"{module.__name__}.{value.__name__}", vars(value))
    assert found == []


@pytest.mark.parametrize("value", [[], {}, set(), ([],), MappingProxyType({"a": []}), lru_cache(len)])
def test_mutable_state_is_found(value: object) -> None:
    assert state_of("module", {"SEEN": value}) != []


def test_workflow_modules_import_nothing_that_differs_at_replay() -> None:
    for file in FILES:
        if file.stem == "starting":
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        imported = set[str]()
        for node in ast.walk(tree):
            assert not isinstance(node, ast.Global), file
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Attribute):
                assert not (ast.unparse(node.value) == "asyncio" and node.attr in UNORDERED), file
        assert imported & sys.stdlib_module_names <= DETERMINISTIC, file


def _one_of_each_type() -> dict[str, WorkflowHistory]:
    """A long history of each workflow type."""
    found: dict[str, WorkflowHistory] = {}
    for history in recorded().values():
        kind = history.events[0].workflow_execution_started_event_attributes.workflow_type.name
        if kind not in found or len(found[kind].events) < len(history.events):
            found[kind] = history
    return found


LONGEST = _one_of_each_type()


async def _replay(history: WorkflowHistory, restrictions: SandboxRestrictions) -> None:
    runner = SandboxedWorkflowRunner(restrictions=restrictions)
    await Replayer(workflows=WORKFLOWS, workflow_runner=runner).replay_workflow(history)


@pytest.mark.rule("T6", "T7")
@pytest.mark.parametrize("kind", LONGEST)
async def test_longest_history_replays_under_every_restriction(kind: str) -> None:
    """A sandbox that imports our workflows again refuses the clock, chance and input and output."""
    outside = [name for name in PASSED_THROUGH if name != "workflows"]
    await _replay(LONGEST[kind], SandboxRestrictions.default.with_passthrough_modules(*outside))


@pytest.mark.parametrize("kind", LONGEST)
async def test_sandbox_imports_nothing_again(kind: str) -> None:
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    policy = SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
    await _replay(LONGEST[kind], restrictions.with_import_notification_policy(policy))
