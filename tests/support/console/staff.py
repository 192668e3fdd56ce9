"""The console on a gateway, and people of the staff who are signed in to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from sqlalchemy import select

from database.models import AuditRecord
from staff.accounts.directory import add_account, assign, find_account
from staff.accounts.sessions import begin_session, make_link
from tests.support.gateway import GatewayFixture, gateway_fixture

BASE = "https://mentoring.example.org"
COOKIE = "__Host-throughline"
OURS = {"origin": BASE, "sec-fetch-site": "same-origin"}
"""What a browser says of a form on a page of ours."""

STAFF: dict[str, dict[str, object]] = {
    "mia": {"name": "Mia Manager", "role": "manager", "zone": "America/Bogota"},
    "reader": {"name": "Rita Reader", "role": "manager", "may_send": False, "may_set": False},
    "cora": {"name": "Cora Coordinator", "role": "coordinator", "language": "es"},
    "vito": {"name": "Vito Viewer", "role": "viewer"},
}
"""A manager, one who may not send, a coordinator of Ana and Marcus, and a viewer."""


@dataclass
class ConsoleFixture:
    """A gateway with staff."""

    gateway: GatewayFixture
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    async def client(self, who: str = "") -> httpx.AsyncClient:
        """A browser in which somebody is signed in; one in which nobody is, for an empty name."""
        if who not in self.clients:
            cookies = {COOKIE: await self.session(who)} if who else {}
            transport = httpx.ASGITransport(self.gateway.app, raise_app_exceptions=False)
            made = httpx.AsyncClient(transport=transport, base_url=BASE, cookies=cookies)
            self.clients[who] = made
        return self.clients[who]

    async def session(self, who: str) -> str:
        """The token of a new session."""
        async with self.gateway.database.begin() as session:
            account = await find_account(session, f"{who}@staff.example")
            assert account is not None
            return await begin_session(session, account, "link", datetime.now(UTC))

    async def link(self, who: str) -> str:
        """The path of a new one-time link."""
        async with self.gateway.database.begin() as session:
            account = await find_account(session, f"{who}@staff.example")
            assert account is not None
            return f"/staff/link/{await make_link(session, account, datetime.now(UTC))}"

    async def get(self, who: str, path: str, **headers: str) -> httpx.Response:
        """What somebody sees at a path. No redirect is followed."""
        return await (await self.client(who)).get(path, headers=headers)

    async def post(
        self, who: str, path: str, form: dict[str, Any] | None = None, **headers: str
    ) -> httpx.Response:
        """What a form of a page of ours is answered with."""
        return await (await self.client(who)).post(path, data=form or {}, headers={**OURS, **headers})

    async def add(self, *rows: Any) -> None:
        """Add rows, in their order."""
        async with self.gateway.database.begin() as session:
            for row in rows:
                session.add(row)
                await session.flush()

    async def acts(self, subject: str) -> list[tuple[str, str | None]]:
        """The acts on record about a subject, each with its actor."""
        async with self.gateway.database.reading() as session:
            found = await session.scalars(
                select(AuditRecord)
                .where(AuditRecord.subject == subject, AuditRecord.kind == "act")
                .order_by(AuditRecord.id)
            )
            return [(record.data["act"], record.actor) for record in found]


@asynccontextmanager
async def console_fixture(url: str, rows: Iterable[Any] | None = None) -> AsyncIterator[ConsoleFixture]:
    """A console on an empty, migrated database. Cora is assigned Ana and Marcus, where they are among the rows."""
    async with gateway_fixture(url, rows) as gateway:
        made = ConsoleFixture(gateway)
        async with gateway.database.begin() as session:
            for name, values in STAFF.items():
                await add_account(session, f"{name}@staff.example", values, "test", datetime.now(UTC))
            cora = await find_account(session, "cora@staff.example")
            assert cora is not None
            for member in ("ana", "marcus"):
                await assign(session, cora, f"member/{member}", "test", datetime.now(UTC))
        yield made
        for client in made.clients.values():
            await client.aclose()
