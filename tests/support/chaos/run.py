"""A chaos run: many lives through a deployment whose parts are taken away, and the count at the mail server.

What the rules owe comes from the reference model, which knows neither workflows nor database nor mail. What was
received comes from the mail server. The ledger is asked only about what the two do not agree on.
"""

from __future__ import annotations

import asyncio
import random
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from database import ledger
from database.models import DECISIONS, AuditRecord, Event, Message
from rules.agenda import GRACE_PERIOD, MINUTE
from tests.support.chaos.deployment import Deployment, deployment
from tests.support.chaos.lives import Happening, Lives, OwedMail
from tests.support.limits import PATIENCE
from tests.support.processes import KEYS
from tests.support.servers.postgres_server import PostgresServer

UPKEEP = ("digest/", "checkpoint/")
"""What mails staff about the program itself. It follows from no lifecycle, and the reference has none of it."""

HEARTBEAT = timedelta(seconds=25)
"""Program time after which Temporal gives a dead worker's activity to another one."""

BURST = 3
"""Messages that leave at an instant at which a fault strikes."""

PATIENT = timedelta(days=10)
"""How long a fault waits for such an instant."""

WORKER_ENDED = "the worker ended between the last byte and the server's answer"

STALLED = 1.5
"""Seconds in which nothing moves, after which a little program time passes."""

MOST_STALLS = 80
"""How often in a row that is tried. A machine that is busy moves within the time of a few."""

HOUR = timedelta(hours=1)
"""The longest time until a message that the mail server did not take is tried again (MAIL3)."""

HOURS_OF_RETRIES = 12
"""How long the end waits for such messages, in program time."""

OUTAGES = ("smtp away", "smtp busy", "smtp drops after the body")
"""Faults that last: until something else has come due, hours of program time later."""

CRASHES = ("worker killed", "all workers killed", "Temporal restarted", "PostgreSQL restarted")
"""Faults that strike amid a burst of messages."""


class ChaosStalled(RuntimeError):
    """Something that is due is not done, though all parts are there."""


@dataclass
class ChaosCount:
    """What came of a run, counted at the mail server against what the rules owe."""

    owed: int = 0
    received: Counter[str] = field(default_factory=Counter)
    """How often the mail server has each delivery."""
    rows: list[Message] = field(default_factory=list)
    """The ledger."""
    decided: Counter[str] = field(default_factory=Counter)
    """How many decisions the audit record has for each delivery."""
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    not_owed: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)
    without_cause: list[str] = field(default_factory=list)
    """Ambiguous ones whose sender got its answer and lived."""
    joined: int = 0
    """Messages of a claim that the mail of another claim of the same person spoke for (CPE7)."""
    overtaken: int = 0
    """Messages that an outage held until the answer that they ask for had come (MAIL4)."""
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def owed_and_received(self) -> int:
        """How many owed messages the mail server has."""
        return self.received.total() - sum(n for each, n in self.received.items() if each in self._upkeep())

    def trouble(self) -> list[str]:
        """Return a line for each message or event that breaks a promise."""
        named = {
            "lost": self.lost,
            "doubled": self.doubled,
            "not owed": self.not_owed,
            "stuck": self.stuck,
            "ambiguous without a cause": self.without_cause,
        }
        return [f"{what}: {each}" for what, found in named.items() for each in found]

    def _upkeep(self) -> set[str]:
        return {row.delivery for row in self.rows if row.workflow.startswith(UPKEEP)}


async def run_chaos(
    lives: Lives,
    postgres: PostgresServer,
    folder: Path,
    *,
    faults: int,
    workers: int = 2,
    progress: Callable[[datetime, ChaosCount], None] = lambda at, count: None,
) -> ChaosCount:
    """Play lives with about so many faults, drawn from the seed of the lives."""
    chance, began = random.Random(lives.seed), time.perf_counter()
    async with deployment(postgres, folder, lives.start - timedelta(minutes=1), chance, workers) as ready:
        run = _Run(lives, ready, chance, faults, progress)
        await run.play()
        count = await run.count()
    count.seconds = time.perf_counter() - began
    return count


