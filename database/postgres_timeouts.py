"""Connections to PostgreSQL that end every wait: a server that hangs fails the attempt, and does not stop the process.

When a server process dies, its machine closes the connection. A frozen server, or a network that drops packets, never
answers at all. Three limits are needed, because each alone leaves somebody waiting: the client's limit for each answer;
the server's limit for a statement, such as one behind a lock; and the server's limit for an idle transaction, whose
frozen client may hold locks.
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
"""How long a transaction may be idle. Ours are idle only while the process computes."""

KEPT_ALIVE_SECONDS = 60
"""Interval of TCP keep-alives: many firewalls forget a silent connection."""


class TimeoutConnection(psycopg.AsyncConnection[Any]):
    """A connection that closes for good when an answer takes longer than `patience` seconds.

    It also closes when a caller cancels its wait: the outcome of the unfinished statement is unknown, and a request to
    cancel it would be another wait.
    """

    patience: float

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Finish a step of the protocol. Raises psycopg.OperationalError if it takes too long."""
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
    """Return connection arguments that limit every wait to about `seconds`; options in the address come first."""

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
