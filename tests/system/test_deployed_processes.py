"""The commands and settings of the compose file as plain processes: worker and gateway, on PostgreSQL and Temporal."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client
from temporalio.worker import Replayer

from database.session import Database
from embedded.temporal_servers import HOST, free_port
from gateway.webhook_signatures import sign_events
from tests.support.cli import COMMAND, environment
from tests.support.limits import PATIENCE
from tests.support.processes import TemporalServer
from tests.support.servers.hostile_smtp import Answer, HostileSmtp, Session, say
from tests.support.servers.otlp_receiver import OtlpReceiver
from tests.support.servers.postgres_server import PostgresServer
from worker.workflow_runtime import WORKFLOWS, workflow_runner

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
EVENTS = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
GIVEN = {
    "POSTGRES_PASSWORD": "none",
    "THROUGHLINE_KEYS": "q3JtV0yZ8nKfX2sLw7RbC5uHgE1dPaMo",
    "THROUGHLINE_WEBHOOK_SECRET": EVENTS,
    "THROUGHLINE_BASE_URL": "https://mentoring.example.org",
    "THROUGHLINE_ENVIRONMENT": "compose",
    "THROUGHLINE_ALLOW": '["*@example.org"]',
}
"""What `deploy/.env` holds."""

PEOPLE = {
    "m-1": ("Ximena Quintanilla", "x.quintanilla@example.org"),
    "m-2": ("Baltasar Echeverría", "b.echeverria@example.org"),
    "m-3": ("Wolfhild Zuckermann", "w.zuckermann@example.org"),
}
"""Members whose names and addresses are found nowhere else. The mail server refuses the second one."""


def service(name: str) -> tuple[list[str], dict[str, str]]:
    """The command and the environment of a service, as Compose would fill in the variables."""
    found = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"][name]

    def value(match: re.Match[str]) -> str:
        variable, _, default = match[1].partition(":")
        return GIVEN.get(variable, default.removeprefix("-"))

    settings = {
        variable: re.sub(r"\$\{([^}]+)\}", value, str(each))
        for variable, each in found["environment"].items()
    }
    image = (DEPLOY / "Containerfile").read_text().replace(" \\\n", "")
    of_image = dict(re.findall(r"(THROUGHLINE_\w+)=(\S+)", image))
    return found["command"], {**of_image, **{name: each for name, each in settings.items() if each}}


@dataclass
class Deployed:
    """The processes of the compose file, and the servers around them."""

    folder: Path
    temporal: TemporalServer
    smtp: HostileSmtp
    database: str
    client: Client
    collector: OtlpReceiver
    ports: dict[str, int] = field(
        default_factory=lambda: {n: free_port() for n in ("worker", "gateway", "http")}
    )
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, **more: str) -> None:
        """Start a service's command from a folder that is not the repository's, with what it writes in a file."""
        command, settings = service(name)
        assert settings["THROUGHLINE_DATABASE"].startswith("postgresql://throughline:none@postgres:5432/")
        assert settings["TEMPORAL_ADDRESS"] == "temporal:7233"
        here = {
            "THROUGHLINE_DATABASE": self.database,
            "TEMPORAL_ADDRESS": f"{HOST}:{self.temporal.port}",
            "TEMPORAL_NAMESPACE": "default",
            "THROUGHLINE_SMTP_HOST": self.smtp.host,
            "THROUGHLINE_SMTP_PORT": str(self.smtp.port),
            "THROUGHLINE_HEALTH_HOST": HOST,
            "THROUGHLINE_HEALTH_PORT": str(self.ports.get(name, 0)),
            "THROUGHLINE_HOST": HOST,
            "THROUGHLINE_PORT": str(self.ports["http"]),
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",  # milliseconds between two exports
            "FASTAPI_OTEL_AUTO_CONFIGURE": "true",  # its traces would hold the tokens of personal links
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [COMMAND, *command],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env=environment(**{**settings, **here, **more}),
            )

    def said(self) -> str:
        """All that the processes wrote."""
        return "".join(file.read_text(encoding="utf-8") for file in sorted(self.folder.glob("*.log")))

    async def answer(self, name: str, path: str) -> httpx.Response:
        """The answer of a process on its health port, as soon as something listens there."""
        async with httpx.AsyncClient(timeout=20) as client, asyncio.timeout(PATIENCE):
            while True:
                assert self.processes[name].poll() is None, self.said()
                try:
                    return await client.get(f"http://{HOST}:{self.ports[name]}{path}")
                except httpx.ConnectError:
                    await asyncio.sleep(0.1)

    async def until(self, name: str, path: str, holds: Callable[[httpx.Response], bool]) -> httpx.Response:
        """The first answer that is as wanted. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            while not holds(answer := await self.answer(name, path)):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.3)
            return answer

    async def stop(self, name: str) -> int:
        """Send SIGTERM; return the exit status. Raises TimeoutExpired after the time that a container has."""
        self.processes[name].send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.processes[name].wait, 30)

    async def post(self, *events: tuple[str, Mapping[str, Any]], secret: str = EVENTS) -> httpx.Response:
        """Post events to the gateway, signed."""
        bodies = [
            {
                "specversion": "1.0",
                "id": f"{kind}-{index}-{len(data)}-{data.get('member') or data['request']}",
                "source": "/members",
            }
            | {"type": kind, "data": dict(data)}
            for index, (kind, data) in enumerate(events)
        ]
        headers, body = sign_events(secret, bodies)
        async with httpx.AsyncClient(timeout=30) as client:
            address = f"http://{HOST}:{self.ports['http']}"
            return await client.post(f"{address}/events", content=body, headers=headers)


