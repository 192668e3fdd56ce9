"""The personal links of a meetup: GET shows, POST acts, and nothing is preset."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from database.models import Meetup, MeetupInvitation
from tests.support.gateway import NOW, GatewayFixture, gateway_fixture, people
from tests.support.programs.meetup_rows import with_answers

pytestmark = pytest.mark.rule("MEE1")


@pytest.fixture
async def invited(migrated_url: str) -> AsyncIterator[GatewayFixture]:
    """A gateway with a meetup to which Ana and Marcus are invited, and Eva is not."""
    async with gateway_fixture(migrated_url, [*people(), *with_answers(NOW)]) as made:
        yield made


@pytest.mark.rule("MAIL9")
@pytest.mark.parametrize("detail", ["yes", "no", "maybe", ""])
async def test_link_of_an_answer_shows_a_form_and_presets_nothing(
    invited: GatewayFixture, detail: str
) -> None:
    path = invited.path("meetup", "p-marcus", "meetup/m-1", detail)
    page = await invited.client.get(path)
    assert page.status_code == 200
    assert "Spring &lt;meetup&gt;" in page.text
    assert " checked>" not in page.text
    assert page.text.index(f'value="{detail or "yes"}"') == min(
        page.text.index(f'value="{each}"') for each in ("yes", "no", "maybe")
    )
    assert (await invited.client.head(path)).text == ""
    assert (await invited.client.post(path, data={})).status_code == 422
    assert await invited.events() == []


async def test_answers_become_events_and_the_same_one_counts_once(invited: GatewayFixture) -> None:
    path = invited.path("meetup", "p-marcus", "meetup/m-1", "no")
    for answer in ("no", "no", "yes"):
        done = await invited.client.post(path, data={"answer": answer})
        assert done.status_code == 200
    assert "See you there" in done.text
    events = await invited.events()
    assert [(each.type, each.data) for each in events] == [
        ("meetup.answered", {"meetup": "m-1", "by": "p-marcus", "answer": answer}) for answer in ("no", "yes")
    ]


async def test_reader_sees_the_answer_so_far_in_their_language(invited: GatewayFixture) -> None:
    page = await invited.client.get(invited.path("meetup", "p-ana", "meetup/m-1", "yes"))
    assert "Sí, voy a ir" in page.text
    assert 'lang="es"' in page.text


async def test_link_of_who_is_not_invited_shows_nothing(invited: GatewayFixture) -> None:
    for path in (
        invited.path("meetup", "p-eva", "meetup/m-1"),
        invited.path("meetup", "p-ana", "meetup/none"),
    ):
        assert (await invited.client.get(path)).status_code == 404
        assert (await invited.client.post(path, data={"answer": "yes"})).status_code == 404
    assert await invited.events() == []


@pytest.mark.parametrize("state", ["canceled", "held"])
async def test_meetup_that_is_over_takes_no_answer(invited: GatewayFixture, state: str) -> None:
    await invited.change(Meetup, "m-1", state=state)
    path = invited.path("meetup", "p-marcus", "meetup/m-1")
    for page in (await invited.client.get(path), await invited.client.post(path, data={"answer": "yes"})):
        assert page.status_code == 200
        assert ("canceled" if state == "canceled" else "is over") in page.text
    assert await invited.events() == []


async def test_answer_after_the_end_is_not_stored(invited: GatewayFixture) -> None:
    invited.at = NOW + timedelta(days=11)
    path = invited.path("meetup", "p-marcus", "meetup/m-1")
    assert "is over" in (await invited.client.post(path, data={"answer": "yes"})).text
    assert len(await invited.all(MeetupInvitation)) == 2
