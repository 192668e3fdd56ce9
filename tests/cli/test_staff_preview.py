"""The preview of a staff act: messages, states, tasks, claims and surveys, on program time (STA1, T6)."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from database.models import AuditRecord, Claim, Message, Task
from database.tasks import open_task
from embedded.stack import embedded_stack
from tests.support.cli import ROOT as REPOSITORY
from tests.support.cli import CliFixture
from worker.assembly import load_programs


async def preview(cli: CliFixture, act: str, target: str, *arguments: str) -> dict[str, Any]:
    """The preview of an act, as JSON."""
    said = await cli.throughline("staff", act, target, *arguments, "--preview", "--json")
    assert (said.status, said.err) == (0, "")
    found: dict[str, Any] = said.json
    return found


@pytest.mark.rule("STA1", "ENG6")
async def test_cancel_of_an_engagement_shows_its_claims_too(cli: CliFixture) -> None:
    await cli.engage("r-1", "p-ana", "p-bob")
    await cli.claim("r-1", "p-bob", "p-ana", "mentor", "CPP")
    found = await preview(cli, "cancel", "engagement/r-1")
    assert (found["before"], found["state"]) == ("active", "canceled")
    ahead = {(each["change"], each["kind"], each["what"]) for each in found["coming"]}
    assert ("gone", "state", "completed") in ahead
    assert {change for change, _, _ in ahead} == {"gone"}
    (claim,) = found["claims"]
    assert (claim["claim"], claim["before"], claim["state"]) == (
        "claim/r-1/mentor/CPP",
        "precheck",
        "canceled",
    )
    assert {each["change"] for each in claim["changes"]} == {"not_sent"}
    assert ("gone", "awaiting_evidence") in {(each["change"], each["what"]) for each in claim["coming"]}
    assert found["starts"] == []
    words = await cli.throughline("staff", "cancel", "engagement/r-1", "--preview")
    assert "engagement/r-1 would be canceled, now active." in words.out
    assert "claim/r-1/mentor/CPP, now precheck, would be canceled." in words.out
    assert {row.state for row in await cli.all(Claim)} == {"precheck"}
    assert "cancelled" not in {row.state for row in await cli.all(Message)}
    assert not [record for record in await cli.all(AuditRecord) if record.kind == "act"]


@pytest.mark.rule("STA1", "ENG7", "SUR2")
async def test_end_of_an_engagement_shows_the_surveys_that_begin(cli: CliFixture) -> None:
    await cli.engage("r-1", "p-ana", "p-bob")
    await cli.claim("r-1", "p-bob", "p-ana", "mentor", "CPP")
    found = await preview(cli, "end", "engagement/r-1", "--reason", "goals_met")
    assert found["state"] == "completed"
    assert found["starts"] == ["survey/r-1/mentor", "survey/r-1/mentee"]
    (claim,) = found["claims"]
    assert claim["state"] == "not_eligible"


@pytest.mark.rule("STA1", "REQ9")
async def test_extension_moves_states_and_tasks_ahead(cli: CliFixture) -> None:
    await cli.request("r-1", "p-ana", "p-bob")
    found = await preview(cli, "extend", "request/r-1", "--business-days", "3")
    assert found["before"] == found["state"] == "open"
    moved = {(each["kind"], each["what"]): each for each in found["coming"]}
    assert set(moved) == {("state", "past_due"), ("task", "request_unanswered"), ("state", "expired")}
    for each in moved.values():
        assert each["change"] == "moved"
        assert datetime.fromisoformat(each["due"]) > datetime.fromisoformat(each["was"])


@pytest.mark.rule("STA1", "STA2")
async def test_preview_names_the_tasks_that_close(cli: CliFixture) -> None:
    await cli.engage("r-1", "p-ana", "p-bob")
    async with cli.database.begin() as session:
        await open_task(session, "discovery_stalled", "engagement/r-1", "no answer", "Write.", cli.now)
    (task,) = [each for each in await cli.all(Task) if each.kind == "discovery_stalled"]
    found = await preview(cli, "cancel", "engagement/r-1")
    assert found["tasks"] == [
        {"change": "closes", "task": "discovery_stalled", "id": task.id, "why": "it is canceled now"}
    ]
    words = await cli.throughline("staff", "cancel", "engagement/r-1", "--preview")
    assert f"Task discovery_stalled {task.id} closes: it is canceled now" in words.out
    assert (await cli.all(Task))[-1].state == "open"


@pytest.mark.rule("STA1", "T6")
async def test_preview_in_a_demo_is_on_its_clock(tmp_path: Path) -> None:
    programs = load_programs(REPOSITORY / "programs")
    async with embedded_stack(programs, REPOSITORY / "templates" / "mail", REPOSITORY / "programs") as ready:
        now = await ready.clock.now() + timedelta(days=60)
        await ready.advance(now)
        happened = []
        for name, role in (("ana", "mentee"), ("bob", "mentor")):
            member = {"member": name, "name": name, "email": f"{name}@example.org", "standing": "good"}
            happened.append(("member.updated", member))
            happened.append(("profile.created", {"profile": f"p-{name}", "member": name, "role": role}))
        happened.append(("request.created", {"request": "r-1", "mentee": "p-ana", "mentor": "p-bob"}))
        await ready.send_events(now, happened)
        await ready.wait_idle()
        env = {
            "THROUGHLINE_DATABASE": f"sqlite:///{ready.database_file}",
            "TEMPORAL_ADDRESS": ready.clock.client.service_client.config.target_host,
        }
        arguments = ["staff", "cancel", "request/r-1", "--preview"]
        said = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=env)
        assert said.exit_code == 0, said.output
        added = [line for line in said.stdout.splitlines() if line.startswith("added")]
        assert added
        day = (await ready.clock.now()).date()
        assert all(str(day) in line or str(day - timedelta(days=1)) in line for line in added)
