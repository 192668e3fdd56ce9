"""`throughline meetup`: what it lists and shows, and what it refuses."""

from __future__ import annotations

import pytest

from tests.support.cli import CliFixture
from tests.support.programs.meetup_rows import invitation, meetup

pytestmark = pytest.mark.rule("MEE1")


async def add(cli: CliFixture) -> None:
    async with cli.database.begin() as session:
        session.add(meetup(cli.now))
        await session.flush()
        yes = {"answer": "yes", "answered_at": cli.now, "answered_by": "link"}
        session.add(invitation(cli.now, 1, "ana", "p-ana", **yes))
        session.add(invitation(cli.now, 2, "bob", "p-bob"))


async def test_list_and_show_count_the_answers(cli: CliFixture) -> None:
    assert "There is no meetup." in (await cli.throughline("meetup", "list")).out
    await add(cli)
    (listed,) = (await cli.throughline("meetup", "list", "--json")).lines
    assert (listed["meetup"], listed["state"], listed["invited"]) == ("m-1", "scheduled", 2)
    assert listed["answers"] == {"yes": 1, "no": 0, "maybe": 0, "none": 1}
    shown = (await cli.throughline("meetup", "show", "m-1", "--answer", "yes", "--json")).json
    assert [each["member"] for each in shown["people"]] == ["ana"]
    said = await cli.throughline("meetup", "show", "m-1")
    assert said.status == 0, said.err
    assert "p-bob" in said.out
    general = await cli.throughline("show", "meetup/m-1")
    assert general.status == 0, general.err


async def test_what_cannot_be_scheduled_is_refused_with_the_field(cli: CliFixture) -> None:
    given = ("--program", "asis-global", "--title", "Spring", "--starts-at", "soon", "--time-zone", "Mars")
    said = await cli.throughline("meetup", "schedule", "m-2", *given)
    assert said.status == 1
    assert "starts_at" in said.err
    assert "time_zone" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("command", ["show", "change", "cancel"])
async def test_unknown_meetup_is_a_clear_failure(cli: CliFixture, command: str) -> None:
    said = await cli.throughline("meetup", command, "none")
    assert (said.status, said.err.strip()) == (1, "there is no meetup/none")


@pytest.mark.rule("STA1")
async def test_preview_says_whom_it_concerns_and_changes_nothing(cli: CliFixture) -> None:
    await add(cli)
    for command in ("cancel", "change"):
        said = await cli.throughline("meetup", command, "m-1", "--preview")
        assert said.status == 0, said.err
        assert "0 people have the invitation" in said.out
    staff = await cli.throughline("staff", "cancel", "meetup/m-1", "--reason", "x", "--preview")
    assert staff.status == 0, staff.err
