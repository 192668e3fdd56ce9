"""Liveness and readiness of the gateway, without secrets in the answers."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy import text

from embedded.faults import DatabaseFault
from gateway.health import router
from tests.support.gateway import GatewayFixture


async def test_gateway_with_all_parts_is_ready(gateway: GatewayFixture) -> None:
    assert (await gateway.client.get("/healthz")).json() == {"status": "ok"}
    response = await gateway.client.get("/readyz")
    ready = {"ready": True, "reason": None}
    assert response.status_code == 200
    assert response.json() == {"ready": True, "parts": {"database": ready, "temporal": ready, "mail": ready}}


async def test_readiness_names_missing_parts_without_addresses(gateway: GatewayFixture) -> None:
    gateway.temporal.broken = True
    DatabaseFault(gateway.database).down = True
    response = await gateway.client.get("/readyz")
    assert response.status_code == 503
    parts = response.json()["parts"]
    assert parts["temporal"] == {"ready": False, "reason": "ConnectionError"}
    assert parts["database"]["ready"] is False
    assert parts["mail"]["ready"] is True
    assert "hunter2" not in response.text
    assert "10.0.0.7" not in response.text
    assert (await gateway.client.get("/healthz")).status_code == 200


async def test_outdated_schema_names_the_upgrade_command(gateway: GatewayFixture) -> None:
    async with gateway.database.begin() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '0029'"))
    reason = (await gateway.client.get("/readyz")).json()["parts"]["database"]["reason"]
    assert "schema 0029" in reason
    assert "throughline db upgrade" in reason


async def test_readiness_does_not_wait_for_a_silent_part() -> None:
    async def silent() -> None:
        await asyncio.Event().wait()

    app = FastAPI()
    app.include_router(router({"temporal": silent}, timeout=0.05))
    async with AsyncClient(transport=ASGITransport(app), base_url="http://gateway") as client:
        response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["parts"]["temporal"]["reason"] == "no answer within 0.05 seconds"
