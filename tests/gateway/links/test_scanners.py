"""Mail gateways that open each link and submit what they find there: nothing changes (MAIL9)."""

from __future__ import annotations

import pytest

from database.models import Claim, Feedback, Member
from tests.support.forms import blind_posts
from tests.support.gateway import (
    MENTEES_CLAIM,
    MENTORS_CLAIM,
    NOW,
    GatewayFixture,
    at_the_gate,
    engagement_row,
    gateway_fixture,
)

READY = "claim/r-2/mentor/PCI"
LINKS = [
    ("answer", "p-marcus", "request/r-1", "accept"),
    ("answer", "p-marcus", "request/r-1", "decline"),
    ("withdraw", "p-ana", "request/r-1", ""),
    *(("discovery", "p-ana", "engagement/r-2", each) for each in ("good_fit", "not_met", "not_a_fit", "")),
    *(("met", "p-ana", "engagement/r-2", each) for each in ("yes", "no", "")),
    ("plan", "p-ana", "engagement/r-2", ""),
    ("extend", "p-marcus", "engagement/r-2", ""),
    ("end", "p-marcus", "engagement/r-2", "goals_met"),
    ("end", "p-marcus", "engagement/r-2", ""),
    ("report", "p-ana", "engagement/r-2", ""),
    ("sign", "p-ana", MENTORS_CLAIM, ""),
    ("letter", "p-marcus", MENTEES_CLAIM, ""),
    ("claim", "p-marcus", READY, ""),
    ("survey", "p-ana", "survey/r-2/mentee", ""),
    ("survey", "p-marcus", "survey/r-2/mentor", ""),
    ("feedback", "p-ana", "onboarding/p-ana", ""),
    ("preferences", "p-ana", "onboarding/p-ana", ""),
]


@pytest.mark.rule("MAIL9", "ENG4")
@pytest.mark.parametrize("link", LINKS, ids=["-".join(filter(None, (link[0], link[3]))) for link in LINKS])
async def test_blind_post_of_a_form_changes_nothing(sqlite_url: str, link: tuple[str, str, str, str]) -> None:
    rows = [row for row in at_the_gate() if getattr(row, "workflow", "") != "engagement/r-2"]
    claims = rows.index(next(row for row in rows if isinstance(row, Claim)))
    # The mentee has named a day, and both have agreed on goals: the forms come filled in.
    votes = {"votes": [{"by": "mentee", "end": "2028-12-01", "at": NOW.isoformat()}]}
    rows.insert(claims, engagement_row(goals="Know five people.", facts=votes))
    async with gateway_fixture(sqlite_url, rows) as made:
        page = (await made.client.get(made.path(*link))).text
        posts = blind_posts(page)
        assert posts
        for form in posts:
            answer = await made.client.post(made.path(*link), data=form)
            # The first step of a letter shows the letter, and signs nothing.
            if link[0] == "preferences":
                continue
            expected = (200, 422) if link[0] == "letter" else (422,)
            assert answer.status_code in expected, form
            assert "<form" in answer.text
        assert await made.events() == []
        assert await made.all(Feedback) == []
        assert [member.preferences for member in await made.all(Member) if member.preferences] == []


@pytest.mark.rule("MAIL9")
async def test_page_asks_kindly_for_the_tick(sqlite_gateway: GatewayFixture) -> None:
    withdraw = sqlite_gateway.path("withdraw", "p-ana", "request/r-1")
    answer = await sqlite_gateway.client.post(withdraw, data={"reason": "Encontré a alguien."})
    assert answer.status_code == 422
    assert "Todavía no se ha cambiado nada. Marque la casilla" in answer.text
    assert "Encontré a alguien." in answer.text
    extend = sqlite_gateway.path("extend", "p-marcus", "engagement/r-2")
    answer = await sqlite_gateway.client.post(extend, data={"end": "2028-12-01"})
    assert "Nothing has changed yet. Please check the box" in answer.text


@pytest.mark.rule("MAIL6", "MAIL9")
async def test_one_click_unsubscribe_needs_no_tick_and_no_redirect(sqlite_gateway: GatewayFixture) -> None:
    """RFC 8058 forbids a redirect as answer to the post of a mail program."""
    path = sqlite_gateway.path("unsubscribe", "p-ana", "onboarding/p-ana", "mentee.checkin")
    answer = await sqlite_gateway.client.post(
        path, data={"List-Unsubscribe": "One-Click"}, follow_redirects=False
    )
    assert answer.status_code == 200
    assert (await sqlite_gateway.member("ana")).preferences["stopped"] == ["mentee.checkin"]


@pytest.mark.parametrize("host", ["mentoring.example.org", "attacker.example"])
async def test_stored_form_redirects_to_a_page_of_its_own(sqlite_gateway: GatewayFixture, host: str) -> None:
    path = sqlite_gateway.path("met", "p-marcus", "engagement/r-2")
    answer = await sqlite_gateway.client.post(
        path, data={"answer": "yes"}, headers={"host": host}, follow_redirects=False
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "?done")
    for _ in range(2):
        assert "Good to hear" in (await sqlite_gateway.client.get(f"{path}?done")).text
    assert len(await sqlite_gateway.events()) == 1


async def test_confirmation_needs_an_answer_that_is_stored(sqlite_gateway: GatewayFixture) -> None:
    path = sqlite_gateway.path("answer", "p-marcus", "request/r-1")
    assert "You accepted" not in (await sqlite_gateway.client.get(f"{path}?done")).text
