"""Worker and gateway as processes of their own, and the commands that reach them through Temporal and HTTP."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from database import ledger
from database.models import AuditRecord, Environment, Event, Message, Onboarding
from embedded.temporal_servers import dev_server, free_port
from tests.support.cli import COMMAND, CliFixture, environment, throughline
from tests.support.limits import PATIENCE
from tests.support.servers.capturing_smtp import CapturingSmtp

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Deployment:
    """What the processes of a test share: settings for all of them, and the database."""

    cli: CliFixture
    settings: dict[str, object]
    port: int
    running: ExitStack
    log: Path

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """Start a process of the product."""
        with self.log.open("ab") as log:
            process = subprocess.Popen([COMMAND, command], stderr=log, env=environment(**self.settings))
        self.running.callback(process.wait)
        self.running.callback(process.kill)
        return process

    async def throughline(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return await asyncio.to_thread(throughline, *arguments, given=given, settings=self.settings)

    async def said(self, words: str) -> None:
        """Wait until a process has logged some words."""
        await self.until(lambda: words in self.log.read_text(encoding="utf-8"))

    async def until(self, holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait until something holds. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110 - what is waited for lies in other processes
                await asyncio.sleep(0.05)

    async def onboarding(self, profile: str) -> Onboarding:
        """An onboarding, once it is planned."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for row in await self.cli.all(Onboarding):
                    if row.profile_id == profile and row.next_at:
                        assert isinstance(row, Onboarding)
                        return row
                await asyncio.sleep(0.05)


@pytest.fixture
async def deployment(cli: CliFixture, smtp_sink: CapturingSmtp) -> AsyncIterator[Deployment]:
    """A Temporal dev server, a mail server and a database; no process of the product runs yet."""
    host, smtp_port = smtp_sink.address
    port = free_port()
    with ExitStack() as running:
        async with dev_server(None) as server:
            log = cli.folder / "log.txt"
            log.touch()
            yield Deployment(
                cli,
                {
                    "TEMPORAL_ADDRESS": f"127.0.0.1:{server.port}",
                    "THROUGHLINE_DATABASE": cli.url,
                    "THROUGHLINE_SECRET": "a secret of sixteen and more",
                    "THROUGHLINE_WEBHOOK_SECRET": SECRET,
                    "THROUGHLINE_PORT": port,
                    "THROUGHLINE_SMTP_HOST": host,
                    "THROUGHLINE_SMTP_PORT": smtp_port,
                    "THROUGHLINE_ALLOW": '["*@example.org"]',
                },
                port,
                running,
                log,
            )
            running.close()


@pytest.mark.rule("STA1", "STA3", "ONB5", "MAIL2", "MAIL3")
async def test_event_staff_act_and_resend_work_across_processes(
    deployment: Deployment, smtp_sink: CapturingSmtp
) -> None:
    worker, gateway = deployment.start("worker"), deployment.start("gateway")
    await deployment.said("gateway_started")

    events = [
        {
            "type": "member.updated",
            "data": {"member": "eva", "name": "Eva", "email": "eva@example.org", "standing": "good"},
        },
        {"type": "profile.created", "data": {"profile": "p-eva", "member": "eva", "role": "mentee"}},
    ]
    sent = await deployment.throughline("event", "send", "-", given="\n".join(map(json.dumps, events)))
    assert (sent.returncode, sent.stdout) == (0, "2 accepted\n"), sent.stderr
    await deployment.onboarding("p-eva")

    act = ("--reason", "asked for it", "--actor", "lina", "--json")
    done = await deployment.throughline("staff", "extend", "onboarding/p-eva", "--check-ins", "1", *act)
    assert done.returncode == 0, done.stderr
    assert [(each["change"], each["number"]) for each in json.loads(done.stdout)["changes"]] == [("added", 5)]
    done = await deployment.throughline("staff", "pause", "onboarding/p-eva", *act)
    assert json.loads(done.stdout)["state"] == "paused"
    again = await deployment.throughline("staff", "pause", "onboarding/p-eva")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "onboarding/p-eva: it is paused already\n"
    done = await deployment.throughline("staff", "cancel", "onboarding/p-eva", *act)
    assert {each["change"] for each in json.loads(done.stdout)["changes"]} == {"not_sent"}
    over = await deployment.throughline("staff", "resume", "onboarding/p-eva")
    assert over.returncode == 1
    assert len(over.stderr.splitlines()) == 1
    acts = [record for record in await deployment.cli.all(AuditRecord) if record.kind == "act"]
    assert [(record.data["act"], record.actor, record.veiled) for record in acts] == [
        (name, "lina", {"reason": "asked for it"}) for name in ("extend", "pause", "cancel")
    ]

    cli = deployment.cli
    async with cli.database.begin() as session:
        row = await ledger.locked(session, "onboarding/p-ana", "check-in/1")
        assert row is not None
        await ledger.decide(session, row, "failed", "the content was refused (554)", cli.now)
    resent = await deployment.throughline(
        "mail", "resend", row.delivery, "--reason", "fixed", "--actor", "lina"
    )
    assert resent.returncode == 0, resent.stderr
    received = await smtp_sink.wait_for(1)
    assert received[0].recipients == ("ana@example.org",)
    rows = {
        (each.step, each.occurrence): each.state
        for each in await cli.all(Message)
        if each.workflow == "onboarding/p-ana"
    }
    assert rows["check-in", ledger.FIRST_RESEND_OCCURRENCE] == "sent"
    assert rows["check-in", 1] == "failed"

    for process in (worker, gateway):
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 30) == 0
    assert "Traceback" not in deployment.log.read_text(encoding="utf-8")


