"""Claims and surveys as workflows in real time, on both databases: letters, updates, refusals, mail.

The engagement began more than half a year before it is told of: it is completed, and its claims are past their gate.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from activities.agenda import facts_to_row
from activities.inbox import QUEUE
from activities.mail import Outgoing
from activities.smtp import SmtpChannel, SmtpSettings
from database import events
from database.dossier import export
from database.links import Links
from database.models import Claim, Event, Letter, Message, Profile, Request, Survey
from database.session import Database
from database.verifier import verify
from rules.engagement import EngagementFacts
from rules.events import Envelope
from rules.request import RequestFacts
from tests.workflow_office import WaitingCatcher
from worker.parts import Composers, Parts, load_programs, poke, workers
from workflows.inbox import INBOX

PATIENCE = 30


@dataclass
class CreditOffice:
    """Real workers, and an engagement of a mentor with a CPP and a mentee with a PSP, completed two weeks ago."""

    client: Client
    database: Database
    mark: str = field(default_factory=lambda: uuid4().hex[:8])

    @property
    def engagement(self) -> str:
        return f"r-{self.mark}"

    def who(self, role: str) -> str:
        return f"{role}-{self.mark}"

    def workflow(self, kind: str, rest: str) -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle(f"{kind}/{self.engagement}/{rest}")

    async def tell(self, kind: str, at: datetime | None = None, **data: Any) -> None:
        """An event, of now unless told; what it says of the engagement and by whom is added."""
        envelope = Envelope(uuid4().hex, "/tests", kind, at or datetime.now(UTC), data)
        async with self.database.begin() as session:
            await events.store(session, [envelope])
        await poke(self.client)

    async def begin(self, ago: timedelta) -> None:
        at = datetime.now(UTC) - ago
        year = at.year
        for role, code in (("mentor", "CPP"), ("mentee", "PSP")):
            cycle = {"cycle_start": f"{year}-01-01", "cycle_end": f"{year + 1}-12-31"}
            await self.tell(
                "member.updated",
                at,
                member=self.who(role),
                name=f"{role.capitalize()} Vega",
                email=f"{self.who(role)}@example.org",
                standing="good",
                years_management=9,
                certifications=[{"code": code, **cycle}],
            )
            await self.tell(
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

    async def sign(self, **told: Any) -> None:
        """The mentee signs the mentor's confirmation."""
        letter = {
            "engagement": self.engagement,
            "by": self.who("mentee"),
            "for": "mentor",
            "name": "mentee vega",
        }
        await self.tell("letter.signed", **{**letter, **told})

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


@pytest.fixture
async def office(database_url: str, temporal_dev: WorkflowEnvironment) -> AsyncIterator[CreditOffice]:
    """An office whose engagement has just been told."""
    async with AsyncExitStack() as stack:
        database = Database(database_url)
        stack.push_async_callback(database.close)
        await database.upgrade()
        catcher = WaitingCatcher()
        await catcher.start()
        stack.push_async_callback(catcher.stop)
        channel = SmtpChannel(SmtpSettings(host=catcher.host, port=catcher.port))
        stack.push_async_callback(channel.aclose)
        parts = Parts(
            database,
            load_programs(Path("programs")),
            Composers(Path("templates/mail"), Path("programs")),
            channel,
            Links("http://127.0.0.1:8080", "a test needs no secret"),
            Outgoing(production=False, allowed=("*",)),
            "test",
        )
        await parts.claim_environment()
        stack.push_async_callback(parts.mail.aclose)
        await stack.enter_async_context(workers(temporal_dev.client, parts, graceful=timedelta(0)))
        ready = CreditOffice(temporal_dev.client, database)
        await ready.begin(timedelta(days=200))
        yield ready
        async for execution in temporal_dev.client.list_workflows("ExecutionStatus = 'Running'"):
            if execution.id == INBOX or ready.mark in execution.id:
                await temporal_dev.client.get_workflow_handle(execution.id).terminate()


@pytest.mark.rule("CPE5", "CPE8", "CPE10", "CPE11", "STA1")
async def test_a_letter_makes_a_claim_ready_and_staff_decide_what_becomes_of_it(
    office: CreditOffice, tmp_path: Path
) -> None:
    claim = office.workflow("claim", "mentor/CPP")
    await office.until(Claim, claim.id, lambda row: row.state == "awaiting_evidence")
    await office.sign(name="Somebody Else")
    assert "not the name on record" in await office.until_refused()
    await office.sign()
    row = await office.until(Claim, claim.id, lambda row: row.state == "ready")
    assert (row.earned, row.countable) == (9, 9)
    mail = await office.until_sent(claim.id, "mentor.credit_ready")
    async with office.database.reading() as session:
        letter = await session.get_one(Letter, mail.context["letter"])
        assert letter.claim == claim.id
        assert letter.document is not None
        (tmp_path / "dossier.zip").write_bytes(await export(session, office.engagement))
    assert verify(tmp_path / "dossier.zip") == []
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await claim.execute_update("revoke", {"actor": "lina"})
    assert "a reason is needed" in str(refused.value.cause)
    answer = await claim.execute_update("accept", {"actor": "lina", "reason": "on their list"})
    assert answer["state"] == "accepted"
    answer = await claim.execute_update("revoke", {"actor": "lina", "reason": "signed by another"})
    assert answer["state"] == "revoked"
    assert await claim.result() == "revoked"
    row = await office.until(Claim, claim.id, lambda row: row.state == "revoked")
    assert (row.earned, row.closed_at is None) == (0, False)
    letter = await office.until(Letter, letter.id, lambda row: row.revoked_at is not None)
    assert letter.revoked_because == "signed by another"


@pytest.mark.rule("SUR1", "SUR2", "SUR3", "CPE6")
async def test_a_survey_is_answered_and_a_mentees_claim_needs_its_mentors_letter(
    office: CreditOffice,
) -> None:
    claim = office.workflow("claim", "mentee/PSP")
    await office.until(Claim, claim.id, lambda row: row.state == "awaiting_evidence")
    await office.sign(
        **{
            "for": "mentee",
            "by": office.who("mentor"),
            "name": "Mentor Vega",
            "purpose": "To lead a first site survey. #let $x$ = \\u{1F600} 😀",
            "domains": ["Physical Security Assessment"],
        }
    )
    row = await office.until(Claim, claim.id, lambda row: row.state == "ready")
    assert (row.earned, row.countable) == (5, 5)
    await office.until_sent(claim.id, "mentee.credit_ready")
    survey = office.workflow("survey", "mentee")
    await office.until(Survey, survey.id, lambda row: row.state == "open")
    answers = {"goals_met": "yes", "mentor_helped": True, "expectations_met": True, "rating": 4}
    for rating in (4, 5):
        await office.tell(
            "survey.answered",
            engagement=office.engagement,
            by=office.who("mentee"),
            answers={**answers, "rating": rating},
        )
    row = await office.until(Survey, survey.id, lambda row: row.answers.get("rating") == 5)
    assert row.state == "answered"
    await office.workflow("survey", "mentor").execute_update("cancel", {"actor": "lina", "reason": "asked"})
    assert (
        await office.until(Survey, f"survey/{office.engagement}/mentor", lambda row: row.closed_at)
    ).state == ("canceled")
