"""`throughline event relay`: an association's outbox table on each database, a real gateway, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer
from typing import Any

import psycopg
import pytest

from cli.outbox_relay.gateway_client import GatewayClient
from cli.outbox_relay.outbox_table import OutboxTable
from cli.outbox_relay.relay import Relay
from database.models import Event
from tests.support.cli import COMMAND, ROOT, environment, throughline
from tests.support.gateway import SECRET, GatewayFixture, gateway_fixture
from tests.support.limits import PATIENCE
from tests.support.servers.postgres_server import PostgresServer
from worker.errors import Failure
from worker.http_server import address, listen, served

ON_SQLITE = """
    CREATE TABLE outbox (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL,
                         data TEXT NOT NULL, created_at TEXT NOT NULL, sent_at TEXT, refused TEXT)
"""


@dataclass
class Outbox:
    """An association's database with the table `outbox`."""

    url: str

    def run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement, written for SQLite, and commit."""
        if self.url.startswith("sqlite"):
            with sqlite3.connect(self.url.removeprefix("sqlite:///")) as lite:
                return lite.execute(statement, values).fetchall()
        with psycopg.connect(self.url, autocommit=True) as connection:
            done = connection.execute(statement.replace("?", "%s").encode(), values)
            return done.fetchall() if done.description else []

    def add(self, id: str, data: object, type: str = "member.updated") -> None:
        """A row; its data as they are if they are text."""
        text = data if isinstance(data, str) else json.dumps(data)
        self.run(
            "INSERT INTO outbox (id, type, data, created_at) VALUES (?, ?, ?, ?)",
            *(id, type, text, datetime(2028, 3, 1, 14, tzinfo=UTC).isoformat(" ")),
        )

    def rows(self) -> list[tuple[Any, ...]]:
        """Ids with whether they were sent, and why they were refused."""
        return [
            (str(id), sent is not None, refused)
            for id, sent, refused in self.run("SELECT id, sent_at, refused FROM outbox ORDER BY number")
        ]


@pytest.fixture(params=["sqlite", "postgresql"])
def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outbox]:
    """An empty outbox on each database; in PostgreSQL as the page has it, with ids of any text."""
    if request.param == "sqlite":
        made = Outbox(f"sqlite:///{tmp_path / 'members.db'}")
        made.run(ON_SQLITE)
        yield made
        return
    yield from _on_postgres(request.getfixturevalue("postgres"))


@pytest.fixture
def postgres_outbox(postgres: PostgresServer) -> Iterator[Outbox]:
    """The same on PostgreSQL alone."""
    yield from _on_postgres(postgres)


def _on_postgres(postgres: PostgresServer) -> Iterator[Outbox]:
    name = postgres.create_database()
    made = Outbox(postgres.url(name).replace("+psycopg", ""))
    schema = (ROOT / "docs" / "examples" / "outbox.sql").read_text("utf-8")
    made.run(schema)
    made.run("ALTER TABLE outbox ALTER id DROP DEFAULT, ALTER id TYPE text")
    yield made
    postgres.drop_database(name)


@pytest.fixture
async def gateway(sqlite_url: str) -> AsyncIterator[GatewayFixture]:
    """A gateway that is served nowhere yet."""
    async with gateway_fixture(sqlite_url) as made:
        yield made


def member(id: str, **values: object) -> dict[str, object]:
    """The data of `member.updated`."""
    return {
        "member": id,
        "name": id.title(),
        "email": f"{id}@example.org",
        "standing": "good",
        **values,
    }


def relay_of(outbox: Outbox, at: str) -> tuple[Relay, OutboxTable, GatewayClient]:
    """A relay of the table, in a hurry."""
    table, client = OutboxTable(outbox.url, "outbox", "/members"), GatewayClient(at, SECRET)
    return Relay(table, client, interval=0.05, delay=0.05), table, client


async def relayed(outbox: Outbox, gateway: GatewayFixture) -> Relay:
    """A relay that has sent what waited."""
    listening = listen(0)
    async with served(gateway.app, listening):
        relay, table, client = relay_of(outbox, address(listening))
        try:
            await relay.run_once()
        finally:
            await client.close()
            await table.close()
    return relay


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - it lies in another database
            await asyncio.sleep(0.05)


def stored(gateway_events: list[Event]) -> list[tuple[str, Any]]:
    """Ids of stored events and whom they name."""
    return [(event.event_id, event.data.get("name")) for event in gateway_events]


async def test_each_row_arrives_once_in_order_with_its_time(outbox: Outbox, gateway: GatewayFixture) -> None:
    for number in range(450):
        outbox.add(f"row-{number}", member(f"m{number % 7}", name=f"N {number}"))
    counts = (await relayed(outbox, gateway)).counts
    assert (counts.sent, counts.known, counts.refused) == (450, 0, 0)
    found = await gateway.events()
    assert stored(found) == [(f"row-{number}", f"N {number}") for number in range(450)]
    assert {(event.source, event.occurred_at) for event in found} == {
        ("/members", datetime(2028, 3, 1, 14, tzinfo=UTC))
    }
    assert all(sent and not refused for _, sent, refused in outbox.rows())
    assert (await relayed(outbox, gateway)).counts.sent == 0
    outbox.run("UPDATE outbox SET sent_at = NULL WHERE number > ?", 445)
    again = (await relayed(outbox, gateway)).counts
    assert (again.sent, again.known) == (0, 5)
    assert len(await gateway.events()) == 450


async def test_wrong_row_is_marked_and_all_others_go_on(outbox: Outbox, gateway: GatewayFixture) -> None:
    wrong: list[tuple[str, object, str, str]] = [
        ("email", member("ana", email="nobody"), "member.updated", "data.email: "),
        ("type", member("ana"), "member.deleted", "type: "),
        ("list", [1, 2], "member.updated", "data: must be an object"),
        ("large", member("ana", goals="x" * 1_100_000), "member.updated", "data: is larger than 1 MiB"),
        ("staff", {"delivery": "d-1", "kind": "hard", "delivery_": 1}, "mail.bounced", ""),
    ]
    if outbox.url.startswith("sqlite"):
        wrong += [
            ("broken", '{"member": "ana",', "member.updated", "data: it is not JSON"),
            ("nan", '{"member": NaN}', "member.updated", "data: NaN is no JSON number"),
            ("twice", '{"member": "a", "member": "b"}', "member.updated", "data: an object has the key"),
        ]
    for id, data, type, reason in wrong:
        if reason:
            outbox.add(id, data, type)
        outbox.add(f"after-{id}", member("ana", name=f"after {id}"))
    counts = (await relayed(outbox, gateway)).counts
    refused = {id: reason for id, _, _, reason in wrong if reason}
    assert (counts.sent, counts.refused) == (len(wrong), len(refused))
    assert stored(await gateway.events()) == [(f"after-{id}", f"after {id}") for id, *_ in wrong]
    for id, sent, reason in outbox.rows():
        assert sent == (id not in refused)
        assert (reason or "").startswith(refused.get(id, ""))
    assert (await relayed(outbox, gateway)).counts.refused == 0
    outbox.run("UPDATE outbox SET data = ?, refused = NULL WHERE id = ?", json.dumps(member("ana")), "email")
    assert (await relayed(outbox, gateway)).counts.sent == 1
    assert (await gateway.events())[-1].event_id == "email"


async def test_large_rows_go_in_requests_that_the_gateway_takes(
    outbox: Outbox, gateway: GatewayFixture
) -> None:
    for number in range(8):
        outbox.add(f"row-{number}", member(f"m{number}", note="x" * 300_000))
    assert (await relayed(outbox, gateway)).counts.sent == 8


async def test_row_that_becomes_visible_late_is_sent(
    postgres_outbox: Outbox, gateway: GatewayFixture
) -> None:
    """A number is given before its transaction commits: a relay with a cursor would lose this row."""
    with psycopg.connect(postgres_outbox.url) as slow:
        slow.execute(
            "INSERT INTO outbox (id, type, data) VALUES ('late', 'member.updated', %s)",
            (json.dumps(member("ana")),),
        )
        postgres_outbox.add("early", member("bob"))
        assert (await relayed(postgres_outbox, gateway)).counts.sent == 1
    assert (await relayed(postgres_outbox, gateway)).counts.sent == 1
    assert [event.event_id for event in await gateway.events()] == ["early", "late"]


async def test_gateway_and_database_that_are_away_are_waited_for(
    outbox: Outbox, gateway: GatewayFixture, tmp_path: Path
) -> None:
    listening = listen(0)
    at = address(listening)
    port = listening.getsockname()[1]
    listening.close()
    outbox.add("one", member("ana"))
    relay, table, client = relay_of(outbox, at)
    with pytest.raises(Failure, match="the gateway cannot be reached"):
        await relay.run_once()
    running = asyncio.create_task(relay.run())
    try:
        async with served(gateway.app, listen(port)):
            await until(lambda: outbox.rows() == [("one", True, None)])
            if table.is_postgres:
                outbox.run(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            outbox.add("two", member("ana"))
            await until(lambda: outbox.rows()[1] == ("two", True, None))
        assert not running.done()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await client.close()
        await table.close()
    assert [event.event_id for event in await gateway.events()] == ["one", "two"]


def process(outbox: Outbox, at: str) -> subprocess.Popen[str]:
    """`throughline event relay` as a process of its own."""
    return subprocess.Popen(
        [COMMAND, "event", "relay", "--interval", "0.05", "--url", at],
        env=environment(
            THROUGHLINE_OUTBOX_DATABASE=outbox.url, THROUGHLINE_WEBHOOK_SECRET=SECRET, PYTHONUNBUFFERED=1
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


async def test_relay_killed_between_sending_and_marking_sends_each_once(
    postgres_outbox: Outbox, gateway: GatewayFixture
) -> None:
    """A lock of the test keeps the first relay from marking; a second one stands by, and takes over."""
    for number in range(5):
        postgres_outbox.add(f"row-{number}", member("ana", name=f"N {number}"))
    listening = listen(0)
    relays: list[subprocess.Popen[str]] = []
    try:
        async with served(gateway.app, listening):
            with psycopg.connect(postgres_outbox.url) as lock:
                lock.execute("SELECT 1 FROM outbox FOR UPDATE")
                relays.append(process(postgres_outbox, address(listening)))
                async with asyncio.timeout(PATIENCE):
                    while len(await gateway.events()) < 5:  # noqa: ASYNC110 - as above
                        await asyncio.sleep(0.05)
                relays.append(process(postgres_outbox, address(listening)))
                await asyncio.to_thread(_said, relays[1], "relay_stands_by")
                relays[0].kill()
                await asyncio.to_thread(relays[0].wait, PATIENCE)
                # The server would end the statement of the dead relay as soon as it gets the lock.
                postgres_outbox.run(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
                assert not any(sent for _, sent, _ in postgres_outbox.rows())
            await asyncio.to_thread(_said, relays[1], "rows_sent")
            await until(lambda: all(sent for _, sent, _ in postgres_outbox.rows()))
            postgres_outbox.add("row-5", member("ana", name="N 5"))
            await until(lambda: all(sent for _, sent, _ in postgres_outbox.rows()))
            relays[1].send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(relays[1].wait, PATIENCE) == 143
    finally:
        for relay in relays:
            relay.kill()
            relay.communicate()
    assert stored(await gateway.events()) == [(f"row-{number}", f"N {number}") for number in range(6)]


def _said(relay: subprocess.Popen[str], word: str) -> None:
    """Wait until a relay has logged something, which names nobody."""
    assert relay.stdout is not None
    lines = ""
    patience = Timer(PATIENCE, relay.kill)
    patience.start()
    try:
        for line in relay.stdout:
            lines += line
            assert "example.org" not in line
            if word in line:
                return
    finally:
        patience.cancel()
    raise AssertionError(lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--database", "sqlite:///nowhere.db"), "there is no file nowhere.db"),
        (("--database", "mysql://root@example.org/x"), "mysql is neither postgresql nor sqlite"),
        (("--database", "members"), "must look like postgresql://"),
        (("--database", "{url}", "--table", "no_such"), "the database has no table no_such"),
        (("--database", "{url}", "--table", "x; DROP TABLE outbox"), "is no name of a table"),
        (("--database", "{url}", "--table", "other"), "the table other lacks number, type, data"),
        ((), "no database is named"),
    ],
)
def test_what_cannot_be_relayed_is_said_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    outbox = Outbox(f"sqlite:///{tmp_path / 'members.db'}")
    outbox.run("CREATE TABLE other (id TEXT, created_at TEXT, sent_at TEXT, refused TEXT)")
    given = [each.replace("{url}", outbox.url) for each in arguments]
    said = throughline("event", "relay", "--once", *given, settings={"THROUGHLINE_WEBHOOK_SECRET": SECRET})
    assert said.returncode == 1
    assert words in said.stderr
    assert len(said.stderr.splitlines()) == 1
