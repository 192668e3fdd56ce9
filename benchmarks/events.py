"""Events in: signed batches over HTTP until they are applied, against rows and bare starts or signals by hand.

By hand, a row is inserted for each event, in batches of the same size. A workflow without any activity is started for
each event that starts a lifecycle, or signalled for each that changes one. Both run in turn on the same server; our
worker and gateway share the process with the client, as the worker by hand does.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import func, select, text
from temporalio.client import Client
from temporalio.worker import Worker

from benchmarks._by_hand import Bare
from benchmarks.mail import ROOT, Figure, show
from database.links import Links
from database.models import Event
from database.session import Database
from embedded.mail_catcher import MailCatcher
from embedded.temporal_servers import dev_server
from gateway.app import create_app
from gateway.services import services_on
from gateway.webhook_signatures import sign_events
from mail.allowlist import RecipientAllowlist
from mail.smtp.channel import SmtpChannel
from mail.smtp.settings import SmtpSettings
from worker.assembly import Components, Composers, load_programs, workers
from worker.workflow_runtime import workflow_runner

EVENTS = 5_000
BATCH = 100
AT_ONCE = 16
BAR = 1.5
SECRET = "whsec_" + "dGhyb3VnaGxpbmUgbWVhc3VyZXM="
TIMEOUT = 600.0


@dataclass(frozen=True, slots=True)
class Bench:
    """Server, database and gateway, with workers of ours and by hand."""

    client: Client
    database: Database
    http: httpx.AsyncClient


@asynccontextmanager
async def _bench(folder: Path) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        database = Database(f"sqlite:///{folder / 'throughline.db'}")
        stack.push_async_callback(database.close)
        await database.upgrade()
        async with database.begin() as session:
            await session.execute(text("CREATE TABLE by_hand (number TEXT PRIMARY KEY, data TEXT)"))
        sink = MailCatcher()
        await sink.start()
        stack.push_async_callback(sink.stop)
        temporal = await stack.enter_async_context(dev_server(folder / "temporal.db"))
        channel = SmtpChannel(SmtpSettings(host=sink.host, port=sink.port))
        stack.push_async_callback(channel.aclose)
        links = Links("https://mentoring.example.org", "a secret for measuring only")
        parts = Components(
            database,
            load_programs(ROOT / "programs"),
            Composers(ROOT / "templates" / "mail", ROOT / "programs"),
            channel,
            links,
            RecipientAllowlist(production=True),
            environment="bench",
        )
        await stack.enter_async_context(workers(temporal.client, parts))
        by_hand = Worker(
            temporal.client, task_queue="by-hand", workflows=[Bare], workflow_runner=workflow_runner()
        )
        await stack.enter_async_context(by_hand)
        services = services_on(
            temporal.client, database=database, programs=parts.programs, links=links, letters=parts.letters
        )
        app = create_app(services, webhook_secrets=[SECRET])
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app)
        http = httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=60)
        yield Bench(temporal.client, database, await stack.enter_async_context(http))


def joining(count: int, mark: str) -> list[dict[str, Any]]:
    """Members, and a profile of each: every second event starts an onboarding."""
    events = []
    for number in range(count // 2):
        name = f"{mark}-{number}"
        member = {"member": name, "name": name, "email": f"{name}@example.org", "standing": "good"}
        events.append(("member.updated", member))
        events.append(("profile.created", {"profile": name, "member": name, "role": "mentee"}))
    return _envelopes(events, mark)


def changing(count: int, mark: str) -> list[dict[str, Any]]:
    """Another zone for each of these members in turn: their open onboardings plan again."""
    members = count // 2
    events = []
    for number in range(count):
        name = f"{mark}-{number % members}"
        member = {"member": name, "name": name, "email": f"{name}@example.org", "standing": "good"}
        zone = "America/Bogota" if number < members else "Europe/Madrid"
        events.append(("member.updated", {**member, "time_zone": zone}))
    return _envelopes(events, f"{mark}-again")


def _envelopes(events: Sequence[tuple[str, dict[str, Any]]], mark: str) -> list[dict[str, Any]]:
    now = datetime.now(UTC).isoformat()
    common = {"specversion": "1.0", "source": "/bench", "time": now}
    return [
        {**common, "id": f"{mark}-{number}", "type": kind, "data": data}
        for number, (kind, data) in enumerate(events)
    ]


async def _ours(bench: Bench, events: Sequence[dict[str, Any]]) -> float:
    """Send events in batches, and wait until all are applied; seconds."""
    began = time.perf_counter()
    for first in range(0, len(events), BATCH):
        headers, body = sign_events(SECRET, events[first : first + BATCH])
        answer = await bench.http.post("/events", content=body, headers=headers)
        assert answer.status_code == 202, answer.text
    async with asyncio.timeout(TIMEOUT):
        while await _unapplied(bench.database):  # noqa: ASYNC110 - the database notifies nobody
            await asyncio.sleep(0.05)
    return time.perf_counter() - began


async def _unapplied(database: Database) -> int:
    async with database.reading() as session:
        query = select(func.count()).select_from(Event).where(Event.state != "applied")
        return int(await session.scalar(query) or 0)


async def _by_hand(bench: Bench, events: Sequence[dict[str, Any]], starts: set[int]) -> float:
    """Insert a row for each event, and start or signal a bare workflow for those that reach one; seconds."""
    began = time.perf_counter()
    for first in range(0, len(events), BATCH):
        rows = [
            {"number": event["id"], "data": str(event["data"])} for event in events[first : first + BATCH]
        ]
        async with bench.database.begin() as session:
            await session.execute(text("INSERT INTO by_hand VALUES (:number, :data)"), rows)
    waiting = list(range(len(events)))[::-1]

    async def work() -> None:
        while waiting:
            number = waiting.pop()
            data = events[number]["data"]
            name = f"by-hand/{data['member']}"
            if number in starts:
                await bench.client.start_workflow(Bare.run, id=name, task_queue="by-hand")
            elif not starts:
                await bench.client.get_workflow_handle(name).signal(Bare.changed)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return time.perf_counter() - began


async def measure(count: int = EVENTS) -> list[Figure]:
    """Let that many events come in of either kind, ours and by hand."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="throughline-bench-") as folder:
        async with _bench(Path(folder)) as bench:
            mark = uuid4().hex[:6]
            begin, change = joining(count, mark), changing(count, mark)
            profiles = {number for number, event in enumerate(begin) if event["type"] == "profile.created"}
            for what, events, starts in (("starts", begin, profiles), ("changes", change, set[int]())):
                hand = await _by_hand(bench, events, starts)
                ours = await _ours(bench, events)
                ratio = ours / hand
                figures += [
                    Figure(f"{what}: events a second, by hand", f"{count / hand:,.0f}"),
                    Figure(f"{what}: events a second, ours", f"{count / ours:,.0f}"),
                    Figure(f"{what}: as a ratio of times", f"{ratio:.2f}", f"≤ {BAR}", ratio <= BAR),
                ]
    return figures


def main() -> None:
    """Measure and print."""
    show(asyncio.run(measure()), f"{EVENTS:,} events in, in batches of {BATCH}")


if __name__ == "__main__":
    main()