async def refuse_the_second(session: Session) -> None:
    """Answer RCPT as servers do that quote the address and the name."""
    name, email = PEOPLE["m-2"]
    refused = email in session.commands[-1]
    await say(f"550 5.1.1 <{email}>: {name} is unknown here" if refused else "250 2.1.5 Ok").act(session)


@pytest.fixture(scope="module")
async def deployed(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Deployed]:
    """Both processes, ready."""
    folder, name = tmp_path_factory.mktemp("deployed"), postgres.create_database()
    async with AsyncExitStack() as stack:
        smtp = await stack.enter_async_context(HostileSmtp())
        smtp.always("RCPT", Answer(refuse_the_second))
        temporal = TemporalServer(folder / "temporal.db")
        client = await temporal.start()
        stack.push_async_callback(temporal.kill)
        collector = stack.enter_context(OtlpReceiver())
        made = Deployed(folder, temporal, smtp, postgres.url(name).replace("+psycopg", ""), client, collector)
        made.start("migrate")
        assert await asyncio.to_thread(made.processes["migrate"].wait, PATIENCE) == 0, made.said()
        version = {"TEMPORAL_DEPLOYMENT_NAME": "throughline/worker", "TEMPORAL_WORKER_BUILD_ID": "0-3-0"}
        made.start("worker", **version)
        made.start("gateway")
        try:
            await set_current(client, version)
            for each in ("worker", "gateway"):
                await made.until(each, "/readyz", lambda answer: answer.status_code == 200)
            yield made
        finally:
            for process in made.processes.values():
                if process.poll() is None:
                    process.kill()
                process.wait()
    postgres.drop_database(name)


async def set_current(client: Client, version: Mapping[str, str]) -> None:
    """Route work to a version, as the Worker Controller does once its workers have registered it."""
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=client.namespace,
        deployment_name=version["TEMPORAL_DEPLOYMENT_NAME"],
        build_id=version["TEMPORAL_WORKER_BUILD_ID"],
        identity="test",
    )
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await client.workflow_service.set_worker_deployment_current_version(request)
                return
            except Exception:
                await asyncio.sleep(0.5)


def joins(member: str, role: str) -> list[tuple[str, dict[str, Any]]]:
    name, email = PEOPLE[member]
    return [
        ("member.updated", {"member": member, "name": name, "email": email, "standing": "good"}),
        ("profile.created", {"profile": f"p-{member}", "member": member, "role": role}),
    ]


async def live(deployed: Deployed) -> None:
    """Have two mentors, one refused by the mail server, asked by a mentee, and wait for the mail about it."""
    answer = await deployed.post(*joins("m-1", "mentor"), *joins("m-2", "mentor"), *joins("m-3", "mentee"))
    assert answer.status_code == 202, answer.text
    for member in ("m-1", "m-2"):
        asked = {"request": f"r-{member}", "mentee": "p-m-3", "mentor": f"p-{member}"}
        assert (await deployed.post(("request.created", asked))).status_code == 202
    database = Database(deployed.database)
    try:
        await until_decided(database)
    finally:
        await database.close()


@pytest.mark.rule("MEM6")
async def test_no_name_and_no_address_is_in_the_output_of_a_life(deployed: Deployed) -> None:
    """Two mentors, one refused by the mail server with words about them, a mentee, and hostile requests."""
    await live(deployed)
    await be_hostile(deployed)
    said = deployed.said()
    assert "worker_started" in said
    assert "signature_refused" in said
    hidden = [
        word for name, email in PEOPLE.values() for word in (*name.split(), email, email.partition("@")[0])
    ]
    assert [word for word in hidden if word.lower() in said.lower()] == []
    traced = deployed.collector.written().lower()
    assert [word for word in (*hidden, "hunter2") if word.lower().encode() in traced] == []
    assert not re.search(r"[\w.]+@example\.org|hunter2|whsec_", said)
    for line in said.splitlines():
        if line.startswith("{"):
            assert {"event", "level", "timestamp"} <= json.loads(line).keys()


SMTP = "handed over by SMTP"

ON_THE_WAY = (
    *("events received", "commands sent", "StartWorkflow:Request"),
    *("StartActivity:send_mail", "RunActivity:send_mail", "message", SMTP),
)
"""The spans from the receipt of a request to the mail server's answer, each below the one before it."""


