"""The port on which a process answers its operators: `/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Response

from gateway import health
from gateway.access import NO_TELEMETRY, Access, declared
from gateway.services import Check
from worker.errors import Failure
from worker.http_server import served
from worker.monitoring.exposition import CONTENT_TYPE
from worker.monitoring.metrics import ProcessMetrics


def health_app(checks: Mapping[str, Check], metrics: ProcessMetrics) -> FastAPI:
    """Return the application of the port."""
    routes = APIRouter(dependencies=[declared(Access.PUBLIC)])

    @routes.get("/metrics")
    async def read_metrics() -> Response:
        return Response(await metrics.render(), headers={"content-type": CONTENT_TYPE})

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, telemetry=NO_TELEMETRY)
    app.include_router(health.router(checks))
    app.include_router(routes)
    return app


@asynccontextmanager
async def health_server(
    host: str, port: int | None, checks: Mapping[str, Check], metrics: ProcessMetrics
) -> AsyncIterator[int | None]:
    """Answer within the block; yield the port. Without a port nothing listens. Raises Failure if it is taken."""
    if port is None:
        yield None
        return
    try:
        listening = socket.create_server((host, port))
    except OSError as error:
        raise Failure(f"THROUGHLINE_HEALTH_PORT: {host}:{port}: {error.strerror}") from None
    async with served(health_app(checks, metrics), listening):
        yield listening.getsockname()[1]
