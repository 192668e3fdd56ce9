"""Mail: rendering, a durable delivery against the least that one could write by hand, and the pool of connections.

Each ratio is of two things measured in turn in one run, on the same server, database and sink; figures drift from
machine to machine, ratios hold.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import aiosmtplib
from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from activities.delivery import SendMail
from benchmarks._by_hand import ByHand
from database import ledger
from database.links import Links
from database.models import Member, Profile
from database.session import Database
from embedded.mail_catcher import MailCatcher
from embedded.temporal_servers import dev_server
from mail.allowlist import RecipientAllowlist
from mail.composer import Composer
from mail.mime import MailEnvelope, build_mail
from mail.samples import sample_context
from mail.smtp.channel import SmtpChannel
from mail.smtp.settings import SmtpSettings
from rules.agenda import PlannedMail
from worker.assembly import Components, Composers, load_programs, workers
from worker.workflow_runtime import workflow_runner
from workflows.resend import ResendWorkflow

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ("en", "es")
ROUNDS = 9
MAILS = 30
AT_ONCE = 12
CONTENT = b"Subject: hello\r\n\r\nThis is the message.\r\n"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: what was measured, what came out, and the bar that it is held to."""

    what: str
    measured: str
    bar: str = ""
    met: bool | None = None


# --- rendering


def rendering(seconds: float = 2.0) -> list[Figure]:
    """Subject, text and HTML of every message in both languages, warm; then with MIME."""
    composer = Composer(ROOT / "templates" / "mail", [])
    jobs = [
        (name, number, language, sample_context(name, number, language))
        for name, number, language in composer.written()
        if language in LANGUAGES
    ]
    envelope = MailEnvelope(
        message_id="<d-1@example.org>",
        date=datetime(2028, 3, 13, 13, tzinfo=UTC),
        from_name="Lina",
        from_address="mail@example.org",
        reply_to="mentoring@example.org",
        to_name="Ana Pérez",
        to_address="ana@example.org",
        delivery="0" * 32,
        language="es",
    )
    composed = [composer.compose(*job) for job in jobs]

    def compose() -> None:
        for job in jobs:
            composer.compose(*job)

    def pack() -> None:
        for one in composed:
            build_mail(one, envelope)

    text_rate, pack_rate = (len(jobs) / _seconds_of(work, seconds) for work in (compose, pack))
    both = 1 / (1 / text_rate + 1 / pack_rate)
    return [
        Figure("rendering, messages a second", f"{text_rate:,.0f}", "≥ 1,000", text_rate >= 1000),
        Figure("rendering with MIME, messages a second", f"{both:,.0f}", "≥ 1,000", both >= 1000),
    ]


def _seconds_of(work: Callable[[], None], budget: float) -> float:
    """The median time of one turn of `work`, tried for about `budget` seconds of processor time."""
    turns: list[float] = []
    until = time.process_time() + budget
    while time.process_time() < until or len(turns) < 3:
        began = time.process_time()
        work()
        turns.append(time.process_time() - began)
    return statistics.median(turns)


# --- a durable delivery


class HandWritten:
    """The activity of `ByHand`: a row is inserted, a fixed message sent; no claim, no rendering, no decision."""

    def __init__(self, database: Database, channel: SmtpChannel) -> None:
        self._database = database
        self._channel = channel

    @activity.defn
    async def insert_and_send(self, number: str) -> None:
        """Insert a row and send a fixed message."""
        async with self._database.begin() as session:
            await session.execute(text("INSERT INTO by_hand (number) VALUES (:number)"), {"number": number})

        async def nothing() -> None:
            return None

        await self._channel.deliver("mail@example.org", "ana@example.org", CONTENT, before_last_byte=nothing)


@asynccontextmanager
async def _bench(folder: Path) -> AsyncIterator[tuple[Client, Database, MailCatcher]]:
    """Server with its file, both kinds of worker, a member to write to, and the sink."""
    async with AsyncExitStack() as stack:
        database = Database(f"sqlite:///{folder / 'throughline.db'}")
        stack.push_async_callback(database.close)
        await database.upgrade()
        now = datetime.now(UTC)
        async with database.begin() as session:
            await session.execute(text("CREATE TABLE by_hand (number TEXT PRIMARY KEY)"))
            session.add(
                Member(
                    id="ana",
                    name="Ana Pérez",
                    email="ana@example.org",
                    standing="good",
                    standing_since=now,
                    updated_at=now,
                )
            )
            await session.flush()
            session.add(
                Profile(
                    id="p-ana",
                    member_id="ana",
                    role="mentor",
                    program="asis-global",
                    created_at=now,
                    updated_at=now,
                )
            )
        sink = MailCatcher()
        await sink.start()
        stack.push_async_callback(sink.stop)
        temporal = await stack.enter_async_context(dev_server(folder / "temporal.db"))
        channel = SmtpChannel(SmtpSettings(host=sink.host, port=sink.port, pool_size=4))
        stack.push_async_callback(channel.aclose)
        parts = Components(
            database,
            load_programs(ROOT / "programs"),
            Composers(ROOT / "templates" / "mail", ROOT / "programs"),
            channel,
            Links("https://mentoring.example.org", "a secret for measuring only"),
            RecipientAllowlist(production=True),
            environment="bench",
        )
        await stack.enter_async_context(workers(temporal.client, parts))
        by_hand = Worker(
            temporal.client,
            task_queue="by-hand",
            workflows=[ByHand],
            activities=[HandWritten(database, channel).insert_and_send],
            max_concurrent_activities=8,
            workflow_runner=workflow_runner(),
        )
        await stack.enter_async_context(by_hand)
        yield temporal.client, database, sink


