"""One mail for all claims of one person and engagement that say the same at the same instant (CPE7, MEM2).

Each claim plans its own messages. At the delivery the first claim of the group speaks for all: its mail names the
others, whose messages are then decided without a mail.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.events import get_event
from database.models import DECISIONS, Claim, Letter, Message
from database.staff_orders import HOLD, SKIP
from lifecycles.participants import participant
from rules.kinds import parts_of
from rules.program import Program

_SHARED = frozenset(
    {"credit_precheck", "sign_confirmation", "write_letter", "credit_ready", "standing_lapsed"}
)
_UNAPPLIED = ("stored", "applying")


def is_shared(row: Message) -> bool:
    """Return whether a message is sent once for all claims of an engagement and role."""
    return row.workflow.startswith("claim/") and row.message.partition(".")[2] in _SHARED


@dataclass(frozen=True, slots=True)
class Turn:
    """How a message stands to those of the other claims."""

    spoken_for_by: str = ""
    """The claim whose mail, already sent, named this claim too."""
    waits: bool = False
    """Whether the message of a claim before this one has no decision yet."""
    incomplete: bool = False
    """Whether another claim is about to plan the same message."""
    others: tuple[str, ...] = ()
    """The claims that this message speaks for."""


async def turn_of(session: AsyncSession, row: Message, program: Program) -> Turn:
    """Return whether a message goes out now, for which other claims, or who has spoken for it."""
    group = await _of_other_claims(session, row)
    for other in group:
        if other.state in ("sent", "ambiguous") and row.workflow in _named_in(other):
            return Turn(spoken_for_by=other.workflow)
    waiting = [
        other.workflow
        for other in group
        if other.state not in DECISIONS and other.staff_order not in (HOLD, SKIP)
    ]
    if any(workflow < row.workflow for workflow in waiting):
        return Turn(waits=True)
    return Turn(others=tuple(waiting), incomplete=await _is_incomplete(session, row, program))


async def others(session: AsyncSession, row: Message) -> list[tuple[Claim, Message]]:
    """Return the claims that a message speaks for beside its own, each with its own message."""
    named = _named_in(row)
    if not named:
        return []
    return [
        (await session.get_one(Claim, other.workflow), other)
        for other in await _of_other_claims(session, row)
        if other.workflow in named
    ]


def _named_in(row: Message) -> list[str]:
    return str(row.context.get("with", "")).split()


async def _of_other_claims(session: AsyncSession, row: Message) -> list[Message]:
    """Return the same message, due at the same instant, of the other claims of the engagement and role."""
    engagement, role, _ = parts_of(row.workflow)
    claims = select(Claim.workflow).where(
        Claim.engagement_id == engagement, Claim.role == role, Claim.workflow != row.workflow
    )
    found = await session.scalars(
        select(Message)
        .where(
            Message.workflow.in_(claims),
            Message.message == row.message,
            Message.to_profile == row.to_profile,
            Message.due_at == row.due_at,
        )
        .order_by(Message.workflow)
    )
    return list(found)


async def _is_incomplete(session: AsyncSession, row: Message, program: Program) -> bool:
    """Return whether a claim is about to open, or a letter about to reach another claim."""
    if letter_id := row.context.get("letter"):
        letter = await session.get(Letter, letter_id)
        event = await get_event(session, str(letter.data.get("event", ""))) if letter else None
        return event is not None and event.state in _UNAPPLIED
    if not row.message.endswith(".credit_precheck"):
        return False
    engagement, role, _ = parts_of(row.workflow)
    claims = await session.scalars(
        select(Claim.certification).where(Claim.engagement_id == engagement, Claim.role == role)
    )
    held = {str(each["code"]) for each in (await participant(session, row.to_profile)).member.certifications}
    return not held & set(program.credit.certifications) <= set(claims)
