"""A worker that is really killed, at every step of a delivery: nothing lost, doubled or stuck (MAIL1, MAIL2).

The worker is the product's own command in a process of its own, on a Temporal dev server. The mail server holds one
delivery at each step; then the worker gets SIGKILL, and another one takes over.
"""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from database import ledger
from database.models import Task
from embedded.temporal_servers import dev_server
from tests.support.processes import (
    RECEIVED,
    HoldingSmtp,
    Program,
    migrated,
    with_long_letters,
    worker_process,
)
from tests.support.reports.fault_table import Judge
from tests.support.servers.hostile_smtp import HostileSmtp

BEFORE_THE_LAST_BYTE = {
    "connected": "banner",
    "sender": "MAIL",
    "recipient": "RCPT",
    "data": "DATA",
    "body": "BODY",
}
"""Names of mentors, and the steps at which the deliveries to them are held."""

STEPS = {**BEFORE_THE_LAST_BYTE, "end": "END", "answered": "END"}


@pytest.mark.rule("MAIL1", "MAIL2")
async def test_worker_killed_at_every_step_loses_and_duplicates_nothing(
    database_url: str, tmp_path: Path, fault_run: Judge
) -> None:
    log, programs = tmp_path / "worker.log", with_long_letters(tmp_path, "body")
    names = ["free", *STEPS]
    async with (
        migrated(database_url) as database,
        HostileSmtp(narrow=True) as server,
        dev_server(None) as temporal,
    ):
        smtp, program = HoldingSmtp(server), Program(database, temporal.client)
        async with worker_process(temporal.port, database.url, server, log, PROGRAMS=str(programs)) as first:
            await program.ask("free")
            await program.until_sent("request/r-free", 2)
            for name, step in STEPS.items():
                smtp.hold(step, name)
                smtp.drop_idle()
                await program.ask(name)
                await smtp.until_held(name)
                # The mail to the mentee goes out beside it.
                await program.until_sent(f"request/r-{name}", 1)
            async with database.begin() as transaction:
                # The server says yes while nobody can write it down.
                await ledger.locked(transaction, "request/r-answered", f"{RECEIVED}/1")
                smtp.release("answered")
                await smtp.until_said("answered")
                first.send_signal(signal.SIGKILL)
                await first.wait()
        left = await program.states_of(*STEPS)
        assert {left[name] for name in ("end", "answered")} == {"handed_over"}
        assert {left[name] for name in BEFORE_THE_LAST_BYTE} <= {"planned", "claimed"}
        smtp.give_up()
        async with worker_process(temporal.port, database.url, server, log, PROGRAMS=str(programs)):
            decisions = await program.until_decided(2 * len(names))
            await program.send_events(*(("request.accepted", {"request": f"r-{name}"}) for name in names))
            after = await program.until_decided(4 * len(names))
        async with database.reading() as session:
            asked = Counter(await session.scalars(select(Task.kind).where(Task.kind.like("mail_%"))))
        rows, decided = await program.mails(), await program.decided()
        doubtful = {f"request/r-end:{RECEIVED}", f"request/r-answered:{RECEIVED}"}
        assert {key for key, decision in decisions.items() if decision == "ambiguous"} == doubtful, (
            "only after the last byte"
        )
        assert {decision for key, decision in after.items() if key not in doubtful} == {"sent"}
        fault_run("worker killed at every step", rows, smtp.received().elements(), decided)
        assert smtp.received() == Counter(row.delivery for row in rows), "each is there, and once"
        assert asked == {"mail_ambiguous": 2}
        assert await program.states() == {"accepted": len(names)}, "nothing is stuck"
