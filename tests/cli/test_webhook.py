"""`throughline webhook`: endpoints are added, tried, disabled, enabled, rotated and replayed, each act on record."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from standardwebhooks import WebhookVerificationError

from database import audit, webhook_endpoints
from database.models import AuditRecord, OutboxEvent, WebhookEndpoint
from rules.events.outgoing_types import OUTGOING_TYPES
from tests.support.cli import ROOT, CliFixture
from tests.support.servers.hostile_http import HostileHttp, status

ALLOWED = {"THROUGHLINE_SECRET": "a key for tests only", "THROUGHLINE_WEBHOOK_ALLOW": '["127.0.0.1"]'}
SECRET = re.compile(r"^whsec_[A-Za-z0-9+/=]{44}$", re.MULTILINE)


@pytest.fixture
async def receiver(cli: CliFixture) -> AsyncIterator[HostileHttp]:
    """A receiver that takes everything, and the endpoint `members` at it."""
    async with HostileHttp() as made:
        said = await cli.throughline(
            *("webhook", "add", "members", made.url, "--type", "request.state_changed", "--actor", "lina"),
            **ALLOWED,
        )
        assert said.status == 0, said.err
        assert len(SECRET.findall(said.out)) == 1
        cli.settings |= {**ALLOWED, "shown": SECRET.findall(said.out)[0]}
        yield made


async def happen(cli: CliFixture, ago: timedelta) -> None:
    """A request changed its state, and the endpoint has the event."""
    at = cli.now - ago
    async with cli.database.begin() as session:
        webhook_endpoints.forget_known(session)  # another process added it, seconds ago
        data = {"state": "open", "due": at.isoformat()}
        await audit.append(session, "request/r-1", "state", at, data)
    async with cli.database.begin() as session:
        newest = await session.scalars(select(OutboxEvent).order_by(OutboxEvent.id.desc()).limit(1))
        event = newest.one()
        event.state, event.decided_at, event.answer, event.attempts = "delivered", at, "204", 1


@pytest.mark.rule("STA3")
async def test_endpoint_lives_through_all_its_commands(cli: CliFixture, receiver: HostileHttp) -> None:
    shown = cli.settings.pop("shown")
    tested = await cli.throughline("webhook", "test", "members", "--actor", "lina")
    assert (tested.status, tested.out) == (0, "members took the test event: 204\n")
    assert receiver.taken[0].event["data"] == {"endpoint": "members"}
    rotated = await cli.throughline("webhook", "rotate", "members", "--actor", "lina")
    assert "for 24 hours" in rotated.out
    assert SECRET.findall(rotated.out) != [shown]
    await happen(cli, timedelta(hours=30))
    await happen(cli, timedelta(hours=3))
    off = await cli.throughline("webhook", "disable", "members", "--reason", "they move", "--actor", "lina")
    assert off.status == 0, off.err
    await cli.throughline("webhook", "test", "members", "--actor", "lina")  # also while it is disabled
    (listed,) = (await cli.throughline("webhook", "list", "--json")).lines
    assert (listed["endpoint"], listed["state"], listed["because"]) == ("members", "disabled", "they move")
    on = await cli.throughline("webhook", "enable", "members", "--actor", "lina")
    assert (on.status, on.out) == (0, "members gets events again.\n")
    assert "within ten minutes" in on.err
    again = await cli.throughline("webhook", "replay", "members", "--since", "12h", "--actor", "lina")
    assert again.out == "1 events go to members again.\n"
    events = (await cli.throughline("webhook", "list", "members", "--json")).lines
    assert [(each["subject"], each["state"], each["answer"]) for each in events] == [
        ("engagement/r-1", "waiting", "204"),
        ("engagement/r-1", "delivered", "204"),
    ]
    gone = await cli.throughline("webhook", "remove", "members", "--actor", "lina")
    assert gone.status == 0, gone.err
    assert (await cli.throughline("webhook", "list")).out == "There is no endpoint.\n"
    acts = [each for each in await cli.all(AuditRecord) if each.subject == "webhook/members"]
    assert [each.data["act"].removeprefix("webhook ") for each in acts] == (
        ["added", "tested", "secret rotated", "disabled", "tested", "enabled", "replayed", "removed"]
    )
    assert {each.actor for each in acts} == {"lina"}


async def test_secret_is_shown_once_and_stored_sealed(cli: CliFixture, receiver: HostileHttp) -> None:
    shown = cli.settings.pop("shown")
    for command in (["list"], ["list", "--json"], ["list", "members"], ["test", "members"]):
        said = await cli.throughline("webhook", *command)
        assert shown not in said.out + said.err
    (row,) = await cli.all(WebhookEndpoint)
    written = [row.secret, *(str(each.data) for each in await cli.all(AuditRecord))]
    assert shown.removeprefix("whsec_") not in " ".join(written)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["add", "members", "https://members.example.org"], "there is an endpoint members already"),
        (["add", "Bad Name", "https://1.1.1.1/"], "a name has 1 to 64 characters out of a-z, 0-9 and -"),
        (["add", "inside", "http://169.254.169.254/latest"], "169.254.169.254 is no public address"),
        (["add", "plain", "http://1.1.1.1/"], "events go to https only"),
        (["add", "typo", "https://1.1.1.1/", "--type", "claim.decide"], "did you mean claim.decided?"),
        (["test", "others"], "there is no endpoint others"),
        (["list", "others"], "there is no endpoint others"),
        (["enable", "members"], "members is enabled already"),
        (["replay", "members", "--since", "yesterday"], "--since is an instant with offset"),
        (["replay", "members", "--since", "31d"], "events are kept for 30 days"),
        (["replay", "members", "--since", "2028-03-06T10:00"], "--since is an instant with offset"),
    ],
    ids=lambda each: " ".join(each[:2]) if isinstance(each, list) else "",
)
async def test_what_cannot_be_done_is_refused_in_a_line(
    cli: CliFixture, receiver: HostileHttp, words: list[str], reason: str
) -> None:
    cli.settings.pop("shown")
    if words[1:2] == ["members"] and words[0] == "add":
        words = ["add", "members", receiver.url]
    said = await cli.throughline("webhook", *words)
    assert said.status == 1
    assert reason in said.err
    assert said.err.count("\n") == 1


async def test_test_of_an_endpoint_that_refuses_ends_with_its_answer(
    cli: CliFixture, receiver: HostileHttp
) -> None:
    cli.settings.pop("shown")
    receiver.plan = lambda request: status(418)
    said = await cli.throughline("webhook", "test", "members")
    assert (said.status, said.err) == (1, "members did not take the test event: 418\n")
    wrong = await cli.throughline("webhook", "test", "members", THROUGHLINE_WEBHOOK_ALLOW='["here"]')
    assert (wrong.status, wrong.err.partition(":")[0]) == (1, "THROUGHLINE_WEBHOOK_ALLOW")
    wrong = await cli.throughline("webhook", "test", "members", THROUGHLINE_WEBHOOK_ALLOW="here")
    assert wrong.err == 'THROUGHLINE_WEBHOOK_ALLOW: must be a JSON list, like ["10.1.0.0/16"]\n'


async def test_types_are_listed_with_their_schemas(cli: CliFixture) -> None:
    lines = (await cli.throughline("webhook", "types", "--json")).lines
    assert [line["type"] for line in lines] == list(OUTGOING_TYPES)
    assert all(line["schema"]["properties"].keys() >= line["example"].keys() for line in lines)
    assert "mail.came_back" in (await cli.throughline("webhook", "types")).out


async def test_program_on_the_page_checks_a_signature(cli: CliFixture, receiver: HostileHttp) -> None:
    secret, seen = cli.settings.pop("shown"), set[str]()
    page = (ROOT / "docs" / "webhooks.md").read_text("utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)
    receive: Callable[..., dict[str, Any] | None] = names["receive"]
    await cli.throughline("webhook", "test", "members")
    (request,) = receiver.taken
    assert receive(request.body, dict(request.headers), secret, seen) == request.event
    assert receive(request.body, dict(request.headers), secret, seen) is None
    with pytest.raises(WebhookVerificationError):
        receive(request.body + b" ", dict(request.headers), secret, seen)
