"""Importing history before anything is stored, and the differences of an export (T8, T10)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from database.models import Event, Member
from rules.events import Envelope, check_data
from rules.events.order_of_history import in_order_of_history
from staff.event_import.export_differences import Differences, differences
from tests.support.cli import CliFixture, throughline
from tests.support.running_program import history_of

ANA = {
    "member": "ana",
    "name": "Ana",
    "email": "ana@example.org",
    "standing": "good",
    "time_zone": "America/Bogota",
    "country": "CO",
}


def written(folder: Path, *events: object) -> Path:
    """A file with one event a line."""
    file = folder / "history.jsonl"
    file.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in events))
    return file


def event(type: str, time: str | None = "2024-03-06T10:00:00Z", **data: object) -> dict[str, Any]:
    """An event as a file has it."""
    return {"type": type, "data": data, **({"time": time} if time else {})}


@pytest.mark.rule("T8", "T10")
async def test_each_wrong_line_is_named_and_nothing_is_stored(cli: CliFixture, tmp_path: Path) -> None:
    file = written(
        tmp_path,
        event("member.updated", **ANA),
        event("member.updated", None, **ANA),
        event("member.updated", "yesterday", **ANA),
        '{"type": "member.updated",',
        event("profile.created", profile="p-1", member="ana", role="master"),
        event("profile.withdrawn"),
    )
    for arguments in ((), ("--dry-run",)):
        said = await cli.throughline("event", "import", file, *arguments)
        assert said.status == 1
        assert said.out == ""
        lines = [line.removeprefix(f"{file}: ") for line in said.err.splitlines()]
        assert sorted(line.partition(": ")[0] for line in lines) == [f"line {n}" for n in (2, 3, 4, 5, 6)]
        assert "line 2: time: is missing, and history needs it" in lines
    assert await cli.all(Event) == []


@pytest.mark.rule("T8", "T10")
async def test_history_that_lies_ahead_is_refused(cli: CliFixture, tmp_path: Path) -> None:
    ahead = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    said = await cli.throughline(
        "event", "import", written(tmp_path, event("member.updated", ahead, **ANA)), "--dry-run"
    )
    assert said.status == 1
    assert "lies ahead, and history lies behind" in said.err


@pytest.mark.rule("T10")
def test_history_is_ordered_by_time_with_people_ahead_of_what_names_them() -> None:
    def envelope(day: int, type: str, **data: object) -> Envelope:
        return Envelope(f"{type}-{day}", "/old", type, datetime(2024, 1, day, tzinfo=UTC), dict(data))

    late_member = envelope(9, "member.updated", member="ana")
    profile = envelope(3, "profile.created", profile="p-ana", member="ana")
    mentor = envelope(2, "profile.created", profile="p-bob", member="bob")
    asked = envelope(4, "request.created", request="r", mentee="p-ana", mentor="p-bob")
    answered = envelope(5, "request.accepted", request="r")
    again = envelope(10, "member.updated", member="ana")
    given = [again, answered, late_member, asked, profile, mentor]
    assert in_order_of_history(given) == [mentor, late_member, profile, asked, answered, again]


@pytest.mark.rule("T10")
def test_dry_run_plays_history_and_says_what_goes_out_next(tmp_path: Path) -> None:
    """An engagement of a year ago, one of five weeks ago, and an acceptance that the rules refuse."""
    now = datetime.now(UTC)
    old = [each for each in history_of(11, now, years=1) if each["id"].split("-")[0] in ("0", "10")]
    refused = {**event("request.accepted", now.isoformat(), request="r-0"), "id": "twice", "source": "/old"}
    file = written(tmp_path, *reversed(old), refused)
    said = throughline("event", "import", file, "--dry-run", "--days", "60", "--json")
    assert said.returncode == 1, said.stderr
    found = json.loads(said.stdout)
    assert (found["events"], found["new"], found["applied"]) == (len(old) + 1, len(old) + 1, len(old))
    assert [(each["event"], each["id"]) for each in found["refused"]] == [("request.accepted", "twice")]
    assert found["held"] == []
    assert found["states"]["engagement"] == {"active": 1, "completed": 1}
    assert found["states"]["request"] == {"accepted": 2}
    assert found["states"]["onboarding"] == {"matched": 2, "welcomed": 2}
    assert {each["message"] for each in found["mails"]} == {"mentee.pulse", "mentor.pulse"}
    people = {each for mail in found["mails"] for each in mail["to"]}
    assert people == {"Learn-10 Vega (p-learn-10)", "Teach-10 Vega (p-teach-10)"}
    assert all(each["day"] > now.date().isoformat() for each in found["mails"])


async def compared(
    cli: CliFixture, *rows: tuple[str, dict[str, Any]], time: datetime | None = None
) -> Differences:
    """An export held against the database of the test."""
    given = []
    for number, (type, data) in enumerate(rows, 1):
        checked = check_data(type, data)
        assert not checked.errors
        given.append((f"line {number}: ", Envelope(f"row-{number}", "/members", type, time, checked.data)))
    async with cli.database.reading() as session:
        return await differences(session, given)


@pytest.mark.rule("T10")
async def test_export_without_a_change_is_no_event(cli: CliFixture) -> None:
    found = await compared(
        cli,
        ("member.updated", ANA),
        (
            "profile.created",
            {"profile": "p-ana", "member": "ana", "role": "mentee", "areas": [], "goals": None},
        ),
    )
    assert (found.changes, found.unchanged, found.mistakes) == ((), 2, ())


@pytest.mark.rule("T10")
async def test_export_sends_only_the_fields_that_differ(cli: CliFixture) -> None:
    profile = {"profile": "p-bob", "member": "bob", "role": "mentor", "mentees_at_a_time": 2, "languages": []}
    eve = {"member": "eve", "name": "Eve", "email": "eve@example.org", "standing": "good"}
    found = await compared(
        cli,
        ("member.updated", {**ANA, "standing": "lapsed", "languages": ["es"], "birth_year": None}),
        ("profile.created", profile),
        ("member.updated", eve),
    )
    assert [(each.subject, each.event.type, each.fields) for each in found.changes] == [
        ("member/ana", "member.updated", ("standing", "languages")),
        ("profile/p-bob", "profile.updated", ("mentees_at_a_time",)),
        ("member/eve", "member.updated", ()),
    ]
    assert found.changes[1].event.data == {"profile": "p-bob", "mentees_at_a_time": 2}
    assert "time_zone" not in found.changes[0].event.data


@pytest.mark.rule("T10", "REQ10")
async def test_same_night_has_the_same_ids_and_a_value_that_returns_another(cli: CliFixture) -> None:
    async def night(standing: str) -> str:
        (change,) = (await compared(cli, ("member.updated", {**ANA, "standing": standing}))).changes
        return change.event.id

    async def becomes(standing: str, day: int) -> None:
        async with cli.database.begin() as session:
            member = await session.get_one(Member, "ana")
            member.standing, member.updated_at = standing, cli.now + timedelta(days=day)

    first = await night("lapsed")
    assert await night("lapsed") == first
    await becomes("lapsed", 1)
    await night("good")
    await becomes("good", 2)
    assert await night("lapsed") != first


@pytest.mark.rule("T10")
async def test_older_row_and_contradiction_are_no_differences(cli: CliFixture) -> None:
    changed = ("member.updated", {**ANA, "standing": "lapsed"})
    assert (await compared(cli, changed, time=cli.now - timedelta(days=1))).older == 1
    turned = ("profile.created", {"profile": "p-ana", "member": "ana", "role": "mentor"})
    assert (await compared(cli, turned)).mistakes == (
        "line 1: profile/p-ana: its role is mentee and cannot become mentor",
    )


async def test_differences_of_other_events_are_refused(cli: CliFixture, tmp_path: Path) -> None:
    file = written(tmp_path, event("request.accepted", None, request="r-1"))
    said = await cli.throughline("event", "import", file, "--differences", "--dry-run")
    assert said.status == 1
    assert "type: request.accepted is no row of an export" in said.err


@pytest.mark.rule("T10")
async def test_wrong_row_of_an_export_keeps_no_other_out(cli: CliFixture, tmp_path: Path) -> None:
    file = tmp_path / "members.csv"
    file.write_text(
        "Number,Name,Email,standing,time_zone,country,Phone\n"
        "ana,Ana,ana@example.org,lapsed,America/Bogota,CO,1\n"
        "eva,Eva,eva at example.org,good,,,2\n"
        "leo,Leo\n"
        "bob,Bob,bob@example.org,good,Europe/Madrid,ES,3\n"
    )
    arguments = ("event", "import", file, "--differences", "--dry-run", "--column", "member=Number")
    said = await cli.throughline(*arguments)
    assert said.status == 1
    assert "member/ana" in said.out
    assert "1 would be sent, 1 unchanged" in said.out
    assert f"{file}: not used: Phone" in said.err
    assert f"{file}: line 4: has 2 cells, and line 1 has 7" in said.err
    assert f"{file}: line 3: data.email: " in said.err
    assert "2 mistakes: the rows above are left out, all others count" in said.err
    found = (await cli.throughline(*arguments, "--json")).json
    assert [each["subject"] for each in found["changes"]] == ["member/ana"]
    assert len(found["refused"]) == 2
    assert (await cli.throughline("event", "import", file)).status == 2
    wrong = await cli.throughline(*arguments[:5], "--column", "member")
    assert "--column member is not like member=Number" in wrong.err
