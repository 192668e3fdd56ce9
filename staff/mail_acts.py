"""What staff do about mail that did not arrive: mail an address again, send a copy (MAIL3, MAIL7, STA3)."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client
from temporalio.service import RPCError

from activities.upkeep.message_wakeup import start_sending
from database import audit, ledger, suppressions
from database.models import Member
from database.session import Database


async def lift_suppression(
    session: AsyncSession, address: str, actor: str, reason: str, at: datetime
) -> bool:
    """Have an address mailed again, on the record of its members, and return whether it was suppressed."""
    if not await suppressions.lift(session, address):
        return False
    now = at.replace(microsecond=0)
    for subject in await _subjects(session, address):
        if subject.startswith("member/"):
            member = subject.removeprefix("member/")
            await suppressions.settle_address_tasks(session, member, "the suppression was lifted", now)
        await audit.append(
            session,
            subject,
            "act",
            now,
            {"act": "lift suppression"},
            actor=actor,
            veiled={"reason": reason, "address": address},
        )
    return True


# long: a copy of what, by whom, why and when
async def send_again(
    database: Database, client: Client, delivery: str, actor: str, reason: str, at: datetime
) -> bool:
    """Send a copy of a message, once for repeated requests, and return whether Temporal knows of it.

    If not, the watchdog sees to it within an hour. Raises ValueError for a message that is not sent again.
    """
    async with database.begin() as session:
        row = await ledger.copy(session, delivery, actor, reason, at)
    with suppress(RPCError):
        await start_sending(client, row, at)
        return True
    return False


async def _subjects(session: AsyncSession, address: str) -> list[str]:
    """Return the members with an address. For an unknown address, return its digest, which names no person (MEM6)."""
    members = await session.scalars(select(Member.id).where(Member.email.ilike(address, escape="\\")))
    digest = hashlib.sha256(address.lower().encode()).hexdigest()[:16]
    return [f"member/{member}" for member in members] or [f"address/{digest}"]
