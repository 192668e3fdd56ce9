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
from tests.gateway_world import OLD_SECRET, SECRET, World, event, member_updated, world
from tests.support.servers.postgres_server import PostgresServer

PROBLEM = "application/problem+json"


def is_problem(response: Any, status: int) -> dict[str, Any]:
    """The problem that an answer tells."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    told: dict[str, Any] = response.json()
    assert (told["type"], told["status"]) == ("about:blank", status)
    assert told["title"]
    assert told["detail"]
    return told


async def test_an_event_is_stored_before_it_is_accepted_and_the_inbox_is_told(desk: World) -> None:
    response = await desk.send(
        {**member_updated(), "time": "2028-03-01T09:00:00-05:00", "extra": "let through"}
    )
    assert (response.status_code, response.json()) == (202, {"accepted": 1, "known": 0})
    (stored,) = await desk.events()
    assert (stored.source, stored.event_id, stored.type) == ("/members", "e-1", "member.updated")
    assert stored.subject == "member/eva"
    assert stored.data == {"member": "eva", "name": "Eva", "email": "eva@example.org", "standing": "good"}
    assert stored.occurred_at == datetime(2028, 3, 1, 14, 0, tzinfo=UTC)
    assert desk.poke.worked >= 1


async def test_an_event_known_by_source_and_id_is_accepted_again_and_stored_once(desk: World) -> None:
    await desk.send(member_updated())
    again = await desk.send(member_updated(name="Another"))
    assert (again.status_code, again.json()) == (202, {"accepted": 0, "known": 1})
    other = await desk.send({**member_updated(), "source": "/another"})
    assert other.json() == {"accepted": 1, "known": 0}
    assert [(stored.source, stored.data["name"]) for stored in await desk.events()] == [
        ("/members", "Eva"),
        ("/another", "Eva"),
    ]


async def test_ids_and_sources_may_be_as_long_as_the_contract_says(desk: World) -> None:
    longest = {**member_updated(id="i" * 200), "source": "/" + "s" * 199}
    assert (await desk.send(longest)).status_code == 202


async def test_a_batch_is_stored_in_its_order_and_a_repeat_within_it_once(desk: World) -> None:
    batch = [member_updated("b", "2"), member_updated("a", "1"), member_updated("b", "2")]
    response = await desk.send(batch)
    assert (response.status_code, response.json()) == (202, {"accepted": 2, "known": 1})
    assert [stored.event_id for stored in await desk.events()] == ["2", "1"]
    assert desk.poke.worked >= 1


async def test_the_same_event_by_many_connections_at_once_is_accepted_by_all_and_stored_once(
    desk: World,
) -> None:
    responses = await asyncio.gather(
        *(desk.send([member_updated(), member_updated("leo", "2")]) for _ in range(12))
    )
    assert {response.status_code for response in responses} == {202}
    assert sum(response.json()["accepted"] for response in responses) == 2
    assert len(await desk.events()) == 2


async def test_every_wrong_field_of_a_batch_is_named_and_nothing_of_it_stored(desk: World) -> None:
    batch = [
        member_updated(),
        {**member_updated(id="2"), "specversion": "0.3", "source": ""},
        event("no.such", "3"),
        event("profile.created", "4", profile="p 1", member="eva", role="boss"),
        "no event",
    ]
    told = is_problem(await desk.send(batch), 400)
    assert {error["pointer"] for error in told["errors"]} == {
        "/1/specversion",
        "/1/source",
        "/2/type",
        "/3/data/profile",
        "/3/data/role",
        "/4",
    }
    assert all(error["reason"] for error in told["errors"])
    assert await desk.events() == []
    assert desk.poke.asked == 0


async def test_a_single_wrong_event_is_told_by_pointers_into_it(small: World) -> None:
    told = is_problem(await small.send(member_updated(email="nobody", standing="fine")), 400)
    assert [error["pointer"] for error in told["errors"]] == ["/data/email", "/data/standing"]


async def test_of_very_many_mistakes_the_first_ones_are_told(small: World) -> None:
    told = is_problem(await small.send([0] * 5_000), 400)
    assert len(told["errors"]) == 200
    assert "the first 200" in told["detail"]


async def test_an_empty_batch_is_accepted_and_wakes_nobody(small: World) -> None:
    assert (await small.send([])).json() == {"accepted": 0, "known": 0}
    assert small.poke.asked == 0


async def test_a_body_that_is_no_event_is_refused_with_a_clear_reason(small: World) -> None:
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
        response = await small.client.post("/events", content=body, headers=headers)
        assert words in is_problem(response, 400)["detail"]


async def test_text_that_no_database_holds_is_refused_by_its_field(desk: World) -> None:
    for name in ("a\x00b", "\ud800", "line\nbreak"):
        told = is_problem(await desk.send(member_updated(name=name)), 400)
        assert [error["pointer"] for error in told["errors"]] == ["/data/name"]
    odd = member_updated(name="Zoë 🦉 O'Brien; DROP TABLE events --")
    assert (await desk.send({**odd, "\ud800": "\x00"})).status_code == 202


@pytest.mark.parametrize("content_type", ["application/json", "application/cloudevents+json; charset=UTF-8"])
async def test_other_names_of_json_are_read_too(small: World, content_type: str) -> None:
    assert (await small.send(member_updated(), **{"content-type": content_type})).status_code == 202


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
async def test_what_is_no_json_by_its_headers_is_refused_unread(
    small: World, changes: dict[str, str]
) -> None:
    is_problem(await small.send(member_updated(), **changes), 415)
    assert await small.events() == []


@pytest.mark.rule("MAIL7")
async def test_what_is_not_signed_by_us_just_now_is_refused_and_logged_without_its_content(
    small: World,
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
            response = await small.client.post("/events", content=content, headers=given)
            is_problem(response, 401)
            assert response.headers["www-authenticate"]
    assert [log["event"] for log in logs] == ["signature_refused"] * 4
    assert "eva" not in str(logs).lower()
    assert await small.events() == []


@pytest.mark.rule("MAIL7")
async def test_the_old_secret_holds_while_it_is_replaced(sqlite_url: str) -> None:
    async with world(sqlite_url, [], secrets=[SECRET, OLD_SECRET]) as made:
        assert (await made.send(member_updated(id="1"), OLD_SECRET)).status_code == 202
        assert (await made.send(member_updated(id="2"), SECRET)).status_code == 202


async def test_a_body_over_the_limit_is_refused_whether_its_length_is_told_or_not(small: World) -> None:
    headers, body = sign_events(SECRET, member_updated(name="x" * (1 << 20)))
    is_problem(await small.client.post("/events", content=body, headers=headers), 413)

    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 65_536

    is_problem(await small.client.post("/events", content=chunks(), headers=headers), 413)
    assert sent <= 17
    lying = {**headers, "content-length": "9" * 400}
    is_problem(await small.client.post("/events", content=body, headers=lying), 413)


async def test_a_body_of_just_the_limit_is_read(small: World) -> None:
    body = json.dumps(member_updated()).encode()
    body += b" " * ((1 << 20) - len(body))
    headers, _ = sign_events(SECRET, [])
    headers["webhook-signature"] = _signature(headers, body)
    assert (await small.client.post("/events", content=body, headers=headers)).status_code == 202


async def test_while_the_database_is_away_nothing_is_accepted_and_afterwards_the_same_request_is(
    desk: World,
) -> None:
    fault = DatabaseFault(desk.database)
    fault.down = True
    with capture_logs():
        refused = await desk.send([member_updated()])
    is_problem(refused, 503)
    assert int(refused.headers["retry-after"]) > 0
    fault.down = False
    assert (await desk.send([member_updated()])).json() == {"accepted": 1, "known": 0}


async def test_a_postgresql_server_that_crashed_is_503_until_it_is_back(
    postgres: PostgresServer, postgres_database_url: str
) -> None:
    async with world(postgres_database_url, []) as made:
        assert (await made.send(member_updated(id="1"))).status_code == 202
        postgres.stop(abruptly=True)
        try:
            with capture_logs():
                is_problem(await made.send(member_updated(id="2")), 503)
        finally:
            postgres.start()
        assert (await made.send(member_updated(id="2"))).status_code == 202
        assert [stored.event_id for stored in await made.events()] == ["1", "2"]


async def test_a_failed_half_of_a_batch_leaves_no_other_half(desk: World) -> None:
    fault = DatabaseFault(desk.database)
    statements = 0

    def on_statement(*_arguments: Any) -> None:
        nonlocal statements
        statements += 1
        fault.down = statements > 3

    hooks.listen(desk.database.engine.sync_engine, "after_cursor_execute", on_statement)
    with capture_logs():
        is_problem(await desk.send([member_updated("x", f"x-{number}") for number in range(5)]), 503)
    hooks.remove(desk.database.engine.sync_engine, "after_cursor_execute", on_statement)
    fault.down = False
    assert await desk.events() == []


async def test_other_methods_and_paths_are_problems_too(small: World) -> None:
    refused = await small.client.get("/events")
    is_problem(refused, 405)
    assert refused.headers["allow"] == "POST"
    is_problem(await small.client.get("/nothing"), 404)


def _signature(headers: dict[str, str], body: bytes) -> str:
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    return Webhook(SECRET).sign(headers["webhook-id"], at, body.decode())
