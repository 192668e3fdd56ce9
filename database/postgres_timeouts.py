"""Connections to PostgreSQL that end every wait: a server that hangs fails the attempt, and does not stop the process.

A server that is gone is told by its machine; one that is frozen, or behind a network that swallows what is sent, says
nothing for ever. Three limits, since each alone leaves somebody waiting: the client's own, over each answer; the
server's over a statement, as behind a lock that does not come; and the server's over a silent transaction, whose client
may be the one that is frozen, with its locks.
"""

from __future__ import annotations

import asyncio
import math
import traceback
from typing import Any

import psycopg
from psycopg import waiting
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy.engine import URL

SILENT_SECONDS = 60
"""How long a transaction may be idle: ours are so only while the process computes."""

KEPT_ALIVE_SECONDS = 60
"""How often an idle connection is shown to be in use to what stands between: many forget silent ones."""


class TimeoutConnection(psycopg.AsyncConnection[Any]):
    """A connection that is given up for good when an answer takes longer than `patience` seconds.

    The same when somebody stops waiting for one: what the server makes of an unfinished statement cannot be known,
    and to ask it to stop is a wait of its own.
    """

    patience: float

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Let a step of the protocol come to its end. Raises psycopg.OperationalError if it does not in time."""
        try:
            async with asyncio.timeout(self.patience):
                return await waiting.wait_async(gen, self.pgconn.socket, interval=interval)
        except psycopg.Error as error:
            # The server's last words: its end of the connection closes a moment later.
            if error.diag.severity_nonlocalized in ("FATAL", "PANIC"):
                self.pgconn.finish()
            raise
        except TimeoutError:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {self.patience:g} seconds") from None
        except asyncio.CancelledError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()
            raise


def connect_args(url: URL, seconds: float) -> dict[str, Any]:
    """What to connect with so that no wait takes longer than `seconds`, give or take; the address has the last word."""

    async def connect(*args: Any, **options: Any) -> TimeoutConnection:
        try:
            connection = await TimeoutConnection.connect(*args, **options)
        except BaseException as error:
            # An attempt that failed has its socket open as long as the frames of the error remember it.
            traceback.clear_frames(error.__traceback__)
            raise
        # The server's own limit comes first, where it still answers: then the connection stays good.
        connection.patience = seconds + 1
        return connection

    ours = {
        "statement_timeout": math.ceil(seconds * 1000),
        "idle_in_transaction_session_timeout": SILENT_SECONDS * 1000,
    }
    options = [f"-c {name}={milliseconds}" for name, milliseconds in ours.items()]
    given = {"connect_timeout": math.ceil(seconds), "keepalives_idle": KEPT_ALIVE_SECONDS}
    return {
        **{name: value for name, value in given.items() if name not in url.query},
        "options": " ".join([*options, *url.normalized_query.get("options", ())]),
        "async_creator_fn": connect,
    }
