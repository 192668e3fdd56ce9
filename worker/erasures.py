"""Erasures that the database does not have: a backup from before them was restored (STA5)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy import select

from database import events, person_keys
from database.erased_file import ErasedFile, ErasedPerson
from database.erasure import erase
from database.models import Member, PersonKey
from database.session import Database
from rules.acts import PROGRAM
from rules.events import Envelope

SOURCE: Final = "/erased-file"
"""The source of events by which erasures are applied again."""

_BATCH: Final = 500
"""The most ids that one query names."""

log = structlog.get_logger()


async def apply_erasures(database: Database, file: ErasedFile, at: datetime) -> int:
    """Erase again whom the file has and the database does not; return how many. Raises ErasedFileError.

    It runs before a process answers anybody or sends anything. What runs for these people in Temporal ends by an event,
    as at the first erasure. Erasures that the file lacks, such as those of before it was set up, are added to it.
    """
    listed = await file.read()
    erased_here = await _erased_here(database)
    found = [person for person in listed if person.member not in erased_here]
    count = 0
    for first in range(0, len(found), _BATCH):
        for person in await _known(database, found[first : first + _BATCH]):
            await _erase_again(database, person, at)
            count += 1
    known = {person.member for person in listed}
    await file.add((member, at) for member in sorted(erased_here - known))
    if count:
        log.warning("erasures_applied_again", count=count)
    return count


async def _erased_here(database: Database) -> set[str]:
    """Return the members whom the database has as erased."""
    async with database.reading() as session:
        return set(await session.scalars(select(PersonKey.member_id).where(PersonKey.wrapped.is_(None))))


async def _known(database: Database, people: Sequence[ErasedPerson]) -> list[ErasedPerson]:
    """Return those of whom the database has anything."""
    wanted = {person.member: person for person in people}
    async with database.reading() as session:
        members = set(await session.scalars(select(Member.id).where(Member.id.in_(wanted))))
        members |= set(
            await session.scalars(select(PersonKey.member_id).where(PersonKey.member_id.in_(wanted)))
        )
    return [wanted[member] for member in sorted(members)]


async def _erase_again(database: Database, person: ErasedPerson, at: datetime) -> None:
    data = {"member": person.member, "actor": PROGRAM, "reason": "it is in the file of erased people"}
    name = f"{person.member}@{at.isoformat()}"
    async with database.begin() as session:
        if await person_keys.is_destroyed(session, person.member):
            # Another process that starts at the same moment was faster.
            return
        await erase(session, person.member, PROGRAM, True, at)
        await events.store(session, [Envelope(name, SOURCE, "member.erased", at, data)], at)
