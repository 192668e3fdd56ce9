"""Connections and transactions, the same on SQLite (embedded) and PostgreSQL (production)."""

from __future__ import annotations

import asyncio
import errno
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
from sqlalchemy import event, inspect, text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.orm.util import identity_key
from sqlalchemy.sql.compiler import InsertmanyvaluesSentinelOpts

from database.key_ring import KeyRing
from database.outbox import KnownEndpoints
from database.postgres_timeouts import connect_args
from database.schema_upgrade import head, runs_on, upgrade

Row = TypeVar("Row")

TIMEOUT = 10.0
"""Default limit, in seconds, for an answer of PostgreSQL."""

LOCK_WAIT = 30_000
"""Milliseconds that a writer waits for another process that writes to the same SQLite file."""

LEAST_FREE = 4 * 2**20
"""Octets that must be free where a SQLite file is: a few transactions, and the merge of its log."""

TAKE_LOCK = "BEGIN IMMEDIATE"
"""The statement with which a writing transaction begins in SQLite."""


class Database:
    """One database. `url` is `sqlite:///file`, `postgresql://…` or either with its async driver named.

    `timeout` is in seconds: PostgreSQL is given up when it takes longer to connect, to answer a statement, or to have
    a connection free. `keys` is the deployment's key ring, which signs the ids of deliveries; sessions carry it as
    `info["keys"]`, as `info["endpoints"]` what is known of the endpoints of other systems, and as
    `info["people_with_keys"]` people whose key was found: its row stays for good. Raises ValueError for
    an address of another kind.
    """

    def __init__(
        self, url: str, *, pool_size: int = 10, timeout: float = TIMEOUT, keys: KeyRing | None = None
    ) -> None:
        self._info: dict[Any, Any] = {
            "keys": keys,
            "endpoints": KnownEndpoints(),
            "people_with_keys": set[str](),
        }
        self.url = _with_driver(url)
        self.is_sqlite = self.url.startswith("sqlite")
        # Parameters are hidden because error texts travel into logs and workflow histories (MEM6).
        options: dict[str, Any] = {"hide_parameters": True}
        if self.is_sqlite:
            file = make_url(self.url).database
            if file and file != ":memory:":
                Path(file).parent.mkdir(0o700, parents=True, exist_ok=True)
            options["async_creator"] = partial(_connect_sqlite, file or ":memory:")
        else:
            options |= {"pool_size": pool_size, "max_overflow": 5, "pool_timeout": timeout}
            options |= {"pool_pre_ping": True, "connect_args": connect_args(make_url(self.url), timeout)}
        self.engine = create_async_engine(self.url, **options)
        self._reading = self.engine.execution_options(reading=True)
        if self.is_sqlite:
            # SQLAlchemy inserts rows that number themselves one by one here, because SQLite promises no order of what
            # RETURNING returns. But it numbers the rows of one INSERT in their order, and the numbers are sorted.
            self.engine.dialect.insertmanyvalues_implicit_sentinel = (
                InsertmanyvaluesSentinelOpts.ANY_AUTOINCREMENT
            )
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)
        self._writing: AbstractAsyncContextManager[object] = (
            asyncio.Lock() if self.is_sqlite else nullcontext()
        )

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction that writes: committed at the end of the block, rolled back if it raises."""
        # SQLite allows one writer at a time, and its busy handler polls for the lock. Writers of one process queue here
        # instead.
        async with (
            self._writing,
            AsyncSession(
                self.engine, sync_session_class=_WritingSession, expire_on_commit=False, info=self._info
            ) as session,
            session.begin(),
        ):
            yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction that only reads: on SQLite it does not wait for writers."""
        async with AsyncSession(self._reading, expire_on_commit=False, info=self._info) as session:
            yield session

    async def check(self) -> None:
        """Raise if the database cannot be reached, or this version cannot run on its schema.

        It can on a newer one that only adds: old and new processes share the database while a release rolls out.
        """
        async with self.reading() as session:
            found = await session.scalar(text("SELECT version_num FROM alembic_version"))
        if not runs_on(wanted := str(head()), str(found)):
            if str(found) > wanted:
                raise RuntimeError(f"the database is at schema {found}, too new for this version ({wanted})")
            raise RuntimeError(
                f"the database is at schema {found}, this version needs {wanted}: throughline db upgrade"
            )

    async def check_writable(self) -> None:
        """Raise if nothing can be written: the disk is full, or the server takes reads only.

        A row is written as it is: a full disk refuses that as it refuses every other transaction.
        """
        if self.is_sqlite and (file := make_url(self.url).database) and file != ":memory:":
            # SQLite writes into a part of its log that it used before, also on a full disk: for a while.
            free = (await asyncio.to_thread(shutil.disk_usage, Path(file).parent)).free
            if free < LEAST_FREE:
                raise OSError(errno.ENOSPC, "the disk of the database is full")
        async with self.begin() as session:
            await session.execute(text("UPDATE environment SET name = name"))

    async def upgrade(self) -> None:
        """Bring the schema to this version. Raises SchemaLockedError where others hold a table."""
        await upgrade(self.url)

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


