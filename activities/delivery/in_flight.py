"""Deliveries that this process has in flight: from the hand-over to the mail server until the outcome is recorded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import DBAPIError

from database.models import Message
from mail.smtp.verdicts import Acceptance


class DeliveryCancelled(Exception):
    """The message was cancelled or held between its claim and its last byte."""


@dataclass(frozen=True, slots=True)
class ClaimedMessage:
    """A message that an attempt of this process has claimed, with its rendered bytes."""

    row: Message
    recipient: str
    content: bytes
    claimed_by: str
    claimed_at: datetime


@dataclass(slots=True)
class InFlightDelivery:
    """The task that hands a claimed message to the mail server."""

    message: ClaimedMessage
    task: asyncio.Task[Acceptance]
    must_finish: bool = False
    """Set when the hand-over is recorded: from then on the reply must be awaited, not cancelled."""

    @property
    def hand_over_failed(self) -> bool:
        """Whether the database failed at the record before the last byte.

        That record may stand all the same, its commit unconfirmed. But the last byte never left.
        """
        return (
            self.task.done() and not self.task.cancelled() and isinstance(self.task.exception(), DBAPIError)
        )


class InFlightDeliveries:
    """The deliveries in flight, by their id. A retry finds the reply here that its first attempt could not record."""

    def __init__(self) -> None:
        self._deliveries: dict[str, InFlightDelivery] = {}

    def own(self, row: Message) -> InFlightDelivery | None:
        """Return the delivery of the claim that the row names; None where the claim is another process's."""
        found = self._deliveries.get(row.delivery)
        return found if found and found.message.claimed_by == row.claimed_by else None

    def add(self, delivery: InFlightDelivery) -> None:
        """Keep a delivery until `forget`."""
        self._deliveries[delivery.message.row.delivery] = delivery

    def forget(self, row: Message) -> None:
        """Drop the delivery of the claim that the row names, if there is one."""
        if self.own(row):
            del self._deliveries[row.delivery]

    async def drain(self) -> list[InFlightDelivery]:
        """Wait for all replies, and return the deliveries; none is kept."""
        deliveries, self._deliveries = self._deliveries, {}
        if deliveries:
            await asyncio.wait([delivery.task for delivery in deliveries.values()])
        return list(deliveries.values())
