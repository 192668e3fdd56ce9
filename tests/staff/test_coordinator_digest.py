"""The weekly digest to ambassadors and partners' coordinators: about their own people, and only theirs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from temporalio.testing import WorkflowEnvironment

from activities.inbox import QUEUE
from activities.upkeep.digest import DigestActivities
from database.links import Links
from database.models import Claim, Engagement, Event, Member, Message, Profile, Request, StaffAccount
from database.tasks import open_task
from embedded.stack import StackOptions, embedded_stack
from mail.allowlist import RecipientAllowlist
from mail.context import prepare_mail
from mail.decisions import withhold
from mail.digest import Week
from staff.accounts.coordinator_week import CoordinatorWeeks
from staff.accounts.directory import add_account, assign, change_account, close_account
from tests.support.delivery import DeliveryFixture, bundled, deliveries, environment, migrated_url
from tests.support.rehearsals import instant
from worker.assembly import load_programs
from workflows.upkeep.digest import DIGEST, DigestWorkflow

__all__ = ["deliveries", "migrated_url"]

pytestmark = [pytest.mark.rule("STA4"), pytest.mark.rule("COH4")]

MONDAY = datetime(2028, 3, 13, 13, tzinfo=UTC)
"""Monday, 08:00 in Bogota."""
DAY = timedelta(days=1)
LONG_AGO = MONDAY - 60 * DAY


def row_of(table: type[Any], workflow: str, state: str, **values: Any) -> Any:
    """A lifecycle of the bundled program, as far as a count needs it."""
    kept = {"program": "asis-global", "policy_version": "1", "state_since": MONDAY - DAY, "facts": {}}
    return table(workflow=workflow, state=state, **kept, **values)


async def account(session: Any, name: str, *assigned: str, **values: object) -> StaffAccount:
    """An account of staff; by default a coordinator in Bogota who reads Spanish."""
    usual = {"role": "coordinator", "language": "es", "zone": "America/Bogota"}
    made = await add_account(session, f"{name}@example.org", {**usual, **values}, "test", LONG_AGO)
    for subject in assigned:
        await assign(session, made, subject, "test", LONG_AGO)
    return made


async def two_partners(session: Any) -> None:
    """Ana and Bo are Altavista's, Cy and Di are of another partner; Ana's second pair is with Cy."""
    (await session.get_one(Profile, "p-ana")).partner = "altavista"
    for name, role, partner in (("bo", "mentor", "altavista"), ("cy", "mentor", "x"), ("di", "mentee", "x")):
        known = {"standing": "good", "standing_since": LONG_AGO, "languages": ["es"], "updated_at": LONG_AGO}
        session.add(Member(id=name, name=name.title(), email=f"{name}@example.org", **known))
        await session.flush()
        at = {"created_at": MONDAY - DAY, "updated_at": MONDAY - DAY}
        of = {"member_id": name, "role": role, "partner": partner, "program": "asis-global"}
        session.add(Profile(id=f"p-{name}", **of, **at))
    await session.flush()
    for id, mentee, mentor in (("ours", "ana", "bo"), ("mixed", "ana", "cy"), ("theirs", "di", "cy")):
        people = {"mentee_id": f"p-{mentee}", "mentor_id": f"p-{mentor}"}
        created = {"created_at": MONDAY - DAY}
        session.add(row_of(Request, f"request/{id}", "past_due", id=id, **people, **created))
        begun = {"started_at": MONDAY - DAY}
        session.add(row_of(Engagement, f"engagement/{id}", "active", id=id, **people, **begun))
        of = {"engagement_id": id, "role": "mentor", "profile_id": f"p-{mentor}", "member_id": mentor}
        session.add(row_of(Claim, f"claim/{id}/mentor/CPP", "awaiting_evidence", certification="CPP", **of))
        for kind in ("curriculum_lagging", "inactive", "misconduct"):
            await open_task(session, kind, f"engagement/{id}", f"cause of {kind}", "look", MONDAY - DAY)
    await open_task(session, "mail_channel", "channel/smtp", "a cause", "look", MONDAY - DAY)
    await session.flush()


async def heard(session: Any) -> None:
    """The deployment has heard of something before the week."""
    values = {"type": "t", "subject": "s", "data": {}, "state": "applied", "heard_at": LONG_AGO}
    session.add(Event(source="/tests", event_id="1", **values))
    await session.flush()


async def test_coordinator_gets_the_counts_of_own_people_only(deliveries: DeliveryFixture) -> None:
    """A pair counts where both are theirs, a lagging one where one is; no report, nothing of the deployment."""
    async with deliveries.database.begin() as session:
        await two_partners(session)
        made = await account(session, "amb", "partner/asis-global/altavista")
        weeks = CoordinatorWeeks()
        (reader,) = await weeks.readers(session)
        said = await weeks.counts(session, reader, bundled(), Week.of(MONDAY, reader.zone))
    assert (reader.account, reader.zone, reader.since) == (made.id, "America/Bogota", LONG_AGO)
    assert said == {
        "people": "2",
        "mentors": "1",
        "mentees": "1",
        "matches": "1",
        "past_due": "1",
        "claims": "1",
        "lagging": "2",
        "tasks": "inactive:1",
    }


async def test_digest_is_planned_once_for_whoever_has_people(
    deliveries: DeliveryFixture, temporal_dev: WorkflowEnvironment
) -> None:
    """Not for a viewer, a closed account, one without people, or one whose people came after the instant."""
    async with deliveries.database.begin() as session:
        await heard(session)
        ambassador = await account(session, "amb", "member/ana")
        await account(session, "idle")
        await account(session, "view", role="viewer")
        await close_account(session, await account(session, "gone", "member/ana"), "test", LONG_AGO)
        late = await account(session, "late")
        await assign(session, late, "member/ana", "test", MONDAY + DAY)
    activities = DigestActivities(
        deliveries.database, deliveries.programs, temporal_dev.client, CoordinatorWeeks()
    )
    key = f"digest/asis-global/{ambassador.id}/2028-03-13"
    for at in (MONDAY - timedelta(seconds=1), MONDAY, MONDAY, MONDAY + 2 * DAY):
        again = await environment(at).run(activities.look_for_digest)
        found = [row for row in await deliveries.rows() if row.message == "staff.coordinator_digest"]
        if at < MONDAY:
            assert (again, found) == (MONDAY, [])
        else:
            assert [(row.workflow, row.due_at) for row in found] == [(key, MONDAY)]
    for row in await deliveries.rows():
        await temporal_dev.client.get_workflow_handle(row.workflow).terminate()


@pytest.mark.rule("MAIL1")
async def test_account_closed_before_the_send_gets_no_mail(
    deliveries: DeliveryFixture, temporal_dev: WorkflowEnvironment
) -> None:
    async with deliveries.database.begin() as session:
        await heard(session)
        made = await account(session, "amb", "member/ana")
    activities = DigestActivities(
        deliveries.database, deliveries.programs, temporal_dev.client, CoordinatorWeeks()
    )
    await environment(MONDAY).run(activities.look_for_digest)
    links = Links("https://mentoring.example.org", "a secret for tests only")
    async with deliveries.database.begin() as session:
        rows = list(await session.scalars(select(Message)))
        (row,) = [each for each in rows if each.message == "staff.coordinator_digest"]
        mail = await prepare_mail(session, row, bundled(), links, MONDAY)
        assert (mail.address, mail.locale) == ("amb@example.org", "es")
        everybody = RecipientAllowlist(True)
        assert not await withhold(session, row, mail, everybody, timedelta(), MONDAY)
        found = await session.get_one(StaffAccount, made.id)
        await change_account(session, found, {"role": "viewer"}, "test", MONDAY)
        assert await withhold(session, row, mail, everybody, timedelta(), MONDAY)
        assert row.state == "suppressed"
    for each in rows:
        await temporal_dev.client.get_workflow_handle(each.workflow).terminate()


async def test_coordinators_digest_goes_out_once_a_week_and_says_when_quiet(tmp_path: Path) -> None:
    async with embedded_stack(
        load_programs(Path("programs")),
        Path("templates/mail"),
        Path("programs"),
        StackOptions(mail_dir=tmp_path),
    ) as ready:
        client = ready.clock.client
        await ready.advance(instant("2035-03-07T18:00"))
        member = {"member": "ana", "name": "Ana", "email": "ana@example.org", "standing": "good"}
        profile = {"profile": "p-ana", "member": "ana", "role": "mentee", "program": "asis-global"}
        events = [("member.updated", member), ("profile.created", profile)]
        await ready.send_events(instant("2035-03-07T18:00"), events)
        await ready.advance(instant("2035-03-08T18:00"))
        async with ready.database.begin() as session:
            made = await account(session, "amb", "member/ana")
        for monday in ("2035-03-12T14:00", "2035-03-12T15:00"):
            await client.start_workflow(DigestWorkflow.run, id=DIGEST, task_queue=QUEUE)
            await ready.advance(instant(monday))
            await client.get_workflow_handle(DIGEST).terminate()
        async with ready.database.reading() as session:
            sent = list(
                await session.scalars(select(Message).where(Message.message == "staff.coordinator_digest"))
            )
    (row,) = sent
    assert (row.workflow, row.state) == (f"digest/asis-global/{made.id}/2035-03-12", "sent")
    texts = [file.read_text("utf-8") for file in tmp_path.glob("*.eml")]
    (text,) = [each for each in texts if "amb@example.org" in each]
    assert "Nada requiere su" in text
