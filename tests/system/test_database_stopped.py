"""The database stops, or hangs, and comes back while deliveries are at every step: nothing lost, doubled or stuck
(MAIL1, MAIL2).

The worker is the product's own command in a process of its own, and lives on. PostgreSQL is stopped as a crash would
stop it, or freezes: it takes connections and words, and answers nothing. Each happens once while its transactions wait
for a lock, so that they are undone, and once while they wait for the confirmation of a commit that is already written,
so that they stand and the worker cannot know.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from embedded.temporal_servers import dev_server
from tests.support.processes import RECEIVED, HoldingSmtp, Program, migrated, worker_process
from tests.support.reports.fault_table import Judge
from tests.support.servers.freezing_proxy import FreezingProxy
from tests.support.servers.hostile_smtp import HostileSmtp
from tests.support.servers.postgres_server import PostgresServer

UNDONE = {
    "claimed": "banner",
    "half": "DATA",
    "last": "DATA",
    "end": "END",
    "refused": "END",
    "answered": "END",
}
"""Names of mentors, and the steps at which the deliveries to them are held."""

STANDING = {"last-stands": "DATA", "answered-stands": "END"}


class Crash:
    """A server that is stopped as a crash would stop it, and started again on its files."""

    name = "stopped"

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    async def __aenter__(self) -> Crash:
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Nothing is left to do."""

    def url(self, database: str) -> str:
        """How the worker finds a database."""
        return self._server.url(database)

    async def begin(self) -> None:
        """It is away, and what ran is undone."""
        await asyncio.to_thread(self._server.stop, abruptly=True)

    async def doubt(self) -> None:
        """From now on commits are kept, and no client gets the reply."""
        await asyncio.to_thread(self._server.commit_in_doubt)

    async def doubted(self, count: int) -> None:
        """So many clients wait for a reply; now stop."""
        await asyncio.to_thread(self._server.until_waiting, count, "SyncRep")
        await self.begin()

    async def end(self) -> None:
        """It is back."""
        await asyncio.to_thread(self._server.start)


class Freeze:
    """A server, or the way to it, that hears and says nothing until it thaws. At last the way is cut."""

    name = "frozen"

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._way = FreezingProxy(server.port)
        self._ends = [self._way.thaw, self._way.cut]

    async def __aenter__(self) -> Freeze:
        await self._way.__aenter__()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._way.__aexit__(None, None, None)

    def url(self, database: str) -> str:
        return self._way.through(self._server.url(database))

    async def begin(self) -> None:
        self._way.freeze()

    async def doubt(self) -> None:
        self._way.keep_answers_to(b"COMMIT")

    async def doubted(self, count: int) -> None:
        await self._way.until_unanswered(count)

    async def end(self) -> None:
        await self._way.until_given_up()
        self._ends.pop(0)()


class Locks:
    """Locks in one database, held by a connection that goes with the server."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection

    async def table(self, name: str) -> None:
        """Nobody can read a table."""
        statement = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(name))
        await self._connection.execute(statement)

    async def message(self, name: str) -> None:
        """Nobody can write the row of the message to a mentor."""
        await self._connection.execute(
            "SELECT 1 FROM messages WHERE workflow = %s AND message = %s FOR UPDATE",
            (f"request/r-{name}", RECEIVED),
        )


@pytest.mark.rule("MAIL1", "MAIL2", "MAIL3")
@pytest.mark.parametrize("kind", [Crash, Freeze])
async def test_database_stopped_at_every_step_loses_and_duplicates_nothing(
    kind: type[Crash | Freeze], postgres: PostgresServer, tmp_path: Path, fault_run: Judge
) -> None:
    name = postgres.create_database()
    async with AsyncExitStack() as stack:
        outage: Crash | Freeze = kind(postgres)
        await stack.enter_async_context(outage)
        database = await stack.enter_async_context(migrated(postgres.url(name)))
        server = await stack.enter_async_context(HostileSmtp())
        temporal = await stack.enter_async_context(dev_server(None))
        await stack.enter_async_context(
            worker_process(temporal.port, outage.url(name), server, tmp_path / "log", DATABASE_TIMEOUT="2")
        )
        smtp, program = HoldingSmtp(server), Program(database, temporal.client)
        await program.ask("free")
        await program.until_sent("request/r-free", 2)

        await hold(smtp, program, UNDONE)
        connection = await psycopg.AsyncConnection.connect(
            f"host=127.0.0.1 port={postgres.port} user=postgres dbname={name}"
        )
        locks = Locks(connection)
        await locks.message("last")
        await locks.message("answered")
        smtp.release("last", "answered")
        await asyncio.to_thread(postgres.until_waiting, 2, "Lock")
        await locks.table("suppressions")
        await program.ask("unclaimed")
        await asyncio.to_thread(postgres.until_waiting, 3, "Lock")
        await outage.begin()
        smtp.words["refused"] = "550 5.1.1 no such user"
        smtp.release("claimed", "half", "end", "refused")
        await smtp.until_said("answered", "end", "refused")
        await smtp.until_gone("claimed", "half", "last")
        await connection.close()
        await outage.end()
        names = ["free", *UNDONE, "unclaimed"]
        decisions = await program.until_decided(2 * len(names))

        await hold(smtp, program, STANDING)
        await program.store(("request.accepted", {"request": "r-free"}))
        await outage.doubt()
        smtp.release(*STANDING)
        await program.poke()
        await outage.doubted(3)
        await smtp.until_gone("last-stands")
        await outage.end()
        names += STANDING
        decisions |= await program.until_decided(2 * len(names) + 2)

        await program.send_events(
            *(
                ("request.accepted", {"request": f"r-{name}"})
                for name in names
                if name not in ("free", "refused")
            )
        )
        decisions |= await program.until_decided(4 * len(names) - 2)
        rows, decided = await program.mails(), await program.decided()
        fault_run(f"database {outage.name} at every step", rows, smtp.received().elements(), decided)
        others = Counter(value for key, value in decisions.items() if key != f"request/r-refused:{RECEIVED}")
        assert others == {"sent": len(rows) - 1}, "the worker lived, and knows what became of each"
        assert decisions[f"request/r-refused:{RECEIVED}"] == "failed"
        assert await program.states() == {"accepted": len(names) - 1, "open": 1}, "nothing is stuck"
    postgres.drop_database(name)


async def hold(smtp: HoldingSmtp, program: Program, steps: dict[str, str]) -> None:
    """Make a request for each name, and have the delivery to it held at its step."""
    for name, step in steps.items():
        smtp.hold(step, name)
        smtp.drop_idle()
        await program.ask(name)
        await smtp.until_held(name)
        # The mail to the mentee goes out beside it.
        await program.until_sent(f"request/r-{name}", 1)
