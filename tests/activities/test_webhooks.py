"""Events go to endpoints in the order of their subjects, however badly the endpoint behaves (STA2).

The receiver is a real server. Program time is given to each look, so that days pass at once.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from standardwebhooks import Webhook
from temporalio.testing import WorkflowEnvironment

from activities.webhooks import AddressPolicy, WebhookActivities, WebhookSender
from activities.webhooks.request import LARGEST
from database import audit
from database.key_ring import KeyRing
from database.models import Message, OutboxEvent, Task, WebhookEndpoint
from database.session import Database
from database.webhook_endpoints import Target, new_secret
from rules.events.webhook_schedule import LONGEST_REST, TRIED_FOR, WAITS
from staff import endpoints
from tests.support.limits import PATIENCE
from tests.support.servers.hostile_http import (
    OK,
    Act,
    HostileHttp,
    die_before_answer,
    die_in_mid_answer,
    drip,
    endless_body,
    endless_head,
    nonsense,
    silence,
    status,
)
from tests.support.servers.hostile_smtp import make_certificate
from worker.assembly import load_programs

AT = datetime(2028, 3, 6, 15, tzinfo=UTC)
KEYS = KeyRing(("a key for tests only",))
PROGRAMS = load_programs(Path("programs"))
HOUR = timedelta(hours=1)

SHORT = 3.0
"""Seconds for an attempt: a busy machine answers in less, and a silent receiver does not hold up the tests."""


@dataclass
class WebhookFixture:
    """One endpoint `members` at a hostile receiver, and the activity that delivers to it."""

    database: Database
    receiver: HostileHttp
    sender: WebhookSender
    activities: WebhookActivities
    secret: str = ""
    now: datetime = AT
    sent_at: list[datetime] = field(default_factory=list)

    async def happen(self, *subjects: str) -> None:
        """Something happens to each of these requests, in one transaction each."""
        for subject in subjects:
            async with self.database.begin() as session:
                data = {"state": "open", "due": self.now.isoformat()}
                await audit.append(session, f"request/{subject}", "state", self.now, data)

    async def deliver(self) -> bool:
        """Deliver what is due now; return whether the endpoint is enabled after it."""
        turn = await self.activities.deliver("members", lambda: self.now, lambda: False)
        return turn.enabled

    async def rows(self) -> list[OutboxEvent]:
        async with self.database.reading() as session:
            return list(await session.scalars(select(OutboxEvent).order_by(OutboxEvent.id)))

    async def states(self) -> list[str]:
        return [row.state for row in await self.rows()]

    async def tasks(self) -> list[str]:
        """The kinds of open tasks about the endpoint."""
        async with self.database.reading() as session:
            found = select(Task.kind).where(Task.subject == "webhook/members", Task.state == "open")
            return list(await session.scalars(found.order_by(Task.id)))

    async def endpoint(self) -> WebhookEndpoint:
        async with self.database.reading() as session:
            return await session.get_one(WebhookEndpoint, "members")

    def misbehave(self, act: Act, *subjects: str) -> None:
        """Have the receiver do this with the events of these requests, or of all."""
        wanted = {f"engagement/{subject}" for subject in subjects}
        self.receiver.plan = lambda request: act if not wanted or request.event["subject"] in wanted else OK


@pytest.fixture
async def webhook(database: Database, temporal_dev: WorkflowEnvironment) -> AsyncIterator[WebhookFixture]:
    """An endpoint for all types, at a receiver that takes everything."""
    async with HostileHttp() as receiver:
        policy = AddressPolicy(["127.0.0.1"])
        sender = WebhookSender(policy, "/throughline/test", lambda: datetime.now(UTC), timeout=SHORT)
        client = temporal_dev.client
        made = WebhookActivities(database, PROGRAMS, client, sender, KEYS, turn=0)
        fixture = WebhookFixture(database, receiver, sender, made)
        async with database.begin() as session:
            fixture.secret = await endpoints.add(
                session, KEYS, sender, "members", receiver.url, ["request.state_changed"], "lina", AT
            )
        yield fixture
        async for execution in client.list_workflows("ExecutionStatus = 'Running'"):
            if execution.id.startswith("alarm/"):
                await client.get_workflow_handle(execution.id).terminate()


async def test_events_arrive_in_order_signed_and_as_cloud_events(webhook: WebhookFixture) -> None:
    await webhook.happen("r-1", "r-2", "r-1", "r-1")
    assert await webhook.deliver()
    assert await webhook.states() == ["delivered"] * 4
    ids = [row.event_id for row in await webhook.rows()]
    assert webhook.receiver.by_subject() == {
        "engagement/r-1": [ids[0], ids[2], ids[3]],
        "engagement/r-2": [ids[1]],
    }
    first = next(each for each in webhook.receiver.taken if each.event["id"] == ids[0])
    Webhook(webhook.secret).verify(first.body, dict(first.headers))
    assert first.headers["webhook-id"] == ids[0]
    assert first.headers["content-type"] == "application/cloudevents+json"
    assert first.event == {
        "specversion": "1.0",
        "id": ids[0],
        "source": "/throughline/test",
        "type": "request.state_changed",
        "subject": "engagement/r-1",
        "sequence": "0000000001",
        "time": "2028-03-06T15:00:00+00:00",
        "datacontenttype": "application/json",
        "data": {"request": "r-1", "state": "open", "since": "2028-03-06T15:00:00+00:00"},
    }
    assert len(first.body) < LARGEST


@pytest.mark.parametrize(
    "act",
    [
        status(500),
        status(404),
        status(199),
        silence,
        drip,
        die_before_answer,
        die_in_mid_answer,
        nonsense,
        endless_head,
        endless_body(503),
    ],
    ids=lambda act: act.__qualname__.partition(".")[0],
)
async def test_one_bad_subject_holds_nobody_and_repeats_its_id(webhook: WebhookFixture, act: Act) -> None:
    others = [f"r-{number}" for number in range(2, 6)]
    webhook.misbehave(act, "r-1")
    await webhook.happen("r-1", "r-1", *others, *others)
    async with asyncio.timeout(PATIENCE):
        assert await webhook.deliver()
        while (await webhook.states())[2:] != ["delivered"] * 8:
            # A machine that is so busy that a good answer was late.
            webhook.now += timedelta(seconds=6)
            assert await webhook.deliver()
    bad = (await webhook.rows())[:2]
    assert [row.state for row in bad] == ["waiting"] * 2
    assert bad[0].attempts > 0 == bad[1].attempts
    webhook.now = max(row.next_at or webhook.now for row in bad)
    webhook.misbehave(OK)
    assert await webhook.deliver()
    assert await webhook.states() == ["delivered"] * 10
    assert webhook.receiver.by_subject()["engagement/r-1"] == [row.event_id for row in bad]
    assert webhook.receiver.times()[bad[0].event_id] == bad[0].attempts + 1


async def test_endless_good_answer_counts_and_is_not_read(webhook: WebhookFixture) -> None:
    webhook.misbehave(endless_body(200))
    await webhook.happen("r-1")
    async with asyncio.timeout(PATIENCE):
        assert await webhook.deliver()
    assert await webhook.states() == ["delivered"]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(webhook: WebhookFixture, code: int) -> None:
    async with HostileHttp() as elsewhere:
        webhook.misbehave(status(code, Location=elsewhere.url))
        await webhook.happen("r-1")
        assert await webhook.deliver()
        assert elsewhere.received == []
    (row,) = await webhook.rows()
    assert (row.state, row.answer) == ("waiting", str(code))


async def test_attempts_follow_the_schedule_for_three_days_then_staff_know(webhook: WebhookFixture) -> None:
    """Then the next event of the subject has its turn; the one that was given up stays for a replay."""
    webhook.misbehave(status(500), "r-1")
    await webhook.happen("r-1", "r-1")
    instants = []
    while (row := (await webhook.rows())[0]).state == "waiting":
        webhook.now = row.next_at or webhook.now
        instants.append(webhook.now)
        await webhook.happen("r-2")  # the endpoint itself is well
        assert await webhook.deliver()
    waits = [later - earlier for earlier, later in pairwise(instants)]
    expected = [*WAITS, *[WAITS[-1]] * (len(waits) - len(WAITS))]
    for wait, usual in zip(waits, expected, strict=True):
        assert usual <= wait <= usual * 1.1
    assert len(waits) >= 10
    assert TRIED_FOR - timedelta(hours=11) <= instants[-1] - AT <= TRIED_FOR
    assert len(set(webhook.receiver.times().elements())) == len(webhook.receiver.times())
    assert await webhook.tasks() == ["webhook_undelivered"]
    rows = await webhook.rows()
    assert (rows[0].state, rows[1].state) == ("failed", "waiting")
    assert (await webhook.endpoint()).state == "enabled"
    webhook.misbehave(OK)
    webhook.now += timedelta(seconds=10)
    async with webhook.database.begin() as session:
        assert await endpoints.replay(session, "members", AT, "lina", webhook.now) == len(rows) - 1
    assert await webhook.deliver()
    assert set(await webhook.states()) == {"delivered"}
    assert webhook.receiver.by_subject()["engagement/r-1"] == [row.event_id for row in rows[:2]]
    assert await webhook.tasks() == []


async def test_endpoint_that_fails_for_five_days_is_disabled_aloud(webhook: WebhookFixture) -> None:
    """With a task and a mail; what happened meanwhile waits, and goes out in order once it is enabled."""
    webhook.misbehave(status(500))
    await webhook.happen("r-1", "r-1", "r-2")
    enabled, days = await webhook.deliver(), 0
    while enabled:
        webhook.now = min(row.next_at for row in await webhook.rows() if row.next_at)
        if (webhook.now - AT).days > days:
            days = (webhook.now - AT).days
            await webhook.happen("r-3")
        enabled = await webhook.deliver()
    assert timedelta(days=5) <= webhook.now - AT <= timedelta(days=5, hours=11)
    assert (await webhook.endpoint()).disabled_because == "it has taken no event for 5 days"
    assert "webhook_disabled" in await webhook.tasks()
    async with webhook.database.reading() as session:
        mail = await session.scalar(select(Message).where(Message.message == "staff.alarm"))
    assert mail is not None
    assert (mail.to_profile, mail.context["subject"]) == ("staff", "webhook/members")
    await webhook.happen("r-1")
    webhook.misbehave(OK)
    assert not await webhook.deliver()
    assert webhook.receiver.taken == []
    async with webhook.database.begin() as session:
        await endpoints.enable(session, KEYS, "members", "lina", webhook.now)
        await endpoints.replay(session, "members", AT, "lina", webhook.now)
    assert await webhook.deliver()
    assert set(await webhook.states()) == {"delivered"}
    in_order = [row.event_id for row in await webhook.rows() if row.subject == "engagement/r-1"]
    assert webhook.receiver.by_subject()["engagement/r-1"] == in_order
    assert len(in_order) == 3
    assert await webhook.tasks() == []


async def test_success_in_between_starts_the_five_days_again(webhook: WebhookFixture) -> None:
    for day in range(12):
        webhook.now = AT + timedelta(days=day)
        webhook.misbehave(OK if day % 4 == 3 else status(500))
        await webhook.happen(f"r-{day}")
        assert await webhook.deliver()
    assert (await webhook.endpoint()).failing_since is None


async def test_410_disables_at_once(webhook: WebhookFixture, temporal_dev: WorkflowEnvironment) -> None:
    webhook.misbehave(status(410))
    await webhook.happen("r-1")
    assert not await webhook.deliver()
    assert (await webhook.endpoint()).disabled_because == "it answered 410: it wants no more events"
    assert await webhook.tasks() == ["webhook_disabled"]
    assert await webhook.states() == ["waiting"]
    async with webhook.database.reading() as session:
        workflow = await session.scalar(select(Message.workflow).where(Message.message == "staff.alarm"))
    assert workflow is not None
    assert (await temporal_dev.client.get_workflow_handle(workflow).describe()).workflow_type == "Resend"


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("3600", HOUR, HOUR),
        ("1", timedelta(seconds=5), timedelta(seconds=6)),
        ("99999999999999", LONGEST_REST, LONGEST_REST),
        ("-5", timedelta(seconds=5), timedelta(seconds=6)),
        ("Wed, 21 Oct 2099 07:28:00 GMT", LONGEST_REST, LONGEST_REST),
        ("Wed, 21 Oct 2015 07:28:00 GMT", timedelta(seconds=5), timedelta(seconds=6)),
        ("soon", timedelta(seconds=5), timedelta(seconds=6)),
    ],
)
async def test_retry_after_is_honoured_within_bounds(
    webhook: WebhookFixture, asked: str, least: timedelta, most: timedelta
) -> None:
    webhook.misbehave(status(503, Retry_After=asked))
    await webhook.happen("r-1")
    assert await webhook.deliver()
    (row,) = await webhook.rows()
    assert row.next_at is not None
    assert least <= row.next_at - AT <= most


async def test_attempt_that_dies_before_its_record_is_repeated_with_its_id(webhook: WebhookFixture) -> None:
    """Cancelled while the receiver holds the request, as a worker that dies: it has the event, and gets it again."""
    reached, hold = asyncio.Event(), asyncio.Event()

    async def take_and_hold(writer: asyncio.StreamWriter) -> None:
        reached.set()
        await hold.wait()
        await OK(writer)

    webhook.misbehave(take_and_hold)
    await webhook.happen("r-1", "r-1")
    dying = asyncio.create_task(webhook.deliver())
    await reached.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    hold.set()
    webhook.misbehave(OK)
    assert await webhook.deliver()
    ids = [row.event_id for row in await webhook.rows()]
    assert webhook.receiver.by_subject() == {"engagement/r-1": ids}
    assert webhook.receiver.times() == {ids[0]: 2, ids[1]: 1}


async def test_rotated_secret_signs_beside_the_old_one_for_a_while(webhook: WebhookFixture) -> None:
    async with webhook.database.begin() as session:
        new = await endpoints.rotate(session, KEYS, "members", "lina", AT)
    await webhook.happen("r-1")
    assert await webhook.deliver()
    webhook.now += timedelta(hours=25)
    await webhook.happen("r-1")
    assert await webhook.deliver()
    first, second = webhook.receiver.taken
    for secret in (webhook.secret, new):
        Webhook(secret).verify(first.body, dict(first.headers))
    assert len(second.headers["webhook-signature"].split()) == 1
    Webhook(new).verify(second.body, dict(second.headers))


async def test_secret_of_a_lost_key_disables_its_endpoint_aloud(
    webhook: WebhookFixture, temporal_dev: WorkflowEnvironment
) -> None:
    others = KeyRing(("another key for tests",))
    made = WebhookActivities(webhook.database, PROGRAMS, temporal_dev.client, webhook.sender, others, turn=0)
    turn = await made.deliver("members", lambda: AT, lambda: False)
    assert not turn.enabled
    assert await webhook.tasks() == ["webhook_disabled"]
    async with webhook.database.begin() as session:
        with pytest.raises(endpoints.EndpointRefused, match="rotate it first"):
            await endpoints.enable(session, others, "members", "lina", AT)
        await endpoints.rotate(session, others, "members", "lina", AT, timedelta(0))
        await endpoints.enable(session, others, "members", "lina", AT)


async def test_removed_endpoint_ends_and_leaves_nothing(webhook: WebhookFixture) -> None:
    await webhook.happen("r-1")
    async with webhook.database.begin() as session:
        await endpoints.remove(session, "members", "lina", AT)
    assert not await webhook.deliver()
    assert await webhook.rows() == []
    await webhook.happen("r-1")
    assert await webhook.rows() == []


Resolved = dict[str, Sequence[str]]


def resolving(names: Resolved) -> Callable[[str, int], Any]:
    """A resolver that knows these names, as they are at that moment."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return names[host]

    return resolve


