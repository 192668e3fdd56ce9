"""`POST /events` and data that nobody knows: named in the answer and in the record, or refused as a misspelling."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.events import MOST_ERRORS
from rules.events import EVENT_TYPES, MOST_IGNORED
from rules.events.description import example
from rules.events.schema import MOST_KEYS
from tests.support.gateway import GatewayFixture, event, member_updated

CYCLE = {"code": "PSP", "cycle_start": "2027-01-01", "cycle_end": "2029-12-31"}


async def test_unknown_data_are_named_in_the_answer_and_in_the_record(gateway: GatewayFixture) -> None:
    odd = member_updated(nickname="Evi", certifications=[CYCLE, {**CYCLE, "no": 7}])
    response = await gateway.send(odd)
    assert (response.status_code, response.json()) == (
        202,
        {"accepted": 1, "known": 0, "ignored": ["/data/nickname", "/data/certifications/1/no"]},
    )
    (stored,) = await gateway.events()
    assert stored.ignored == ["/data/nickname", "/data/certifications/1/no"]
    assert stored.data["certifications"] == [CYCLE, CYCLE]
    assert "nickname" not in stored.data


async def test_unknown_data_of_a_batch_are_named_by_event(gateway: GatewayFixture) -> None:
    batch = [
        member_updated("a", "1", shoe_size=38),
        member_updated("b", "2"),
        event("request.accepted", "3", request="r-1", channel="app"),
    ]
    response = await gateway.send(batch)
    assert response.json() == {
        "accepted": 3,
        "known": 0,
        "ignored": ["/0/data/shoe_size", "/2/data/channel"],
    }
    assert [stored.ignored for stored in await gateway.events()] == [
        ["/data/shoe_size"],
        [],
        ["/data/channel"],
    ]


async def test_repeat_names_what_is_ignored_again(sqlite_gateway: GatewayFixture) -> None:
    for known in (0, 1):
        answer = (await sqlite_gateway.send(member_updated(shoe_size=38))).json()
        assert answer == {"accepted": 1 - known, "known": known, "ignored": ["/data/shoe_size"]}


async def test_nothing_ignored_is_not_mentioned(sqlite_gateway: GatewayFixture) -> None:
    assert (await sqlite_gateway.send(member_updated())).json() == {"accepted": 1, "known": 0}
    assert [stored.ignored for stored in await sqlite_gateway.events()] == [[]]


async def test_odd_keys_are_answered_and_stored_by_their_codes(gateway: GatewayFixture) -> None:
    odd: dict[str, Any] = {"\ud800\x00\x1b[31m": 1, "k" * 10_000: 2, "a/b": 3}
    response = await gateway.send(member_updated(**odd))
    named = ["/data/\\ud800\\u0000\\u001b[31m", "/data/" + "k" * 80 + "…", "/data/a~1b"]
    assert response.json()["ignored"] == named
    (stored,) = await gateway.events()
    assert stored.ignored == named


async def test_very_many_ignored_keys_are_named_up_to_a_limit(gateway: GatewayFixture) -> None:
    many: dict[str, Any] = {f"extra-{number}": number for number in range(MOST_KEYS - 4)}
    response = await gateway.send([member_updated(f"m-{n}", str(n), **many) for n in range(3)])
    assert len(response.json()["ignored"]) == MOST_ERRORS
    assert [len(stored.ignored) for stored in await gateway.events()] == [MOST_IGNORED] * 3


async def test_data_of_ten_thousand_keys_are_refused_clearly(sqlite_gateway: GatewayFixture) -> None:
    many: dict[str, Any] = {f"extra-{number}": number for number in range(10_000)}
    response = await sqlite_gateway.send(member_updated(**many))
    assert response.status_code == 400
    assert response.json()["errors"] == [
        {"pointer": "/data", "reason": f"must have at most {MOST_KEYS} keys, not 10004"}
    ]


async def test_deep_nesting_under_an_unknown_key_does_no_harm(sqlite_gateway: GatewayFixture) -> None:
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    response = await sqlite_gateway.send(member_updated(deep=deep))
    assert response.json()["ignored"] == ["/data/deep"]


async def test_misspelt_key_is_refused_with_the_known_one(sqlite_gateway: GatewayFixture) -> None:
    response = await sqlite_gateway.send(
        [event("profile.created", profile="p-1", member="eva", rol="mentee")]
    )
    assert response.status_code == 400
    assert response.json()["errors"] == [
        {"pointer": "/0/data/role", "reason": "is missing"},
        {"pointer": "/0/data/rol", "reason": "is no field of profile.created; did you mean role?"},
    ]
    assert await sqlite_gateway.events() == []


async def test_wrong_value_is_named_in_the_reason(sqlite_gateway: GatewayFixture) -> None:
    response = await sqlite_gateway.send(member_updated(time_zone="Mars/Olympus", country="colombia"))
    assert {error["pointer"]: error["reason"] for error in response.json()["errors"]} == {
        "/data/time_zone": "'Mars/Olympus' is no time zone of the zone database (America/Bogota is one)",
        "/data/country": (
            "must be a country's code of two capital letters (ISO 3166-1), like CO, not 'colombia'"
        ),
    }


async def test_unknown_type_hints_at_one_of_its_noun(sqlite_gateway: GatewayFixture) -> None:
    response = await sqlite_gateway.send(event("member.changed", member="eva"))
    assert response.json()["errors"] == [
        {"pointer": "/type", "reason": "'member.changed' is no type of event; did you mean member.updated?"}
    ]


@pytest.mark.parametrize("type", [name for name, model in EVENT_TYPES.items() if not model.not_kept])
async def test_described_example_of_each_type_is_accepted(sqlite_gateway: GatewayFixture, type: str) -> None:
    described = (await sqlite_gateway.client.get("/openapi.json")).json()
    body = described["paths"]["/events"]["post"]["requestBody"]["content"]
    shown = body["application/cloudevents+json"]["examples"][type]["value"]
    assert shown == json.loads(json.dumps(example(type)))
    assert (await sqlite_gateway.send(shown)).json() == {"accepted": 1, "known": 0}
    model = EVENT_TYPES[type].__name__
    schemas = described["components"]["schemas"]
    assert schemas[model]["examples"] == [shown["data"]]
    assert schemas[f"{model}Event"]["properties"]["type"] == {"const": type}
    assert schemas["CloudEvent"]["discriminator"]["mapping"][type] == f"#/components/schemas/{model}Event"


async def test_every_reference_of_the_description_leads_somewhere(sqlite_gateway: GatewayFixture) -> None:
    described = (await sqlite_gateway.client.get("/openapi.json")).json()
    references = {value for value in _strings(described) if value.startswith("#/components/schemas/")}
    assert len(references) > len(EVENT_TYPES)
    for reference in references:
        assert reference.rpartition("/")[2] in described["components"]["schemas"]


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for inner in value for text in _strings(inner)]
    return [value] if isinstance(value, str) else []
