"""Binary mode of CloudEvents: attributes in headers that the signature has to cover."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from standardwebhooks import Webhook

from tests.support.gateway import SECRET, GatewayFixture, member_updated

EVA = {"member": "eva", "name": "Eva", "email": "eva@example.org", "standing": "good"}
ATTRIBUTES = {"specversion": "1.0", "id": "e-1", "source": "/members", "type": "member.updated"}


def headers_of(attributes: dict[str, str]) -> dict[str, str]:
    """Attributes as headers, encoded after the HTTP binding."""
    return {f"ce-{name}": quote(value, safe="!#$&'()*+,/:;=?@[]^`{|}~") for name, value in attributes.items()}


def signed(headers: dict[str, str], body: bytes, name: str | None = None) -> dict[str, str]:
    """A request's headers, signed; by default under the digest of its attributes, as the page describes it."""
    lines = sorted(f"{key}:{value}" for key, value in headers.items() if key.startswith("ce-"))
    name = name or "ce_" + hashlib.sha256("\n".join(lines).encode()).hexdigest()
    now = datetime.now(UTC)
    return {
        "content-type": "application/json",
        **headers,
        "webhook-id": name,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(name, now, body.decode()),
    }


async def post(
    gateway: GatewayFixture, headers: dict[str, str] | list[tuple[str, str]], body: bytes
) -> httpx.Response:
    """The answer to a request."""
    return await gateway.client.post("/events", content=body, headers=headers)


async def test_event_in_binary_mode_is_the_same_as_in_structured_mode(gateway: GatewayFixture) -> None:
    given = {**ATTRIBUTES, "time": "2028-03-01T09:00:00-05:00", "history": "true", "subject": "Bogotá 100%"}
    body = json.dumps(EVA).encode()
    answer = await post(gateway, signed(headers_of(given), body), body)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "known": 0})
    (stored,) = await gateway.events()
    assert (stored.source, stored.event_id, stored.type) == ("/members", "e-1", "member.updated")
    assert (stored.data, stored.history) == (EVA, True)
    assert stored.occurred_at == datetime(2028, 3, 1, 14, tzinfo=UTC)
    again = await gateway.send(member_updated())
    assert again.json() == {"accepted": 0, "known": 1}


async def test_percent_encoding_and_quotes_are_decoded_once(sqlite_gateway: GatewayFixture) -> None:
    for value, id in (("Ana%20P%C3%A9rez", "Ana Pérez"), ("50%2525", "50%25"), ('"a \\"b\\" c"', 'a "b" c')):
        body = json.dumps(EVA).encode()
        headers = {**headers_of(ATTRIBUTES), "ce-id": value}
        answer = await post(sqlite_gateway, signed(headers, body), body)
        assert answer.status_code == 202, answer.text
        assert (await sqlite_gateway.events())[-1].event_id == id


@pytest.mark.parametrize(
    "changed",
    [
        {"ce-type": "profile.withdrawn"},
        {"ce-id": "another"},
        {"ce-source": "/another"},
        {"ce-time": "2020-01-01T00:00:00Z"},
        {"ce-history": "true"},
    ],
    ids=lambda changed: next(iter(changed)),
)
async def test_no_attribute_can_be_changed_under_a_signature(
    sqlite_gateway: GatewayFixture, changed: dict[str, str]
) -> None:
    body = json.dumps(EVA).encode()
    headers = signed(headers_of(ATTRIBUTES), body)
    answer = await post(sqlite_gateway, {**headers, **changed}, body)
    assert answer.status_code == 401
    assert "does not cover the ce- headers" in answer.json()["detail"]
    assert await sqlite_gateway.events() == []


async def test_request_cannot_be_moved_from_one_mode_to_the_other(sqlite_gateway: GatewayFixture) -> None:
    """Neither may a signed event get attributes, nor may signed data be read as an event of their own."""
    whole = json.dumps(member_updated()).encode()
    structured = signed({}, whole, name="msg_1")
    answer = await post(sqlite_gateway, {**structured, **headers_of(ATTRIBUTES)}, whole)
    assert answer.status_code == 401

    binary = signed(headers_of(ATTRIBUTES), whole)
    stripped = {name: value for name, value in binary.items() if not name.startswith("ce-")}
    for kind in ("application/json", "application/cloudevents+json"):
        answer = await post(sqlite_gateway, {**stripped, "content-type": kind}, whole)
        assert answer.status_code == 401
        assert "covers ce- headers" in answer.json()["detail"]
    relabelled = await post(sqlite_gateway, {**binary, "content-type": "application/cloudevents+json"}, whole)
    assert relabelled.status_code == 401
    assert await sqlite_gateway.events() == []


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"ce-subject": "50%"}, "% without two hexadecimal digits"),
        ({"ce-subject": "%E1"}, "not as UTF-8"),
        ({"ce-datacontenttype": "application/json"}, "ce-datacontenttype is not used"),
        ({"ce-data_base64": "e30="}, "ce-data_base64 is not used"),
        ({"ce-some-name": "x"}, "not of letters and digits"),
    ],
)
async def test_headers_that_cannot_be_read_are_refused_with_a_reason(
    sqlite_gateway: GatewayFixture, headers: dict[str, str], words: str
) -> None:
    body = json.dumps(EVA).encode()
    given = {**headers_of(ATTRIBUTES), **headers}
    answer = await post(sqlite_gateway, signed(given, body), body)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]


async def test_attribute_that_comes_twice_or_is_raw_is_refused(sqlite_gateway: GatewayFixture) -> None:
    body = json.dumps(EVA).encode()
    twice = [*headers_of(ATTRIBUTES).items(), ("ce-type", "profile.withdrawn")]
    lines = "\n".join(sorted(f"{name}:{value}" for name, value in twice))
    rest = signed(headers_of(ATTRIBUTES), body, "ce_" + hashlib.sha256(lines.encode()).hexdigest())
    answer = await post(sqlite_gateway, [*rest.items(), ("ce-type", "profile.withdrawn")], body)
    assert (answer.status_code, answer.json()["detail"]) == (400, "the header ce-type comes twice")

    raw: Any = {**headers_of(ATTRIBUTES), "ce-subject": "Bogotá"}
    lines = "\n".join(sorted(f"{name}:{value}" for name, value in raw.items()))
    name = "ce_" + hashlib.sha256(lines.encode("latin-1")).hexdigest()
    given = [(key.encode(), value.encode("latin-1")) for key, value in signed(raw, body, name).items()]
    answer = await sqlite_gateway.client.post("/events", content=body, headers=given)
    assert "must be percent-encoded" in answer.json()["detail"]


async def test_missing_and_wrong_attributes_are_named(sqlite_gateway: GatewayFixture) -> None:
    body = json.dumps({**EVA, "standing": "fine"}).encode()
    given = {name: value for name, value in ATTRIBUTES.items() if name != "source"} | {"history": "yes"}
    answer = await post(sqlite_gateway, signed(headers_of(given), body), body)
    assert answer.status_code == 400
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/source", "/history"}
    answer = await post(sqlite_gateway, signed(headers_of(ATTRIBUTES), body), body)
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/data/standing"]
