"""Lifecycles whose plan was due long ago, notified again (T7).

What changes the version of a lifecycle may end, or lose Temporal, before its workflow is notified.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from database.session import Database
from lifecycles.registry import LIFECYCLES

LATE: Final = timedelta(hours=2)
"""How long after the instant of its next plan a lifecycle is late: after one that fails comes the next in an hour."""

BATCH: Final = 200


async def wake_late_plans(database: Database, client: Client, at: datetime) -> int:
    """Have each open lifecycle plan again whose plan is late; return how many there are.

    Raises RPCError where Temporal cannot be reached.
    """
    found = 0
    for entry in LIFECYCLES.values():
        table: type[Any] = entry.table
        last = ""
        while workflows := await _late(database, table, at, last):
            for workflow in workflows:
                found += await _wake(client, workflow)
            last = workflows[-1]
    return found


async def _late(database: Database, table: type[Any], at: datetime, last: str) -> Sequence[str]:
    query = select(table.workflow).where(
        table.workflow > last, table.closed_at.is_(None), table.next_at <= at - LATE
    )
    async with database.reading() as session:
        return (await session.scalars(query.order_by(table.workflow).limit(BATCH))).all()


async def _wake(client: Client, workflow: str) -> bool:
    try:
        await client.get_workflow_handle(workflow).signal("replan")
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True
