"""The dated timeline of what happened, read from the audit record; what `rehearse` prints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.audit import without_stand_ins, words_of
from database.models import AuditRecord, Message
from database.session import Database
from lifecycles.registry import LIFECYCLES

KINDS: Final = ("mail", "state", "task", "credit", "refused", "came_back", "pair")
"""The kinds of audit records that make the timeline."""


async def timeline(database: Database, zone: str, until: datetime) -> AsyncIterator[dict[str, Any]]:
    """Yield the rows of the timeline in time order, with the offset of `zone`; the last one is the `end`."""
    async with database.reading() as session:
        records = await session.scalars(
            select(AuditRecord)
            .where(AuditRecord.kind.in_(KINDS), AuditRecord.at <= until)
            .order_by(AuditRecord.at, AuditRecord.id)
        )
        mails = 0
        for record in without_stand_ins(records):
            row = _row(record, zone)
            mails += row["kind"] == "mail" and row["decision"] == "sent"
            yield row
        yield {
            "at": _local(until, zone),
            "kind": "end",
            "mails": mails,
            "workflows_open": await open_lifecycles(session),
        }


async def open_lifecycles(session: AsyncSession) -> int:
    """Return how many lifecycles are open."""
    counts = [
        await session.scalar(
            select(func.count()).select_from(entry.table).where(entry.table.closed_at.is_(None))
        )
        for entry in LIFECYCLES.values()
    ]
    return sum(count or 0 for count in counts)


async def next_change(database: Database, after: datetime) -> datetime | None:
    """Return the next instant after `after` at which a state changes, or a task or claim opens."""
    async with database.reading() as session:
        found = [
            await session.scalar(
                select(func.min(entry.table.next_at)).where(
                    entry.table.closed_at.is_(None), entry.table.next_at > after
                )
            )
            for entry in LIFECYCLES.values()
        ]
    return min(filter(None, found), default=None)


async def next_due(database: Database, after: datetime) -> datetime | None:
    """The next instant after `after` at which something is due in any lifecycle."""
    async with database.reading() as session:
        mail = await session.scalar(
            select(func.min(Message.due_at)).where(Message.state == "planned", Message.due_at > after)
        )
    return min(filter(None, (mail, await next_change(database, after))), default=None)


def _row(record: AuditRecord, zone: str) -> dict[str, Any]:
    data, veiled = record.data, words_of(record)
    row: dict[str, Any] = {"at": _local(record.at, zone), "kind": record.kind}
    if record.kind == "mail":
        row |= {
            "message": data["message"],
            "number": data.get("number"),
            "to": data["to"],
            "workflow": data["workflow"],
            "decision": data["decision"],
            "subject": veiled.get("subject"),
        }
        if reason := (record.veiled or {}).get("reason") or data.get("reason"):
            row["reason"] = reason
    elif record.kind == "state":
        row |= {"subject": record.subject, "state": data["state"]}
        if cause := veiled.get("cause"):
            row["reason"] = cause
    elif record.kind == "task":
        row |= {"task": data["task"], "subject": record.subject}
    elif record.kind == "came_back":
        row |= {name: data[name] for name in ("message", "to", "workflow", "class", "reason")}
    elif record.kind == "pair":
        names = ("cohort", "mentee", "mentor", "fit", "engagement")
        row |= {**{name: data[name] for name in names}, "why": veiled.get("why")}
    elif record.kind == "credit":
        row |= {"claim": record.subject, **data}
    else:
        row |= {"event": data["event"], "subject": record.subject, "reason": data["reason"]}
    return row


def _local(at: datetime, zone: str) -> str:
    return at.astimezone(ZoneInfo(zone)).isoformat(timespec="seconds")
