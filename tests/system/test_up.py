"""Everything in real time, in a folder: stopped, killed and started again."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import signal
import stat
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from database.models import Message, Onboarding
from database.session import Database
from embedded.temporal_servers import free_port
from embedded.up import Secrets
from gateway.webhook_signatures import sign_events
from tests.support.cli import COMMAND, environment, throughline
from tests.support.limits import PATIENCE

PLANNED = {"onboarding/p-eva": ["planned"] * 4, "onboarding/p-olga": ["sent"]}


@dataclass
class Running:
    """A `throughline up` that is ready."""

    process: asyncio.subprocess.Process
    said: str
    url: str
    children: set[int]

    async def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal, and wait for the end; its status."""
        self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            status = await self.process.wait()
            while any(_lives(pid) for pid in self.children):  # noqa: ASYNC110 - they are not ours to wait for
                await asyncio.sleep(0.05)
        return status


@asynccontextmanager
async def running(data: Path, *arguments: str) -> AsyncIterator[Running]:
    """Start it, and wait until it says that it is ready; killed at the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *(str(COMMAND), "up", "--data", str(data), *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env=environment(PYTHONUNBUFFERED=1),
    )
    assert process.stdout is not None
    said = ""
    try:
        async with asyncio.timeout(PATIENCE):
            while "Ready." not in said:
                line = await process.stdout.readline()
                assert line, said
                said += line.decode()
        found = re.search(r"^Inbox +(\S+)/inbox$", said, re.MULTILINE)
        assert found, said
        children = _children(process.pid)
        assert children
        yield Running(process, said, found[1], children)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def _children(parent: int) -> set[int]:
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout.split()
    return {int(pid) for pid, ppid in zip(listed[::2], listed[1::2], strict=True) if int(ppid) == parent}


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def event(event_id: str, kind: str, /, **data: Any) -> dict[str, Any]:
    """A CloudEvent."""
    return {"specversion": "1.0", "id": event_id, "source": "/members", "type": kind, "data": data}


async def sign_up(client: httpx.AsyncClient, data: Path, name: str, standing: str) -> None:
    """A member signs up as a mentee, by signed events."""
    member = {"member": name, "name": name.title(), "email": f"{name}@example.org", "standing": standing}
    headers, body = sign_events(
        Secrets.of(data).webhook,
        [
            event(f"m-{name}", "member.updated", **member),
            event(f"p-{name}", "profile.created", profile=f"p-{name}", member=name, role="mentee"),
        ],
    )
    answer = await client.post("/events", content=body, headers=headers)
    assert answer.status_code == 202, answer.text


async def ledger(data: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The states of onboardings, and of their messages."""
    database = Database(f"sqlite:///{data / 'throughline.db'}")
    try:
        async with database.reading() as session:
            onboardings = {row.workflow: row.state for row in await session.scalars(select(Onboarding))}
            messages: dict[str, list[str]] = {}
            for message in await session.scalars(select(Message).order_by(Message.id)):
                messages.setdefault(message.workflow, []).append(message.state)
        return onboardings, messages
    finally:
        await database.close()


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds in the other process. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        while not await holds():  # noqa: ASYNC110 - what is waited for lies in another process
            await asyncio.sleep(0.1)


async def test_data_folder_is_private_and_temporal_has_no_pages(tmp_path: Path) -> None:
    """Without `--temporal-ui` nothing answers where the server would have its pages: a foreign web page could act."""
    data = tmp_path / "var"
    data.mkdir(0o755)
    data.chmod(0o755)
    async with running(data, "--port", str(free_port())) as started, httpx.AsyncClient() as client:
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert "its pages: --temporal-ui" in started.said
        found = re.search(r"^Temporal +127\.0\.0\.1:(\d+)", started.said, re.MULTILINE)
        assert found, started.said
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{int(found[1]) + 1000}/")
        assert await started.stop() == 0


async def test_temporal_pages_answer_on_loopback_when_asked_for(tmp_path: Path) -> None:
    """A new data folder is private, too."""
    data = tmp_path / "var"
    async with (
        running(data, "--port", str(free_port()), "--temporal-ui") as started,
        httpx.AsyncClient() as client,
    ):
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        found = re.search(r"pages: (http://127\.0\.0\.1:\d+)", started.said)
        assert found, started.said
        assert (await client.get(found[1], follow_redirects=True)).status_code == 200
        with pytest.raises(httpx.ConnectError):
            await client.get(found[1].replace("127.0.0.1", "127.0.0.2"))
        assert await started.stop() == 0


async def test_up_continues_after_stop_and_kill_and_leaves_no_process(tmp_path: Path) -> None:
    data = tmp_path / "var"
    async with running(data, "--port", str(free_port())) as first:
        async with httpx.AsyncClient(base_url=first.url) as client:
            assert (await client.get("/readyz")).status_code == 200
            await sign_up(client, data, "eva", "good")
            await sign_up(client, data, "olga", "lapsed")

            async def both_planned() -> bool:
                return (await ledger(data))[1] == PLANNED

            await eventually(both_planned)
            page = (await client.get("/inbox")).text
            assert "Olga" in page
            assert "<script" not in page
        assert await first.stop(signal.SIGINT) == 0
    assert await ledger(data) == (
        {"onboarding/p-eva": "waiting", "onboarding/p-olga": "blocked"},
        PLANNED,
    )
    assert (data / "secrets.json").stat().st_mode & 0o777 == 0o600
    secrets = (data / "secrets.json").read_text("utf-8")
    assert len(list((data / "mail").glob("*.eml"))) == 1

    async with running(data) as second:
        assert second.url == first.url
        async with httpx.AsyncClient(base_url=second.url) as client:
            assert "Olga" in (await client.get("/inbox")).text
            assert "Olga" in (await client.get("/mail/1/source")).text
        taken = throughline("up", "--data", data)
        assert taken.returncode == 1
        assert len(taken.stderr.splitlines()) == 1
        assert "is in use" in taken.stderr
        await second.stop(signal.SIGKILL)

    async with running(data) as third:
        async with httpx.AsyncClient(base_url=third.url) as client:
            headers, body = sign_events(
                json.loads(secrets)["webhook"],
                event(
                    "s-1",
                    "staff.cancel",
                    target="onboarding/p-eva",
                    actor="lina",
                    reason="a workflow that lives",
                ),
            )
            assert (await client.post("/events", content=body, headers=headers)).status_code == 202

            async def canceled() -> bool:
                return (await ledger(data))[0]["onboarding/p-eva"] == "canceled"

            await eventually(canceled)
        assert await third.stop(signal.SIGTERM) == 0
    assert (await ledger(data))[1]["onboarding/p-eva"] == ["cancelled"] * 4
    assert (data / "secrets.json").read_text("utf-8") == secrets


def test_data_folder_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = throughline("up", "--data", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == f"{tmp_path} is in use by another throughline up or demo: stop that, or name another --data\n"
    )


def test_unreadable_secrets_are_reported_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("{", "utf-8")
    done = throughline("up", "--data", tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "secrets.json").read_text("utf-8") == "{"