class _InlineConnection(aiosqlite.Connection):
    """Runs statements where they are called, in the event loop, and only a wait for the write lock in its thread.

    A statement of ours takes microseconds; the way to a thread and back takes ten times as long, and a transaction
    has dozens of them. Reads wait for nobody (write-ahead log), and who has the lock waits for nobody either; only
    while another process writes there is something to wait for. What comes while the thread is still at work, as
    after a cancelled wait, queues behind it: there is never more than one thread at the connection.
    """

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, 64)
        # A thread that waits for a lock must not keep a process from ending.
        self._thread.daemon = True
        self._in_thread: set[object] = set()

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._in_thread:
            if args[:1] != (TAKE_LOCK,):
                return fn(*args, **kwargs)
            with suppress(sqlite3.OperationalError):
                return self._without_waiting(fn, TAKE_LOCK)
        call = object()
        self._in_thread.add(call)

        def in_thread() -> Any:
            try:
                return fn(*args, **kwargs)
            finally:
                self._in_thread.discard(call)

        return await super()._execute(in_thread)  # type: ignore[no-untyped-call]

    def _without_waiting(self, fn: Callable[..., Any], statement: str) -> Any:
        self._conn.execute("PRAGMA busy_timeout=0")
        try:
            return fn(statement)
        finally:
            self._conn.execute(f"PRAGMA busy_timeout={LOCK_WAIT}")

    def stop(self) -> asyncio.Future[Any] | None:
        """Close the connection, and end its thread."""
        if not self._in_thread and self._connection is not None:
            self._connection.close()
            self._connection = None
        return super().stop()


class _WritingSession(Session):
    """Holds the rows of its transaction: a session refers to them weakly, and would read one again and again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rows: set[object] = set()


@event.listens_for(_WritingSession, "loaded_as_persistent")
@event.listens_for(_WritingSession, "pending_to_persistent")
def _hold(session: _WritingSession, row: object) -> None:
    session.rows.add(row)


def held(session: AsyncSession, table: type[Row], key: str) -> Row | None:
    """Return a row that a session has read, without a statement; None where it would have to be read."""
    row: Row | None = session.identity_map.get(identity_key(table, key))
    # What a savepoint took back has to be read again.
    return None if row is None or inspect(row).expired_attributes else row


def is_conflict(error: DBAPIError) -> bool:
    """Return whether the database ended a transaction in favour of another one, so that it can be repeated at once."""
    return getattr(error.orig, "sqlstate", None) in ("40001", "40P01")


def _connect_sqlite(file: str) -> aiosqlite.Connection:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(file, timeout=LOCK_WAIT / 1000, check_same_thread=False)

    return _InlineConnection(connect)


def _with_driver(url: str) -> str:
    try:
        name = make_url(url).drivername
    except ArgumentError:
        raise ValueError(
            "the database address cannot be read; it looks like sqlite:///file or postgresql://…"
        ) from None
    known = {
        "sqlite": "sqlite+aiosqlite",
        "sqlite+aiosqlite": "sqlite+aiosqlite",
        "postgresql": "postgresql+psycopg",
        "postgres": "postgresql+psycopg",
        "postgresql+psycopg": "postgresql+psycopg",
    }
    if name not in known:
        raise ValueError(f"no database of kind {name!r}: use sqlite:///file or postgresql://…")
    return re.sub(r"^[a-z+]+", known[name], url)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own transaction handling is off, so that _begin_sqlite decides how one begins.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={LOCK_WAIT}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its lock at once: upgrading a read lock later would fail instead of wait.
    reading = connection.get_execution_options().get("reading")
    connection.exec_driver_sql("BEGIN" if reading else TAKE_LOCK)
