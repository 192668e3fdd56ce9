"""Traces by OpenTelemetry: from the receipt of an event to the mail server's answer, exported by OTLP over HTTP.

A trace begins where the gateway stores an event, goes on with the event in its row, and through Temporal in the
headers of workflows, updates and activities. Attributes are ids and types only (MEM6).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from database.traces import use_tracer
from worker.connection_file import dotenv_and_environment
from worker.errors import Failure

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer as OtelTracer

    from worker.monitoring.temporal_tracing import LifecycleTracing

# OpenTelemetry is imported where it is used: a process without an endpoint for traces loads none of it.

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
"""OpenTelemetry's own variables. The first is the address of a collector, the second the whole path for traces."""

EXPORT_TIMEOUT: Final = 4.0
"""Seconds for one export, its retries included: an absent collector must not use up the time for a graceful stop."""


def traces_endpoint() -> str:
    """Return the address that spans go to; empty where none is set. Raises Failure for one that is no HTTP address."""
    given = dotenv_and_environment()
    if given.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ""
    whole, base = given.get(TRACES_ENDPOINT, "").strip(), given.get(ENDPOINT, "").strip()
    name, found = (TRACES_ENDPOINT, whole) if whole else (ENDPOINT, base)
    if found and not found.startswith(("http://", "https://")):
        raise Failure(f"{name}: must begin with http:// or https://; traces are sent by OTLP over HTTP")
    return whole or (f"{base.rstrip('/')}/v1/traces" if base else "")


@asynccontextmanager
async def tracing(process: str) -> AsyncIterator[Sequence[LifecycleTracing]]:
    """Trace within the block, where an endpoint is set; yield the interceptors for the client of Temporal.

    What was not exported by the end is exported then. Raises Failure if the endpoint is set and the packages of the
    extra `tracing` are missing.
    """
    endpoint = traces_endpoint()
    if not endpoint:
        yield ()
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise Failure(
            f"{ENDPOINT} is set, and the package {error.name} is missing: pip install 'throughline[tracing]'"
        ) from None
    async with traced_to(OTLPSpanExporter(endpoint, timeout=EXPORT_TIMEOUT), process) as interceptors:
        yield interceptors


@asynccontextmanager
async def traced_to(exporter: SpanExporter, process: str) -> AsyncIterator[Sequence[LifecycleTracing]]:
    """Trace within the block to an exporter; yield the interceptors for the client of Temporal."""
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from worker.monitoring.temporal_tracing import LifecycleTracing

    provider = _provider(process)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("throughline", version("throughline"))
    use_tracer(_Spans(tracer))
    try:
        yield (LifecycleTracing(tracer),)
    finally:
        use_tracer(None)
        # Off the event loop: the last export may wait for a collector that does not answer.
        await asyncio.to_thread(provider.shutdown)


def _provider(process: str) -> TracerProvider:
    """Return where spans come from. The sampler is what OTEL_TRACES_SAMPLER names, by default all."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say comes first.
    own = Resource({"service.name": f"throughline-{process}", "service.version": version("throughline")})
    named = Resource.create().attributes
    given = {name: each for name, each in named.items() if not str(each).startswith("unknown_service")}
    return TracerProvider(resource=own.merge(Resource(given)))


class _Spans:
    """The tracer of the process, as the rooms use it."""

    def __init__(self, tracer: OtelTracer) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = tracer
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(self, name: str, parent: str | None, ids: Mapping[str, str]) -> Iterator[None]:
        """Begin a span. The text of an error may quote a person: its name alone is kept."""
        from opentelemetry.trace import Status, StatusCode

        context = self._propagator.extract({"traceparent": parent}) if parent else None
        attributes = {f"throughline.{key}": value for key, value in ids.items()}
        with self._tracer.start_as_current_span(
            name, context, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except Exception as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise

    def current(self) -> str | None:
        """Return the current span as it is stored."""
        carrier: dict[str, Any] = {}
        self._propagator.inject(carrier)
        return carrier.get("traceparent")
