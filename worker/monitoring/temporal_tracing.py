"""Traces through Temporal: the SDK's interceptor, for what an event begins and nothing else.

Headers are no part of what a replay compares: histories replay with and without it.
"""

from __future__ import annotations

from typing import Any, Final

from opentelemetry import trace
from temporalio.client import (
    OutboundInterceptor,
    SignalWorkflowInput,
    StartWorkflowInput,
    StartWorkflowUpdateInput,
    WorkflowHandle,
    WorkflowUpdateHandle,
)
from temporalio.contrib.opentelemetry import TracingInterceptor

ENDLESS: Final = frozenset({"Inbox", "InboxShard", "Webhook", "Watchdog", "Checkpoints", "Digest"})
"""Workflows that work for everybody, for ever: a trace that began one would never end."""


class LifecycleTracing(TracingInterceptor):
    """Traces lifecycles, from the event that starts, signals or updates one."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        """Wrap the calls of a client."""
        return _WithinSpans(super().intercept_client(next), next)


class _WithinSpans(OutboundInterceptor):
    """Traces a call that is made within a span and concerns one lifecycle."""

    def __init__(self, traced: OutboundInterceptor, plain: OutboundInterceptor) -> None:
        super().__init__(plain)
        self._traced = traced

    def _way(self, workflow_type: str = "") -> OutboundInterceptor:
        is_within = trace.get_current_span().get_span_context().is_valid
        return self._traced if is_within and workflow_type not in ENDLESS else self.next

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        return await self._way(input.workflow).start_workflow(input)

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:
        await self._way().signal_workflow(input)

    async def start_workflow_update(self, input: StartWorkflowUpdateInput) -> WorkflowUpdateHandle[Any]:
        return await self._way().start_workflow_update(input)
