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
    # Each migration commits by itself: a lock is held no longer than its own statements take.
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_item=_rendered,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _print_statements() -> None:
    """Write the statements for PostgreSQL instead of running them: a linter reads them."""
    context.configure(
        dialect_name="postgresql",
        target_metadata=Base.metadata,
        literal_binds=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _main() -> None:
    engine = create_async_engine(context.config.attributes["url"])
    try:
        async with engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                # What waits for a table's lock makes everybody wait who comes later, readers too.
                wait = context.config.attributes.get("lock_wait", 3000)
                await connection.exec_driver_sql(f"SET lock_timeout = {wait}")
                await connection.commit()
            await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


if context.is_offline_mode():
    _print_statements()
else:
    asyncio.run(_main())
