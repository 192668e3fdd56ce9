"""Spans of traces, as the rooms mark them for whichever tracer the process has (`worker/monitoring/tracing.py`).

A process without a tracer does nothing here, and loads no library for it. Attributes are ids only (MEM6).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Tracer(Protocol):
    """What begins spans and knows the current one."""

    def span(self, name: str, parent: str | None, ids: Mapping[str, str]) -> AbstractContextManager[None]:
        """Return a span of the block: below `parent`, or below the current span without one."""
        ...

    def current(self) -> str | None:
        """Return the current span as a `traceparent` of W3C Trace Context; None outside of all spans."""
        ...


_tracer: Tracer | None = None


def use_tracer(tracer: Tracer | None) -> None:
    """Give this process a tracer; None takes it away."""
    global _tracer
    _tracer = tracer


def span(name: str, parent: str | None = None, **ids: str) -> AbstractContextManager[None]:
    """Return a span of the block, with ids as its attributes; nothing where the process has no tracer.

    `parent` is what `current_trace` returned elsewhere. An error of the block is kept by its name alone.
    """
    return _tracer.span(name, parent, ids) if _tracer else nullcontext()


def current_trace() -> str | None:
    """Return what continues the trace elsewhere, 55 characters; None without a tracer or a span."""
    return _tracer.current() if _tracer else None
