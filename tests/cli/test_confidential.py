"""Reports of misconduct and feedback: who reads them is on record, and no dossier for outsiders has them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from activities.planning import PlanEngagement
from database import audit
from database.models import AuditRecord, Engagement, Feedback, Message, Report, Task
from database.tasks import open_task
from evidence.dossier import export
from evidence.verifier import verify
from lifecycles.timeline import timeline
from rules import engagement
from rules.acts import Act
from rules.calendar import calendar_for
from rules.engagement import EngagementFacts
from rules.program import load_program, program_calendar
from tests.support.cli import BUNDLED, CliFixture
from tests.support.dossiers import opened


async def reported(cli: CliFixture, act: str = "misconduct") -> None:
    """An engagement in which Ana reported misconduct, or that staff paused; then staff resume it."""
    facts = EngagementFacts("r-1", "p-ana", "p-bob", cli.now - timedelta(days=3))
    plan = PlanEngagement("engagement/r-1", facts, cli.now - timedelta(days=3))
    done = (await cli.agenda.plan_engagement(plan)).facts
    first = Act("a-1", act, "p-ana" if act == "misconduct" else "lina", by="p-ana", event="1")
    second = Act("a-2", "resume", "lina")
    for each, days in ((first, 2), (second, 1)):
        at = cli.now - timedelta(days=days)
        done = (await cli.agenda.plan_engagement(PlanEngagement("engagement/r-1", done, at, [each]))).facts
    async with cli.database.begin() as session:
        session.add(
            Report(
                engagement_id="r-1",
                by_profile="p-ana",
                event_id="e-1",
                text="He shouted.",
                reported_at=cli.now,
            )
        )


@pytest.mark.rule("ENG8", "STA3")
async def test_report_is_read_by_number_or_engagement_on_record(cli: CliFixture) -> None:
    await reported(cli)
    listed = await cli.throughline("report", "list", "--json")
    assert [(each["id"], each["engagement"]) for each in listed.lines] == [(1, "engagement/r-1")]
    assert "shouted" not in listed.out
    assert "ana" not in listed.out
    for name in ("1", "r-1", "engagement/r-1"):
        shown = await cli.throughline("report", "show", name, "--actor", "lina", "--json")
        assert (shown.json["text"], shown.json["by"]) == ("He shouted.", "Ana (p-ana)")
        assert shown.json["other"] == "Bob (p-bob)"
    assert "He shouted." in (await cli.throughline("report", "show", "1")).out
    read = [each for each in await cli.all(AuditRecord) if each.data.get("act") == "report read"]
    assert [each.actor for each in read[:3]] == ["lina"] * 3
    assert {(each.subject, each.chain) for each in read} == {("engagement/r-1", "misconduct/r-1")}
    none = await cli.throughline("report", "show", "r-9")
    assert (none.status, none.err) == (1, "there is no report r-9\n")


@pytest.mark.rule("SUR4", "STA3")
async def test_feedback_is_listed_and_reading_it_is_on_record(cli: CliFixture) -> None:
    async with cli.database.begin() as session:
        session.add(Feedback(profile_id="p-ana", event_id="e-1", text="More time.", given_at=cli.now))
    said = await cli.throughline("feedback", "list", "--actor", "lina", "--json")
    assert (said.json["by"], said.json["text"]) == ("Ana (p-ana)", "More time.")
    (read,) = [each for each in await cli.all(AuditRecord) if each.data.get("act") == "feedback read"]
    assert (read.subject, read.actor, read.data["feedback"]) == ("profile/p-ana", "lina", [1])


@pytest.mark.rule("STA2", "ENG8")
async def test_misconduct_is_on_top_of_the_tasks_and_due_at_once(cli: CliFixture) -> None:
    async with cli.database.begin() as session:
        old = cli.now - timedelta(days=30)
        await open_task(session, "inactive", "engagement/r-2", "old", "Write to both.", old)
        await open_task(session, "misconduct", "engagement/r-1", "report 1", "Read it.", cli.now)
    first, *_ = (await cli.throughline("task", "list", "--json")).lines
    assert (first["task"], first["due"]) == ("misconduct", first["opened"])


@pytest.mark.rule("ENG8", "ENG11", "CPE11")
async def test_dossier_of_a_suspension_is_that_of_a_pause(cli: CliFixture, tmp_path: Path) -> None:
    """The records have the same kinds, words and instants; only salts and hashes differ."""
    await reported(cli)
    async with cli.database.reading() as session:
        suspended = opened(await export(session, "r-1"))
        staff = await export(session, "r-1", confidential=True)
    content = b"".join(suspended.values())
    for word in (b"misconduct", b"suspended", b"p-ana act"):
        assert word not in content
    known = {"at", "subject", "kind", "data", "actor", "sequence"}
    lines = [json.loads(line) for line in suspended["records.jsonl"].splitlines()]
    seen = [{name: line[name] for name in known} for line in lines]
    states = [line["data"]["state"] for line in lines if line["kind"] == "state"]
    assert states == ["active", "paused", "active"]
    file = tmp_path / "staff.zip"
    file.write_bytes(staff)
    assert verify(file) == []
    confidential = [json.loads(line) for line in opened(staff)["records.jsonl"].splitlines()]
    assert "misconduct" in {line["data"].get("act") for line in confidential}
    assert "suspended" in {line["data"].get("state") for line in confidential}

    async with cli.database.begin() as session:
        for record in await session.scalars(select(AuditRecord)):
            await session.delete(record)
        for task in await session.scalars(select(Task)):
            await session.delete(task)
    await paused_instead(cli)
    async with cli.database.reading() as session:
        paused = opened(await export(session, "r-1"))
    again = [json.loads(line) for line in paused["records.jsonl"].splitlines()]
    assert [{name: line[name] for name in known} for line in again] == seen


async def paused_instead(cli: CliFixture) -> None:
    """The same engagement from its start, paused by staff where the report came."""
    async with cli.database.begin() as session:
        for table in (Message, Engagement, Report):
            for row in await session.scalars(select(table)):
                await session.delete(row)
    await reported(cli, "pause")


@pytest.mark.rule("ENG8", "ENG11")
def test_mail_after_a_suspension_leaves_when_it_would_after_a_pause() -> None:
    program = load_program(BUNDLED)
    madrid = calendar_for(program.hours, "Europe/Madrid", "ES", None)
    bogota = calendar_for(program.hours, "America/Bogota", "CO", None)
    begun = EngagementFacts("r-1", "p-ana", "p-bob", datetime(2028, 3, 6, 15, tzinfo=UTC))

    def mails(facts: EngagementFacts, since: datetime) -> list[tuple[datetime, str, int]]:
        own = program_calendar(program)
        planned = engagement.agenda(facts, program.engagement, own, madrid, bogota).mails
        due = [(each.due_if_waiting, each.message, each.number or 0) for each in planned]
        return sorted(
            (at, name, n) for at, name, n in due if at and at > since and name != "staff.misconduct"
        )

    for day in range(1, 180, 7):
        for length in (1, 3, 10, 45):
            at = begun.started_at + timedelta(days=day, hours=day % 24)
            until = at + timedelta(days=length)
            paused = engagement.resume(engagement.pause(begun, at, "active"), until, "paused")
            reported = engagement.report_misconduct(begun, "p-ana", at, "active")
            suspended = engagement.resume(reported, until, "suspended")
            assert mails(paused, until) == mails(suspended, until), (day, length)


@pytest.mark.rule("ENG8", "MAIL1")
async def test_timeline_shows_a_suspension_once(cli: CliFixture) -> None:
    await reported(cli)
    rows = [row async for row in timeline(cli.database, "UTC", cli.now)]
    states = [row["state"] for row in rows if row["kind"] == "state" and row["subject"] == "engagement/r-1"]
    assert states == ["active", "suspended", "active"]
    shown = (await cli.throughline("show", "engagement/r-1", "--json")).json
    assert [each["what"] for each in shown["happened"] if each["kind"] == "state"] == [
        "engagement is active",
        "engagement is suspended",
        "engagement is active",
    ]


@pytest.mark.rule("CPE11", "ENG8")
async def test_chain_with_misconduct_from_before_still_verifies(cli: CliFixture, tmp_path: Path) -> None:
    """Chains written by earlier versions hold such records beside all others."""
    await reported(cli)
    async with cli.database.begin() as session:
        found = await session.scalars(select(AuditRecord).order_by(AuditRecord.id))
        ours = [each for each in found if each.subject == "engagement/r-1"]
        for each in ours:
            each.chain, each.sequence, each.previous = "old", -each.id, f"old {each.id}"
        await session.flush()
        previous = audit.GENESIS
        for number, each in enumerate(ours, start=1):
            each.chain, each.sequence, each.previous = "engagement/r-1", number, previous
            each.hash = previous = audit.digest(audit.content(each))
            await session.flush()
    file = tmp_path / "old.zip"
    said = await cli.throughline("audit", "export", "r-1", "--out", file)
    assert said.status == 0, said.err
    assert verify(file) == []
    staff = await cli.throughline("audit", "export", "r-1", "--staff", "--out", file)
    assert (staff.status, staff.err) == (1, "nothing is on record of misconduct/r-1\n")
