"""Erasing a member by order of staff: what it would do, the order itself, and its outcome (STA5, STA1, STA3).

For a command and a browser alike. The order is the event `member.erased`, as another system would send it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from database import events, person_keys
from database.erasure import ErasureReport, preview
from database.models import Event, Member
from database.session import Database
from lifecycles.erased_ends import ends_of
from rules.events import Envelope, check_event
from staff.views.read_model import NotFound

EVENT: Final = "member.erased"
SOURCE: Final = "/staff"

LOOK_AGAIN: Final = 0.2
"""Seconds between two looks at whether an order was applied."""


class ErasureRefused(Exception):
    """An order to erase somebody that is not carried out; the text says why."""


@dataclass(frozen=True, slots=True)
class ErasurePreview:
    """What the erasure of a member would do."""

    member: str
    name: str
    is_erased: bool
    """Whether it was done before: then another order ends only what is still open."""
    report: ErasureReport
    ends: tuple[str, ...]
    """The lifecycles that end, by workflow id."""

    @property
    def shown(self) -> Any:
        """What a confirmation is bound to, as plain values."""
        items = [asdict(item) for item in self.report.items]
        return [self.member, self.name, self.is_erased, items, list(self.ends)]


async def preview_erasure(session: AsyncSession, member: str, at: datetime) -> ErasurePreview:
    """Return what the erasure of a member would do at an instant, and change nothing. Raises NotFound."""
    row = await session.get(Member, member)
    if row is None:
        raise NotFound(f"there is no member {member}")
    return ErasurePreview(
        member,
        row.name,
        await person_keys.is_destroyed(session, member),
        await preview(session, member, at),
        tuple(end.workflow for end in await ends_of(session, member)),
    )


async def order_erasure(database: Database, member: str, actor: str, reason: str, at: datetime) -> int:
    """Store the order to erase a member; return the number of its event.

    The caller notifies the inbox, which applies it. Raises NotFound, and ErasureRefused without a reason.
    """
    data, errors = check_event(EVENT, {"member": member, "actor": actor, "reason": reason})
    if errors:
        raise ErasureRefused("; ".join(f"{each.pointer.rpartition('/')[2]} {each.reason}" for each in errors))
    envelope = Envelope(str(uuid4()), SOURCE, EVENT, at, data)
    async with database.begin() as session:
        if await session.get(Member, member) is None:
            raise NotFound(f"there is no member {member}")
        await events.store(session, [envelope], at)
        return await events.number_of(session, envelope)


async def until_erased(database: Database, number: int, seconds: float) -> bool:
    """Return whether an order was applied within so many seconds. Raises ErasureRefused where it was refused."""
    ends = time.monotonic() + seconds
    while True:
        async with database.reading() as session:
            event = await session.get_one(Event, number)
        if event.state == "refused":
            raise ErasureRefused(event.reason or "it was refused")
        if event.state == "applied":
            return True
        if time.monotonic() > ends:
            return False
        await asyncio.sleep(LOOK_AGAIN)
