"""Outcomes: the decision after a verdict of the mail server, and what the workflow learns of it (MAIL1–MAIL3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import NoResultFound
from sqlalchemy.ext.asyncio import AsyncSession

from activities.delivery.in_flight import ClaimedMessage
from database import ledger, staff_orders
from database.models import DECISIONS, Message
from mail.decisions import decide_refused
from mail.smtp.verdicts import Acceptance, DeliveryError
from rules.agenda import MINUTE

Decide = Callable[[AsyncSession, Message], Awaitable[None]]
"""Writes the decision about a message."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The decision about a message and its instant, or `held` while it waits: for a resume, or until `at` (MAIL11)."""

    key: str
    decision: str
    at: datetime | None = None


def decided(row: Message) -> Outcome:
    """Return the outcome of a message that has its decision."""
    return Outcome(row.key, row.state, row.decided_at)


def waits(row: Message, at: datetime) -> bool:
    """Whether a message must not go out now: it is held, or moved to a later day since the workflow asked for it."""
    return row.due_at is None or row.due_at >= at + MINUTE or staff_orders.is_on_hold(row)


def held(row: Message) -> Outcome:
    """Return the outcome of a message that is not due: with an instant where its workflow does not know of it yet.

    That makes the workflow plan again: for the morning that a nudge waits for, or without what staff hold.
    """
    is_news = row.postponed_from or staff_orders.is_on_hold(row)
    return Outcome(row.key, "held", row.due_at if is_news else None)


@dataclass(frozen=True, slots=True)
class SentDecision:
    """The decision about a message that the mail server took."""

    accepted: Acceptance
    at: datetime

    async def __call__(self, session: AsyncSession, row: Message) -> None:
        response = f"{self.accepted.code} {self.accepted.response}"
        await ledger.decide(session, row, "sent", None, row.attempted_at or self.at, response=response)


@dataclass(frozen=True, slots=True)
class RefusalDecision:
    """The decision about a message that is not tried again."""

    error: DeliveryError
    at: datetime

    async def __call__(self, session: AsyncSession, row: Message) -> None:
        await decide_refused(session, row, self.error, self.at)


async def write_decisions(
    session: AsyncSession, workflow: str, verdicts: Sequence[tuple[ClaimedMessage, Decide]]
) -> dict[str, Outcome]:
    """Write the decisions about messages that have none yet; return the outcomes by key."""
    rows = await ledger.locked_to_decide(session, workflow, [claimed.row.key for claimed, _ in verdicts])
    outcomes: dict[str, Outcome] = {}
    for claimed, decide in verdicts:
        row = rows.get(claimed.row.key)
        if row is None:
            raise NoResultFound
        if row.state not in DECISIONS:
            await decide(session, row)
        outcomes[row.key] = decided(row)
    return outcomes
