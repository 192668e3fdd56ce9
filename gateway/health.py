"""Liveness and readiness of a process, the same for gateway and worker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError

from database.session import Database
from gateway.access import Access, declared
from gateway.services import Check

CHECK_TIMEOUT = 5.0
"""Seconds that each check may take."""

WRITABLE_FOR = 5.0
"""Seconds for which a write that succeeded stands: anybody may ask, and each write costs the database one."""


class Alive(BaseModel):
    """The process answers."""

    status: str = "ok"


class Dependency(BaseModel):
    """One thing that the process needs."""

    ready: bool
    reason: str | None = None


class Readiness(BaseModel):
    """All that the process needs, by name."""

    ready: bool
    parts: dict[str, Dependency]


class DatabaseCheck:
    """Raises unless the database has the schema of this version and takes writes.

    A disk that is full and a server that only reads answer every question, and can store nothing.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writable_until = 0.0
        self._lock = asyncio.Lock()

    async def __call__(self) -> None:
        """Check. Those who ask at once share one write."""
        await self._database.check()
        async with self._lock:
            if monotonic() >= self._writable_until:
                await self._database.check_writable()
                self._writable_until = monotonic() + WRITABLE_FOR


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
        responses={503: {"model": Readiness, "description": "A dependency is down."}},
    )
    async def readyz() -> Response:
        """The database, with the schema of this version and able to store, and Temporal."""
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
        return Dependency(ready=False, reason=_reason(error))
    return Dependency(ready=True)


def _reason(error: Exception) -> str:
    """Return words of our own: texts of errors may quote addresses and user names."""
    if type(error) is RuntimeError and "schema" in str(error):
        return str(error)
    text = str(error.orig if isinstance(error, DBAPIError) else error).lower()
    if ("disk" in text and "full" in text) or "no space left" in text:
        return "the disk of the database is full"
    if "readonly" in text or "read-only" in text:
        return "the database takes no writes"
    return type(error).__name__
