"""The Temporal server is killed and started again amid deliveries: nothing lost, doubled or stuck (MAIL1, MAIL2).

The worker is the product's own command in a process of its own, and lives on.
"""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.processes import HoldingSmtp, Program, TemporalServer, asking, migrated, worker_process
from tests.support.reports.fault_table import Judge
from tests.support.servers.hostile_smtp import HostileSmtp

STEPS = {"claimed": "banner", "half": "DATA", "end": "END", "later": "END"}
"""Names of mentors, and the steps at which the deliveries to them are held."""


@pytest.mark.rule("MAIL1", "MAIL2")
async def test_temporal_killed_during_deliveries_loses_and_duplicates_nothing(
    tmp_path: Path, fault_run: Judge
) -> None:
    temporal = TemporalServer(tmp_path / "temporal.db")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(migrated(f"sqlite:///{tmp_path / 'throughline.db'}"))
        server = await stack.enter_async_context(HostileSmtp())
        stack.push_async_callback(temporal.kill)
        client = await temporal.start()
        await stack.enter_async_context(worker_process(temporal.port, database.url, server, tmp_path / "log"))
        smtp, program = HoldingSmtp(server), Program(database, client)
        await program.ask("free")
        await program.until_sent("request/r-free", 2)
        for name, step in STEPS.items():
            smtp.hold(step, name)
            smtp.drop_idle()
            await program.ask(name)
            await smtp.until_held(name)
            # The mail to the mentee goes out beside it.
            await program.until_sent(f"request/r-{name}", 1)
        await temporal.kill()
        # Some end while the server is down, one when it is back; and a request comes in between.
        smtp.release("claimed", "half", "end")
        await smtp.until_said("claimed", "half", "end")
        await program.store(*asking("between"), ("request.accepted", {"request": "r-free"}))
        program.client = await temporal.start()
        smtp.release("later")
        await program.poke()
        names = ["free", *STEPS, "between"]
        await program.until_decided(2 * len(names) + 2)
        await program.send_events(*(("request.accepted", {"request": f"r-{name}"}) for name in names[1:]))
        decisions = await program.until_decided(4 * len(names))
        rows, decided = await program.mails(), await program.decided()
        fault_run("Temporal killed and restarted", rows, smtp.received().elements(), decided)
        assert Counter(decisions.values()) == {"sent": len(rows)}
        assert await program.states() == {"accepted": len(names)}, "nothing is stuck"
