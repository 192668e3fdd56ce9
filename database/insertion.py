"""Rows that several processes may add at the same moment: the first one counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import literal
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Base


async def insert_if_new(session: AsyncSession, table: type[Base], values: Mapping[str, Any]) -> bool:
    """Insert a row unless one of its unique values is taken; return whether it was inserted.

    A transaction that inserted the same values and has not ended yet is waited for.
    """
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(**values).on_conflict_do_nothing().returning(literal(1))
    return await session.scalar(statement) is not None
