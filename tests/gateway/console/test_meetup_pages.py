"""Meetups in the console: the list, and the page of one with its answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from staff.accounts.directory import assign, find_account
from tests.support.console.staff import ConsoleFixture, console_fixture
from tests.support.gateway import NOW, people
from tests.support.programs.meetup_rows import with_answers

pytestmark = pytest.mark.rule("MEE1")


@pytest.fixture
async def staffed(migrated_url: str) -> AsyncIterator[ConsoleFixture]:
    """The console with a meetup."""
    async with console_fixture(migrated_url, [*people(), *with_answers(NOW)]) as made:
        yield made


async def test_list_names_meetups_by_their_titles(staffed: ConsoleFixture) -> None:
    page = await staffed.get("mia", "/staff/meetups")
    assert page.status_code == 200
    assert "Spring &lt;meetup&gt;" in page.text
    assert "m-1" in (await staffed.get("mia", "/staff/meetups.csv")).text
    assert "Spring" in (await staffed.get("mia", "/staff/meetups?search=spring")).text
    assert "Spring" not in (await staffed.get("mia", "/staff/meetups?search=autumn&state=~closed")).text


async def test_page_of_a_meetup_counts_and_filters_answers(staffed: ConsoleFixture) -> None:
    page = await staffed.get("mia", "/staff/show/meetup/m-1")
    assert page.status_code == 200
    assert "Who comes, of 2 invited" in page.text
    assert {"Ana Pérez Castillo", "Marcus Oyelaran"} == {
        name for name in ("Ana Pérez Castillo", "Marcus Oyelaran") if name in page.text
    }
    yes = await staffed.get("mia", "/staff/show/meetup/m-1?answer=yes")
    assert "Ana Pérez Castillo" in yes.text
    assert "Marcus Oyelaran" not in yes.text
    none = await staffed.get("mia", "/staff/show/meetup/m-1?answer=none")
    assert "Marcus Oyelaran" in none.text
    assert "Ana Pérez Castillo" not in none.text


async def test_meetup_is_for_who_is_assigned_its_program(staffed: ConsoleFixture) -> None:
    assert (await staffed.get("cora", "/staff/show/meetup/m-1")).status_code == 404
    assert "Spring" not in (await staffed.get("cora", "/staff/meetups")).text
    async with staffed.gateway.database.begin() as session:
        cora = await find_account(session, "cora@staff.example")
        assert cora is not None
        await assign(session, cora, "program/asis-global", "test", datetime.now(UTC))
    page = await staffed.get("cora", "/staff/show/meetup/m-1")
    assert page.status_code == 200
    assert "Quién asiste, de 2 invitaciones" in page.text


async def test_page_of_a_person_shows_their_meetups(staffed: ConsoleFixture) -> None:
    page = await staffed.get("mia", "/staff/show/member/ana")
    assert page.status_code == 200
    assert "m-1" in page.text
