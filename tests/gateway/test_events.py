"""`POST /events`: stored before it is answered, all of a request or nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event as hooks
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from embedded.faults import DatabaseFault
from gateway.webhook_signatures import sign_events
from tests.support.gateway import OLD_SECRET, SECRET, GatewayFixture, event, gateway_fixture, member_updated
from tests.support.servers.postgres_server import PostgresServer

PROBLEM = "application/problem+json"


def is_problem(response: Any, status: int) -> dict[str, Any]:
    """The problem that an answer tells."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    problem: dict[str, Any] = response.json()
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    assert problem["title"]
    assert problem["detail"]
    return problem


async def test_event_is_stored_before_202_and_the_inbox_is_notified(gateway: GatewayFixture) -> None:
    response = await gateway.send(
        {**member_updated(), "time": "2028-03-01T09:00:00-05:00", "extra": "let through"}
    )
    assert (response.status_code, response.json()) == (202, {"accepted": 1, "known": 0})
    (stored,) = await gateway.events()
    assert (stored.source, stored.event_id, stored.type) == ("/members", "e-1", "member.updated")
    assert stored.subject == "member/eva"
    assert stored.data == {"member": "eva", "name": "Eva", "email": "eva@example.org", "standing": "good"}
    assert stored.occurred_at == datetime(2028, 3, 1, 14, 0, tzinfo=UTC)
    assert gateway.poke.worked >= 1


async def test_repeated_event_is_accepted_again_and_stored_once(gateway: GatewayFixture) -> None:
    await gateway.send(member_updated())
    again = await gateway.send(member_updated(name="Another"))
    assert (again.status_code, again.json()) == (202, {"accepted": 0, "known": 1})
    other = await gateway.send({**member_updated(), "source": "/another"})
    assert other.json() == {"accepted": 1, "known": 0}
    assert [(stored.source, stored.data["name"]) for stored in await gateway.events()] == [
        ("/members", "Eva"),
        ("/another", "Eva"),
    ]


async def test_longest_ids_and_sources_of_the_contract_are_accepted(gateway: GatewayFixture) -> None:
    longest = {**member_updated(id="i" * 200), "source": "/" + "s" * 199}
    assert (await gateway.send(longest)).status_code == 202


async def test_batch_keeps_its_order_and_stores_repeats_once(gateway: GatewayFixture) -> None:
    batch = [member_updated("b", "2"), member_updated("a", "1"), member_updated("b", "2")]
    response = await gateway.send(batch)
    assert (response.status_code, response.json()) == (202, {"accepted": 2, "known": 1})
    assert [stored.event_id for stored in await gateway.events()] == ["2", "1"]
    assert gateway.poke.worked >= 1


async def test_concurrent_repeats_are_all_accepted_and_stored_once(
    gateway: GatewayFixture,
) -> None:
    responses = await asyncio.gather(
        *(gateway.send([member_updated(), member_updated("leo", "2")]) for _ in range(12))
    )
    assert {response.status_code for response in responses} == {202}
    assert sum(response.json()["accepted"] for response in responses) == 2
    assert len(await gateway.events()) == 2


async def test_wrong_batch_names_every_field_and_stores_nothing(gateway: GatewayFixture) -> None:
    batch = [
        member_updated(),
        {**member_updated(id="2"), "specversion": "0.3", "source": ""},
        event("no.such", "3"),
        event("profile.created", "4", profile="p 1", member="eva", role="boss"),
        "no event",
    ]
    problem = is_problem(await gateway.send(batch), 400)
    assert {error["pointer"] for error in problem["errors"]} == {
        "/1/specversion",
        "/1/source",
        "/2/type",
        "/3/data/profile",
        "/3/data/role",
        "/4",
    }
    assert all(error["reason"] for error in problem["errors"])
    assert await gateway.events() == []
    assert gateway.poke.asked == 0


async def test_single_wrong_event_gets_pointers_into_itself(sqlite_gateway: GatewayFixture) -> None:
    problem = is_problem(await sqlite_gateway.send(member_updated(email="nobody", standing="fine")), 400)
    assert [error["pointer"] for error in problem["errors"]] == ["/data/email", "/data/standing"]


async def test_only_the_first_of_very_many_mistakes_are_listed(sqlite_gateway: GatewayFixture) -> None:
    problem = is_problem(await sqlite_gateway.send([0] * 5_000), 400)
    assert len(problem["errors"]) == 200
    assert "the first 200" in problem["detail"]


async def test_empty_batch_is_accepted_without_a_notification(sqlite_gateway: GatewayFixture) -> None:
    assert (await sqlite_gateway.send([])).json() == {"accepted": 0, "known": 0}
    assert sqlite_gateway.poke.asked == 0


async def test_body_that_is_no_event_is_refused_with_a_reason(sqlite_gateway: GatewayFixture) -> None:
    for body, words in (
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"id": NaN}', "NaN"),
        (b'{"id": "a", "id": "b"}', "twice"),
        (b"[" * 50_000, "nested too deeply"),
        (b"7" * 10_000, "too many digits"),
        (b"null", "mistakes"),
        (b'"text"', "mistakes"),
    ):
        headers, _ = sign_events(SECRET, [])
        headers["webhook-signature"] = _signature(headers, body)
        response = await sqlite_gateway.client.post("/events", content=body, headers=headers)
        assert words in is_problem(response, 400)["detail"]


