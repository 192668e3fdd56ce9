"""What staff do about mail that did not arrive: mail an address again, send a copy (MAIL3, MAIL7, STA3)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client
from temporalio.service import RPCError

from activities.upkeep.message_wakeup import start_sending
from database import audit, ledger, suppressions
from database.models import DECISIONS, Member, Message, Profile, Suppression
from database.session import Database
from lifecycles.participants import Programs
from staff.ahead import AheadFilter, AheadMessage, ahead
from staff.people import People
from staff.views.messages import message_views
from staff.views.read_model import MessageView

MOST_AHEAD: Final = 100
"""Messages to one person that a preview names; of more it says that there are more."""


class MailActRefused(ValueError):
    """An act on mail that makes no sense now."""


class MailActChanged(Exception):
    """An act on mail that would do something else by now than its giver agreed to; nothing was done."""


@dataclass(frozen=True, slots=True)
class LiftPreview:
    """What follows when an address is mailed again."""

    address: str
    kind: str
    reason: str
    since: datetime
    subjects: tuple[str, ...]
    """The members with the address, or the digest of one that nobody has: where the act goes on record."""
    messages: tuple[AheadMessage, ...]
    """What goes to it again, in the order of the days."""
    has_more: bool

    @property
    def bound(self) -> list[object]:
        """What an agreement to it is tied to."""
        planned = [(each.view.delivery, each.view.state, each.view.due) for each in self.messages]
        return [self.address, self.kind, self.reason, self.since, self.subjects, planned, self.has_more]


@dataclass(frozen=True, slots=True)
class CopyPreview:
    """What goes out again."""

    message: MessageView
    recipient: str
    address: str | None
    """The address of the member by now; None for the program's own people."""
    suppressed: str | None
    """Why nothing is mailed to the address; None if it is mailed."""
    waiting: str
    """The delivery of a copy that is on its way already: no second one goes out. Empty without one."""
    through: int
    """How many copies went their way before."""

    @property
    def bound(self) -> list[object]:
        """What an agreement to it is tied to. Of two clicks both mean the copy that is on its way."""
        view = self.message
        fared = [view.delivery, view.state, view.decided, view.came_back, view.subject]
        return [*fared, self.address, self.suppressed, self.through]


async def preview_lift(session: AsyncSession, address: str, programs: Programs) -> LiftPreview:
    """Return what would follow from a lift, and do nothing. Raises MailActRefused for an address that is mailed."""
    row = await session.get(Suppression, address.lower(), populate_existing=True)
    if row is None or row.since is None:
        raise MailActRefused(f"{address} is not suppressed")
    subjects = await _subjects(session, address)
    messages: list[AheadMessage] = []
    has_more = False
    for subject in subjects:
        if subject.startswith("member/"):
            wanted = AheadFilter(member=subject.removeprefix("member/"), limit=MOST_AHEAD)
            page = await ahead(session, wanted, programs)
            messages += page.messages
            has_more = has_more or page.next is not None
    return LiftPreview(
        row.address, row.kind, row.reason or "", row.since, tuple(subjects), tuple(messages), has_more
    )


async def preview_copy(session: AsyncSession, delivery: str, programs: Programs) -> CopyPreview:
    """Return what would go out again, and do nothing. Raises MailActRefused for what is not sent again."""
    row = await session.scalar(select(Message).where(Message.delivery == delivery))
    if row is None or (row.state not in ledger.RESENDABLE and row.came_back is None):
        raise MailActRefused(f"{delivery} is not sent again")
    copies = list(
        await session.scalars(
            select(Message).where(
                Message.workflow == row.workflow,
                Message.step == row.step,
                Message.occurrence >= ledger.FIRST_RESEND_OCCURRENCE,
            )
        )
    )
    on_their_way = [each for each in copies if each.state not in DECISIONS]
    address = await session.scalar(
        select(Member.email).join(Profile, Profile.member_id == Member.id).where(Profile.id == row.to_profile)
    )
    people = await People.of(session, [row.to_profile], programs)
    return CopyPreview(
        message=(await message_views(session, [row], programs))[0],
        recipient=people.name(row.to_profile),
        address=address,
        suppressed=await suppressions.reason_for(session, address) if address else None,
        waiting=next((each.delivery for each in on_their_way if each.context.get("copy_of") == delivery), ""),
        through=len(copies) - len(on_their_way),
    )


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


@dataclass(frozen=True, slots=True)
class CopyOrder:
    """A copy of a message that a member of staff wants sent."""

    delivery: str
    """Of the message."""
    actor: str
    reason: str


# long: a copy of what, by whom, why and when
async def send_again(
    database: Database,
    client: Client,
    programs: Programs,
    order: CopyOrder,
    at: datetime,
    agreed: Callable[[CopyPreview], bool],
) -> bool:
    """Send a copy of a message, once for repeated requests, and return whether Temporal knows of it.

    If not, the watchdog sees to it within an hour. Raises MailActRefused for a message that is not sent again, and
    MailActChanged if its giver has not `agreed` to what goes out, while the message is locked.
    """
    async with database.begin() as session:
        await ledger.locked_delivery(session, Message.delivery == order.delivery)
        if not agreed(await preview_copy(session, order.delivery, programs)):
            raise MailActChanged
        row = await ledger.copy(session, order.delivery, order.actor, order.reason, at)
    with suppress(RPCError):
        await start_sending(client, row, at)
        return True
    return False


async def _subjects(session: AsyncSession, address: str) -> list[str]:
    """Return the members with an address. For an unknown address, return its digest, which names no person (MEM6)."""
    members = await session.scalars(select(Member.id).where(func.lower(Member.email) == address.lower()))
    digest = hashlib.sha256(address.lower().encode()).hexdigest()[:16]
    return [f"member/{member}" for member in members] or [f"address/{digest}"]