class _Run:
    def __init__(
        self,
        lives: Lives,
        ready: Deployment,
        chance: random.Random,
        faults: int,
        progress: Callable[[datetime, ChaosCount], None],
    ) -> None:
        self._lives, self._ready, self._chance, self._progress = lives, ready, chance, progress
        self._counted = ChaosCount()
        last = lives.last - timedelta(days=1)
        span = (last - lives.start) / faults if faults else timedelta(0)
        self._strikes = [
            (lives.start + span * (number + chance.random()), (OUTAGES + CRASHES)[number % 7])
            for number in range(faults)
        ]
        self._over_at: datetime | None = None
        self._outages: list[tuple[datetime, datetime]] = []
        self._due = sorted(mail.due for mail in lives.owed)

    async def play(self) -> None:
        """Move the clock from one instant to the next, until all is over."""
        arrivals = [
            (at, list(group)) for at, group in groupby(self._lives.happenings, key=lambda each: each.at)
        ]
        until = self._lives.until
        now = self._lives.start - timedelta(seconds=1)
        while True:
            due = await self._ready.next_due(now)
            upcoming = [at for at in (due, arrivals[0][0] if arrivals else None, self._over_at) if at]
            now = min(upcoming, default=until)
            if now > until:
                break
            await self._ready.temporal.move_to(now + GRACE_PERIOD)
            if self._over_at and now >= self._over_at:
                self._ready.smtp.set_mode("")
                self._over_at = None
            fault = asyncio.create_task(self._strike(now))
            if arrivals and arrivals[0][0] <= now:
                await self._send(arrivals.pop(0)[1])
            await self._settle(now)
            await fault
            await self._settle(now)
            self._progress(now, self._counted)
            if not upcoming:
                break
        await self._ready.temporal.move_to(until)
        self._ready.smtp.set_mode("")
        await self._settle(until)
        for _ in range(HOURS_OF_RETRIES):
            if not await self._ready.waits_for_mail_server(until):
                break
            await self._ready.temporal.move_to(self._ready.temporal.now() + HOUR)
            await self._settle(until)

    async def _strike(self, now: datetime) -> None:
        """Let the next fault begin, if its time has come."""
        if not self._strikes or now < self._strikes[0][0] or self._over_at:
            return
        if now < self._strikes[0][0] + PATIENT and self._leaving(now) < BURST:
            return
        _, fault = self._strikes.pop(0)
        self._counted.faults[fault] += 1
        if fault in OUTAGES:
            self._ready.smtp.set_mode({"smtp away": "away", "smtp busy": "busy"}.get(fault, "drops"))
            self._over_at = now + timedelta(hours=self._chance.choice((1, 6, 18)))
            self._outages.append((now, self._over_at))
            return
        ready, kinds = self._ready, len(self._ready.workers)
        crash: Callable[[], Awaitable[None]] = {
            "worker killed": lambda: ready.kill_workers(1),
            "all workers killed": lambda: ready.kill_workers(kinds),
            "Temporal restarted": ready.kill_temporal,
            "PostgreSQL restarted": ready.crash_postgres,
        }[fault]
        await self._amid_a_burst()
        await crash()

    def _leaving(self, now: datetime) -> int:
        """Return how many messages are to leave in the minutes from an instant on."""
        return bisect_right(self._due, now + 5 * MINUTE) - bisect_left(self._due, now - MINUTE)

    async def _amid_a_burst(self) -> None:
        """Wait for the next messages to come in, a random number of them and a moment more."""
        server = self._ready.smtp.server
        wanted = len(server.messages) + self._chance.randrange(1, 5)
        try:
            await server.until(lambda: len(server.messages) >= wanted, within=2)
        except AssertionError:
            return  # A quiet hour. The fault strikes all the same.
        await asyncio.sleep(self._chance.uniform(0, 0.05))

    async def _send(self, given: list[Happening]) -> None:
        """Send events until they are stored, as a member database does that was not answered."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await self._ready.send(given)
                    return
                except (SQLAlchemyError, RuntimeError, OSError):
                    await asyncio.sleep(0.1)

    async def _settle(self, now: datetime) -> None:
        """Wait until all that is due has been done.

        Where nothing moves and no worker has a task in hand, a little program time passes: it ends what a killed
        worker began, and what waits before it is tried again. A task in hand would be given out again as timed out.

        Raises ChaosStalled where nothing moves any more.
        """
        before, since, stalls, quiet = "", time.perf_counter(), 0, 0
        while True:
            try:
                pending = await self._ready.pending(now)
            except (SQLAlchemyError, OSError):
                await asyncio.sleep(0.1)
                continue
            idle = await self._ready.is_idle()
            # A task that the server is about to give out is in no worker's hands yet.
            quiet = quiet + 1 if idle and not pending else 0
            if quiet == 2:
                return
            waited = time.perf_counter() - since
            shown = f"{pending} {len(self._ready.smtp.server.messages)}"
            if shown != before:
                before, since, stalls = shown, time.perf_counter(), 0
            elif waited > PATIENCE or stalls > MOST_STALLS:
                raise ChaosStalled(f"at {now}: {pending}")
            elif idle and waited > STALLED:
                stalls += 1
                await self._ready.temporal.move_to(self._ready.temporal.now() + HEARTBEAT)
                since = time.perf_counter()
            await asyncio.sleep(0.03)

    async def count(self) -> ChaosCount:
        """Compare what the rules owe with what the mail server has."""
        counted = self._counted
        counted.received = self._ready.smtp.received()
        async with self._ready.database.reading() as session:
            counted.rows = list(await session.scalars(select(Message).order_by(Message.id)))
            waiting = select(Event).where(Event.state.in_(("stored", "applying", "held")))
            for event in await session.scalars(waiting):
                counted.stuck.append(f"event {event.type} {event.subject}, {event.state}")
            records = await session.scalars(select(AuditRecord.data).where(AuditRecord.kind == "mail"))
            counted.decided = Counter(data["delivery"] for data in records)
        self._count_ledger(counted)
        self._count_owed(counted)
        return counted

    def _count_ledger(self, counted: ChaosCount) -> None:
        """Look for messages without a decision or with two, and list the ambiguous ones."""
        for row in counted.rows:
            name = f"{row.workflow} {row.key}"
            if row.state == "ambiguous":
                line = f"{name}, {counted.received[row.delivery]} received: {row.reason}"
                counted.ambiguous.append(line)
                if row.delivery not in self._ready.smtp.dropped and WORKER_ENDED not in (row.reason or ""):
                    counted.without_cause.append(line)
            if row.state not in DECISIONS and row.due_at and row.due_at <= self._lives.until:
                counted.stuck.append(f"{name} is {row.state} ({row.trouble}), due {row.due_at}")
            if counted.decided[row.delivery] > 1 or counted.received[row.delivery] > 1:
                counted.doubled.append(f"{name}, {counted.received[row.delivery]} received")

    def _count_owed(self, counted: ChaosCount) -> None:
        """Look for what is owed and not there, and for what is there and not owed."""
        owed = {_delivery(mail): mail for mail in self._lives.owed}
        rows = {row.delivery: row for row in counted.rows}
        counted.owed = len(owed)
        for delivery, mail in owed.items():
            row = rows.get(delivery)
            if counted.received[delivery] or (row and row.state == "ambiguous"):
                continue
            if row and row.state == "cancelled" and (row.reason or "").startswith("in one mail with claim/"):
                counted.joined += 1
            elif row and row.state == "cancelled" and self._is_overtaken(row):
                counted.overtaken += 1
            else:
                state = (row.state, row.reason) if row else "unknown"
                counted.lost.append(f"{mail.workflow} {mail.key}, due {mail.due}: {state}")
        for delivery in counted.received:
            row = rows.get(delivery)
            of_later = row and row.due_at and row.due_at > self._lives.until
            if delivery not in owed and not of_later and not (row and row.workflow.startswith(UPKEEP)):
                counted.not_owed.append(f"{row.workflow} {row.key}" if row else delivery)

    def _is_overtaken(self, row: Message) -> bool:
        """Whether a message was due in an outage of the mail server, and cancelled within a day of its end."""
        due, decided = row.due_at, row.decided_at
        return any(
            due and decided and since - MINUTE <= due <= until and decided <= until + timedelta(days=1)
            for since, until in self._outages
        )


def _delivery(mail: OwedMail) -> str:
    step, _, occurrence = mail.key.rpartition("/")
    return ledger.delivery_id(KEYS, mail.workflow, step, int(occurrence))
