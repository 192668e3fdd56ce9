"""All metrics of a process: of the deployment, of the process, and of Temporal's core."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import httpx
import structlog
from sqlalchemy.exc import SQLAlchemyError

from database.session import Database
from worker.monitoring.backlog import read_backlog, read_service_level
from worker.monitoring.exposition import Metric, exposition, gauge

READ_FOR: Final = 10.0
"""Seconds for which what was read from the database stands, however many scrape."""

LEVEL_FOR: Final = 300.0
"""Seconds for which the service level stands: it reads a row of each message of the day."""

TIMEOUT: Final = 5.0
"""Seconds after which a scrape does without the database, or without Temporal's core."""

log = structlog.get_logger()


class ProcessMetrics:
    """The metrics of one process. `login_refused` says whether the mail server refuses this process's account.

    `core` is the address on which Temporal's core serves its own metrics; empty for none.
    """

    def __init__(
        self, kind: str, database: Database, login_refused: Callable[[], bool] | None = None, core: str = ""
    ) -> None:
        self._kind = kind
        self._database = database
        self._login_refused = login_refused
        self._core = core
        self._lock = asyncio.Lock()
        self._read: list[Metric] = []
        self._read_until = 0.0
        self._level: list[Metric] = []
        self._level_until = 0.0

    async def render(self) -> str:
        """Return all metrics as Prometheus reads them."""
        async with self._lock:
            if time.monotonic() >= self._read_until:
                self._read = await self._of_deployment()
                self._read_until = time.monotonic() + READ_FOR
        return exposition([*self._of_process(), *self._read]) + await self._of_core()

    async def _of_deployment(self) -> list[Metric]:
        began, now = time.monotonic(), datetime.now(UTC)
        try:
            async with asyncio.timeout(TIMEOUT), self._database.reading() as session:
                found = await read_backlog(session, now)
                if began >= self._level_until:
                    self._level = await read_service_level(session, now)
                    self._level_until = began + LEVEL_FOR
        except (SQLAlchemyError, OSError) as error:
            log.warning("metrics_not_read", error=type(error).__name__)
            found = []
        return [
            *found,
            *self._level,
            gauge("throughline_database_up", "1 if the database answered this scrape.", 1 if found else 0),
            gauge(
                "throughline_backlog_read_seconds",
                "How long the queries of a scrape took.",
                time.monotonic() - began,
            ),
        ]

    def _of_process(self) -> list[Metric]:
        found = [
            gauge(
                "throughline_build_info",
                "1, with the version and the kind of process.",
                1,
                version=version("throughline"),
                process=self._kind,
            ),
            gauge("process_resident_memory_bytes", "Memory that the process holds.", _resident_memory()),
            Metric(
                "process_cpu_seconds_total",
                "Time of processors that the process used.",
                gauge("", "", time.process_time()).samples,
                "counter",
            ),
        ]
        if self._login_refused is not None:
            found.append(
                gauge(
                    "throughline_mail_login_refused",
                    "1 while the mail server refuses the account of this worker.",
                    1 if self._login_refused() else 0,
                )
            )
        return found

    async def _of_core(self) -> str:
        if not self._core:
            return ""
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client:
                return (await client.get(f"http://{self._core}/metrics")).raise_for_status().text
        except httpx.HTTPError as error:
            log.warning("core_metrics_not_read", error=type(error).__name__)
            return ""


def _resident_memory() -> float:
    """Return the octets of memory that this process holds; the most that it held where the system has no /proc."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def free_address() -> str:
    """Return an address of this machine alone on which nothing listens, for the metrics of Temporal's core."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()
    return f"{host}:{port}"