async def test_name_that_changes_to_loopback_is_refused_at_the_attempt(webhook: WebhookFixture) -> None:
    """It was harmless when the endpoint was added. A server listens on loopback, and gets nothing."""
    names: Resolved = {"members.example.org": ["127.0.0.2"]}
    policy = AddressPolicy(["127.0.0.2"], resolving(names))
    sender = WebhookSender(policy, "/throughline/test", lambda: datetime.now(UTC))
    async with HostileHttp(host="127.0.0.2", port=webhook.receiver.port) as allowed:
        url = f"http://members.example.org:{allowed.port}/events"
        async with webhook.database.begin() as session:
            await endpoints.add(session, KEYS, sender, "rebound", url, [], "lina", AT)
        answer = await endpoints.send_test(webhook.database, KEYS, sender, "rebound", "lina", AT)
        assert (answer.status, len(allowed.taken)) == (204, 1)
        assert allowed.taken[0].headers["host"] == f"members.example.org:{allowed.port}"
        names["members.example.org"] = ["127.0.0.1"]
        answer = await endpoints.send_test(webhook.database, KEYS, sender, "rebound", "lina", AT)
        assert answer.words.startswith("not sent: 127.0.0.1 is no public address")
        names["members.example.org"] = ["127.0.0.2", "127.0.0.1"]
        answer = await endpoints.send_test(webhook.database, KEYS, sender, "rebound", "lina", AT)
        assert answer.status == 0
        assert len(allowed.received) == 1
    assert webhook.receiver.received == []


