"""Free the files of a database from what was deleted in its tables (STA5)."""

from __future__ import annotations

import asyncio
import sqlite3

from sqlalchemy import func, select
from sqlalchemy.engine import make_url

from database.models import Letter, PersonKey, Report
from database.session import LOCK_WAIT, Database
from rules.text import ERASED


class CompactionError(RuntimeError):
    """The file cannot be compacted now: another process writes, or the disk is full."""


async def compact(database: Database) -> bool:
    """Remove deleted bytes from a SQLite file if people were erased since the last time; return whether it did.

    SQLite keeps them in free pages and in its log until they are written over. PostgreSQL's autovacuum frees them by
    itself. Nobody else writes meanwhile, and the copy needs as much of the disk again. Raises CompactionError.
    """
    file = make_url(database.url).database
    if not database.is_sqlite or not file or file == ":memory:":
        return False
    async with database.reading() as session:
        people = select(func.count()).where(PersonKey.wrapped_by == "", PersonKey.wrapped.is_(None))
        letters = select(func.count()).where(Letter.statement == ERASED)
        reports = select(func.count()).where(Report.text == ERASED)
        erased = sum([await session.scalar(each) or 0 for each in (people, letters, reports)])
    return await asyncio.to_thread(_compact, file, erased)


def _compact(file: str, erased: int) -> bool:
    """Compact a file whose `user_version`, a number of SQLite's for applications, is not that of what was erased."""
    connection = sqlite3.connect(file, timeout=LOCK_WAIT / 1000, isolation_level=None)
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] == erased:
            return False
        connection.execute("VACUUM")
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise CompactionError("somebody reads the log")
        connection.execute(f"PRAGMA user_version = {erased:d}")
    except sqlite3.OperationalError as error:
        raise CompactionError(str(error)) from None
    finally:
        connection.close()
    return True
