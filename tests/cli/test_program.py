"""`throughline program versions` and `show`: which version of a program file a lifecycle goes on by (CPE12)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from database.models import ProgramTrial
from tests.support.cli import CliFixture
from tests.support.programs.program_files import changed_folder, changed_program
from worker.assembly import keep_program_versions


@pytest.mark.rule("CPE12")
async def test_versions_are_listed_with_what_runs_by_them(cli: CliFixture, tmp_path: Path) -> None:
    await cli.add_member("zoe")
    await keep_program_versions(cli.database, {"asis-global": cli.program})
    known = (await cli.throughline("program", "versions", "--json")).json["running"]
    await cli.sign_up("p-zoe", "zoe")
    folder = tmp_path / "programs"
    changed = changed_program(folder, policy_version='"2035-2"', answer_business_days="3")
    await keep_program_versions(cli.database, {"asis-global": changed})
    said = await cli.throughline("program", "versions", "--json", THROUGHLINE_PROGRAMS=str(folder))
    shown = ("program", "policy_version", "fingerprint", "newest", "running", "over")
    assert [tuple(line[name] for name in shown) for line in said.lines] == [
        ("asis-global", cli.program.policy_version, cli.program.fingerprint, False, known + 1, 0),
        ("asis-global", "2035-2", changed.fingerprint, True, 0, 0),
    ]
    table = await cli.throughline("program", "versions", "asis-global")
    assert table.status == 0
    assert f"2035-2 ({changed.fingerprint[:12]})" in table.out
    unknown = await cli.throughline("program", "versions", "asis-mars")
    assert (unknown.status, unknown.err.strip()) == (
        1,
        "no worker has started with a program asis-mars",
    )


@pytest.mark.rule("CPE12")
async def test_lifecycle_and_program_show_their_version(cli: CliFixture, tmp_path: Path) -> None:
    """Once the file has changed, the program shows the new version, and the onboarding its own."""
    await cli.add_member("zoe")
    await keep_program_versions(cli.database, {"asis-global": cli.program})
    await cli.sign_up("p-zoe", "zoe")
    folder = changed_folder(tmp_path / "programs", policy_version='"2035-2"')
    changed = changed_program(folder, policy_version='"2035-2"')
    onboarding = await cli.throughline("show", "onboarding/p-zoe", "--json", THROUGHLINE_PROGRAMS=str(folder))
    assert onboarding.json["program_version"] == cli.program.fingerprint
    words = await cli.throughline("show", "onboarding/p-zoe", THROUGHLINE_PROGRAMS=str(folder))
    assert cli.program.fingerprint[:12] in words.out
    settings = await cli.throughline("program", "show", "--json", THROUGHLINE_PROGRAMS=str(folder))
    assert {line["key"]: line["value"] for line in settings.lines}["fingerprint"] == changed.fingerprint


async def test_trial_has_guests_and_ends_with_a_reason(cli: CliFixture) -> None:
    production = {"THROUGHLINE_PRODUCTION": "true"}
    id = "asis-global"
    refused = await cli.throughline("program", "trial", id, "--begin", "--reason", "New.")
    assert (refused.status, "only a deployment in production" in refused.err) == (1, True)
    assert (await cli.throughline("program", "trial", id, "--begin", **production)).status == 2
    again = await cli.throughline("program", "trial", id, "--begin", "--reason", "New.", **production)
    assert (again.status, "has people already" in again.err) == (1, True)
    async with cli.database.begin() as session:
        session.add(ProgramTrial(program=id, since=datetime.now(UTC)))
    begun = await cli.throughline("program", "trial", id, "--json", **production)
    assert (begun.json["in_trial"], begun.json["guests"]) == (True, [])
    for act in ("add", "remove", "add"):
        done = await cli.throughline("program", "guests", act, id, "Eva@Example.org", **production)
        assert done.status == 0, done.err
    listed = await cli.throughline("program", "guests", "list", id, "--json", **production)
    assert listed.lines == [{"address": "eva@example.org"}]
    wrong = await cli.throughline("program", "guests", "add", id, "eva", **production)
    assert (wrong.status, "no address" in wrong.err) == (1, True)
    assert (await cli.throughline("program", "go-live", id, **production)).status == 2
    early = await cli.throughline("program", "go-live", id, "--reason", "Now.", **production)
    assert (early.status, "open points" in early.err) == (1, True)
    live = await cli.throughline(
        "program", "go-live", id, "--reason", "Now.", "--actor", "lina", "--although-open", **production
    )
    assert live.status == 0, live.err
    shown = (await cli.throughline("program", "trial", id, "--json", **production)).json
    assert (shown["in_trial"], shown["live_by"], shown["reason"]) == (False, "lina", "Now.")


async def test_versions_before_the_first_start_are_none(cli: CliFixture) -> None:
    said = await cli.throughline("program", "versions")
    assert (said.status, said.out.strip()) == (0, "No worker has started yet.")