async def test_certificate_is_checked_for_the_name_at_the_judged_address(tmp_path: Path) -> None:
    """The request goes to an address; TLS asks for the name, and no other certificate will do."""
    names: Resolved = {"members.example.org": ["127.0.0.1"], "other.example.org": ["127.0.0.1"]}
    made = make_certificate(tmp_path, "members.example.org")
    trust = ssl.create_default_context(cafile=made.certificate)
    policy = AddressPolicy(["127.0.0.1"], resolving(names))

    def sender(trusted: ssl.SSLContext | None) -> WebhookSender:
        return WebhookSender(policy, "/throughline/test", lambda: datetime.now(UTC), trust=trusted)

    async with HostileHttp(tls=made.server_context()) as secure:
        event = {"id": "evt_1", "subject": "engagement/r-1"}
        secrets = [new_secret()]
        good = Target("members", f"https://members.example.org:{secure.port}/", secrets)
        other = Target("other", f"https://other.example.org:{secure.port}/", secrets)
        assert (await sender(trust).send(good, event)).status == 204
        assert secure.taken[0].headers["host"] == f"members.example.org:{secure.port}"
        for answer in (await sender(trust).send(other, event), await sender(None).send(good, event)):
            assert answer.status == 0
            assert answer.words.startswith("no connection: ")
            assert "certificate" in answer.words.lower()
        assert len(secure.received) == 1


