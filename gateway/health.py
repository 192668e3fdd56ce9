"""Liveness and readiness of the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from gateway.access import Access, declared
from gateway.services import Check

CHECK_TIMEOUT = 5.0
"""Seconds that each check may take."""


class Alive(BaseModel):
    """The process answers."""

    status: str = "ok"


class Dependency(BaseModel):
    """One thing that the gateway needs."""

    ready: bool
    reason: str | None = None


class Readiness(BaseModel):
    """All that the gateway needs, by name."""

    ready: bool
    parts: dict[str, Dependency]


def router(checks: Mapping[str, Check], timeout: float = CHECK_TIMEOUT) -> APIRouter:
    """Return the routes `/healthz` and `/readyz`. A dependency counts as down if its check raises or times out."""
    routes = APIRouter(tags=["health"], dependencies=[declared(Access.PUBLIC)])

    @routes.get("/healthz")
    async def healthz() -> Alive:
        """The process is alive. Does not check what it depends on."""
        return Alive()

    @routes.get(
        "/readyz",
        response_model=Readiness,
        responses={503: {"model": Readiness, "description": "A dependency of the gateway is down."}},
    )
    async def readyz() -> Response:
        """The database, with the schema of this version, and Temporal."""
        found = await asyncio.gather(*(_run(check, timeout) for check in checks.values()))
        answer = Readiness(
            ready=all(part.ready for part in found), parts=dict(zip(checks, found, strict=True))
        )
        return JSONResponse(answer.model_dump(), 200 if answer.ready else 503)

    return routes


async def _run(check: Check, timeout: float) -> Dependency:
    try:
        async with asyncio.timeout(timeout):
            await check()
    except TimeoutError:
        return Dependency(ready=False, reason=f"no answer within {timeout:g} seconds")
    except Exception as error:
        # Texts of errors may quote addresses and user names. Only the database's own check names nothing of the kind.
        is_schema_check = type(error) is RuntimeError and "schema" in str(error)
        return Dependency(ready=False, reason=str(error) if is_schema_check else type(error).__name__)
    return Dependency(ready=True)
