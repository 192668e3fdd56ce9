"""The schema of a database: bringing it to this version without stopping others, and which code may run on it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

MIGRATIONS: Final = Path(__file__).parent / "migrations"

LOCK_WAIT_MS: Final = 3_000
"""Milliseconds that a migration waits for a table. All who come after it wait as long, those who only read, too."""

PAUSES: Final = (1.0, 2.0, 4.0, 8.0)
"""Seconds between two attempts, in which the others go on."""

_ID: Final = re.compile(r"(\d{4})(?:-from-(\d{4}))?")

_HOLDERS: Final = text(
    """
    SELECT a.pid, coalesce(nullif(a.application_name, ''), a.backend_type) AS program, a.usename AS role,
           coalesce(a.state, 'unknown') AS state, extract(epoch FROM clock_timestamp() - a.xact_start) AS seconds,
           string_agg(DISTINCT c.relname, ', ' ORDER BY c.relname) AS tables
    FROM pg_locks l
    JOIN pg_stat_activity a ON a.pid = l.pid
    JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p')
    JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname !~ '^(pg_|information_schema)'
    JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
    WHERE l.granted AND a.pid <> pg_backend_pid()
      AND coalesce(a.xact_start, '-infinity') < clock_timestamp() - make_interval(secs => :waited)
    GROUP BY a.pid, program, role, a.state, a.xact_start
    ORDER BY a.xact_start
    LIMIT 5
    """
)
"""Who has held a table for as long as a migration waited. The texts of their statements may name people: left out."""


class SchemaLockedError(RuntimeError):
    """A migration did not get a table within its time. What was migrated before it stays; it is repeated whole."""


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """The id of a migration, such as `0031` or `0042-from-0040`: older code runs on the latter from schema 0040 on."""

    number: int
    oldest: int
    """The schema whose code can still run on this one."""

    @classmethod
    def of(cls, name: str) -> SchemaVersion:
        """Read an id. Raises ValueError for what is none."""
        found = _ID.fullmatch(name)
        if found is None:
            raise ValueError(f"{name!r} is no id of a migration, such as 0031 or 0042-from-0040")
        return cls(int(found[1]), int(found[2] or 0))


def runs_on(code: str, found: str) -> bool:
    """Return whether code of one schema runs on another: on its own, and on newer ones that only add."""
    if code == found:
        return True
    try:
        mine, theirs = SchemaVersion.of(code), SchemaVersion.of(found)
    except ValueError:
        return False
    return theirs.oldest <= mine.number < theirs.number


def config_of(url: str, lock_wait_ms: int = LOCK_WAIT_MS) -> Config:
    """Return the settings with which the migrations run on an address."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    config.attributes["lock_wait"] = lock_wait_ms
    return config


@cache
def head() -> str | None:
    """Return the id of this version's last migration."""
    return ScriptDirectory.from_config(config_of("")).get_current_head()


async def upgrade(url: str, lock_wait_ms: int = LOCK_WAIT_MS, pauses: Sequence[float] = PAUSES) -> None:
    """Run the migrations that a database lacks, each in a transaction of its own.

    On PostgreSQL each waits for a table for `lock_wait_ms` at most, and is tried again after each of `pauses`, in
    seconds. Raises SchemaLockedError, naming who holds the tables.
    """
    for pause in (*pauses, None):
        try:
            await asyncio.to_thread(command.upgrade, config_of(url, lock_wait_ms), "head")
            return
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != "55P03":
                raise
        if pause is None:
            raise SchemaLockedError(await _held_by(url, lock_wait_ms))
        await asyncio.sleep(pause)


async def _held_by(url: str, lock_wait_ms: int) -> str:
    """Return who held tables while a migration waited, in a sentence."""
    engine = create_async_engine(url, hide_parameters=True)
    try:
        async with engine.connect() as connection:
            found = (await connection.execute(_HOLDERS, {"waited": lock_wait_ms / 1000})).all()
    finally:
        await engine.dispose()
    holders = "; ".join(
        f"process {each.pid} ({each.program}, role {each.role}, {each.state}, for {int(each.seconds or 0)} s)"
        f" holds {each.tables}"
        for each in found
    )
    return f"a table is held by others: {holders or 'they have let go of it by now'}"
