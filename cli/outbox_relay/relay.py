"""The loop from an outbox table to a gateway: each row once, in order, whatever stops in between.

A row is marked after the gateway has it. A relay that is killed between the two sends the row again, under the same id,
which the gateway knows. A wrong row is marked with the reason, and the rows behind it go on: where they depend on it,
the inbox holds them until it has been corrected.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from cli.outbox_relay.gateway_client import GatewayClient, GatewayUnavailable, RequestRefused
from cli.outbox_relay.outbox_table import OutboxRow, OutboxTable
from worker.errors import Failure

log = structlog.get_logger()

MOST_ROWS: Final = 200
MOST_BYTES: Final = 900_000
"""A request has at most this size, unless one row alone is larger: the gateway takes 1 MiB."""

FIRST_DELAY: Final = 1.0
LONGEST_DELAY: Final = 60.0


@dataclass(slots=True)
class RelayCounts:
    """What a relay has done."""

    sent: int = 0
    known: int = 0
    """Rows that had arrived before: they were sent and not marked."""
    refused: int = 0


class Relay:
    """Sends the rows of a table to a gateway. `interval` is how often it looks for new ones, in seconds."""

    def __init__(
        self,
        outbox: OutboxTable,
        gateway: GatewayClient,
        *,
        interval: float = 1.0,
        delay: float = FIRST_DELAY,
    ) -> None:
        self._outbox, self._gateway = outbox, gateway
        self._interval, self._first_delay = interval, delay
        self.counts = RelayCounts()

    async def run(self) -> None:
        """Send what waits, then what comes, for ever.

        Retries for as long as the database or the gateway is away, at growing intervals. Raises Failure for a table
        that is no outbox.
        """
        delay = self._first_delay
        while True:
            try:
                async with self._outbox.connected() as connection:
                    await self._take_lead(connection)
                    while True:
                        found = await self._send_some(connection)
                        delay = self._first_delay
                        if not found:
                            await asyncio.sleep(self._interval)
            except GatewayUnavailable as away:
                await self._back_off(max(delay, away.retry_after), "gateway", str(away))
            except (SQLAlchemyError, OSError) as error:
                await self._back_off(delay, "database", _trouble(error))
            delay = min(delay * 2, LONGEST_DELAY)

    async def run_once(self) -> None:
        """Send what waits now, unless another relay of this table does so.

        Raises Failure for a table that is no outbox, or if the database or the gateway is away.
        """
        try:
            async with self._outbox.connected() as connection:
                if await self._outbox.takes_lead(connection):
                    while await self._send_some(connection):
                        pass
        except GatewayUnavailable as away:
            raise Failure(f"the gateway {away}; what waits is sent by the next run") from None
        except (SQLAlchemyError, OSError) as error:
            raise Failure(f"the database of the table: {_trouble(error)}") from None

    async def _take_lead(self, connection: AsyncConnection) -> None:
        """Wait until no other relay sends the rows of this table."""
        stands_by = False
        while not await self._outbox.takes_lead(connection):
            if not stands_by:
                log.info("relay_stands_by", table=self._outbox.name)
            stands_by = True
            await asyncio.sleep(self._interval)
        log.info("relay_started", table=self._outbox.name)

    async def _back_off(self, delay: float, what: str, why: str) -> None:
        log.warning(f"{what}_unavailable", reason=why, retry_in_seconds=delay)
        await asyncio.sleep(delay)

    async def _send_some(self, connection: AsyncConnection) -> bool:
        """Send the next rows; return whether there were any."""
        rows = await self._outbox.waiting(connection, MOST_ROWS)
        if not rows:
            return False
        for row in rows:
            if row.fault:
                await self._refuse(connection, row, row.fault)
        for batch in _batches([row for row in rows if not row.fault]):
            await self._send(connection, batch)
        return True

    async def _send(self, connection: AsyncConnection, rows: Sequence[OutboxRow]) -> None:
        """Send rows in one request, and mark them. Where a request is refused whole, find out which row it is for."""
        try:
            answers = await self._gateway.send([row.event for row in rows])
        except RequestRefused as refused:
            if len(rows) == 1:
                await self._refuse(connection, rows[0], str(refused))
                return
            half = len(rows) // 2
            await self._send(connection, rows[:half])
            await self._send(connection, rows[half:])
            return
        taken = [row.number for row, answer in zip(rows, answers, strict=True) if not answer.refused]
        if taken:
            await self._outbox.mark_sent(connection, taken)
        new = sum(answer.is_new for answer in answers)
        self.counts.sent += new
        self.counts.known += len(taken) - new
        for row, answer in zip(rows, answers, strict=True):
            if answer.refused:
                await self._refuse(connection, row, answer.refused)
        log.info("rows_sent", table=self._outbox.name, sent=new, known=len(taken) - new, last=rows[-1].number)

    async def _refuse(self, connection: AsyncConnection, row: OutboxRow, reason: str) -> None:
        """Mark a row. Its reason may quote what the row says: it stays in the table, and out of the log."""
        await self._outbox.mark_refused(connection, row.number, reason)
        self.counts.refused += 1
        log.warning("row_refused", table=self._outbox.name, number=row.number)


def _trouble(error: Exception) -> str:
    """Return the first line of an error of the database."""
    cause = (error.orig or error) if isinstance(error, DBAPIError) else error
    return (str(cause).strip() or type(cause).__name__).splitlines()[0]


def _batches(rows: Sequence[OutboxRow]) -> list[list[OutboxRow]]:
    """Return rows in requests that a gateway takes."""
    batches: list[list[OutboxRow]] = []
    size = MOST_BYTES
    for row in rows:
        length = len(json.dumps(row.event))
        if size + length > MOST_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(row)
        size += length
    return batches
