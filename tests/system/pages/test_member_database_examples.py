"""The examples of `docs/member-database.md` that talk to other systems: against an API and a sender that misbehave."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from tests.support.gateway import SECRET, GatewayFixture, gateway_fixture
from tests.support.limits import PATIENCE
from tests.support.servers.newcomer import EXAMPLES
from worker.http_server import address, listen, served

START = datetime(2028, 3, 1, 14, tzinfo=UTC)


@dataclass
class MemberApi:
    """An association's API: two members a page, of whom it knows when they changed by its own clock."""

    members: list[dict[str, Any]] = field(default_factory=list)
    fails_at_page: int | None = None
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def change(self, number: str, minutes: float, **values: object) -> None:
        """Change a member, some minutes after the start."""
        at = (START + timedelta(minutes=minutes)).isoformat()
        row = {"number": number, "name": number.title(), "email": f"{number}@example.org", "active": True}
        self.members = [each for each in self.members if each["number"] != number]
        self.members.append({**row, **values, "changed_at": at})

    def answer(self, path: str) -> dict[str, Any]:
        """A page of what changed."""
        query = httpx.URL(path).params
        self.asked.append(query["changed_since"])
        page = int(query.get("page", 0))
        if page == self.fails_at_page:
            raise KeyError(page)
        since = datetime.fromisoformat(query["changed_since"])
        found = [each for each in self.members if datetime.fromisoformat(each["changed_at"]) >= since]
        more = httpx.QueryParams({"changed_since": query["changed_since"], "page": page + 1})
        following = f"/members?{more}" if len(found) > 2 * page + 2 else None
        return {"members": found[2 * page : 2 * page + 2], "next": following}


@contextmanager
def serving(api: MemberApi) -> Iterator[None]:
    """Serve the API."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer with a page, or fail."""
            try:
                body, status = json.dumps(api.answer(self.path)).encode(), 200
            except KeyError:
                body, status = b"", 500
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
async def gateway(sqlite_url: str) -> AsyncIterator[GatewayFixture]:
    """A gateway that is served nowhere yet."""
    async with gateway_fixture(sqlite_url) as made:
        yield made


async def polled(api: MemberApi, at: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The script, run to its end."""
    return await asyncio.to_thread(
        subprocess.run,  # type: ignore[arg-type]
        [sys.executable, EXAMPLES / "poll_members.py"],
        cwd=folder,
        env={
            **os.environ,
            "MEMBER_API": api.url,
            "THROUGHLINE_GATEWAY_URL": at,
            "THROUGHLINE_WEBHOOK_SECRET": SECRET,
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


async def test_polling_sends_each_change_once_whatever_fails(gateway: GatewayFixture, tmp_path: Path) -> None:
    api = MemberApi()
    for number in range(5):
        api.change(f"m{number}", 5 - number)
    cursor = tmp_path / "cursor.txt"
    with serving(api):
        assert (await polled(api, "http://127.0.0.1:9", tmp_path)).returncode != 0
        assert not cursor.exists()
        listening = listen(0)
        async with served(gateway.app, listening):
            at = address(listening)
            api.fails_at_page = 1
            assert (await polled(api, at, tmp_path)).returncode != 0
            assert await gateway.events() == []
            api.fails_at_page = None
            assert (await polled(api, at, tmp_path)).stdout == "5 accepted, 0 known, 0 refused\n"
            sent = [event.data["member"] for event in await gateway.events()]
            assert sent == ["m4", "m3", "m2", "m1", "m0"]
            assert datetime.fromisoformat(cursor.read_text()) == START + timedelta(minutes=5)
            api.change("late", 1)
            api.change("m1", 6, deleted=True)
            api.change("wrong", 7, email="nobody")
            api.change("m2", 8, name="Another")
            again = await polled(api, at, tmp_path)
            assert again.stdout == "3 accepted, 3 known, 1 refused\n"
            assert "member wrong refused: " in again.stderr
            assert datetime.fromisoformat(api.asked[-1]) == START - timedelta(minutes=5)
            assert (await polled(api, at, tmp_path)).stdout == "0 accepted, 6 known, 1 refused\n"
    events = await gateway.events()
    assert [(event.data["member"], event.data["standing"]) for event in events[5:]] == [
        ("late", "good"),
        ("m1", "lapsed"),
        ("m2", "good"),
    ]
    assert events[-1].occurred_at == START + timedelta(minutes=8)


@contextmanager
def receiving(folder: Path) -> Iterator[str]:
    """The receiver as a process; it is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, EXAMPLES / "write_back.py", "0"],
        cwd=folder,
        env={**os.environ, "WRITE_BACK_SECRET": SECRET},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().rpartition(' ')[2].strip()}"
    finally:
        process.kill()
        process.communicate()


def posted(url: str, event: dict[str, Any], at: datetime | None = None, tampered: bytes = b"") -> int:
    """The status with which a signed event is answered."""
    body, now = json.dumps(event), at or datetime.now(UTC)
    headers = {
        "content-type": "application/cloudevents+json",
        "webhook-id": event["id"],
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": f"v1,b3RoZXI= {Webhook(SECRET).sign(event['id'], now, body)}",
    }
    return httpx.post(url, content=body.encode() + tampered, headers=headers).status_code


def changed(sequence: int, state: str, kind: str = "engagement") -> dict[str, Any]:
    """An event of a state, as docs/webhooks.md has it."""
    return {
        "id": f"evt_{kind}_{sequence}",
        "type": f"{kind}.state_changed",
        "subject": "engagement/r-1",
        "sequence": f"{sequence:010}",
        "data": {kind: "r-1", "state": state, "since": START.isoformat()},
    }


def test_write_back_keeps_the_latest_state_and_checks_signatures(tmp_path: Path) -> None:
    def states() -> list[tuple[str, str]]:
        with sqlite3.connect(tmp_path / "members.db") as database:
            return database.execute("SELECT kind, state FROM mentoring ORDER BY kind").fetchall()

    with receiving(tmp_path) as url:
        assert posted(url, changed(1, "accepted", "request")) == 204
        assert posted(url, changed(4, "completed")) == 204
        assert posted(url, changed(2, "active")) == 204
        assert posted(url, changed(4, "completed")) == 204
        assert posted(url, changed(9, "ready", "claim")) == 204
        assert posted(url, changed(5, "ended"), datetime.now(UTC) - timedelta(minutes=6)) == 401
        assert posted(url, changed(6, "ended"), tampered=b" ") == 401
        assert httpx.post(url, content=b"{}").status_code == 401
    assert states() == [("engagement", "completed"), ("request", "accepted")]
    with receiving(tmp_path) as url:
        assert posted(url, changed(3, "paused")) == 204
        assert posted(url, changed(10, "canceled")) == 204
    assert states() == [("engagement", "canceled"), ("request", "accepted")]
