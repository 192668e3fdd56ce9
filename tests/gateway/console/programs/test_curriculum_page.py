"""How far pairs are in their curriculum: for a manager, and for a partner's coordinator (COH4)."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from database.models import Engagement, Profile, StaffAssignment, Task
from staff.accounts.directory import AccountChangeRefused, assign, find_account
from staff.views.lifecycles import lifecycle_view
from tests.support.console.staff import ConsoleFixture, console_fixture
from tests.support.gateway import NOW, bundled
from tests.support.programs.curricula import curriculum_program

pytestmark = pytest.mark.rule("COH4")

DONE = {"by": "mentee", "step": "welcome", "at": "2028-01-12T12:00:00Z"}
COURSE = {"starts_on": "2028-01-10", "version": "x", "done": [DONE]}


@pytest.fixture
async def led(sqlite_url: str) -> AsyncIterator[ConsoleFixture]:
    """Ana, who comes from a partner, and Marcus, nine weeks after their start; Cora looks after the partner."""
    async with console_fixture(sqlite_url) as made:
        made.gateway.programs["asis-global"] = curriculum_program()
        (row,) = await made.gateway.all(Engagement)
        await made.gateway.change(Engagement, "r-2", facts={**row.facts, "curriculum": COURSE})
        await made.gateway.change(Profile, "p-ana", partner="altavista")
        async with made.gateway.database.begin() as session:
            cora = await find_account(session, "cora@staff.example")
            assert cora is not None
            for assigned in ("member/ana", "member/marcus"):
                found = await session.get(StaffAssignment, (cora.id, assigned))
                await session.delete(found)
            await assign(session, cora, "partner/asis-global/altavista", "test", datetime.now(UTC))
        yield made


async def rows(led: ConsoleFixture, who: str, query: str = "") -> list[dict[str, str]]:
    """The file of the progress."""
    answer = await led.get(who, f"/staff/curriculum.csv{query}")
    return list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))


async def test_manager_sees_both_with_what_is_done_and_late(led: ConsoleFixture) -> None:
    page = (await led.get("mia", "/staff/curriculum")).text
    for words in (
        "Ana Pérez Castillo",
        "Marcus Oyelaran",
        "altavista",
        "behind",
        "/staff/show/engagement/r-2",
    ):
        assert words in page
    found = {(row["role"], row["step"]): row["state"] for row in await rows(led, "mia")}
    assert found == {
        ("mentee", "welcome"): "done",
        ("mentee", "good_time"): "late",
        ("mentee", "odyssey"): "late",
        ("mentee", "prototype"): "late",
        ("mentor", "welcome"): "late",
        ("mentor", "odyssey"): "late",
        ("mentor", "review"): "late",
    }


async def test_partners_coordinator_sees_only_its_person(led: ConsoleFixture) -> None:
    """Marcus is not of the partner: neither his name nor the id of the pair is shown."""
    for path in ("/staff/curriculum", "/staff/curriculum.csv", "/staff/people", "/staff/people.csv"):
        shown = (await led.get("cora", path)).text
        assert "Ana Pérez Castillo" in shown
        assert [word for word in ("Marcus", "p-marcus", "marcus@", "r-2") if word in shown] == [], path
    for path in ("/staff/show/engagement/r-2", "/staff/show/member/marcus"):
        assert (await led.get("cora", path)).status_code == 404
    assert {row["role"] for row in await rows(led, "cora")} == {"mentee"}


async def test_filters_leave_out_other_pairs(led: ConsoleFixture) -> None:
    assert await rows(led, "mia", "?partner=altavista")
    assert not await rows(led, "mia", "?partner=horizonte")
    assert not await rows(led, "mia", "?show=lagging")
    task = Task(
        kind="curriculum_lagging", subject="engagement/r-2", cause="c", action="a", opened_at=NOW, due_at=NOW
    )
    await led.add(task)
    assert await rows(led, "mia", "?show=lagging")
    await led.gateway.change(Engagement, "r-2", closed_at=NOW, state="completed")
    assert not await rows(led, "mia")
    assert await rows(led, "mia", "?show=all")


async def test_show_says_how_far_the_pair_is(led: ConsoleFixture) -> None:
    async with led.gateway.database.reading() as session:
        view = await lifecycle_view(session, "engagement/r-2", led.gateway.programs, NOW)
    (detail,) = [each for each in view.details if each.name == "curriculum"]
    assert detail.value == (
        "mentee: 1 of 4 done, 0 open, 3 late",
        "mentor: 0 of 3 done, 0 open, 3 late",
    )


async def test_partner_without_people_cannot_be_assigned(led: ConsoleFixture) -> None:
    async with led.gateway.database.begin() as session:
        cora = await find_account(session, "cora@staff.example")
        assert cora is not None
        for wrong in ("partner/asis-global/horizonte", "partner/altavista", "partner/other/altavista"):
            with pytest.raises(AccountChangeRefused, match="there is no"):
                await assign(session, cora, wrong, "test", datetime.now(UTC))


async def test_page_is_in_the_navigation_of_programs_that_have_one(led: ConsoleFixture) -> None:
    assert 'href="/staff/curriculum"' in (await led.get("vito", "/staff")).text
    led.gateway.programs["asis-global"] = bundled()
    assert 'href="/staff/curriculum"' not in (await led.get("vito", "/staff")).text
