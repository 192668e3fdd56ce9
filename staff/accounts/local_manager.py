"""The manager's account of the parts that run on one machine, which has no password."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from database.session import Database
from rules.program import Program
from staff.accounts.directory import LANGUAGES, add_account, find_account
from staff.accounts.sessions import make_link

ADDRESS: Final = "manager@localhost"


async def local_link(database: Database, program: Program) -> str:
    """Return the path of a one-time link that signs in as manager, with the language and clock of a program."""
    now = datetime.now(UTC)
    async with database.begin() as session:
        account = await find_account(session, ADDRESS)
        if account is None:
            language = next((each for each in program.languages if each in LANGUAGES), LANGUAGES[0])
            values = {
                "name": program.manager.name,
                "role": "manager",
                "language": language,
                "zone": program.hours.zone,
            }
            account = await add_account(session, ADDRESS, values, "throughline", now)
        return f"/staff/link/{await make_link(session, account, now)}"
