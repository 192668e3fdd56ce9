"""The move from workers without a version to workers with one, while workflows sleep: nothing lost or doubled.

With 7 requests in the suite, and with 100 (300 workflows) in `make soak`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path

import pytest
from temporalio.client import Client

from database.links import Links
from database.session import Database
from embedded.temporal_servers import HOST, DevServer, dev_server
from mail.allowlist import RecipientAllowlist
from mail.smtp.channel import SmtpChannel
from mail.smtp.settings import SmtpSettings
from tests.support.cli import Said, throughline
from tests.support.limits import PATIENCE, SOAK
from tests.support.processes import KEYS, Program, migrated, worker_process
from tests.support.servers.hostile_smtp import HostileSmtp
from tests.support.servers.postgres_server import PostgresServer
from worker.assembly import Components, Composers, WorkerOptions, load_programs, workers
from worker.rollout.code_version import DEPLOYMENT, build_id
from worker.rollout.version_routing import routing

REQUESTS = 7 if SOAK == 1 else 100
PROGRAMS = Path("programs")


@asynccontextmanager
async def unversioned_worker(client: Client, url: str, smtp: HostileSmtp) -> AsyncIterator[None]:
    """A worker as those of before: it registers no version."""
    database = Database(url, keys=KEYS)
    channel = SmtpChannel(SmtpSettings(host=smtp.host, port=smtp.port))
    parts = Components(
        database,
        load_programs(PROGRAMS),
        Composers(Path("templates/mail"), PROGRAMS),
        channel,
        Links("http://127.0.0.1:8080", KEYS),
        RecipientAllowlist(production=True, allowed=()),
        "test",
    )
    try:
        await parts.claim_environment()
        async with workers(client, parts, WorkerOptions(grace_period=timedelta(seconds=5))):
            yield
    finally:
        await parts.close()
        await database.close()


async def run_command(temporal: DevServer, *arguments: str) -> Said:
    """The command as a process of its own."""
    settings = {"TEMPORAL_ADDRESS": f"{HOST}:{temporal.port}"}
    done = await asyncio.to_thread(throughline, *arguments, settings=settings)
    return Said(done.returncode, done.stdout, done.stderr)


async def versions(temporal: DevServer) -> dict[str, tuple[str, int]]:
    """By version: how it is routed, and how many workflows had their last task there."""
    said = await run_command(temporal, "version", "show", "--json")
    assert said.status == 0, said.err
    return {row["version"]: (row["routing"], row["workflows"]) for row in said.lines}


async def until_current(client: Client) -> None:
    """Wait until this code's version has the work."""
    async with asyncio.timeout(PATIENCE):
        while not ((found := await routing(client, DEPLOYMENT)) and found.current == build_id()):  # noqa: ASYNC110
            await asyncio.sleep(0.3)


@pytest.mark.rule("MAIL1", "MAIL2", "T6")
@pytest.mark.timeout(3600)
async def test_sleeping_workflows_move_from_workers_without_a_version(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """Both run at once for a while; a part of the requests is answered before, amid and after the move."""
    requests = [f"{number}" for number in range(REQUESTS)]
    before, amid, after = requests[::3], requests[1::3], requests[2::3]
    name = postgres.create_database()
    async with migrated(postgres.url(name)) as database, HostileSmtp() as smtp, dev_server(None) as temporal:
        program = Program(database, temporal.client)
        async with unversioned_worker(temporal.client, database.url, smtp):
            await program.ask(*requests)
            await program.until_decided(2 * REQUESTS)
            await answer(program, before)
            nothing = await run_command(temporal, "version", "wake")
            assert (nothing.status, "no version is current" in nothing.err) == (1, True)
            log = tmp_path / "worker.log"
            async with worker_process(temporal.port, database.url, smtp, log):
                await until_current(temporal.client)
                await answer(program, amid)
                old, new = (await versions(temporal))["unversioned"], (await versions(temporal))[build_id()]
                assert (old[0], new[0]) == ("before", "current")
                assert old[1] >= 2 * REQUESTS, "onboardings sleep where they slept"
                await wake_and_answer(temporal, program, after)
                decided = await answered(program)
                await go_back(temporal)
    assert set(received(smtp).values()) == {1}
    assert len(received(smtp)) == len(decided)
    postgres.drop_database(name)


async def answer(program: Program, names: list[str]) -> None:
    """Have mentors accept."""
    await program.send_events(*(("request.accepted", {"request": f"r-{name}"}) for name in names))


async def wake_and_answer(temporal: DevServer, program: Program, names: list[str]) -> None:
    """Move what sleeps; then the other mentors accept."""
    woken = await run_command(temporal, "version", "wake", "--per-second", "200")
    assert woken.status == 0, woken.err
    again = await run_command(temporal, "version", "wake")
    assert again.out == "0 workflows moved to the current version.\n"
    await answer(program, names)


async def go_back(temporal: DevServer) -> None:
    """Give the work to workers without a version again, by command; no other version takes it."""
    unknown = await run_command(temporal, "version", "set-current", "9.9.9")
    assert unknown.status == 1
    assert unknown.err.startswith("9.9.9 cannot be made current: ")
    back = await run_command(temporal, "version", "set-current", "unversioned")
    assert back.out.startswith("All work goes to unversioned now."), back.err
    assert (await versions(temporal))["unversioned"][0] == "current"


async def answered(program: Program) -> dict[str, str]:
    """Wait until every request is accepted, both have heard of each match, and every message is decided as sent."""
    decided = await program.until_decided(4 * REQUESTS)
    assert Counter(decided.values()) == {"sent": len(decided)}
    assert await program.states() == {"accepted": REQUESTS}
    return decided


def received(smtp: HostileSmtp) -> Counter[str]:
    """How often the mail server has each delivery."""
    mails = (message_from_bytes(each.content) for each in smtp.accepted)
    return Counter(str(mail["X-Throughline-Delivery"]) for mail in mails)


async def test_commands_about_versions_say_what_is_wrong(tmp_path: Path) -> None:
    async with dev_server(None) as temporal:
        early = await run_command(temporal, "version", "set-current")
        assert early.status == 1
        assert early.err == "no worker of 'throughline' has registered a version: start one, and repeat\n"
        shown = await run_command(temporal, "version", "show")
        assert shown.status == 0
        assert "unversioned" in shown.out
        wrong = await run_command(temporal, "version", "wake", "--per-second", "0")
        assert wrong.status == 2
    away = await asyncio.to_thread(
        throughline, "version", "show", settings={"TEMPORAL_ADDRESS": "127.0.0.1:1"}
    )
    assert (away.returncode, "cannot be reached" in away.stderr) == (1, True)