async def test_text_that_no_database_can_store_is_refused_by_field(gateway: GatewayFixture) -> None:
    for name in ("a\x00b", "\ud800", "line\nbreak"):
        problem = is_problem(await gateway.send(member_updated(name=name)), 400)
        assert [error["pointer"] for error in problem["errors"]] == ["/data/name"]
    odd = member_updated(name="Zoë 🦉 O'Brien; DROP TABLE events --")
    assert (await gateway.send({**odd, "\ud800": "\x00"})).status_code == 202


@pytest.mark.parametrize("content_type", ["application/json", "application/cloudevents+json; charset=UTF-8"])
async def test_other_json_media_types_are_accepted(sqlite_gateway: GatewayFixture, content_type: str) -> None:
    assert (await sqlite_gateway.send(member_updated(), **{"content-type": content_type})).status_code == 202


@pytest.mark.parametrize(
    "changes",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/xml"},
        {"content-type": ""},
        {"content-type": "application/json; charset=latin-1"},
        {"content-encoding": "gzip"},
    ],
)
async def test_body_not_declared_as_json_is_refused_unread(
    sqlite_gateway: GatewayFixture, changes: dict[str, str]
) -> None:
    is_problem(await sqlite_gateway.send(member_updated(), **changes), 415)
    assert await sqlite_gateway.events() == []


@pytest.mark.rule("MAIL7")
async def test_wrong_or_old_signature_is_refused_and_logged_without_data(
    sqlite_gateway: GatewayFixture,
) -> None:
    headers, body = sign_events(SECRET, member_updated())
    old = sign_events(SECRET, member_updated(), datetime.now(UTC) - timedelta(hours=1))
    with capture_logs() as logs:
        for given, content in (
            ({"content-type": "application/json"}, body),
            (headers, body.replace(b"Eva", b"Eve")),
            sign_events(OLD_SECRET, member_updated()),
            old,
        ):
            response = await sqlite_gateway.client.post("/events", content=content, headers=given)
            is_problem(response, 401)
            assert response.headers["www-authenticate"]
    assert [log["event"] for log in logs] == ["signature_refused"] * 4
    assert "eva" not in str(logs).lower()
    assert await sqlite_gateway.events() == []


@pytest.mark.rule("MAIL7")
async def test_old_secret_is_valid_during_rotation(sqlite_url: str) -> None:
    async with gateway_fixture(sqlite_url, [], secrets=[SECRET, OLD_SECRET]) as made:
        assert (await made.send(member_updated(id="1"), OLD_SECRET)).status_code == 202
        assert (await made.send(member_updated(id="2"), SECRET)).status_code == 202


async def test_body_over_the_limit_is_refused_even_without_a_length(sqlite_gateway: GatewayFixture) -> None:
    headers, body = sign_events(SECRET, member_updated(name="x" * (1 << 20)))
    is_problem(await sqlite_gateway.client.post("/events", content=body, headers=headers), 413)

    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 65_536

    is_problem(await sqlite_gateway.client.post("/events", content=chunks(), headers=headers), 413)
    assert sent <= 17
    lying = {**headers, "content-length": "9" * 400}
    is_problem(await sqlite_gateway.client.post("/events", content=body, headers=lying), 413)


async def test_body_exactly_at_the_limit_is_accepted(sqlite_gateway: GatewayFixture) -> None:
    body = json.dumps(member_updated()).encode()
    body += b" " * ((1 << 20) - len(body))
    headers, _ = sign_events(SECRET, [])
    headers["webhook-signature"] = _signature(headers, body)
    assert (await sqlite_gateway.client.post("/events", content=body, headers=headers)).status_code == 202


async def test_database_outage_refuses_events_and_a_retry_succeeds(
    gateway: GatewayFixture,
) -> None:
    fault = DatabaseFault(gateway.database)
    fault.down = True
    with capture_logs():
        refused = await gateway.send([member_updated()])
    is_problem(refused, 503)
    assert int(refused.headers["retry-after"]) > 0
    fault.down = False
    assert (await gateway.send([member_updated()])).json() == {"accepted": 1, "known": 0}


async def test_crashed_postgresql_is_503_until_it_is_back(
    postgres: PostgresServer, postgres_database_url: str
) -> None:
    async with gateway_fixture(postgres_database_url, []) as made:
        assert (await made.send(member_updated(id="1"))).status_code == 202
        postgres.stop(abruptly=True)
        try:
            with capture_logs():
                is_problem(await made.send(member_updated(id="2")), 503)
        finally:
            postgres.start()
        assert (await made.send(member_updated(id="2"))).status_code == 202
        assert [stored.event_id for stored in await made.events()] == ["1", "2"]


async def test_batch_is_stored_whole_or_not_at_all(gateway: GatewayFixture) -> None:
    fault = DatabaseFault(gateway.database)
    statements = 0

    def on_statement(*_arguments: Any) -> None:
        nonlocal statements
        statements += 1
        fault.down = statements > 3

    hooks.listen(gateway.database.engine.sync_engine, "after_cursor_execute", on_statement)
    with capture_logs():
        is_problem(await gateway.send([member_updated("x", f"x-{number}") for number in range(5)]), 503)
    hooks.remove(gateway.database.engine.sync_engine, "after_cursor_execute", on_statement)
    fault.down = False
    assert await gateway.events() == []


async def test_unknown_methods_and_paths_answer_problem_json(sqlite_gateway: GatewayFixture) -> None:
    refused = await sqlite_gateway.client.get("/events")
    is_problem(refused, 405)
    assert refused.headers["allow"] == "POST"
    is_problem(await sqlite_gateway.client.get("/nothing"), 404)


def _signature(headers: dict[str, str], body: bytes) -> str:
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    return Webhook(SECRET).sign(headers["webhook-id"], at, body.decode())
