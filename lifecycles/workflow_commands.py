"""What one lifecycle does to others: it starts, signals or updates them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class WorkflowCommand:
    """Something to do to a workflow: `start` it (of type `name`), or `signal` or `update` it by `name`."""

    kind: str
    workflow: str
    name: str
    argument: dict[str, Any] | None = None


def start(workflow_type: str, workflow: str, facts: object) -> WorkflowCommand:
    """The effect that starts a lifecycle with its facts."""
    return WorkflowCommand("start", workflow, workflow_type, _plain(asdict(facts)))  # type: ignore[call-overload]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
