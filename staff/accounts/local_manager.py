"""The manager's account of the parts that run on one machine, which has no password."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from database.models import StaffAccount
from database.session import Database
from rules.program import Program
from staff.accounts.directory import LANGUAGES, add_account, find_account
from staff.accounts.sessions import begin_session, make_link

ADDRESS: Final = "manager@localhost"


async def local_session(database: Database, program: Program) -> str:
    """Return the token of a new session of the manager, for a browser on this machine."""
    now = datetime.now(UTC)
    async with database.begin() as session:
        return await begin_session(session, await _manager(session, program, now), "local", now)


async def local_link(database: Database, program: Program) -> str:
    """Return the path of a one-time link that signs in as manager, with the language and clock of a program."""
    now = datetime.now(UTC)
    async with database.begin() as session:
        return f"/staff/link/{await make_link(session, await _manager(session, program, now), now)}"


async def _manager(session: AsyncSession, program: Program, at: datetime) -> StaffAccount:
    """Return the manager's account, made where it is missing."""
    account = await find_account(session, ADDRESS)
    if account is not None:
        return account
    language = next((each for each in program.languages if each in LANGUAGES), LANGUAGES[0])
    values = {
        "name": program.manager.name,
        "role": "manager",
        "language": language,
        "zone": program.hours.zone,
    }
    return await add_account(session, ADDRESS, values, "throughline", at)
