"""The audit record in words (STA3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.audit import without_stand_ins, words_of
from database.models import AuditRecord, Message
from rules.engagement.confidentiality import is_confidential
from staff.formatting import numbered
from staff.people import People
from staff.views.read_model import HistoryItem
from staff.wording import credit_counted, happening


@dataclass(frozen=True, slots=True)
class Reader:
    """The clocks that a history is read on."""

    zone: str
    """The time zone of every item but mail."""
    program: str = ""
    people: People | None = None
    """The recipients. With them, each mail is on the clock of its recipient; without, on `zone`."""
    is_confidant: bool = True
    """Whether the reader may know of misconduct, and read the words that people gave (ENG8)."""

    def zone_of(self, profile: str) -> str:
        """Return the zone for a mail to a profile."""
        return self.people.zone(profile, self.program) if self.people else self.zone


async def history(
    session: AsyncSession,
    subjects: Sequence[str],
    mails: Sequence[Message],
    reader: Reader,
    apart: Sequence[str] = (),
) -> tuple[HistoryItem, ...]:
    """Return what the audit record has on these subjects, in order. Of mail only that in `mails` is shown.

    Records of the kinds `apart` are left out: a meetup has thousands.
    """
    names = {mail.delivery: numbered(mail.message, mail.number) for mail in mails}
    records = await session.scalars(
        select(AuditRecord)
        .where(AuditRecord.subject.in_(subjects), AuditRecord.kind.not_in(apart))
        .order_by(AuditRecord.at, AuditRecord.id)
    )
    items = [
        _item(record, names, reader)
        for record in _readable(records, reader)
        if record.kind not in ("mail", "came_back") or record.data.get("delivery") in names
    ]
    # A delivery is a fact of the ledger and no record: it decides nothing.
    items += [_delivered(mail, mail.delivered_at, names, reader) for mail in mails if mail.delivered_at]
    return tuple(sorted(items, key=lambda item: item.at))


async def records_since(
    session: AsyncSession, subjects: Sequence[str], after: int, reader: Reader
) -> tuple[HistoryItem, ...]:
    """Return what was recorded about these subjects behind the record of a number, without mail."""
    records = await session.scalars(
        select(AuditRecord)
        .where(
            AuditRecord.subject.in_(subjects),
            AuditRecord.id > after,
            AuditRecord.kind.not_in(("mail", "came_back")),
        )
        .order_by(AuditRecord.id)
    )
    return tuple(_item(record, {}, reader) for record in _readable(records, reader))


async def last_record(session: AsyncSession) -> int:
    """Return the number of the last audit record; 0 without one."""
    return int(await session.scalar(select(func.max(AuditRecord.id))) or 0)


def _readable(records: Iterable[AuditRecord], reader: Reader) -> Iterator[AuditRecord]:
    """Yield the records that the reader may know of. To others than confidants a suspension looks like a pause."""
    if reader.is_confidant:
        yield from without_stand_ins(records)
        return
    for record in records:
        secret = is_confidential(record.subject, record.kind, record.data)
        if not secret or record.data.get("act") in ("pause", "resume"):
            yield record


def _delivered(mail: Message, at: datetime, names: dict[str, str], reader: Reader) -> HistoryItem:
    return HistoryItem(
        at=at,
        subject=mail.workflow,
        kind="delivered",
        what=f"{names[mail.delivery]} delivered",
        why="the recipient's server took it",
        actor=None,
        zone=reader.zone_of(mail.to_profile),
    )


def _item(record: AuditRecord, names: dict[str, str], reader: Reader) -> HistoryItem:
    data, veiled = record.data, words_of(record) if reader.is_confidant or record.kind == "mail" else {}
    said = (record.veiled or {}).get("reason") if record.kind == "mail" else None
    why = str(said or data.get("reason") or veiled.get("cause") or veiled.get("reason") or "")
    if record.kind == "mail":
        why = why or str(veiled.get("subject") or "")
    elif record.kind == "credit":
        why = credit_counted(data)
    return HistoryItem(
        at=record.at,
        subject=record.subject,
        kind=record.kind,
        what=_what(record.kind, record.subject, data, names),
        why=why,
        actor=record.actor,
        zone=reader.zone_of(data["to"]) if record.kind in ("mail", "came_back") else reader.zone,
        delivery=str(data.get("delivery", "")) if record.kind == "mail" else "",
    )


def _what(kind: str, subject: str, data: dict[str, Any], names: dict[str, str]) -> str:
    match kind:
        case "mail":
            return f"{names[data['delivery']]} {data['decision']}"
        case "came_back":
            return f"{names[data['delivery']]} came back: {data['class']}"
        case "task" | "refused":
            return f"{kind} {happening(kind, subject, data)}".strip()
        case "act":
            details = [f"{k}={v}" for k, v in data.items() if k not in ("id", "act", "reason") and v]
            return " ".join([data["act"], *details])
        case _:
            return happening(kind, subject, data) or kind
