"""Alembic's entry point: runs the migrations on the address that `Database.upgrade` passes."""

from __future__ import annotations

import asyncio
from typing import Literal

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from database.models import Base, Instant, Json, Serial


def _rendered(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Render this project's column types in new migrations by their short names."""
    if kind == "type" and isinstance(item, Instant):
        return "Instant()"
    if kind == "type" and item is Json:
        return "Json"
    if kind == "type" and item is Serial:
        return "Serial"
    return False


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, render_item=_rendered)
    with context.begin_transaction():
        context.run_migrations()


async def _main() -> None:
    engine = create_async_engine(context.config.attributes["url"])
    async with engine.begin() as connection:
        await connection.run_sync(_migrate)
    await engine.dispose()


asyncio.run(_main())
