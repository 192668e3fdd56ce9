"""The scenario of the comparison: bursts of requests and matches, a mail server with faults, kills, and the count.

Each system owes the same: a mail to mentor and mentee when a request is made, and another when it is accepted. The
mail server counts by address and subject.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from pathlib import Path
from typing import Protocol

from tests.support.servers.hostile_smtp import Answer, HostileSmtp, Session, say

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Scenario:
    """How much happens. `drops` is the share of messages after which the mail server's answer is lost."""

    bursts: int
    requests: int
    """The requests of a burst."""
    kills: int
    seed: int
    accepted_after: float = 60.0
    """Seconds until a request is accepted: long after its mails have left, also where a worker starts again."""
    drops: float = 0.05
    late: float = 60.0
    """Seconds after which a message is late."""

    @property
    def owed(self) -> int:
        """The messages that are owed."""
        return self.bursts * self.requests * 4

    @property
    def names(self) -> list[list[str]]:
        """The names of the requests of each burst."""
        return [[f"{burst}-{number}" for number in range(self.requests)] for burst in range(self.bursts)]


class Contestant(Protocol):
    """A system that is compared."""

    name: str

    async def give(self, names: list[str], accepted_after: float) -> None:
        """Have these requests made now, and accepted so many seconds later."""
        ...

    async def kill(self) -> None:
        """Kill its process, and start it again."""
        ...

    async def crash_server(self) -> None:
        """Crash the server that keeps its state, and start it again."""
        ...

    async def until_done(self) -> None:
        """Wait until it has nothing left to do."""
        ...

    async def cost(self) -> str:
        """Return what its work cost its servers."""
        ...


@dataclass
class Result:
    """What came of it, counted at the mail server."""

    name: str
    owed: int
    lost: int = 0
    doubled: int = 0
    late: int = 0
    last: float = 0.0
    """Seconds after its due instant of the message that came last."""
    cpu: float = 0.0
    """Seconds of processor time of its processes, also of those that were killed."""
    cost: str = ""


@dataclass
class LosingSmtp:
    """A mail server that keeps each message, and loses some of its answers: which ones, the seed decides."""

    server: HostileSmtp
    scenario: Scenario
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.server.always("END", Answer(self._keep))

    async def _keep(self, session: Session) -> None:
        message = self.server.last_message(session)
        key = (message.recipients[0], str(message_from_bytes(message.content)["Subject"]))
        first, self.seen[key] = not self.seen[key], self.seen[key] + 1
        number = sum(address == key[0] for address, _ in self.seen)
        # A kill between the last byte and the answer needs an answer that takes its time.
        await asyncio.sleep(0.03)
        if first and self._draw(f"{key[0]} {number}") < self.scenario.drops:
            raise ConnectionResetError
        await say("250 2.0.0 kept").act(session)

    def _draw(self, what: str) -> float:
        digest = hashlib.sha256(f"{self.scenario.seed} {what}".encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48


@dataclass
class Processes:
    """A process that is killed and started again, and the processor time of all its lives."""

    start: Callable[[], Awaitable[asyncio.subprocess.Process]]
    running: asyncio.subprocess.Process | None = None
    cpu: float = 0.0

    async def begin(self) -> None:
        """Start it."""
        self.running = await self.start()

    async def kill(self) -> None:
        """Kill it, if it runs."""
        if self.running and self.running.returncode is None:
            self.cpu += processor_time(self.running.pid)
            self.running.kill()
            await self.running.wait()

    def total(self) -> float:
        """Return the processor time so far."""
        alive = self.running and self.running.returncode is None
        return self.cpu + (processor_time(self.running.pid) if self.running and alive else 0.0)


def processor_time(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


async def play(contestant: Contestant, scenario: Scenario, server: HostileSmtp) -> Result:
    """Play the scenario with one system; the kills and the crash strike while its mail comes in."""
    chance, loop = random.Random(scenario.seed), asyncio.get_running_loop()
    due: dict[str, float] = {}
    striking = asyncio.create_task(_strike(contestant, scenario, server, chance))
    for names in scenario.names:
        due |= dict.fromkeys(names, loop.time())
        await contestant.give(names, scenario.accepted_after)
        await asyncio.sleep(scenario.accepted_after + 5)
    await contestant.until_done()
    striking.cancel()
    await asyncio.gather(striking, return_exceptions=True)
    result = _counted(contestant.name, scenario, server, due)
    result.cost = await contestant.cost()
    return result


async def _strike(
    contestant: Contestant, scenario: Scenario, server: HostileSmtp, chance: random.Random
) -> None:
    """Kill again and again when some more messages have come, and crash the server once in the middle."""
    step = scenario.owed * 0.9 / (scenario.kills + 1)
    for number in range(scenario.kills):
        wanted = int(step * (number + chance.uniform(0.5, 1.5)))
        await server.until(lambda wanted=wanted: len(server.messages) >= wanted, within=3600)  # type: ignore[misc]
        await asyncio.sleep(chance.uniform(0, 0.06))
        if number == scenario.kills // 2:
            await contestant.crash_server()
        else:
            await contestant.kill()


def _counted(name: str, scenario: Scenario, server: HostileSmtp, due: dict[str, float]) -> Result:
    """Count what the mail server has of each address: two subjects, each once, in time."""
    result = Result(name, scenario.owed)
    first: dict[tuple[str, str], float] = {}
    copies: Counter[tuple[str, str]] = Counter()
    for message in server.accepted:
        key = (message.recipients[0], str(message_from_bytes(message.content)["Subject"]))
        first.setdefault(key, message.at)
        copies[key] += 1
    result.doubled = sum(count - 1 for count in copies.values())
    for name_of, at in due.items():
        for address in (f"{name_of}@example.org", f"mentee-{name_of}@example.org"):
            came = sorted(when for (to, _), when in first.items() if to == address)
            result.lost += max(0, 2 - len(came))
            lags = [when - at - scenario.accepted_after * number for number, when in enumerate(came)]
            result.late += sum(lag > scenario.late for lag in lags)
            result.last = max([result.last, *lags])
    return result
