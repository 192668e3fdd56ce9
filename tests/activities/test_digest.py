"""The weekly digest: one mail a week to the manager, with counts and without names (STA4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from temporalio.testing import WorkflowEnvironment

from activities.inbox import QUEUE
from activities.upkeep.digest import DigestActivities, digest_due, next_digest
from database import ledger
from database.models import Claim, Event, Message, Profile, Request
from database.tasks import open_task
from embedded.stack import StackOptions, embedded_stack
from mail.digest import digest_context
from staff.accounts.coordinator_week import CoordinatorWeeks
from tests.support.delivery import (
    NUDGE,
    OWED,
    WORKFLOW,
    DeliveryFixture,
    bundled,
    deliveries,
    environment,
    migrated_url,
)
from tests.support.rehearsals import instant
from worker.assembly import load_programs
from workflows.upkeep.digest import DIGEST, DigestWorkflow

__all__ = ["deliveries", "migrated_url"]

pytestmark = pytest.mark.rule("STA4")

MONDAY = datetime(2028, 3, 13, 12, tzinfo=UTC)
"""Monday, 08:00 in New York."""
DAY = timedelta(days=1)


def row_of(table: type[Any], workflow: str, state: str, **values: Any) -> Any:
    """A lifecycle of the bundled program, as far as a count needs it."""
    return table(
        workflow=workflow,
        program="asis-global",
        policy_version="1",
        state=state,
        state_since=MONDAY - DAY,
        facts={},
        **values,
    )


async def test_digest_counts_the_week_and_what_waits(deliveries: DeliveryFixture) -> None:
    """What lies before the week, of another program, or is closed does not count."""
    ahead = [replace(NUDGE, occurrence=n, number=n, due=MONDAY + n * DAY) for n in (0, 1, 8)]
    late = [replace(OWED, step=f"s{n}", due=MONDAY - n * DAY) for n in (1, 2, 3, 9)]
    await deliveries.plan(*ahead, *late)
    async with deliveries.database.begin() as session:
        rows = {row.step: row for row in await ledger.rows_of(session, WORKFLOW)}
        await ledger.decide(session, rows["s1"], "failed", "refused", MONDAY - DAY)
        await ledger.decide(session, rows["s9"], "failed", "refused", MONDAY - 9 * DAY)
        await ledger.decide(session, rows["s2"], "ambiguous", "no answer", MONDAY - 2 * DAY)
        await ledger.came_back(session, rows["s3"], "hard", "no such mailbox", MONDAY - 3 * DAY)
        for name, at, program in (
            ("p-new", MONDAY - DAY, "asis-global"),
            ("p-old", MONDAY - 9 * DAY, "asis-global"),
            ("p-other", MONDAY - DAY, "another"),
        ):
            session.add(
                Profile(
                    id=name, member_id="ana", role="mentor", program=program, created_at=at, updated_at=at
                )
            )
        await session.flush()
        people = {"mentee_id": "p-ana", "mentor_id": "p-new", "created_at": MONDAY - DAY}
        session.add(row_of(Request, "request/r-1", "past_due", id="r-1", **people))
        session.add(row_of(Request, "request/r-2", "declined", id="r-2", **people))
        claim = {"engagement_id": "r-1", "role": "mentor", "profile_id": "p-new", "member_id": "ana"}
        for code, state in (("CPP", "awaiting_evidence"), ("PSP", "ready")):
            session.add(row_of(Claim, f"claim/r-1/mentor/{code}", state, certification=code, **claim))
        for kind, subject in (
            ("misconduct", "engagement/r-1"),
            ("request_unanswered", "request/r-1"),
            ("mail_channel", "channel/smtp"),
            ("mentor_review", "profile/p-other"),
        ):
            await open_task(session, kind, subject, "a cause", "look", MONDAY - DAY)
        await session.flush()
        said = await digest_context(session, bundled(), MONDAY)
    assert (said["since"], said["until"]) == (date(2028, 3, 6), date(2028, 3, 12))
    assert said["figures"] == {
        "mentors": "1",
        "mentees": "1",
        "requests": "2",
        "matches": "0",
        "completed": "0",
        "ended": "0",
        "credits": "1",
    }
    counted = ("misconduct", "past_due", "claims", "failed", "ambiguous", "came_back", "open", "is_quiet")
    assert [said[name] for name in counted] == [1, 1, 1, 1, 1, 1, 3, ""]
    assert said["tasks"] == [{"kind": "mail_channel", "count": 1}, {"kind": "request_unanswered", "count": 1}]
    assert said["ahead"] == [
        {"day": date(2028, 3, 13), "count": 1},
        {"day": date(2028, 3, 14), "count": 1},
    ]


async def test_digest_is_planned_once_for_a_monday_that_it_saw(
    deliveries: DeliveryFixture, temporal_dev: WorkflowEnvironment
) -> None:
    """A deployment that begins in the middle of a week has nothing to report of it."""
    activities = DigestActivities(
        deliveries.database, deliveries.programs, temporal_dev.client, CoordinatorWeeks()
    )

    async def look(at: datetime) -> tuple[datetime, list[str]]:
        again = await environment(at).run(activities.look_for_digest)
        return again, [row.workflow for row in await deliveries.rows()]

    assert await look(MONDAY - DAY) == (MONDAY, [])
    async with deliveries.database.begin() as session:
        values = {"type": "t", "subject": "s", "data": {}, "state": "applied", "heard_at": MONDAY + DAY}
        session.add(Event(source="/tests", event_id="1", **values))
    assert await look(MONDAY + 2 * DAY) == (MONDAY + 7 * DAY, [])
    one = ["digest/asis-global/2028-03-20"]
    for at in (MONDAY + 7 * DAY, MONDAY + 7 * DAY, MONDAY + 13 * DAY):
        assert await look(at) == (MONDAY + 14 * DAY, one)
    await temporal_dev.client.get_workflow_handle(one[0]).terminate()


def test_digest_is_due_on_monday_morning_of_the_manager() -> None:
    bogota = replace(bundled(), manager=replace(bundled().manager, time_zone="America/Bogota"))
    assert digest_due(bundled(), MONDAY + 3 * DAY) == MONDAY
    assert digest_due(bogota, MONDAY + 3 * DAY) == MONDAY + timedelta(hours=1)
    assert next_digest(bundled(), MONDAY) == MONDAY + 7 * DAY
    assert next_digest(bundled(), MONDAY - timedelta(seconds=1)) == MONDAY


@pytest.mark.rule("MAIL1")
async def test_one_digest_a_week_goes_out_over_restarts(tmp_path: Path) -> None:
    async with embedded_stack(
        load_programs(Path("programs")),
        Path("templates/mail"),
        Path("programs"),
        StackOptions(mail_dir=tmp_path),
    ) as ready:
        client = ready.clock.client

        async def start() -> None:
            await client.start_workflow(DigestWorkflow.run, id=DIGEST, task_queue=QUEUE)

        await ready.advance(instant("2035-03-07T18:00"))
        await start()
        member = {"member": "ana", "name": "Ana", "email": "ana@example.org", "standing": "good"}
        await ready.send_events(instant("2035-03-07T18:00"), [("member.updated", member)])
        await ready.advance(instant("2035-03-12T12:00"))
        await client.get_workflow_handle(DIGEST).terminate()
        await start()
        await ready.advance(instant("2035-03-19T12:00"))
        await client.get_workflow_handle(DIGEST).terminate()
        async with ready.database.reading() as session:
            sent = list(await session.scalars(select(Message).order_by(Message.id)))
    assert [(row.workflow, row.state, row.decided_at) for row in sent] == [
        ("digest/asis-global/2035-03-12", "sent", instant("2035-03-12T08:00")),
        ("digest/asis-global/2035-03-19", "sent", instant("2035-03-19T08:00")),
    ]
    texts = [file.read_text("utf-8") for file in sorted(tmp_path.glob("*.eml"))]
    assert len(texts) == 2
    assert all("Nothing to report" in text and "/staff/ahead" in text for text in texts)
