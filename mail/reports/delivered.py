"""Reports of a delivery, from a provider's webhook or a mail server: a fact beside the decision (MAIL1, MAIL7)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from database import ledger
from database.models import Message
from database.session import Database
from database.tasks import close_task_of
from mail.decisions import settle_list_tasks


class DeliveredReport(NamedTuple):
    """A mail reached the recipient's server; it is named by our own id, else by its Message-ID."""

    delivery: str | None
    message_id: str | None
    at: datetime


async def record_delivered(database: Database, reports: Sequence[DeliveredReport]) -> int:
    """Record when each mail was delivered, each in a transaction of its own; return how many are not ours.

    The first report counts. The decision stays as it is, and what came back stays beside it.
    """
    unknown = 0
    for report in reports:
        async with database.begin() as session:
            unknown += not await _record(session, report)
    return unknown


async def _record(session: AsyncSession, report: DeliveredReport) -> bool:
    row = await ledger.locked_delivery(
        session,
        Message.delivery == report.delivery if report.delivery else Message.message_id == report.message_id,
    )
    if row is None:
        return False
    if row.delivered_at is None:
        row.delivered_at = report.at
        why = "the mail was delivered"
        await close_task_of(session, row.workflow, f"mail_ambiguous {row.key}", why, report.at)
        await settle_list_tasks(session, row, report.at)
    return True
