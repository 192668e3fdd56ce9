"""Whether the gateway lives, and whether what it needs is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

SECONDS = 5.0


class Lives(BaseModel):
    """The process answers."""

    status: str = "ok"


class Part(BaseModel):
    """One thing that the gateway needs."""

    ready: bool
    reason: str | None = None


class Readiness(BaseModel):
    """All that the gateway needs, by name."""

    ready: bool
    parts: dict[str, Part]


def router(parts: Mapping[str, Callable[[], Awaitable[None]]], seconds: float = SECONDS) -> APIRouter:
    """The routes `/healthz` and `/readyz`. Each of `parts` raises when it is not there, or does not answer in time."""
    routes = APIRouter(tags=["health"])

    @routes.get("/healthz")
    async def healthz() -> Lives:
        """The process lives; says nothing of what it needs."""
        return Lives()

    @routes.get(
        "/readyz",
        response_model=Readiness,
        responses={
            503: {"model": Readiness, "description": "Something that the gateway needs is not there."}
        },
    )
    async def readyz() -> Response:
        """The database with the schema of this version, Temporal, and the mail server where one is set."""
        found = await asyncio.gather(*(_look(check, seconds) for check in parts.values()))
        answer = Readiness(
            ready=all(part.ready for part in found), parts=dict(zip(parts, found, strict=True))
        )
        return JSONResponse(answer.model_dump(), 200 if answer.ready else 503)

    return routes


async def _look(check: Callable[[], Awaitable[None]], seconds: float) -> Part:
    try:
        async with asyncio.timeout(seconds):
            await check()
    except TimeoutError:
        return Part(ready=False, reason=f"no answer within {seconds:g} seconds")
    except Exception as error:
        # Texts of errors may quote addresses and user names; only the database's own check speaks for itself.
        told = str(error) if type(error) is RuntimeError and "schema" in str(error) else type(error).__name__
        return Part(ready=False, reason=told)
    return Part(ready=True)
