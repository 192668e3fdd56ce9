"""The parts that all event handlers share: the event, the context, and how a handler refuses or postpones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from database.erased_file import ErasedFile
from database.models import Engagement, Event
from lifecycles.participants import Programs
from lifecycles.workflow_commands import WorkflowCommand
from rules.program.catalogue import Catalogue

_LONGEST_KEY = 200
"""The width of the columns `event_id` of meetings, reports and feedback."""


class RefusedEvent(Exception):
    """An event that cannot be applied; its text is the reason, for staff and for the sender."""


class RepeatedEvent(RefusedEvent):
    """An event about something that is known already: it changes nothing, and nobody has to act (REQ10)."""


class NotOpenYet(Exception):
    """An event about a claim or a survey that does not exist yet, but may open later (CPE7)."""

    def __init__(self, workflow: str, opens: datetime | None) -> None:
        super().__init__(workflow)
        self.workflow = workflow
        self.opens = opens
        """The instant at which it opens; None while nobody knows."""


class WorkflowNotRunning(Exception):
    """An act on a lifecycle that is open in the database and unknown to Temporal: it is about to start."""

    def __init__(self, workflow: str) -> None:
        super().__init__(workflow)
        self.workflow = workflow


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An inbound event as handlers read it. `rules.events` has checked its data."""

    id: int
    """Its number in the database."""
    source: str
    event_id: str
    """The id that the source gave it."""
    type: str
    subject: str
    data: dict[str, Any]
    occurred_at: datetime
    """Its own time where it names one, else the moment of the first attempt to apply it; never after `heard_at`."""
    heard_at: datetime
    """When the engine heard of it: what people have to do, and are mailed, counts from then (T9)."""
    history: bool = False
    """Whether it is of before a take-over: nobody is mailed about that time (T10)."""
    was_held: bool = False
    waits_for: str | None = None
    """The reference that it waits for, or waited for last."""
    held_until: datetime | None = None
    trace: str | None = None
    """What continues the trace in which it was received."""

    @classmethod
    def of(cls, row: Event, at: datetime) -> StoredEvent:
        """Return the event of a row that is read at `at`."""
        return cls(
            id=row.id,
            source=row.source,
            event_id=row.event_id,
            type=row.type,
            subject=row.subject,
            data=row.data,
            occurred_at=row.occurred_at or at,
            heard_at=row.heard_at or row.occurred_at or at,
            history=row.history,
            was_held=row.state == "held",
            waits_for=row.waits_for,
            held_until=row.held_until,
            trace=row.trace,
        )

    @property
    def key(self) -> str:
        """The event's unique name in the rows that come from it."""
        return f"{self.source}#{self.event_id}"[:_LONGEST_KEY]

    def act(self, **details: Any) -> dict[str, Any]:
        """Return the argument of an act on a workflow: ids and instants, never the event's words (MEM6).

        Details that are empty are left out.
        """
        given = {name: value for name, value in details.items() if value}
        return {"event": str(self.id), **self.instants, **given}

    @property
    def instants(self) -> dict[str, Any]:
        """When it happened and, where that differs, when the engine heard of it (T9, T10)."""
        instants: dict[str, Any] = {"at": self.occurred_at.isoformat()}
        if self.heard_at != self.occurred_at:
            instants["heard_at"] = self.heard_at.isoformat()
        if self.history:
            instants["history"] = True
        return instants

    @property
    def late_heard_at(self) -> datetime | None:
        """When the engine heard of it, if that was later than it happened (T9)."""
        return self.heard_at if self.heard_at > self.occurred_at else None

    @property
    def taken_over_at(self) -> datetime | None:
        """When it was taken over, if it is history (T10)."""
        return self.heard_at if self.history else None


@dataclass(frozen=True, slots=True)
class HandlerContext:
    """The transaction in which an event is written, and what this deployment is configured with."""

    session: AsyncSession
    programs: Programs
    catalogue: Catalogue
    erased: ErasedFile | None = None
    """Where erasures are kept outside of the database; None where a deployment keeps none."""


Handler = Callable[[HandlerContext, StoredEvent], Awaitable[list[WorkflowCommand]]]
"""Writes an event's data and returns the commands that follow from it. It may run again for the same event.

Raises RefusedEvent or NotOpenYet; both roll back what it wrote.
"""

AfterApplied = Callable[[HandlerContext, StoredEvent], Awaitable[None]]
"""Keeps what an event says beyond its act, once the workflow has accepted the act. It may run again."""


def role_in(engagement: Engagement, profile: str) -> str:
    """Return the role of a profile in an engagement. Raises RefusedEvent for a third person's profile."""
    if profile == engagement.mentor_id:
        return "mentor"
    if profile == engagement.mentee_id:
        return "mentee"
    raise RefusedEvent("only the mentor and the mentee of an engagement can act on it")
