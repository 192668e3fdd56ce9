"""An association's outbox table: the rows that wait, and what became of each.

The application writes a row in the transaction that changes a member. The relay reads rows that nobody has sent, in the
order of their numbers, and never by a cursor: a number is given before its transaction commits, so that a row may
become visible after later ones.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Text, case, cast, column, func, select, table, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchTableError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.inspection import inspect
from sqlalchemy.schema import MetaData, Table

from database.postgres_timeouts import connect_args
from gateway.request_body import LARGEST
from gateway.strict_json import NotJson, parse
from worker.errors import Failure

COLUMNS: Final = ("number", "id", "type", "data", "created_at", "sent_at", "refused")
"""The columns of an outbox table. It may have others."""

LONGEST_REASON: Final = 1000

_DRIVERS: Final = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}
_NAME = re.compile(r"(?:[^\W\d]\w{0,62}\.)?[^\W\d]\w{0,62}")
_LOCK_SPACE: Final = 0x5448
"""Tells the locks of relays from those of the application, as far as two numbers can."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A row that waits."""

    number: int
    event: Mapping[str, Any]
    """The CloudEvent that it makes."""
    fault: str = ""
    """Why no event can be made of it."""


class OutboxTable:
    """An outbox table by the address of its database and its name, `table` or `schema.table`.

    `timeout` is in seconds, for each answer of PostgreSQL. Raises Failure for an address or a name that cannot be read.
    """

    def __init__(self, url: str, name: str, source: str, *, timeout: float = 30.0) -> None:
        if not _NAME.fullmatch(name):
            raise Failure(f"--table: {name} is no name of a table, such as outbox or members.outbox")
        self.name, self._source = name, source
        schema, _, bare = name.rpartition(".")
        self._schema, self._bare = schema or None, bare
        self._table = table(bare, *map(column, COLUMNS), schema=self._schema)
        self._engine = _engine(url, timeout)

    @property
    def is_postgres(self) -> bool:
        """Whether relays of the same table can wait for each other."""
        return self._engine.dialect.name == "postgresql"

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection on which each statement commits by itself. Raises Failure if the table is none of ours."""
        async with self._engine.connect() as connection:
            connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.run_sync(self._check)
            yield connection

    async def takes_lead(self, connection: AsyncConnection) -> bool:
        """Return whether this connection is the one whose relay sends; it stays so until the connection ends.

        Without such a lock, on SQLite, relays may send the same rows at once. That does no harm but work: each sends in
        order, and a row is first only where all before it have arrived.
        """
        if not self.is_postgres:
            return True
        lock = func.pg_try_advisory_lock(_LOCK_SPACE, func.hashtext(self.name))
        return bool(await connection.scalar(select(lock)))

    async def waiting(self, connection: AsyncConnection, most: int) -> list[OutboxRow]:
        """Return the first rows that are neither sent nor refused, in their order."""
        columns = self._table.c
        # A cell of any size may be there: what no request can hold is not read.
        data = cast(columns.data, Text)
        rows = await connection.execute(
            select(
                columns.number,
                cast(columns.id, Text),
                cast(columns.type, Text),
                case((func.length(data) <= LARGEST, data)),
                columns.data.is_(None),
                columns.created_at,
            )
            .where(columns.sent_at.is_(None), columns.refused.is_(None))
            .order_by(columns.number)
            .limit(most)
        )
        return [self._row(*row) for row in rows]

    async def mark_sent(self, connection: AsyncConnection, numbers: Collection[int]) -> None:
        """Note that rows have arrived."""
        changed = update(self._table).values(sent_at=func.now())
        await connection.execute(changed.where(self._table.c.number.in_(numbers)))

    async def mark_refused(self, connection: AsyncConnection, number: int, reason: str) -> None:
        """Note why a row is no event."""
        changed = update(self._table).values(refused=reason[:LONGEST_REASON])
        await connection.execute(changed.where(self._table.c.number == number))

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    def _check(self, connection: Any) -> None:
        try:
            found = Table(self._bare, MetaData(), schema=self._schema, autoload_with=inspect(connection))
        except NoSuchTableError:
            raise Failure(f"the database has no table {self.name}") from None
        if missing := [name for name in COLUMNS if name not in found.columns]:
            raise Failure(
                f"the table {self.name} lacks {', '.join(missing)}: docs/member-database.md has its columns"
            )

    # long: the columns in their order
    def _row(
        self, number: int, id: str | None, type: str | None, data: str | None, empty: bool, at: Any
    ) -> OutboxRow:
        event = {"specversion": "1.0", "id": id, "source": self._source, "type": type}
        if data is None:
            return OutboxRow(number, event, "data: is missing" if empty else "data: is larger than 1 MiB")
        try:
            return OutboxRow(number, {**event, "time": _instant(at), "data": parse(data.encode())})
        except NotJson as wrong:
            return OutboxRow(number, event, f"data: {str(wrong).replace('the body', 'it')}")
        except ValueError:
            return OutboxRow(number, event, "data or created_at: cannot be read")


def _engine(url: str, timeout: float) -> AsyncEngine:
    try:
        address = make_url(url)
    except ArgumentError:
        raise Failure("--database: must look like postgresql://… or sqlite:///file") from None
    backend = address.drivername.partition("+")[0]
    if backend not in _DRIVERS:
        raise Failure(f"--database: {backend} is neither postgresql nor sqlite")
    address = address.set(drivername=_DRIVERS[backend])
    if backend == "sqlite":
        if not address.database or not Path(address.database).exists():
            raise Failure(f"--database: there is no file {address.database or ''}")
        return create_async_engine(address, hide_parameters=True, connect_args={"timeout": timeout})
    # One connection holds the lock; there is nothing to keep others for.
    return create_async_engine(
        address, hide_parameters=True, pool_size=1, connect_args=connect_args(address, timeout)
    )


def _instant(value: object) -> str | None:
    """Return an instant as an event has it; one without a zone is in UTC. Raises ValueError."""
    if value is None:
        return None
    at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()
