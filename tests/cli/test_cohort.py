"""`throughline cohort`: what staff see of a cohort, and what they do with its pairs (COH2, COH3)."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from cli.main import app
from database.models import AuditRecord, CohortPair
from embedded.stack import EmbeddedStack, embedded_stack
from tests.support.cli import ROOT as REPOSITORY
from tests.support.programs.cohorts import COHORT, REVIEW, SIGN_UP
from worker.assembly import load_programs

ROLES = {"ana": "mentee", "bea": "mentee", "leo": "mentor", "mia": "mentor", "=nico": "mentor"}


class Office:
    """A cohort in review on the real parts, and the command beside it."""

    def __init__(self, ready: EmbeddedStack) -> None:
        self.ready = ready

    async def run(self, *words: str, status: int = 0) -> Result:
        """Call `throughline cohort`."""
        env = {
            "THROUGHLINE_DATABASE": f"sqlite:///{self.ready.database_file}",
            "TEMPORAL_ADDRESS": self.ready.clock.client.service_client.config.target_host,
        }
        said = await asyncio.to_thread(CliRunner().invoke, app, ["cohort", *words], env=env)
        assert said.exit_code == status, said.output
        return said

    async def json(self, *words: str) -> list[dict[str, Any]]:
        """Its lines of JSON."""
        said = await self.run(*words, "--json")
        return [json.loads(line) for line in said.stdout.splitlines()]

    async def proposed(self) -> set[tuple[str, str]]:
        """The pairs that are proposed, as the database has them."""
        async with self.ready.database.reading() as session:
            rows = await session.scalars(select(CohortPair).where(CohortPair.state == "proposed"))
            return {(row.mentee_id, row.mentor_id) for row in rows}


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    programs = load_programs(REPOSITORY / "programs")
    async with embedded_stack(programs, REPOSITORY / "templates" / "mail", REPOSITORY / "programs") as ready:
        await ready.advance(SIGN_UP)
        happened: list[tuple[str, dict[str, Any]]] = []
        for name, role in ROLES.items():
            member = name.strip("=")
            person = {"member": member, "name": f"{name} Vega", "email": f"{member}@example.org"}
            happened.append(("member.updated", {**person, "standing": "good", "languages": ["es"]}))
            profile = {"profile": f"p-{member}", "member": member, "role": role, "program": "asis-laac"}
            happened.append(("profile.created", profile))
        await ready.send_events(SIGN_UP, happened)
        await ready.advance(REVIEW + timedelta(hours=3))
        yield Office(ready)


@pytest.mark.rule("COH2", "STA3")
async def test_staff_pair_mark_exchange_confirm_and_report(office: Office) -> None:
    (listed, *_) = [each for each in await office.json("list") if each["cohort"] == COHORT]
    assert (listed["state"], listed["mentors"], listed["mentees"], listed["proposed"]) == ("review", 3, 2, 2)
    first = {("p-ana", "p-leo"), ("p-bea", "p-mia")}
    assert await office.proposed() == first

    await office.run("forbid", COHORT, "p-ana", "p-leo", "--reason", "same family", "--actor", "lina")
    head, *rows = await office.json("pair", COHORT, "--dry-run")
    assert (head["dry_run"], head["pairs"], head["changed"]) == (True, 2, 1)
    assert {row["state"] for row in rows} == {"proposed", "unpaired"}
    assert await office.proposed() == first  # nothing has changed

    head, *_ = await office.json("pair", COHORT, "--reason", "forbidden", "--actor", "lina")
    assert (head["dry_run"], head["changed"]) == (False, 1)
    assert await office.proposed() == {("p-ana", "p-nico"), ("p-bea", "p-mia")}

    said = await office.run("exchange", COHORT, "p-ana", "p-mia", "--actor", "lina")
    assert said.stdout == "p-ana is proposed with p-mia.\np-bea is proposed with p-nico.\n"
    said = await office.run("lock", COHORT, "p-bea", "p-nico", "--actor", "lina")
    assert "locked" in said.stdout
    said = await office.run("confirm", COHORT, "--actor", "lina", "--reason", "looked at all")
    assert said.stdout == f"cohort/{COHORT} is confirmed: 2 pairs confirmed.\n"
    said = await office.run("confirm", COHORT, status=1)
    assert "there are no new pairs to confirm" in said.stderr

    _, *rows = await office.json("show", COHORT)
    assert {(row["mentee"], row["mentor"], row["state"]) for row in rows if row["state"] == "confirmed"} == {
        ("p-ana", "p-mia", "confirmed"),
        ("p-bea", "p-nico", "confirmed"),
    }
    async with office.ready.database.reading() as session:
        acts = await session.scalars(select(AuditRecord).where(AuditRecord.kind == "act"))
        done = {(record.data["act"], record.actor) for record in acts}
    assert done >= {(f"pair {act}", "lina") for act in ("forbidden", "exchanged", "locked")}
    assert done >= {("pair", "lina"), ("confirm", "lina")}

    said = await office.run("report", COHORT, "--csv")
    table = list(csv.DictReader(io.StringIO(said.stdout)))
    assert {row["state"] for row in table} == {"confirmed", "unpaired"}
    assert [row["mentor_name"] for row in table if row["mentor"] == "p-nico"] == ["'=nico Vega"]


@pytest.mark.rule("STA1")
async def test_cancel_is_previewed_and_done(office: Office) -> None:
    await office.run("confirm", COHORT, "--actor", "lina")
    target = f"cohort/{COHORT}"
    env = {
        "THROUGHLINE_DATABASE": f"sqlite:///{office.ready.database_file}",
        "TEMPORAL_ADDRESS": office.ready.clock.client.service_client.config.target_host,
    }
    for words, expected in (
        (["--preview"], f"{target} would be canceled, now confirmed."),
        ([], f"{target} is canceled."),
    ):
        result = await asyncio.to_thread(
            CliRunner().invoke, app, ["staff", "cancel", target, "--reason", "no budget", *words], env=env
        )
        assert result.exit_code == 0, result.output
        assert expected in result.stdout
    said = await office.run("pair", COHORT, status=1)
    assert "the cohort is over: canceled" in said.stderr


async def test_unknown_cohort_is_one_line_and_status_one(office: Office) -> None:
    for words in (["show"], ["pair", "--dry-run"], ["report"], ["confirm"]):
        said = await office.run(words[0], "nothing-2028", *words[1:], status=1)
        assert said.stderr.splitlines()[-1] == "there is no cohort nothing-2028"
