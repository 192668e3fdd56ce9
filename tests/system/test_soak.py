"""Four workers at once against one database, with a mail server that misbehaves and workers that die (MAIL1, MAIL2)."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from email import message_from_bytes
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflowservice.v1 import ResetActivityRequest
from temporalio.service import RPCError, RPCStatusCode

from database.models import Task
from embedded.temporal_servers import dev_server
from tests.support.limits import SOAK
from tests.support.processes import Program, joining, migrated, worker_process
from tests.support.reports.fault_table import Judge
from tests.support.servers.hostile_smtp import Answer, HostileSmtp, Session, drop, raw, say
from tests.support.servers.postgres_server import PostgresServer

PEOPLE = 7
REQUESTS = PEOPLE**2
"""Every mentee asks every mentor, so that there are many messages and few people."""

ROUNDS = min(SOAK, 10)

PATIENCE_FOR_HALF_A_WAVE = 240.0
"""Seconds that half a wave of messages may take, with the start of four workers; on a free machine some ten."""

MOODS = {
    "421": ("MAIL", say("421 4.3.2 shutting down")),
    "451 recipient": ("RCPT", say("451 4.3.0 not now")),
    "dropped": ("DATA", drop()),
    "dropped body": ("BODY", drop()),
    "451 message": ("END", say("451 4.3.0 not now")),
    "dropped after the message": ("END", drop()),
    "nonsense": ("END", raw(b"\x16\x03\x01 nonsense\r\n")),
}
DOUBTFUL = {"dropped after the message", "nonsense"}
PERHAPS_DOUBTFUL = {"dropped body"}
"""The worker may have written the last byte before it learns that nobody reads."""


@dataclass
class MoodySmtp:
    """A mail server that misbehaves at every fourth delivery or so, each time in one way and once only."""

    server: HostileSmtp
    chance: random.Random
    moods: dict[str, str] = field(default_factory=dict)
    spent: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for step, usual in {
            "MAIL": "250 ok",
            "RCPT": "250 ok",
            "DATA": "354 go ahead",
            "END": "250 ok",
        }.items():
            self.server.always(step, Answer(self._act(step, say(usual))))
        self.server.always("BODY", Answer(self._act("BODY", None)))

    def _act(self, step: str, usual: Answer | None) -> Callable[[Session], Coroutine[Any, Any, None]]:
        async def act(session: Session) -> None:
            delivery = _delivery(session)
            if delivery not in self.moods:
                self.moods[delivery] = self.chance.choice(list(MOODS)) if self.chance.random() < 0.25 else ""
            mood = self.moods[delivery]
            answer = usual
            if mood and delivery not in self.spent and MOODS[mood][0] == step:
                self.spent.add(delivery)
                answer = MOODS[mood][1]
                if mood == "451 message":
                    self.server.last_message(session).accepted = False
            if answer is not None:
                await answer.act(session)

        return act


def _delivery(session: Session) -> str:
    last = next((line for line in reversed(session.commands) if line.startswith("MAIL")), "")
    return last.partition("+")[2].partition("@")[0]


def pairs() -> list[tuple[str, str, str]]:
    """Request, mentee and mentor of all."""
    return [
        (f"r-{one}-{other}", f"mentee-{one}", f"mentor-{other}")
        for one, other in product(range(PEOPLE), repeat=2)
    ]


def crowd() -> list[tuple[str, dict[str, Any]]]:
    """The events of all who join, and of all their requests."""
    happened = []
    for number in range(PEOPLE):
        happened += joining(f"mentee-{number}", f"mentee-{number}", "mentee")
        happened += joining(f"mentor-{number}", f"mentor-{number}", "mentor", mentees_at_a_time=PEOPLE + 1)
    for request, mentee, mentor in pairs():
        happened.append(("request.created", {"request": request, "mentee": mentee, "mentor": mentor}))
    return happened


async def try_again_soon(program: Program) -> None:
    """Have Temporal try at once, over and over, what waits for the mail server: staff can do so by its own command."""
    service = program.client.workflow_service
    while True:
        for workflow in {
            row.workflow for row in await program.mails() if row.state == "planned" and row.trouble
        }:
            execution = WorkflowExecution(workflow_id=workflow)
            try:
                description = await program.client.get_workflow_handle(workflow).describe()
                for pending in description.raw_description.pending_activities:
                    if pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED:
                        await service.reset_activity(
                            ResetActivityRequest(
                                namespace=program.client.namespace,
                                execution=execution,
                                id=pending.activity_id,
                            )
                        )
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
        await asyncio.sleep(0.5)


@pytest.mark.rule("MAIL1", "MAIL2", "MAIL3", "STA2")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(7, 7 + ROUNDS))
async def test_four_workers_with_two_killed_send_each_message_once(
    postgres: PostgresServer, tmp_path: Path, fault_run: Judge, seed: int
) -> None:
    name = postgres.create_database()
    log = tmp_path / "workers.log"
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(migrated(postgres.url(name)))
        server = await stack.enter_async_context(HostileSmtp())
        temporal = await stack.enter_async_context(dev_server(None))
        smtp, program = MoodySmtp(server, random.Random(seed)), Program(database, temporal.client)

        async def another() -> asyncio.subprocess.Process:
            return await stack.enter_async_context(worker_process(temporal.port, database.url, server, log))

        async def replaced(worker: asyncio.subprocess.Process, when: int) -> None:
            await server.until(lambda: len(server.accepted) >= when, within=PATIENCE_FOR_HALF_A_WAVE)
            worker.send_signal(signal.SIGKILL)
            await worker.wait()
            await another()

        workers = [await another() for _ in range(4)]
        hurrying = asyncio.create_task(try_again_soon(program))
        stack.callback(hurrying.cancel)
        await program.send_events(*crowd())
        await replaced(workers[0], REQUESTS // 2)
        await program.until_decided(2 * REQUESTS)
        await program.send_events(*(("request.accepted", {"request": request}) for request, _, _ in pairs()))
        await replaced(workers[1], 2 * REQUESTS + REQUESTS // 2)
        await program.until_decided(4 * REQUESTS)
        assert not hurrying.done(), hurrying.exception()
        hurrying.cancel()

        rows, decided = await program.mails(), await program.decided()
        arrived = [message_from_bytes(message.content) for message in server.accepted]
        run = fault_run(
            "four workers, two of them killed, a moody mail server",
            rows,
            (str(message["X-Throughline-Delivery"]) for message in arrived),
            decided,
        )
        assert Counter(message["Message-ID"] for message in arrived).most_common(1)[0][1] == 1
        assert run.intents == 4 * REQUESTS
        assert run.received >= run.intents - run.ambiguous
        doubtful = {row.delivery: row for row in rows if row.state == "ambiguous"}
        assert {delivery for delivery in smtp.spent if smtp.moods[delivery] in DOUBTFUL} <= set(doubtful)
        unprovoked = {
            row.reason
            for delivery, row in doubtful.items()
            if smtp.moods[delivery] not in DOUBTFUL | PERHAPS_DOUBTFUL
        }
        assert unprovoked <= {
            "the worker ended between the last byte and the server's answer; not repeated, staff were asked"
        }
        async with database.reading() as session:
            asked = await session.scalar(select(func.count()).where(Task.kind == "mail_ambiguous"))
        assert asked == len(doubtful), "each is shown to staff"
        assert await program.states() == {"accepted": REQUESTS}, "nothing is stuck"
    postgres.drop_database(name)
