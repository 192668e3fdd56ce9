"""The personal link about a step of the curriculum: a look, a tick, and what becomes of it (COH4)."""

from __future__ import annotations

import pytest

from database.models import Engagement
from tests.support.gateway import GatewayFixture
from tests.support.programs.curricula import curriculum_program

pytestmark = pytest.mark.rule("COH4", "MAIL9")

SUBJECT = "engagement/r-2"
COURSE = {"starts_on": "2028-01-10", "version": "x"}


async def with_steps(gateway: GatewayFixture, **course: object) -> None:
    """Give the engagement a curriculum."""
    gateway.programs["asis-global"] = curriculum_program()
    row = (await gateway.all(Engagement))[0]
    facts = {**row.facts, "curriculum": {**COURSE, **course}}
    await gateway.change(Engagement, "r-2", facts=facts)


async def test_look_shows_the_step_and_changes_nothing(gateway: GatewayFixture) -> None:
    await with_steps(gateway)
    page = await gateway.client.get(gateway.path("curriculum", "p-ana", SUBJECT, "odyssey"))
    assert page.status_code == 200
    for words in (
        "El odyssey",
        "Paso 3 de 5",
        "Haga odyssey.",
        "https://guides.example.org/odyssey",
        "Marcus",
    ):
        assert words in page.text
    assert await gateway.events() == []


async def test_tick_is_needed_and_makes_one_event(gateway: GatewayFixture) -> None:
    await with_steps(gateway)
    path = gateway.path("curriculum", "p-ana", SUBJECT, "odyssey")
    unticked = await gateway.client.post(path)
    assert (unticked.status_code, await gateway.events()) == (422, [])
    for _ in range(2):
        answer = await gateway.client.post(path, data={"confirm": "yes"})
        assert "Este paso ya está hecho" in (await gateway.client.get(path)).text
        assert answer.status_code in (200, 303)
    (event,) = await gateway.events()
    assert event.type == "curriculum.done"
    assert event.data == {"engagement": "r-2", "by": "p-ana", "step": "odyssey"}


async def test_steps_of_one_morning_are_two_questions(sqlite_gateway: GatewayFixture) -> None:
    await with_steps(sqlite_gateway)
    for step in ("welcome", "odyssey"):
        path = sqlite_gateway.path("curriculum", "p-marcus", SUBJECT, step)
        await sqlite_gateway.client.post(path, data={"confirm": "yes"})
    assert [event.data["step"] for event in await sqlite_gateway.events()] == ["welcome", "odyssey"]


@pytest.mark.parametrize(
    ("profile", "step", "status", "words"),
    [
        ("p-marcus", "good_time", 200, "no longer part of the program"),
        ("p-marcus", "nothing", 200, "no longer part of the program"),
        ("p-marcus", "", 200, "no longer part of the program"),
        ("p-eva", "welcome", 404, ""),
    ],
)
async def test_link_that_is_not_theirs_does_nothing(
    sqlite_gateway: GatewayFixture, profile: str, step: str, status: int, words: str
) -> None:
    """A step of the other role, one that the program does not have any more, and somebody else's pair."""
    await with_steps(sqlite_gateway)
    path = sqlite_gateway.path("curriculum", profile, SUBJECT, step)
    for page in (
        await sqlite_gateway.client.get(path),
        await sqlite_gateway.client.post(path, data={"confirm": "yes"}),
    ):
        assert page.status_code == status
        assert words in page.text
    assert await sqlite_gateway.events() == []


async def test_step_done_before_shows_that_it_is_done(sqlite_gateway: GatewayFixture) -> None:
    done = {"by": "mentor", "step": "welcome", "at": "2028-01-12T12:00:00Z"}
    for course in ({"done": [done]}, {"carried": [done]}):
        await with_steps(sqlite_gateway, **course)
        path = sqlite_gateway.path("curriculum", "p-marcus", SUBJECT, "welcome")
        assert "This step is done" in (await sqlite_gateway.client.get(path)).text


async def test_pair_that_is_over_takes_no_step(sqlite_gateway: GatewayFixture) -> None:
    await with_steps(sqlite_gateway)
    await sqlite_gateway.change(Engagement, "r-2", state="completed")
    path = sqlite_gateway.path("curriculum", "p-marcus", SUBJECT, "welcome")
    await sqlite_gateway.client.post(path, data={"confirm": "yes"})
    assert await sqlite_gateway.events() == []
