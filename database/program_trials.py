"""The trial of a program: until a manager says that it goes live, it mails staff and guests only.

A deployment in production begins it for a program that has neither profiles nor lifecycles. A program without a row is
live, as all were before there were trials.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Profile, ProgramTrial, StaffAccount, TrialGuest
from database.program_versions import Tables
from rules.program import Program

WITHHELD: Final = "the program is in trial: it mails staff and its guests only"
"""The reason of messages to all others. They are decided, so that none of them goes out when the program goes live."""


async def begin_new(session: AsyncSession, programs: Iterable[Program], tables: Tables, at: datetime) -> None:
    """Put each program into trial that is new here; one that runs already is live. Doing it again changes nothing."""
    known = set(await session.scalars(select(ProgramTrial.program)))
    for program in programs:
        if program.id not in known:
            runs = await _runs(session, program.id, tables)
            because = "it ran before there were trials" if runs else None
            session.add(
                ProgramTrial(program=program.id, since=at, live_at=at if runs else None, live_because=because)
            )
    await session.flush()


async def trial_of(session: AsyncSession, program: str) -> ProgramTrial | None:
    """Return the trial of a program, also one that is over; None for a program that never had one."""
    return await session.get(ProgramTrial, program)


async def mails(session: AsyncSession, program: Program, address: str) -> bool:
    """Return whether a program mails an address now: everybody, or in trial staff and guests only."""
    trial = await trial_of(session, program.id)
    if trial is None or trial.live_at is not None:
        return True
    address = address.lower()
    if address in (program.manager.email.lower(), program.mailbox.lower()):
        return True
    account = select(StaffAccount.id).where(StaffAccount.email == address, StaffAccount.closed_at.is_(None))
    return (
        await session.get(TrialGuest, (program.id, address)) is not None
        or await session.scalar(account) is not None
    )


async def guests_of(session: AsyncSession, program: str) -> list[TrialGuest]:
    """Return the guests of a program, in the order of their addresses."""
    found = await session.scalars(
        select(TrialGuest).where(TrialGuest.program == program).order_by(TrialGuest.address)
    )
    return list(found)


async def _runs(session: AsyncSession, program: str, tables: Tables) -> bool:
    columns = (Profile.program, *(table.program for table in tables))
    for column in columns:
        if await session.scalar(select(column).where(column == program).limit(1)) is not None:
            return True
    return False
