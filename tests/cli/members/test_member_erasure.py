"""The commands about a person's data: what would be erased, the order, and the export (STA5)."""

from __future__ import annotations

import json

import pytest

from database.erasure import erase
from database.models import AuditRecord, Event, Message
from tests.support.cli import CliFixture


@pytest.mark.rule("STA5", "STA1")
async def test_preview_names_what_goes_and_changes_nothing(cli: CliFixture) -> None:
    said = await cli.throughline("erase", "ana", "--preview", "--json")
    assert (said.status, said.err) == (0, "")
    assert said.json["ends"] == ["onboarding/p-ana"]
    assert "members" in {item["table"] for item in said.json["items"]}
    printed = await cli.throughline("erase", "ana", "--preview")
    assert "member/ana would be erased." in printed.out
    assert "onboarding/p-ana ends" in printed.out
    assert await cli.all(Event) == []
    assert {message.state for message in await cli.all(Message)} == {"planned"}


@pytest.mark.rule("STA5")
@pytest.mark.parametrize("command", [("erase", "nobody", "--preview"), ("member", "export", "nobody")])
async def test_unknown_member_is_a_clear_error(cli: CliFixture, command: tuple[str, ...]) -> None:
    said = await cli.throughline(*command)
    assert (said.status, said.err) == (1, "there is no member nobody\n")


@pytest.mark.rule("STA5", "STA3")
async def test_erasure_needs_a_reason_and_a_yes(cli: CliFixture) -> None:
    without = await cli.throughline("erase", "ana")
    assert without.status == 2
    assert "--reason is needed" in without.err
    asked = await cli.throughline("erase", "ana", "--reason", "asked by letter", given="n\n")
    assert asked.status == 1
    assert "Erase ana for good?" in asked.out
    assert (await cli.throughline("erase", "ana", "--reason", "x", "--json")).status == 2
    assert await cli.all(Event) == []


@pytest.mark.rule("STA5", "STA3")
async def test_export_has_all_of_a_member_and_its_reading_is_on_record(cli: CliFixture) -> None:
    said = await cli.throughline("member", "export", "ana", "--actor", "lina")
    held = json.loads(said.out)
    assert held["members"][0]["email"] == "ana@example.org"
    assert held["profiles"][0]["id"] == "p-ana"
    assert len(held["messages"]) == 4
    assert "marcus@example.org" not in said.out
    record = (await cli.all(AuditRecord))[-1]
    assert (record.subject, record.data["act"], record.actor) == ("member/ana", "member exported", "lina")


@pytest.mark.rule("STA5")
async def test_export_of_an_erased_member_says_so(cli: CliFixture) -> None:
    async with cli.database.begin() as session:
        await erase(session, "ana", "lina", True, cli.now)
    said = await cli.throughline("member", "export", "ana")
    assert json.loads(said.out) == {"member": "ana", "erased": True}
