"""An engagement that is over half a year old, on a Temporal server in real time: its claims are past their gate."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from temporalio.client import Client, WorkflowHandle

from activities.inbox import QUEUE
from database import events
from database.models import Event, Message, Profile, Request
from database.session import Database
from lifecycles.facts import facts_to_row
from rules.engagement import EngagementFacts
from rules.events import Envelope
from rules.request import RequestFacts
from tests.support.limits import PATIENCE
from workflows.starting import notify_inbox

"""Seconds after which a wait fails the test."""


@dataclass
class CreditFixture:
    """An engagement of a mentor with a CPP and a mentee with a PSP, completed two weeks ago."""

    client: Client
    database: Database
    mark: str = field(default_factory=lambda: uuid4().hex[:8])

    @property
    def engagement(self) -> str:
        """Its id."""
        return f"r-{self.mark}"

    def who(self, role: str) -> str:
        """The member and profile of a role."""
        return f"{role}-{self.mark}"

    def workflow(self, kind: str, rest: str) -> WorkflowHandle[Any, Any]:
        """A claim or survey of it."""
        return self.client.get_workflow_handle(f"{kind}/{self.engagement}/{rest}")

    async def send_events(self, kind: str, at: datetime | None = None, **data: Any) -> None:
        """Send an event, of now by default; the engagement and the actor are added."""
        envelope = Envelope(uuid4().hex, "/tests", kind, at or datetime.now(UTC), data)
        async with self.database.begin() as session:
            await events.store(session, [envelope])
        await notify_inbox(self.client, self.database)

    async def begin(self, ago: timedelta) -> None:
        """Have the two sign up, and the engagement begin so long ago."""
        at = datetime.now(UTC) - ago
        year = at.year
        for role, code in (("mentor", "CPP"), ("mentee", "PSP")):
            cycle = {"cycle_start": f"{year}-01-01", "cycle_end": f"{year + 1}-12-31"}
            await self.send_events(
                "member.updated",
                at,
                member=self.who(role),
                name=f"{role.capitalize()} Vega",
                email=f"{self.who(role)}@example.org",
                standing="good",
                years_management=9,
                certifications=[{"code": code, **cycle}],
            )
            await self.send_events(
                "profile.created",
                at,
                profile=self.who(role),
                member=self.who(role),
                role=role,
                program="asis-global",
            )
        for role in ("mentor", "mentee"):
            await self.until(Profile, self.who(role), lambda row: True)
        request = RequestFacts(self.engagement, self.who("mentee"), self.who("mentor"), at)
        async with self.database.begin() as session:
            session.add(
                Request(
                    workflow=f"request/{self.engagement}",
                    id=self.engagement,
                    mentee_id=request.mentee,
                    mentor_id=request.mentor,
                    created_at=at,
                    program="asis-global",
                    policy_version="test",
                    state="accepted",
                    state_since=at,
                    closed_at=at,
                    facts=facts_to_row(request),
                )
            )
        facts = EngagementFacts(self.engagement, request.mentee, request.mentor, at, months=6)
        await self.client.start_workflow(
            "Engagement", facts, id=f"engagement/{self.engagement}", task_queue=QUEUE
        )

    async def sign(self, **changes: Any) -> None:
        """The mentee signs the mentor's confirmation."""
        letter = {
            "engagement": self.engagement,
            "by": self.who("mentee"),
            "for": "mentor",
            "name": "mentee vega",
        }
        await self.send_events("letter.signed", **{**letter, **changes})

    async def until(self, table: type[Any], id: str, holds: Callable[[Any], bool]) -> Any:
        """The row of a table as soon as it is as wanted."""
        return await self._until(lambda: self._row(table, id, holds))

    async def until_sent(self, workflow: str, message: str) -> Message:
        """A message as soon as it is sent."""

        async def look() -> Any:
            async with self.database.reading() as session:
                return await session.scalar(
                    select(Message).where(
                        Message.workflow == workflow, Message.message == message, Message.state == "sent"
                    )
                )

        row: Message = await self._until(look)
        return row

    async def until_refused(self) -> str:
        """Why the first event was refused, as soon as one is."""

        async def look() -> Any:
            async with self.database.reading() as session:
                return await session.scalar(select(Event.reason).where(Event.state == "refused"))

        return str(await self._until(look))

    async def until_event(self, kind: str, state: str) -> None:
        """Wait until the event of a type has come to a state."""

        async def look() -> Any:
            async with self.database.reading() as session:
                return await session.scalar(select(Event.id).where(Event.type == kind, Event.state == state))

        await self._until(look)

    async def _row(self, table: type[Any], id: str, holds: Callable[[Any], bool]) -> Any:
        async with self.database.reading() as session:
            row = await session.get(table, id)
        return row if row is not None and holds(row) else None

    async def _until(self, look: Callable[[], Awaitable[Any]]) -> Any:
        async with asyncio.timeout(PATIENCE):
            while True:
                if (found := await look()) is not None:
                    return found
                await asyncio.sleep(0.1)