async def test_direct_events_are_stored_and_gateway_refusals_are_shown(deployment: Deployment) -> None:
    event = {"id": "1", "type": "profile.withdrawn", "data": {"profile": "p-bob", "channel": "app"}}
    direct = await deployment.throughline("event", "send", "-", "--direct", given=json.dumps(event))
    ignored = "data.channel: ignored, as profile.withdrawn has no such field"
    assert (direct.returncode, direct.stdout) == (0, f"1 accepted\n{ignored}\n"), direct.stderr
    again = await deployment.throughline("event", "send", "-", "--direct", "--json", given=json.dumps(event))
    assert json.loads(again.stdout) == {"accepted": 0, "known": 1, "ignored": ["/0/data/channel"]}
    (stored,) = await deployment.cli.all(Event)
    assert stored.ignored == ["/data/channel"]

    away = await deployment.throughline("event", "send", "-", given=json.dumps(event))
    assert (away.returncode, len(away.stderr.splitlines())) == (1, 1)
    assert "cannot be reached" in away.stderr
    deployment.start("gateway")
    await deployment.said("gateway_started")
    async with httpx.AsyncClient() as client:
        address = f"http://127.0.0.1:{deployment.port}"
        assert (await client.get(f"{address}/events")).status_code == 405
    deployment.settings["THROUGHLINE_WEBHOOK_SECRET"] = "whsec_" + "C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    refused = await deployment.throughline("event", "send", "-", given=json.dumps(event))
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"{address} answered 401: ")


@pytest.mark.rule("MAIL8")
async def test_process_refuses_the_database_of_another_deployment(deployment: Deployment) -> None:
    async with deployment.cli.database.begin() as session:
        session.add(Environment(id=1, name="production"))
    for command in ("worker", "gateway"):
        copy = await deployment.throughline(command)
        assert copy.returncode == 1
        assert "belongs to environment 'production'" in copy.stderr
        assert len(copy.stderr.splitlines()) == 1
    adopted = await deployment.throughline("db", "adopt")
    assert (adopted.returncode, adopted.stderr) == (0, "")
    nowhere = {**deployment.settings, "TEMPORAL_NAMESPACE": "nowhere"}
    lost = await asyncio.to_thread(throughline, "worker", settings=nowhere)
    assert (lost.returncode, len(lost.stderr.splitlines())) == (1, 1)
    assert "has no namespace 'nowhere'" in lost.stderr
    deployment.settings["THROUGHLINE_SECRET"] = "another secret of sixteen"
    other = await deployment.throughline("gateway")
    assert (other.returncode, other.stdout) == (1, "")
    assert "none in common" in other.stderr


@pytest.mark.parametrize("command", ["worker", "gateway"])
async def test_process_without_temporal_or_database_exits_with_one_line(
    cli: CliFixture, command: str
) -> None:
    settings = {
        "THROUGHLINE_DATABASE": cli.url,
        "THROUGHLINE_SECRET": "a secret of sixteen and more",
        "THROUGHLINE_WEBHOOK_SECRET": SECRET,
        "TEMPORAL_ADDRESS": "127.0.0.1:1",
    }
    for setting, words in (
        ({}, "Temporal cannot be reached at 127.0.0.1:1"),
        ({"THROUGHLINE_DATABASE": "postgresql://127.0.0.1:1/none"}, "cannot be reached"),
        ({"THROUGHLINE_SECRET": "short"}, "THROUGHLINE_SECRET"),
    ):
        ended = await asyncio.to_thread(throughline, command, settings={**settings, **setting})
        said = [line for line in ended.stderr.splitlines() if "[warning" not in line]
        assert (ended.returncode, len(said)) == (1, 1), ended.stderr
        assert words in said[0]


async def test_worker_without_its_mail_server_exits_with_one_line(deployment: Deployment) -> None:
    settings = {**deployment.settings, "THROUGHLINE_SMTP_PORT": free_port()}
    ended = await asyncio.to_thread(throughline, "worker", settings=settings)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("the mail server 127.0.0.1:")
    assert "Traceback" not in ended.stderr


async def test_gateway_with_a_taken_port_says_so(deployment: Deployment) -> None:
    with socket.create_server(("127.0.0.1", deployment.port)):
        taken = await deployment.throughline("gateway")
    assert taken.returncode == 1
    assert taken.stderr.splitlines()[-1].startswith(f"127.0.0.1:{deployment.port}: ")


async def test_act_on_a_closed_lifecycle_is_refused_without_a_worker(deployment: Deployment) -> None:
    started = datetime.now().astimezone()
    said = await deployment.throughline("staff", "cancel", "onboarding/p-ana")
    assert (said.returncode, said.stderr) == (1, "onboarding/p-ana is closed, or was never started\n")
    assert datetime.now().astimezone() - started < timedelta(seconds=30)