async def test_one_trace_leads_from_a_posted_event_to_the_smtp_server(deployed: Deployed) -> None:
    """Its workflow replays without the interceptor that wrote the trace into its headers."""
    await live(deployed)
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while ON_THE_WAY not in ways_to(SMTP, deployed.collector):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.3)
    ways = ways_to(SMTP, deployed.collector)
    assert ON_THE_WAY in ways
    services = {span.name: service for service, span in deployed.collector.spans()}
    assert (services["events received"], services[SMTP]) == ("throughline-gateway", "throughline-worker")
    # The inbox serves everybody: no trace goes on in it.
    assert not any("Inbox" in name for way in ways for name in way)
    history = await deployed.client.get_workflow_handle("request/r-m-1").fetch_history()
    assert b"traceparent" in b"".join(event.SerializeToString() for event in history.events)
    await Replayer(workflows=WORKFLOWS, workflow_runner=workflow_runner()).replay_workflow(history)


def ways_to(name: str, collector: OtlpReceiver) -> set[tuple[str, ...]]:
    """The names of the spans above each span of a name, from the root on."""
    known = {span.span_id: span for _, span in collector.spans()}
    ways = set()
    for span in [span for span in known.values() if span.name == name]:
        way, trace = [span.name], span.trace_id
        while (parent := known.get(span.parent_span_id)) is not None:
            assert parent.trace_id == trace
            way.append(parent.name)
            span = parent
        ways.add(tuple(reversed(way)))
    return ways


async def until_decided(database: Database) -> None:
    """Wait until mail about both requests went out or was refused."""
    from sqlalchemy import func, select

    from database.models import Message

    query = select(func.count()).where(Message.workflow.like("request/%"), Message.decided_at.is_not(None))
    async with asyncio.timeout(PATIENCE):
        while True:
            async with database.reading() as session:
                if (await session.scalar(query) or 0) >= 2:
                    return
            await asyncio.sleep(0.3)


async def be_hostile(deployed: Deployed) -> None:
    """Send what a log might quote: a password, a token, a name in a path, bodies that are none."""
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{deployed.ports['http']}", timeout=30) as client:
        secret = {"authorization": "Bearer hunter2hunter2", "cookie": "session=hunter2hunter2"}
        await client.get(
            "/l/WyJleHRlbmQiLCJ4LnF1aW50YW5pbGxhQGV4YW1wbGUub3JnIl0.hunter2hunter2", headers=secret
        )
        await client.get(f"/staff/people?q={PEOPLE['m-1'][0]}", headers=secret)
        await client.post("/events", content=b"\xff Ximena Quintanilla", headers=secret)
        await client.post("/bounces/ses", content=b'{"Message": "x.quintanilla@example.org"}')
    wrong = await deployed.post(*joins("m-1", "mentor"), secret="whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
    assert wrong.status_code == 401


async def test_every_metric_of_alerts_and_dashboard_is_exported(deployed: Deployed) -> None:
    """One workflow of a type that nobody has makes Temporal's SDK count a workflow task that failed."""
    handle = await deployed.client.start_workflow("NoSuchType", id="no-such-type", task_queue="throughline")
    wanted = {
        name
        for file in ("alerts.yaml", "dashboard.json")
        for name in metrics_of(DEPLOY / "monitoring" / file)
    }
    assert len(wanted) > 15
    failed = "temporal_workflow_task_execution_failed_total"
    scraped = await deployed.until("worker", "/metrics", lambda answer: failed in answer.text)
    await handle.terminate()
    exported = exported_by(scraped.text)
    assert wanted - exported == set()
    gateway = exported_by((await deployed.answer("gateway", "/metrics")).text)
    ours = {name for name in wanted if name.startswith(("throughline_", "process_"))}
    assert ours - gateway == {"throughline_mail_login_refused"}
    for member in PEOPLE:
        assert member not in scraped.text


def metrics_of(file: Path) -> set[str]:
    """The metrics that a file of rules or panels names."""
    return set(re.findall(r"\b(?:throughline|temporal|process)_[a-z0-9_]+\b", file.read_text()))


def exported_by(text: str) -> set[str]:
    """The metrics of a scrape; those of a histogram by each of their names."""
    declared = re.findall(r"^# TYPE (\S+) (\w+)", text, re.MULTILINE)
    return {name for name, _ in declared} | {
        f"{name}_bucket" for name, kind in declared if kind == "histogram"
    }


async def test_worker_that_registered_a_version_takes_work(deployed: Deployed) -> None:
    await live(deployed)
    description = await deployed.client.get_workflow_handle("onboarding/p-m-3").describe()
    info = description.raw_description.workflow_execution_info.versioning_info
    assert info.deployment_version.build_id == "0-3-0"
    assert info.behavior == 2, "AUTO_UPGRADE: it follows the current version"


async def test_lost_temporal_is_not_ready_and_both_stop_gracefully(deployed: Deployed) -> None:
    """The last test of the module: it takes the servers away."""
    await deployed.temporal.kill()
    for name in ("worker", "gateway"):
        answer = await deployed.until(name, "/readyz", lambda answer: answer.status_code == 503)
        parts = answer.json()["parts"]
        assert (parts["temporal"]["ready"], parts["database"]["ready"]) == (False, True)
        assert (await deployed.answer(name, "/healthz")).status_code == 200
    for name in ("gateway", "worker"):
        assert await deployed.stop(name) == 0, deployed.said()