async def durable_mail() -> list[Figure]:
    """Our delivery (workflow, activity, ledger, SMTP) against `ByHand`, in turns."""
    with tempfile.TemporaryDirectory(prefix="throughline-bench-") as folder:
        async with _bench(Path(folder)) as (client, database, sink):

            async def ours(number: str) -> None:
                await client.execute_workflow(
                    ResendWorkflow.run,
                    SendMail(f"onboarding/{number}", ["mentor.welcome/1"]),
                    id=f"resend/{number}",
                    task_queue="throughline",
                )

            async def theirs(number: str) -> None:
                await client.execute_workflow(ByHand.run, number, id=number, task_queue="by-hand")

            await _rate(theirs, 8)
            await _plan(database, warm := [uuid4().hex for _ in range(8)])
            await _rate(ours, numbers=warm)
            pairs = []
            for _ in range(ROUNDS):
                by_hand = await _rate(theirs, MAILS)
                await _plan(database, numbers := [uuid4().hex for _ in range(MAILS)])
                pairs.append((await _rate(ours, numbers=numbers), by_hand))
            assert len(sink.caught) == 2 * (8 + ROUNDS * MAILS), "each mail once"
    mine, hand = (statistics.median(rates) for rates in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    return [
        Figure("durable mails a second, by hand", f"{hand:,.1f}"),
        Figure("durable mails a second, ours", f"{mine:,.1f}"),
        Figure("durable mails, as a ratio", f"{ratio:.2f}", "≥ 0.9", ratio >= 0.9),
    ]


async def _plan(database: Database, numbers: list[str]) -> None:
    now = datetime.now(UTC)
    async with database.begin() as session:
        for number in numbers:
            mail = PlannedMail("mentor.welcome", now, "mentor.welcome", "p-ana")
            name = f"onboarding/{number}"
            await ledger.plan(session, name, "asis-global", [mail], now, "", {"p-ana": "ana"})


async def _rate(
    job: Callable[[str], Awaitable[None]],
    count: int = 0,
    *,
    numbers: list[str] | None = None,
    at_once: int = AT_ONCE,
) -> float:
    """How many jobs a second get done, `at_once` at a time."""
    waiting = list(numbers or [uuid4().hex for _ in range(count)])
    total = len(waiting)

    async def work() -> None:
        while waiting:
            await job(waiting.pop())

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(at_once)))
    return total / (time.perf_counter() - began)


# --- the pool


@asynccontextmanager
async def _far(sink: MailCatcher, delay: float) -> AsyncIterator[int]:
    """A port behind which the sink answers so many seconds late, however many answers are on their way."""
    loop = asyncio.get_running_loop()

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**16):
            writer.write(data)
        writer.close()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**16):
            loop.call_later(delay, writer.write, data)
        loop.call_later(delay, writer.close)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(sink.host, sink.port)
        with suppress(ConnectionError):
            await asyncio.gather(ask(reader, inner_writer), answer(inner_reader, writer))

    server = await asyncio.start_server(pass_on, sink.host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def pool() -> list[Figure]:
    """Connections that are kept against a new one for each mail, four at once each, to a near and to a far sink."""
    sink = MailCatcher()
    await sink.start()
    figures = await _kept_against_new(sink.host, sink.port, "near", 400, 1)
    async with _far(sink, 0.01) as port:
        figures += await _kept_against_new(sink.host, port, "10 ms away", 100, 3)
    await sink.stop()
    return figures


async def _kept_against_new(host: str, port: int, where: str, count: int, bar: int) -> list[Figure]:
    async def nothing() -> None:
        return None

    channel = SmtpChannel(SmtpSettings(host=host, port=port, pool_size=4))

    async def kept(_: str) -> None:
        await channel.deliver("mail@example.org", "ana@example.org", CONTENT, before_last_byte=nothing)

    async def by_hand(_: str) -> None:
        await aiosmtplib.send(
            CONTENT, sender="mail@example.org", recipients=["ana@example.org"], hostname=host, port=port
        )

    pairs = []
    for _ in range(ROUNDS):
        pooled = await _rate(kept, count, at_once=4)
        pairs.append((pooled, await _rate(by_hand, count // 2, at_once=4)))
    await channel.aclose()
    mine, other = (statistics.median(rates) for rates in zip(*pairs, strict=True))
    ratio = statistics.median(one / two for one, two in pairs)
    return [
        Figure(f"server {where}: mails a second, a connection each", f"{other:,.0f}"),
        Figure(f"server {where}: mails a second, pool of 4", f"{mine:,.0f}"),
        Figure(f"server {where}: as a ratio", f"{ratio:.2f}", f"> {bar}", ratio > bar),
    ]


SHOWN: list[Figure] = []
"""All figures that were printed so far."""


def show(figures: list[Figure], title: str) -> None:
    """Print figures as a table."""
    SHOWN.extend(replace(figure, what=f"{title}: {figure.what}") for figure in figures)
    table = Table(title=title)
    for column in ("what", "measured", "bar", ""):
        table.add_column(column, justify="left" if column == "what" else "right")
    for figure in figures:
        met = "" if figure.met is None else "met" if figure.met else "MISSED"
        table.add_row(figure.what, figure.measured, figure.bar, met)
    Console().print(table)


def main() -> None:
    """Measure and print."""
    show([*rendering(), *asyncio.run(pool()), *asyncio.run(durable_mail())], "Mail")


if __name__ == "__main__":
    main()
