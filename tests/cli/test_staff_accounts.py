"""Accounts of staff by command: made, changed, assigned, closed; and the link that signs in."""

from __future__ import annotations

from database.models import StaffLink, StaffSession
from tests.support.cli import CliFixture


async def test_accounts_are_made_changed_and_closed(cli: CliFixture) -> None:
    made = await cli.throughline(
        *("staff", "accounts", "--add", "Mia@Example.org", "--name", "Mia", "--role", "manager"),
        *("--zone", "America/Bogota", "--language", "es", "--actor", "root", "--password"),
        given="correct horse battery\ncorrect horse battery\n",
    )
    assert made.status == 0, made.err
    [row] = (await cli.throughline("staff", "accounts", "--json")).lines
    assert (row["email"], row["role"], row["may"]) == ("mia@example.org", "manager", ["send", "set"])
    assert row["signs_in_by"] == ["password", "link"]
    again = await cli.throughline("staff", "accounts", "--add", "mia@example.org")
    assert (again.status, again.err.strip()) == (1, "mia@example.org has an account already")
    await cli.throughline("staff", "accounts", "--change", "mia@example.org", "--no-settings")
    [row] = (await cli.throughline("staff", "accounts", "--json")).lines
    assert row["may"] == ["send"]
    await cli.throughline("staff", "close-account", "mia@example.org")
    [row] = (await cli.throughline("staff", "accounts", "--json")).lines
    assert row["closed"]
    assert (await cli.throughline("staff", "sign-in", "mia@example.org")).status == 1


async def test_sign_in_prints_a_link_that_works_once(cli: CliFixture) -> None:
    await cli.throughline("staff", "accounts", "--add", "mia@example.org", "--role", "manager")
    said = await cli.throughline(
        "staff", "sign-in", "mia@example.org", THROUGHLINE_BASE_URL="https://m.example"
    )
    assert said.out.startswith("https://m.example/staff/link/")
    assert "once" in said.err
    async with cli.database.reading() as session:
        rows = list(await session.scalars(StaffLink.__table__.select()))
    assert len(rows) == 1
    assert said.out.strip().rpartition("/")[2] not in str(rows)


async def test_coordinator_is_assigned_members_and_programs(cli: CliFixture) -> None:
    await cli.throughline("staff", "accounts", "--add", "c@example.org", "--role", "coordinator")
    for subject in ("member/ana", f"program/{cli.program.id}"):
        said = await cli.throughline("staff", "assign", "c@example.org", subject)
        assert said.out == f"{subject} is assigned to c@example.org.\n"
    [row] = (await cli.throughline("staff", "accounts", "--json")).lines
    assert row["assigned"] == ["member/ana", f"program/{cli.program.id}"]
    await cli.throughline("staff", "assign", "c@example.org", "member/ana", "--remove")
    [row] = (await cli.throughline("staff", "accounts", "--json")).lines
    assert row["assigned"] == [f"program/{cli.program.id}"]


async def test_wrong_accounts_are_refused_with_the_reason(cli: CliFixture) -> None:
    wrong = {
        ("--add", "nobody"): "one mail address",
        ("--add", "a@example.org", "--role", "boss"): "viewer, coordinator, manager",
        ("--add", "a@example.org", "--zone", "Bogota"): "no time zone",
        ("--add", "a@example.org", "--role", "viewer", "--send"): "only managers",
        ("--change", "a@example.org", "--name", "A"): "there is no account",
    }
    for words, reason in wrong.items():
        said = await cli.throughline("staff", "accounts", *words)
        assert said.status == 1
        assert reason in said.err
    short = await cli.throughline(
        "staff", "accounts", "--add", "a@example.org", "--password", given="short\nshort\n"
    )
    assert "12 to 200 characters" in short.err
    async with cli.database.reading() as session:
        assert list(await session.scalars(StaffSession.__table__.select())) == []
