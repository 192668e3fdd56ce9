"""SIGTERM while a delivery is in flight: its answer is awaited, and no server can hold the process for ever."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from time import monotonic

import pytest

from embedded.temporal_servers import dev_server
from tests.support.limits import PATIENCE
from tests.support.processes import HoldingSmtp, Program, migrated, worker_process
from tests.support.servers.hostile_smtp import HostileSmtp


@pytest.mark.rule("MAIL1", "MAIL2")
async def test_stopped_worker_awaits_the_answer_to_a_body_in_flight(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    async with (
        migrated(f"sqlite:///{tmp_path / 'throughline.db'}") as database,
        HostileSmtp() as server,
        dev_server(None) as temporal,
    ):
        smtp, program = HoldingSmtp(server), Program(database, temporal.client)
        async with worker_process(temporal.port, database.url, server, log) as worker:
            smtp.hold("END", "held")
            await program.ask("held")
            await smtp.until_held("held")
            worker.send_signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE):
                while "worker_shutdown_started" not in log.read_text():  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)
            smtp.release("held")
            async with asyncio.timeout(30):
                assert await worker.wait() == 0, log.read_text()
        assert (await program.states_of("held")) == {"held": "sent"}
        assert len([mail for mail in server.accepted if "held@example.org" in mail.recipients]) == 1


@pytest.mark.rule("MAIL2")
async def test_silent_mail_server_holds_a_stopping_worker_no_longer(tmp_path: Path) -> None:
    """The whole mail is there and no answer comes: the deadline ends the process. Nothing says that it was sent."""
    log = tmp_path / "worker.log"
    async with (
        migrated(f"sqlite:///{tmp_path / 'throughline.db'}") as database,
        HostileSmtp() as server,
        dev_server(None) as temporal,
    ):
        smtp, program = HoldingSmtp(server), Program(database, temporal.client)
        async with worker_process(temporal.port, database.url, server, log, STOP_SECONDS="1") as worker:
            smtp.hold("END", "silent")
            await program.ask("silent")
            await smtp.until_held("silent")
            began = monotonic()
            worker.send_signal(signal.SIGTERM)
            async with asyncio.timeout(30):
                assert await worker.wait() == 1
            assert monotonic() - began < 15
        assert "shutdown_deadline_exceeded" in log.read_text()
        assert (await program.states_of("silent")) == {"silent": "handed_over"}
        smtp.give_up()
