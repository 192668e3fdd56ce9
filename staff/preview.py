"""What a staff act would change, computed without doing it (STA1).

By the same rules that plans use, on the facts that a lifecycle's row keeps. A preview covers the lifecycle itself, not
what its end does to others, such as the claims and surveys of an engagement.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from database import ledger
from database.ledger import AgendaChanges
from database.models import Lifecycle
from lifecycles.participants import Programs
from lifecycles.registry import agenda_after
from rules.acts import Act


@dataclass(frozen=True, slots=True)
class Preview:
    """The state that a lifecycle would be in, and what would happen to its messages."""

    state: str
    changes: AgendaChanges


async def preview(
    session: AsyncSession, row: Lifecycle, act: Act, programs: Programs, at: datetime
) -> Preview:
    """Return what an act at `at` would change. Raises Refused if it would be refused."""
    agenda = await agenda_after(session, row, act, programs, at)
    changes = ledger.compare(await ledger.rows_of(session, row.workflow), agenda.mails)
    return Preview(agenda.state_at(at), changes)
