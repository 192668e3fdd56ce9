"""`POST /events` answered one by one: a wrong event keeps no other from being stored."""

from __future__ import annotations

from typing import Any

import httpx
from sqlalchemy import update

from database.models import Event
from gateway.webhook_signatures import sign_events
from tests.support.gateway import SECRET, GatewayFixture, event, member_updated


async def send(gateway: GatewayFixture, content: Any, prefer: str = "handling=lenient") -> httpx.Response:
    """The answer to signed events."""
    headers, body = sign_events(SECRET, content)
    return await gateway.client.post("/events", content=body, headers={**headers, "prefer": prefer})


async def test_each_event_of_a_list_is_answered_by_itself(gateway: GatewayFixture) -> None:
    await gateway.send(member_updated("old", "1"))
    batch = [
        member_updated("old", "1"),
        member_updated("new", "2"),
        event("profile.created", "3", profile="p 1", member="eva", role="boss"),
        member_updated("new", "2"),
        "no event",
        {**member_updated("eva", "4"), "data": {**member_updated("eva")["data"], "shoe_size": 43}},
    ]
    answer = await send(gateway, batch)
    assert (answer.status_code, answer.headers["preference-applied"]) == (207, "handling=lenient")
    said = answer.json()
    assert (said["accepted"], said["known"], said["refused"]) == (2, 2, 2)
    assert [each["outcome"] for each in said["events"]] == [
        *("known", "accepted", "refused", "known", "refused", "accepted")
    ]
    assert said["events"][0] == {"outcome": "known", "source": "/members", "id": "1", "state": "stored"}
    assert {error["pointer"] for error in said["events"][2]["errors"]} == {"/2/data/profile", "/2/data/role"}
    assert [error["pointer"] for error in said["events"][4]["errors"]] == ["/4"]
    assert said["events"][5]["ignored"] == ["/5/data/shoe_size"]
    assert [stored.event_id for stored in await gateway.events()] == ["1", "2", "4"]
    assert gateway.poke.worked >= 1


async def test_repeat_is_answered_with_what_became_of_it(gateway: GatewayFixture) -> None:
    await gateway.send([member_updated("a", "1"), member_updated("b", "2"), member_updated("c", "3")])
    async with gateway.database.begin() as session:
        for id, values in {
            "1": {"state": "applied"},
            "2": {"state": "held", "waits_for": "member/x"},
            "3": {"state": "refused", "reason": "the request was already accepted"},
        }.items():
            await session.execute(update(Event).where(Event.event_id == id).values(values))
    answer = await send(
        gateway, [member_updated("a", "1"), member_updated("b", "2"), member_updated("c", "3")]
    )
    assert answer.status_code == 202
    assert [(each["state"], each.get("reason")) for each in answer.json()["events"]] == [
        ("applied", None),
        ("held", "waits for member/x"),
        ("refused", "the request was already accepted"),
    ]


async def test_single_event_and_no_event_are_answered_the_same_way(sqlite_gateway: GatewayFixture) -> None:
    one = (await send(sqlite_gateway, member_updated(), 'respond-async, Handling = "lenient"; x=1')).json()
    assert [each["outcome"] for each in one["events"]] == ["accepted"]
    wrong = await send(sqlite_gateway, member_updated(id="9", email="nobody"))
    assert wrong.status_code == 207
    assert [error["pointer"] for error in wrong.json()["events"][0]["errors"]] == ["/data/email"]
    assert (await send(sqlite_gateway, [])).json() == {"accepted": 0, "known": 0, "refused": 0, "events": []}
    strict = await send(sqlite_gateway, [member_updated(id="7"), 7], "handling=strict")
    assert strict.status_code == 400


async def test_answer_is_not_much_larger_than_its_request(sqlite_gateway: GatewayFixture) -> None:
    """A list of numbers has hundreds of thousands of items below the limit of a body."""
    answer = await send(sqlite_gateway, [0] * 1001)
    assert answer.status_code == 400
    assert "at most 1000 events" in answer.json()["detail"]
