"""The search of the whole console, the addresses that are promised, and the old ones."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from database.models import Profile
from tests.support.console.staff import ConsoleFixture, console_fixture
from tests.support.gateway import at_the_gate, claim_row, engagement_row, profile, request_row


@pytest.fixture
async def staffed(migrated_url: str) -> AsyncIterator[ConsoleFixture]:
    """The console on both databases, with a pair that Cora is not assigned."""
    strange = engagement_row("r-3")
    strange.mentor_id, strange.facts = "p-eva", {**strange.facts, "mentor": "p-eva"}
    request = request_row("r-3", mentor_id="p-eva", mentee_id="p-ana")
    async with console_fixture(migrated_url, [*at_the_gate(), request, strange]) as made:
        yield made


PROMISED = (
    *("/staff", "/staff/ahead", "/staff/people", "/staff/search?q=ana", "/staff/search?q=", "/staff/search"),
    *("/staff/program", "/staff/figures", "/staff/mail", "/staff/events"),
    *("/staff/show/engagement/r-2", "/staff/show/request/r-1", "/staff/show/claim/r-2/mentor/CPP"),
    *("/staff/show/member/ana", "/staff/show/profile/p-ana"),
)


async def test_promised_addresses_answer(console: ConsoleFixture) -> None:
    await console.add(claim_row("mentor", "CPP"))
    found = {path: (await console.get("mia", path)).status_code for path in PROMISED}
    assert found == dict.fromkeys(PROMISED, 200)


PAIRS = ("request/r-1", "request/r-2", "engagement/r-2", "request/r-3", "engagement/r-3")
SEARCHES = {
    "perez": {"member/ana", *PAIRS},
    "ANA@example": {"member/ana", *PAIRS},
    "engagement/r-3": {"engagement/r-3"},
    "profile/p-eva": {"member/eva", "engagement/r-3", "request/r-3"},
    "member/eva": {"member/eva", "engagement/r-3", "request/r-3"},
    "r-2": {"engagement/r-2", "request/r-2"},
    "%": set(),
    "nobody": set(),
}


def links_in(text: str) -> set[str]:
    """What the main part of a page links to."""
    main = text.partition("<main")[2]
    return {each.partition('"')[0] for each in main.split('href="/staff/show/')[1:]}


async def test_search_finds_people_and_lifecycles(staffed: ConsoleFixture) -> None:
    for words, wanted in SEARCHES.items():
        answer = await (await staffed.client("mia")).get("/staff/search", params={"q": words})
        found = {each for each in links_in(answer.text) if not each.startswith(("claim", "survey"))}
        assert found == wanted, words


async def test_search_of_coordinator_finds_nothing_of_others(staffed: ConsoleFixture) -> None:
    for words in ("eva", "r-3", "profile/p-eva", "example.org"):
        answer = await (await staffed.client("cora")).get("/staff/search", params={"q": words})
        assert answer.status_code == 200
        shown = answer.text.replace(f'value="{words}"', "").replace(f"squeda: {words}", "")
        assert [word for word in ("Eva", "p-eva", "r-3") if word in shown] == [], words
    assert (await staffed.get("cora", "/staff/show/profile/p-eva")).status_code == 404
    assert (await staffed.get("cora", "/staff/show/profile/p-ana")).status_code == 200


async def test_search_shows_what_is_given_as_text(console: ConsoleFixture) -> None:
    answer = await (await console.client("mia")).get("/staff/search", params={"q": '"><b>x'})
    assert "<b>x" not in answer.text
    assert answer.status_code == 200


async def test_profile_shows_its_person(console: ConsoleFixture) -> None:
    await console.add(profile("p-ana-2", "ana", "mentor"))
    answer = await console.get("mia", "/staff/show/profile/p-ana-2")
    assert "<h1>Ana Pérez Castillo</h1>" in answer.text
    async with console.gateway.database.reading() as session:
        assert await session.get(Profile, "p-none") is None
    assert (await console.get("mia", "/staff/show/profile/p-none")).status_code == 404


OLD = {
    "/console": "/staff",
    "/console?tasks=all": "/staff?tasks=all",
    "/console/ahead": "/staff/ahead",
    "/console/mail-health": "/staff/mail",
    "/console/mail?trouble=failed": "/staff/mail/trouble?trouble=failed",
    "/console/mail/d-1": "/staff/mail/sent/d-1",
    "/console/people": "/staff/people",
    "/console/people/ana": "/staff/show/member/ana",
    "/console/claim/r-2/mentor/CPP": "/staff/show/claim/r-2/mentor/CPP",
    "/console/engagements?state=~open": "/staff/engagements?state=~open",
    "/console//evil.example": "/staff//evil.example",
}


async def test_old_addresses_lead_to_the_new_ones(console: ConsoleFixture) -> None:
    for old, new in OLD.items():
        answer = await console.get("", old)
        assert (answer.status_code, answer.headers["location"]) == (308, new), old
