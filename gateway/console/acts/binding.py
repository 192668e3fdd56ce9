"""What ties a form to its preview: a digest of what was shown, and what is on record since (STA1, STA3)."""

from __future__ import annotations

import hmac
import json
from typing import Any, Final

from gateway.console.shell import Shell, StaffVisit
from lifecycles.registry import find_lifecycle
from staff.views.history import Reader, records_since
from staff.views.lifecycles import program_zone
from staff.views.read_model import HistoryItem

MOST_RECORDS: Final = 20
"""How many of the records since a preview a page shows: the last ones."""


def digest_of(shell: Shell, visit: StaffVisit, purpose: str, shown: Any) -> str:
    """Return the digest that a form carries: of who looked, and of what was shown for a purpose."""
    text = json.dumps([visit.member.id, shown], sort_keys=True, default=str)
    return shell.services.links.keys.mac(purpose, text)


def is_bound(digest: str, given: str) -> bool:
    """Return whether a form carries a digest."""
    return hmac.compare_digest(digest.encode(), given.encode())


async def meanwhile(shell: Shell, visit: StaffVisit, target: str, record: str) -> list[HistoryItem]:
    """Return what was recorded about a lifecycle behind the record of a number, as far as the person may read it."""
    after = int(record) if record.isascii() and record.isdigit() and len(record) < 16 else 0
    async with shell.database.reading() as session:
        row = await find_lifecycle(session, target)
        zone = program_zone(row.program if row else "", shell.services.programs)
        reader = Reader(zone, is_confidant=visit.member.is_manager)
        return list(await records_since(session, [target], after, reader))[-MOST_RECORDS:]