INSIDE = [
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1"),
    *("169.254.169.254", "100.100.100.200", "168.63.129.16", "224.0.0.1", "255.255.255.255", "192.0.0.192"),
    *("::1", "::", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1"),
    *(
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "198.51.100.1",
        "240.0.0.1",
    ),
]


@pytest.mark.parametrize("address", INSIDE)
async def test_address_inside_of_a_network_is_refused(address: str) -> None:
    policy = AddressPolicy((), resolving({"members.example.org": ["93.184.215.14", address]}))
    sender = WebhookSender(policy, "/throughline/test", lambda: AT)
    with pytest.raises(ValueError, match="no public address"):
        await sender.check("https://members.example.org/events")


async def test_plain_http_goes_to_allowed_addresses_only() -> None:
    names: Resolved = {"members.example.org": ["93.184.215.14"], "here": ["10.1.2.3"]}
    sender = WebhookSender(AddressPolicy(["10.1.0.0/16"], resolving(names)), "/s", lambda: AT)
    await sender.check("https://members.example.org")
    await sender.check("http://here:8080/events?from=us")
    await sender.check("https://here/events")
    with pytest.raises(ValueError, match="https only"):
        await sender.check("http://members.example.org")


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://members.example.org", "members.example.org", "https://", "https://a b.org/", "https://[::1"),
        *("https://user:word@members.example.org/", "https://members.example.org/#part", "//members"),
        *("https://members.example.org:0/", "https://members.example.org:99999/", "file:///etc/passwd"),
        *("https://mémbers.example.org/", "https://members.example.org/\r\nX: y", "https://" + "a" * 1000),
    ],
)
async def test_address_that_is_no_plain_web_address_is_refused(url: str) -> None:
    sender = WebhookSender(AddressPolicy(), "/throughline/test", lambda: AT)
    with pytest.raises(ValueError, match="address"):
        await sender.check(url)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "localhost", "[::1]", "[::ffff:7f00:1]"])
async def test_loopback_in_disguise_is_refused(host: str) -> None:
    sender = WebhookSender(AddressPolicy(), "/throughline/test", lambda: AT)
    with pytest.raises(ValueError, match=r"no public address|has no address"):
        await sender.check(f"https://{host}/events")
